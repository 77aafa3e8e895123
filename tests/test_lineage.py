"""The registry one can walk back: choices stand, each move has its reason, each part of a version is checked again."""

import dataclasses
import itertools
import json
import math
import re
import shlex
import shutil
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
import torch
import yaml
from mlflow import MlflowClient

from gen_models.build import build_model
from gen_models.checkpoint import load_model
from gen_models.errors import DataError, GenModelsError, RegistryError
from gen_models.measures.paired import paired
from gen_models.measures.sweep_metrics import validation
from pipelines import tracking
from pipelines.cli import _main as typed
from pipelines.commands import gc, lineage, promote, rollback, versus
from pipelines.data import prepare
from pipelines.data.store import open_data
from pipelines.evaluation.versus import (
    Contender,
    Verdict,
    caveat,
    contender,
    require_same_pixels,
    sentence,
    unequal,
)
from pipelines.registry import model_page, moves, names, register, verification, versions
from pipelines.registry.moves import moves_of
from pipelines.registry.up_to_date import Store
from pipelines.registry.version_facts import lines
from pipelines.training.validation_metrics import ruler_of
from tests.finished import SPECS, finish, make_project
from tests.project import call, params_of
from tests.project import make_project as make_git_project

NUMBERS = itertools.count()
ENDED = 99_999_999  # the id of no process


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """One project and store for the whole file; each test has its own run."""
    with pytest.MonkeyPatch.context() as patch:
        root = make_project(tmp_path_factory.mktemp("walk") / "a prÖject", ["vae-digits"])
        patch.setenv("GEN_MODELS_ROOT", str(root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        tracking.open_store()
        yield root


@pytest.fixture
def run(project):
    """A run name that no other test uses."""
    return f"run-{next(NUMBERS)}"


@pytest.fixture
def client(project):
    return tracking.open_store()


def trained(project, run, beta, nats, **more):
    """Register a model that evaluation gives this number; return what was done."""
    numbers = more.pop("numbers", {})
    finish(project, run, beta=beta, nats=nats, **{"steps": 0, **more})
    if numbers:
        rewrite(project / "out" / "evaluate" / run / "metrics.json", **numbers)
    return register.register(run)


def rewrite(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def champion(client, run):
    """The version that is champion, after checking that the record says so and tells who, how and why."""
    aliases = versions.aliases(client, run)
    rows = moves_of(client, run)
    last = {row["alias"]: row["to"] for row in rows}
    assert {alias: number for alias, number in last.items() if number} == aliases
    for row in rows:
        assert row["reason"] and row["who"] and row["how"] in (*moves.BY_PERSONS, moves.REGISTER, moves.DELETED)
    return aliases.get("champion")


def choose(client, run, how, version):
    if how == "outside":
        client.set_registered_model_alias(run, "champion", version)
    elif how == "promote":
        promote.main([f"{run}@{version}", "--reason", "looked at it"])
    else:
        rollback.main([run, "--reason", "misses the sevens"])


class TestChoices:
    def test_a_persons_choice_stands_until_a_new_model_is_better_than_both(self, project, client, run):
        trained(project, run, 1, 20.0)
        trained(project, run, 2, 18.0)
        for how in moves.BY_PERSONS:
            promote.main([run, "2", "--reason", "the gate's"])
            choose(client, run, how, "1")
            done = register.register(run)  # the outputs of version 2
            assert champion(client, run) == "1" and "chosen by" in done["reason"]
            row = next(row for row in reversed(moves_of(client, run)) if row["alias"] == "champion")
            assert (row["how"], row["from"], row["to"]) == (how, "2", "1")
            assert ("noticed" in done["reason"]) == (how == "outside")
        trained(project, run, 3, 19.0)  # better than what was chosen, worse than what was turned down
        assert champion(client, run) == "1"
        trained(project, run, 4, 17.0)
        assert champion(client, run) == "4"

    def test_rollbacks_walk_back_over_damage_and_end_with_a_way_on(self, project, client, run, capsys):
        for beta in (1, 2, 3, 4):
            trained(project, run, beta, 20.0 - beta)
        weights = (
            versions.folder_of(client, versions.find(client, run, "3")) / "artifacts/checkpoint/weights.safetensors"
        )
        weights.write_bytes(weights.read_bytes()[:-1])
        for expected in ("2", "1"):
            rollback.main([run, "--reason", "misses the sevens"])
            assert champion(client, run) == expected
        assert f"passed over {run} version 3" in capsys.readouterr().out
        with pytest.raises(RegistryError, match="no champion before this one is left") as caught:
            rollback.main([run, "--reason", "misses the sevens"])
        option = re.search(r"with (--to \d+)", str(caught.value))[1]
        rollback.main([run, "--reason", "misses the sevens", *option.split()])
        assert champion(client, run) == option.split()[1] == "4"
        tags = versions.find(client, run, "3").tags
        with pytest.raises(RegistryError, match=r"weights.safetensors has changed"):
            promote.main([run, "3", "--reason", "x"])
        assert champion(client, run) == "4" and versions.find(client, run, "3").tags == tags

    def test_what_is_not_comparable_takes_over_by_the_command_that_is_told_only(self, project, client, run):
        assert trained(project, run, 1, 20.0)["aliases"] == ["candidate", "champion"]
        for beta, number, other in ((2, "2", {"data_sha256": "e" * 64}), (3, "3", {"metric": "mse"})):
            reason = trained(project, run, beta, 0.5, **other)["reason"]
            assert champion(client, run) != number and "not comparable" in reason
            typed(shlex.split(re.findall("`gen-models ([^`]*)`", reason)[-1]))
            assert champion(client, run) == number

    def test_a_collapsed_model_is_champion_by_hand_only(self, project, client, run):
        no_modes = {"modes": 0.0, "modes_known": 8.0, "high_quality": 0.0}
        assert "0 of 8 modes" in trained(project, run, 1, 1.0, numbers=no_modes)["reason"]
        assert champion(client, run) is None
        with pytest.raises(RegistryError, match=f"no version is champion: .*0 of 8 modes.*{run}@candidate"):
            names.find(client, run)
        for gate in (
            "no version is champion, as chosen by ann: a reason",
            "no version is champion: version 2 was deleted",
        ):
            client.set_model_version_tag(run, "1", "gate", gate)
            with pytest.raises(RegistryError, match=r"no version is champion: (as chosen|version 2)") as told:
                versions.find(client, run, "champion")
            assert str(told.value).count("no version is champion") == 1
        client.set_model_version_tag(run, "1", "gate", "version 2 stays champion, as chosen by ann: a reason")
        with pytest.raises(RegistryError, match=r"no version is champion: its version was deleted, or the alias taken"):
            versions.find(client, run, "champion")
        trained(project, run, 2, 20.0)
        assert champion(client, run) == "2"
        trained(project, run, 3, 2.0, numbers=no_modes)
        assert champion(client, run) == "2"
        reason = trained(project, run, 2, 20.0, numbers=no_modes)["reason"]  # it is measured otherwise now
        assert champion(client, run) is None
        with pytest.raises(RegistryError, match="no champion before this one is left"):
            rollback.main([run, "--reason", "back"])
        typed(shlex.split(re.findall("`gen-models ([^`]*)`", reason)[-1]))
        register.register(run)
        assert champion(client, run) == "2"

    def test_a_deleted_champion_is_told_and_the_gate_goes_on_without_it(self, project, client, run):
        trained(project, run, 1, 20.0)
        trained(project, run, 2, 18.0)
        client.delete_model_version(run, "2")
        assert "version 2, the champion, was deleted" in trained(project, run, 1, 20.0)["reason"]
        assert champion(client, run) == "1"

    def test_a_chosen_version_that_was_deleted_comes_back_by_a_person_only(self, project, client, run):
        """Its model, registered again, is new to the registry, and better than what is left."""
        trained(project, run, 1, 18.0)
        trained(project, run, 2, 20.0)
        promote.main([run, "2", "--reason", "x"])
        promote.main([run, "1", "--reason", "back"])
        client.delete_model_version(run, "1")
        for beta, value in ((2, 20.0), (1, 18.0), (3, 10.0)):
            reason = trained(project, run, beta, value)["reason"]
            assert "no version is champion: version 1 was deleted" in reason and champion(client, run) is None
        typed(shlex.split(re.findall("`gen-models ([^`]*)`", reason)[-1]))
        assert champion(client, run) is not None

    @pytest.mark.slow
    def test_a_kill_at_any_moment_of_a_move_leaves_a_record_that_the_next_command_mends(
        self, project, client, run, monkeypatch
    ):
        trained(project, run, 1, 20.0)
        trained(project, run, 2, 18.0)
        writes = ("set_registered_model_tag", "set_model_version_tag", "set_registered_model_alias")
        for calls in range(
            5
        ):  # the row is begun, the alias, the version's tag, the record, the row is not begun any more
            left, rows = itertools.count(calls, -1), len(moves_of(client, run))
            with monkeypatch.context() as patch:
                for name in (*writes, "delete_registered_model_tag"):
                    patch.setattr(MlflowClient, name, _killed_at(left, getattr(MlflowClient, name)))
                with pytest.raises(KeyboardInterrupt):
                    promote.main([run, "1", "--reason", "looked at it"])
            moved = versions.aliases(client, run)["champion"] == "1"
            assert moved == (calls > 1)
            assert moves.settle(client, run) == [], "nothing of it looks like a move in MLflow"
            assert champion(client, run) == ("1" if moved else "2")
            assert [row["how"] for row in moves_of(client, run)][rows:] == (["promote"] if moved else [])
            if moved:
                promote.main([run, "2", "--reason", "back"])

    def test_a_version_that_someone_registers_by_hand_stands_in_no_ones_way(self, project, client, run):
        finish(project, run)
        register.register(run)
        client.create_model_version(run, client.get_model_version(run, "1").source)
        model_page.describe_model(client, run)
        assert client.get_registered_model(run).description.startswith("`vae` on `digits`")

    def test_identical_bytes_make_no_new_version(self, project, client, run):
        trained(project, run, 1, 20.0)
        for key in ("1" * 64, "2" * 64):
            rewrite(project / "out" / "train" / run / "lineage.json", key=key)
            assert register.register(run)["version"] == 1
        version = versions.find(client, run, "1")
        assert [other["key"] for other in json.loads(version.tags["same_bytes"])] == ["1" * 64, "2" * 64]
        assert version.tags["key"] not in ("1" * 64, "2" * 64)
        said = "\n".join(lines(version, ["champion"], []))
        assert f"key {'1' * 64}" in said and f"key {'2' * 64}" in said

    @pytest.mark.slow
    def test_a_long_record_is_kept_whole_in_tags_that_fit(self, project, client, run):
        trained(project, run, 1, 20.0)
        for count in range(7):
            promote.main([run, "1", "--reason", f"{count} " + "x" * 480])
        told = [row["reason"].split()[0] for row in moves_of(client, run) if row["how"] == "promote"]
        assert told == [str(count) for count in range(7)]
        tags = client.get_registered_model(run).tags
        assert all(len(value) <= 5000 for value in tags.values()) and "alias_moves.0001" in tags

    @pytest.mark.parametrize("reason", ["", " ", "x" * 501, "a\x1bb"])
    def test_a_move_without_a_reason_that_can_be_read_is_refused(self, project, reason):
        for command, words in ((promote, ["a", "1"]), (rollback, ["a"])):
            with pytest.raises(DataError, match="--reason: "):
                command.main([*words, f"--reason={reason}"])

    @pytest.mark.parametrize("name", ["a@", "@a", "models:/a", "a/b@1", "a@1@2", "models:/a/1/2", "models:/"])
    def test_a_name_is_a_version_or_is_refused(self, project, client, name):
        with pytest.raises(GenModelsError) as caught:
            names.find(client, name)
        assert "\n" not in str(caught.value)

    def test_all_forms_of_a_name_mean_the_same_version(self, project, client, run):
        trained(project, run, 1, 20.0)
        forms = (run, f"{run}@1", f"{run}@champion", f"models:/{run}/1", f"models:/{run}@champion")
        assert {names.find(client, form).number for form in forms} == {"1"}


def _killed_at(left, real):
    def call(self, *arguments, **keywords):
        if next(left) == 0:
            raise KeyboardInterrupt
        return real(self, *arguments, **keywords)

    return call


def _states(client, run) -> dict[str, verification.Finding]:
    return {one.thing: one for one in verification.findings(client, versions.find(client, run, "candidate"))}


def test_a_run_is_left_alone_only_while_all_that_register_looks_at_is_as_it_was(project, client, run):
    done = trained(project, run, 1, 20.0)
    assert Store(client).settled(run) == f"version 1 (candidate, champion); {register.register(run)['reason']}"
    logged = Path(unquote(urlparse(client.get_run(done["run_id"]).info.artifact_uri).path)) / "checkpoint"
    stored = versions.folder_of(client, versions.find(client, run, "1"))
    for path in (
        stored / "artifacts/checkpoint/weights.safetensors",
        project / "out/train" / run / "history.jsonl",
        project / "out/evaluate" / run / "metrics.json",
    ):
        whole = path.read_bytes()
        path.write_bytes(whole + b" ")
        assert Store(client).settled(run) is None, path
        path.write_bytes(whole)
    logged.rename(logged.with_name("gone"))
    assert Store(client).settled(run) is None
    logged.with_name("gone").rename(logged)
    assert Store(client).settled(run) is not None
    client.delete_registered_model_alias(run, "champion")
    assert Store(client).settled(run) is None
    lineage_of = {"key": "9" * 64, "data": "digits"}
    assert Store(client).has_sweep("9" * 64, []) is False
    tracking.log_sweep(run, lineage_of, [])
    assert Store(client).has_sweep("9" * 64, []) is False  # its pictures may be missing
    tracking.complete_sweep(run, lineage_of, [], lambda: None)
    assert Store(client).has_sweep("9" * 64, []) and not Store(client).has_sweep("9" * 64, [{"trial": 0}])


class TestLineage:
    def test_each_part_is_equal_and_a_byte_changed_anywhere_is_named_with_its_file(self, project, client, run, capsys):
        trained(project, run, 1, 20.0, steps=10)
        lineage.main([f"models:/{run}@champion"])
        said = capsys.readouterr().out
        tags = versions.find(client, run, "1").tags
        assert all(
            tags[name] in said for name in ("key", "git_commit", "code_sha256", "checkpoint_sha256", "data_sha256")
        )
        found = _states(client, run)
        assert {found[thing].state for thing in ("registry files", "run in MLflow", "training", "evaluation")} == {
            "equal"
        }
        assert found["prepared data"].state == "equal" and found["code"].state == "differs since"
        stored = versions.folder_of(client, versions.find(client, run, "1"))
        run_id = versions.find(client, run, "1").run_id
        logged = tracking.fetch(f"{client.get_run(run_id).info.artifact_uri}/checkpoint")
        for path, thing in (
            (stored / "artifacts/checkpoint/weights.safetensors", "registry files"),
            (stored / "code/gen_models/noise.py", "registry files"),
            (logged / "weights.safetensors", "run in MLflow"),
            (project / "out/train" / run / "checkpoint/model.yaml", "training"),
            (project / "out/train" / run / "checkpoint/manifest.json", "training"),
            (project / "out/train" / run / "samples/step_00000010.npy", "training"),
            (project / "out/train" / run / "history.jsonl", "training"),
            (project / "out/evaluate" / run / "metrics.json", "evaluation"),
            (project / "out/data/digits/test.x.npy", "prepared data"),
            (project / "out/data/digits/manifest.json", "prepared data"),
        ):
            whole = path.read_bytes()
            path.write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:])
            broken = {one.thing: one.words for one in _states(client, run).values() if one.state == verification.BROKEN}
            assert list(broken) == [thing] and path.name in broken[thing], path
            if thing == "evaluation":
                with pytest.raises(RegistryError, match=f"{run} version 1: evaluation does not agree"):
                    lineage.main([run])
            path.write_bytes(whole)

    def test_what_is_of_another_version_or_gone_is_not_here_and_no_error(self, project, client, run):
        trained(project, run, 1, 20.0)
        trained(project, run, 2, 19.0)
        first = {one.thing: one for one in verification.findings(client, versions.find(client, run, "1"))}
        assert first["training"].state == first["evaluation"].state == "not here"
        client.delete_run(versions.find(client, run, "1").run_id)
        shutil.rmtree(project / "out" / "evaluate" / run)
        lineage.main([f"{run}@1"])
        lineage.main([f"{run}@2"])

    def test_the_source_file_of_the_data_the_sweep_and_the_trial_are_known(self, project, client, run):
        rows = np.random.default_rng(0).normal(size=(60, 2))
        (project / "t.csv").write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in rows))
        conf = {"name": "t", "source": "table", "options": {"path": "t.csv"}, "columns": {"a": {}, "b": {}}}
        split = {"train": 0.5, "validation": 0.25, "test": 0.25}
        (project / "conf" / "data" / "t.yaml").write_text(yaml.safe_dump({**conf, "split": split, "seed": 7}))
        prepare.main(["t"])
        digest = open_data("t").sha256
        finish(project, run, data_sha256=digest)
        rewrite(project / "out" / "train" / run / "lineage.json", data="t")
        shutil.rmtree(project / "out" / "train" / run / "samples")
        swept = project / "out" / "sweep" / run
        swept.mkdir(parents=True)
        (swept / "lineage.json").write_text(json.dumps({"key": "5" * 64}))
        (swept / "best.json").write_text(json.dumps({"trial": 3, "override": {"model.beta": 1.0}}))
        register.register(run)
        tags = versions.find(client, run, "1").tags
        assert (tags["sweep"], tags["trial"], tags["sweep_key"], tags["data_seed"]) == (run, "3", "5" * 64, "7")
        assert _states(client, run)["data source"].state == "equal"
        (project / "t.csv").write_text((project / "t.csv").read_text()[:-2] + "9\n")
        found = _states(client, run)["data source"]
        assert found.state == verification.BROKEN and "t.csv" in found.words
        conf |= {"options": {"path": "conf/data/t.yaml"}, "split": split}
        (project / "conf" / "data" / "t.yaml").write_text(yaml.safe_dump(conf))
        found = _states(client, run)["data source"]
        assert found.state == verification.ABSENT and found.words.startswith("t.csv, which conf/data/t.yaml does not")


def test_models_are_compared_if_only_what_leaves_the_rows_alone_was_edited(project, client, run, capsys):
    conf = project / "conf" / "data" / "digits.yaml"
    text, manifest = conf.read_text(), project / "out" / "data" / "digits" / "manifest.json"
    compared = {}
    shares = "split: {train: 0.6, validation: 0.15, calibration: 0.1, test: 0.15}\n"  # the same test rows
    try:
        for beta, nats, edit in (
            (1, 20.0, ""),
            (2, 21.0, "batch_size: 32\n"),
            (3, 19.0, "seed: 5\n"),
            (4, 18.0, shares),
        ):
            conf.write_text(
                re.sub(r"^split:.*\n", "", text, flags=re.MULTILINE) + edit if edit == shares else text + edit
            )
            prepare.main(["digits"])
            said = trained(project, run, beta, nats)["reason"]
            tags = versions.find(client, run, "candidate").tags
            assert tags["evaluated_sha256"] == json.loads(manifest.read_text())["sha256"]
            compared[edit] = tags["rows_sha256"]
            assert ("21 is worse than version 1's 20" in said) == (beta == 2)
            assert ("not comparable" in said and "promote" in said) == (beta >= 3)
            if beta == 2:
                capsys.readouterr()
                versus.main([f"models:/{run}/1", run])
                assert "95% interval" in capsys.readouterr().out
            if beta >= 3:
                with pytest.raises(DataError, match="they have other data"):
                    versus.main([f"models:/{run}/1", run])
    finally:
        conf.write_text(text)
        prepare.main(["digits"])
    assert len(set(compared.values())) == 3


class TestVersus:
    @pytest.fixture
    def two(self, project):
        if (project / "out" / "train" / "one").is_dir():
            return "one", "two"
        finish(project, "one", beta=1.0)
        finish(project, "two", beta=2.0)
        finish(project, "other", beta=2.0, data_sha256="e" * 64)
        return "one", "two"

    @pytest.mark.parametrize("metric", ["nats", "nats_iw50", "mse", "mmd"])
    def test_the_difference_is_that_of_the_metrics_and_the_interval_holds_it(self, project, two, metric, capsys):
        versus.main([*two, "--metric", metric])
        there = _numbers(capsys.readouterr().out)
        versus.main([*reversed(two), "--metric", metric])
        back = _numbers(capsys.readouterr().out)
        assert there == pytest.approx((-back[0], -back[2], -back[1]), rel=1e-3)
        data = open_data("digits")
        ruler, x = ruler_of(data, "test", None), data.rows("test")
        values = [
            validation(load_model(project / "out" / "train" / key / "checkpoint"), x, [metric], ruler)[metric]
            for key in two
        ]
        assert there[0] == pytest.approx(values[0] - values[1], rel=1e-4, abs=1e-6)
        assert there[1] < there[0] < there[2]

    def test_nats_of_an_elbo_beside_a_density_are_said_to_be_a_bound(self):
        density, elbo = (Contender(name, build_model(SPECS[name], 0), "nats", "digits", frozenset()) for name in
                         ("realnvp", "vae"))  # fmt: skip
        for two in ((density, elbo), (elbo, density)):
            assert caveat(*two, "nats").startswith("The nats of vae are its ELBO")
        assert caveat(elbo, elbo, "nats").startswith("The nats of both are their ELBOs")
        assert caveat(density, density, "nats") == caveat(elbo, density, "mmd") == caveat(elbo, elbo, "mmd") == ""

    def test_what_decides_beside_the_mean_is_said(self):
        """A mean that one row decides, and trainings that saw more rows: from a run's lineage or a version's tags."""
        facts = {"metric": "nats", "data": "digits", "steps": 100, "params": {"batch_size": 20}}
        a = contender("a", None, facts)
        b = contender("b", None, facts | {"steps": "100", "params": '{"batch_size": 50}'})
        assert unequal(a, a) == unequal(a, contender("c", None, {})) == ""
        assert unequal(a, b).endswith("a 2,000 (100 x 20), b 5,000 (100 x 50).")
        of_a, of_b = torch.zeros(40), torch.ones(40)
        of_b[:10], of_b[0] = -1.0, -400.0
        verdict = Verdict("nats", (0.0, 0.0), paired(of_a, of_b), 0, (30, 10))
        assert "But a is lower on 30 of the 40 rows" in sentence(a, b, verdict)
        assert "But" not in sentence(a, b, dataclasses.replace(verdict, lower=(24, 16)))

    def test_log_p_of_black_and_white_pixels_is_not_compared_with_that_of_grey_levels(self):
        grey = Contender("vae", build_model(SPECS["vae"], 0), "nats", "digits", frozenset())
        spec = {**SPECS["vae"], "likelihood": "bernoulli"}
        binary = Contender("binary", build_model(spec, 0), "nats", "digits", frozenset())
        for two in ((grey, binary), (binary, grey)):
            with pytest.raises(DataError, match="the nats of binary are of black and white pixels"):
                require_same_pixels(*two, "nats")
        require_same_pixels(binary, binary, "nats")
        require_same_pixels(grey, binary, "mse")

    def test_a_model_is_equal_to_itself_and_other_data_are_refused_in_one_line(self, project, two, capsys):
        versus.main(["one", "one"])
        assert "The two are equal" in capsys.readouterr().out
        for words, said in (
            (["one", "other"], "they have other data"),
            (["other", "other"], "out/data/digits holds other rows now"),
            (["one", "tow"], "did you mean 'two'"),
            (["one", "two", "--metric", "mes"], "did you mean 'mse'"),
        ):
            with pytest.raises(DataError, match=re.escape(said)) as caught:
                versus.main(words)
            assert "\n" not in str(caught.value)

    def test_the_interval_of_a_mean_difference_holds_the_true_one_as_often_as_it_says(self):
        drawn = torch.from_numpy(np.random.default_rng(1).normal(0.3, 2.0, size=(2000, 12)))
        held = [found.low <= 0.3 <= found.high for found in (paired(row, torch.zeros(12)) for row in drawn)]
        assert abs(np.mean(held) - 0.95) < 0.015
        assert math.isinf(paired(drawn[0, :1], torch.zeros(1)).high)


def _numbers(said: str) -> tuple[float, ...]:
    return tuple(map(float, re.search(r"difference +(\S+), 95% interval (\S+) to (\S+)", said).groups()))


class TestGarbage:
    def test_what_is_needed_stays_and_the_rest_goes_once_agreed(self, project, client, run, capsys, monkeypatch):
        for beta in (1, 2, 3, 4, 5):
            trained(project, run, beta, 10.0 + beta if beta != 2 else 9.0)
        client.set_registered_model_alias(run, "shop", "4")
        client.delete_model_version(run, "5")  # by hand, which leaves its files
        for name in (f"train/{run}-{'0' * 12}", f"ray/train-{ENDED}-1", "unfinished/out.train.x"):
            (project / "work" / name).mkdir(parents=True)
            (project / "work" / name / "file").write_bytes(b"0" * 1000)
        (project / "mlartifacts" / tracking.TRAININGS / ("0" * 32)).mkdir()
        ids = tracking.model_ids(client, run)
        experiment = client.get_experiment_by_name(tracking.TRAININGS).experiment_id
        assert ids <= {one.model_id for one in client.search_logged_models([experiment], max_results=500)}
        before = {path for path in project.rglob("*") if "locks" not in path.parts}
        gc.main(["--dry-run", "--keep", "1"])
        with pytest.raises(GenModelsError, match="say --yes to remove this, or --dry-run"):
            gc.main(["--keep", "1"])
        assert before == {path for path in project.rglob("*") if "locks" not in path.parts}
        capsys.readouterr()
        gc.main(["--yes", "--keep", "1"])
        assert {version.number for version in versions.versions(client, run)} == {"2", "4"}
        assert versions.aliases(client, run) == {"champion": "2", "shop": "4"}
        for version in versions.versions(client, run):
            versions.folder_of(client, version)
            assert client.get_run(version.run_id).info.lifecycle_stage == "active"
        left = {path.parent.name for path in (project / "work").glob("*/*/file")}
        assert left == set() and not (project / "mlartifacts" / tracking.TRAININGS / ("0" * 32)).exists()
        capsys.readouterr()
        gc.main(["--dry-run", "--keep", "1"])
        assert run not in capsys.readouterr().out

    def test_a_version_whose_run_is_being_registered_stays_and_the_rest_goes(self, project, client, run):
        from pipelines.garbage.item import folder_item
        from pipelines.garbage.registry import _item
        from pipelines.runtime import paths, stage

        trained(project, run, 1, 10.0)
        busy = _item(client, versions.find(client, run, "1"))
        (project / "work" / "left").mkdir(parents=True)
        free = folder_item("a folder", project / "work" / "left", "left")
        with stage.hold(paths.out("register", run)):
            assert gc.remove([busy, free]) == ([free], [busy])

    @pytest.mark.slow
    def test_the_cache_of_dvc_keeps_what_the_workspace_and_commits_use(self, tmp_path):
        root = make_git_project(tmp_path / "p", params_of({}, data=["iris"]))
        for seed in (0, 1):
            (root / "params.yaml").write_text((root / "params.yaml").read_text().replace("seed: 0", f"seed: {seed}"))
            assert call(root, "dvc", "repro", "-q", "prepare").returncode == 0
        done = call(root, "gen-models", "gc", "--dvc", "--yes")
        assert re.search(r"DVC: in its cache\n +\d+ files", done.stdout), done.stdout + done.stderr
        assert call(root, "gen-models", "gc", "--dvc", "--yes").stdout == "nothing to remove\n"
        shutil.rmtree(root / "out" / "data")
        assert call(root, "dvc", "checkout", "prepare").returncode == 0
        assert (root / "out" / "data" / "iris" / "manifest.json").is_file()
        shutil.rmtree(root / ".dvc")
        refused = call(root, "gen-models", "gc", "--dvc", "--yes")
        assert refused.returncode == 1 and refused.stderr.count("\n") == 1 and "`dvc gc` failed" in refused.stderr

    def test_a_run_log_that_would_go_on_and_one_that_is_written_stay(self, project, run):
        from pipelines.config.params import params
        from pipelines.garbage.work_folder import leftovers
        from pipelines.runtime import paths
        from pipelines.runtime.stage import hold
        from pipelines.training.sweep_plan import sweep_plan

        plan = sweep_plan(params(), "vae-digits")
        own, other = Path(plan.tasks[0].folder), plan.folder / f"{'0' * 12}-{'0' * 6}"
        for folder in (own, other):
            folder.mkdir(parents=True)
        (item,) = [item for item in leftovers(params()) if "vae-digits" in item.what]
        assert item.what == f"work/sweep/vae-digits/{other.name}"
        with hold(paths.out("sweep", "vae-digits")):
            assert item.remove() is False and other.is_dir()
        assert item.remove() is True and not other.exists() and plan.folder.is_dir()
