"""The store is a copy of the graph's outputs: nothing is logged twice, nothing is lost, no alias moves unverified."""

import itertools
import json
import math
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest
from mlflow.exceptions import MlflowException
from scipy.stats import ttest_rel

from gen_models import checkpoint
from gen_models.errors import CheckpointError, GenModelsError, RegistryError
from pipelines import figures, tracking
from pipelines.commands import lineage as lineage_command
from pipelines.commands import predict
from pipelines.registry import register, upload, versions
from pipelines.registry.moves import moves_of
from pipelines.registry.promotion import Standing, gate
from pipelines.report import sweep_pictures
from pipelines.tracking.sweep_page import sweep_page
from pipelines.training import trials
from pipelines.training.ranking import as_good, decided, undecided
from tests.finished import PROJECT, finish, make_project, metrics_at

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """One project and store for the whole file, in a folder with a space and an umlaut; each test has its own run."""
    with pytest.MonkeyPatch.context() as patch:
        root = make_project(tmp_path_factory.mktemp("a prÖject"), ["vae-digits"])
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


def command(root: Path, *words: str, **environment: str) -> subprocess.CompletedProcess:
    """A verb of gen-models in a process of its own, from another current directory."""
    inherited = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *words], cwd=root.parent, capture_output=True, text=True, timeout=120,
        env=inherited | {"GEN_MODELS_ROOT": str(root), "PYTHONPATH": str(PROJECT)} | environment, check=False,
    )  # fmt: skip


def history(client, run_id: str, name: str) -> list[tuple[int, float]]:
    return sorted((metric.step, metric.value) for metric in client.get_metric_history(run_id, name))


def expected(name: str, steps=(10, 20, 30)) -> list[tuple[int, float]]:
    return [(step, metrics_at(step)[name]) for step in steps]


def a_file_of(client, version: versions.Version, name: str) -> Path:
    return versions.folder_of(client, version) / name


class AsksWhoIsThere(BaseHTTPRequestHandler):
    """What a server with basic authentication answers to a stranger."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="mlflow"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


class TestStore:
    def test_opened_twice_is_the_same_store(self, project):
        first, second = tracking.open_store(), tracking.open_store()
        ids = [[e.experiment_id for e in client.search_experiments()] for client in (first, second)]
        assert ids[0] == ids[1]
        assert (project / "mlflow.db").is_file()

    def test_a_command_that_only_reads_makes_no_store_and_says_what_does(self, project, tmp_path, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/new.db")
        rows = tmp_path / "rows.npy"
        np.save(rows, np.zeros((2, 64), dtype=np.float32))
        asks = {
            lineage_command: ["vae-digits"],
            predict: ["vae-digits", str(rows), "--output", str(tmp_path / "x.npy")],
        }
        for command, words in asks.items():
            with pytest.raises(GenModelsError, match=r"no model is registered here: .*new.db; .*`gen-models register`"):
                command.main(words)
        assert not (tmp_path / "new.db").exists()
        tracking.open_store()
        with pytest.raises(GenModelsError, match=r"vae-digits: no model is registered in .*`gen-models register`"):
            lineage_command.main(["vae-digits"])

    def test_artifacts_lie_in_the_project_folder_whatever_the_current_directory(self, project, client, tmp_path):
        where = client.get_experiment_by_name(tracking.TRAININGS).artifact_location
        assert where == (project / "mlartifacts" / tracking.TRAININGS).as_uri()

    def test_a_server_that_does_not_answer_is_one_line_that_says_how_to_start_it(self, project, monkeypatch):
        for port, option in (("", ""), (":5000", ""), (":9", " --port 9")):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.2{port}")
            with pytest.raises(
                tracking.StoreError, match=rf"no server answers .*`gen-models server{option}`"
            ) as caught:
                tracking.open_store()
            assert "\n" not in str(caught.value)

    def test_a_server_that_asks_who_is_there_is_one_line_that_says_how_to_answer(self, project, monkeypatch):
        with HTTPServer(("127.0.0.1", 0), AsksWhoIsThere) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{server.server_port}")
            with pytest.raises(
                tracking.StoreError,
                match="the server asks for a user; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_P",
            ) as e:
                tracking.open_store()
            server.shutdown()
        assert "\n" not in str(e.value) and "secret" not in str(e.value)

    @pytest.mark.parametrize("uri", ["/data/mlruns", "file:///data/mlruns"])
    def test_the_file_store_is_refused(self, project, monkeypatch, uri):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(tracking.StoreError, match="not supported; use sqlite"):
            tracking.open_store()

    def test_a_project_folder_that_moved_is_told_instead_of_writing_to_the_old_place(self, tmp_path, monkeypatch):
        old = make_project(tmp_path / "old", ["vae-digits"])
        monkeypatch.setenv("GEN_MODELS_ROOT", str(old))
        tracking.open_store()
        new = old.rename(tmp_path / "new")
        monkeypatch.setenv("GEN_MODELS_ROOT", str(new))
        with pytest.raises(tracking.StoreError, match="has moved; run `mv mlflow"):
            tracking.open_store()
        assert not old.exists()

    def test_a_damaged_store_is_one_line_that_says_how_to_rebuild_it(self, project, monkeypatch, tmp_path):
        (tmp_path / "mlflow.db").write_bytes(b"no database at all" * 500)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
        with pytest.raises(tracking.StoreError, match="gen-models register") as caught:
            tracking.open_store()
        assert "\n" not in str(caught.value)


class TestRecorder:
    def test_a_step_is_logged_once_however_often_it_is_reported(self, project, client, run):
        lineage = finish(project, run)
        for steps in ((10, 20), (20, 30), (10, 20, 30)):  # a killed training begins again before its last report
            recorder = tracking.Recorder(lineage)
            assert all(recorder.log(step, metrics_at(step)) for step in steps)
            assert recorder.log_samples(10, np.zeros((9, 9), dtype=np.uint8))
        assert history(client, recorder.run_id, "vae/nats") == expected("vae.nats")
        images = client.list_artifacts(recorder.run_id, "images")
        assert len(images) == 2  # the picture and its small copy
        assert upload.replay(run).run_id == recorder.run_id

    def test_status_params_and_tags_tell_where_a_run_came_from(self, project, client, run):
        lineage = finish(project, run)
        recorder = tracking.Recorder(lineage)
        assert client.get_run(recorder.run_id).info.status == "RUNNING"
        for status in ("KILLED", "FAILED", "FINISHED"):
            assert recorder.finish(status, project / "out" / "train" / run / "checkpoint")
            assert client.get_run(recorder.run_id).info.status == status
        data = client.get_run(recorder.run_id).data
        assert data.params["model.beta"] == "1.0"
        for name in ("key", "data_sha256", "conf_sha256", "git_commit", "seed", "model", "family"):
            assert data.tags[name] == str(lineage[name])
        stored = Path(tracking.fetch(f"runs:/{recorder.run_id}/checkpoint"))
        checkpoint.verify(stored)
        assert client.get_run(tracking.Recorder(lineage).run_id).info.status == "RUNNING"

    def test_a_number_that_is_not_finite_is_a_tag_and_no_metric(self, project, client, run):
        recorder = tracking.Recorder(finish(project, run))
        assert recorder.log(10, {"vae.nats": math.nan, "vae.rate": math.inf, "vae.mse": 1.0})
        data = client.get_run(recorder.run_id).data
        assert set(data.metrics) == {"vae/mse"}
        assert "step 10" in data.tags["diverged"]

    def test_a_number_that_is_finite_again_takes_the_tag_away(self, project, client, run):
        recorder = tracking.Recorder(finish(project, run))
        for value, tagged in ((math.nan, True), (1.0, False)):
            recorder.run.log_result(10, {"mse": value})
            assert ("not_finite" in client.get_run(recorder.run_id).data.tags) == tagged

    def test_more_numbers_than_fit_into_one_message_are_all_logged(self, project, client, run):
        recorder = tracking.Recorder(finish(project, run))
        assert recorder.run.log_result(10, {f"auroc.nll.kind_{k}": k / 2000 for k in range(1100)}) == 1100
        assert len(client.get_run(recorder.run_id).data.metrics) == 1100

    def test_a_store_that_fails_in_the_middle_stops_nothing_and_misses_nothing(
        self, project, client, run, monkeypatch, capsys
    ):
        recorder = tracking.Recorder(finish(project, run))
        assert recorder.log(10, metrics_at(10))

        def fail(*_, **__):
            raise MlflowException("database is locked")

        with monkeypatch.context() as broken:
            broken.setattr(recorder.run.client, "log_batch", fail)
            assert recorder.log(20, metrics_at(20)) is False
            assert recorder.log_samples(20, np.zeros((9, 9), dtype=np.uint8)) is False
            assert recorder.finish("FINISHED") is False
        assert capsys.readouterr().err.count("warning") == 1
        assert history(client, recorder.run_id, "vae/nats") == expected("vae.nats", [10])
        assert recorder.finish("FINISHED")  # what waited is delivered
        assert history(client, recorder.run_id, "vae/nats") == expected("vae.nats", [10, 20])
        for _ in range(2):
            upload.replay(run)
            assert history(client, recorder.run_id, "vae/nats") == expected("vae.nats")

    def test_a_batch_that_was_stored_although_its_answer_was_lost_is_not_stored_again(
        self, project, client, run, monkeypatch
    ):
        recorder = tracking.Recorder(finish(project, run))
        real = recorder.run.client.log_batch

        def lose_the_answer(*arguments, **keywords):
            real(*arguments, **keywords)
            raise MlflowException("timed out")

        with monkeypatch.context() as broken:
            broken.setattr(recorder.run.client, "log_batch", lose_the_answer)
            assert recorder.log(10, metrics_at(10)) is False
        assert recorder.finish("FINISHED")
        assert history(client, recorder.run_id, "vae/nats") == expected("vae.nats", [10])


class TestReplay:
    def test_a_run_is_rebuilt_from_its_outputs_and_then_left_alone(self, project, client, run):
        finish(project, run)
        first = upload.replay(run)
        assert (first.numbers, first.pictures, first.is_new) == (6 + 3, 3, True)
        assert history(client, first.run_id, "validation/nats") == expected("validation.nats")
        assert client.get_run(first.run_id).data.metrics["evaluate/nats"] == 20.0
        assert {f.path for f in client.list_artifacts(first.run_id)} == {"checkpoint", "evaluate", "images"}
        shown = {f.path for f in client.list_artifacts(first.run_id, "evaluate")}
        assert shown == {"evaluate/samples.png", "evaluate/training.gif"}
        assert upload.replay(run) == upload.Replayed(first.run_id, first.experiment_id)

    def test_what_is_said_of_latents_is_a_tag_with_its_file_beside_the_pictures(self, project, client, run):
        finish(project, run)
        said = {"sentence": "2 of 3 latents are active, 1.50 nats a row", "is_collapsed": False}
        (project / "out" / "evaluate" / run / "latents.json").write_text(json.dumps(said))
        ids = upload.replay(run)
        assert client.get_run(ids.run_id).data.tags["latents"] == said["sentence"]
        assert "evaluate/latents.json" in {f.path for f in client.list_artifacts(ids.run_id, "evaluate")}

    def test_lost_artifacts_come_back(self, project, client, run):
        finish(project, run)
        ids = upload.replay(run)
        shutil.rmtree(project / "mlartifacts" / tracking.TRAININGS / ids.run_id)
        assert upload.replay(run).pictures == 3
        checkpoint.verify(tracking.fetch(f"runs:/{ids.run_id}/checkpoint"))
        assert history(client, ids.run_id, "vae/nats") == expected("vae.nats")

    def test_an_evaluation_that_changed_replaces_the_old_numbers(self, project, client, run):
        finish(project, run)
        upload.replay(run)
        path = project / "out" / "evaluate" / run / "metrics.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"nats": 19.0}))
        assert client.get_run(upload.replay(run).run_id).data.metrics["evaluate/nats"] == 19.0

    def test_the_areas_of_anomaly_scores_and_of_each_kind_are_metrics(self, project, client, run):
        finish(project, run)
        kinds = [{"kind": kind, "auroc": area} for kind, area in (("a/b é", 0.7), ("a b:", 0.8), ("ü", 0.6))]
        rows = [{"score": "nll", "is_default": True, "auroc": 0.75, "average_precision": 0.5, "kinds": kinds}]
        rows[0]["pixel_auroc"] = 0.875
        (project / "out" / "evaluate" / run / "anomalies.json").write_text(json.dumps(rows))
        metrics = client.get_run(upload.replay(run).run_id).data.metrics
        found = {name: value for name, value in metrics.items() if "auroc" in name or "average_precision" in name}
        assert found == {
            "evaluate/auroc.nll": 0.75, "evaluate/average_precision.nll": 0.5, "evaluate/auroc.nll.a_b_": 0.7,
            "evaluate/auroc.nll.a_b_-2": 0.8, "evaluate/auroc.nll._": 0.6,
            "evaluate/pixel_auroc.nll": 0.875,
        }  # fmt: skip

    def test_a_sweep_has_a_run_below_it_for_each_trial_once(self, project, client):
        rows = [
            {
                "trial": 0, "override": {}, "value": 3.0, "best_step": 20, "steps": 20, "diverged": None,
                "metrics": {"validation.nats": 3.0}, "seed": 5, "seeds": [5, 6], "mean": 3.5, "sd": 0.5,
                "history": [{"step": s, "metrics": {"validation.nats": 60.0 / s}} for s in (10, 20)],
            },
            {
                "trial": 1, "override": {"optim.vae.lr": 9.0}, "value": None, "best_step": 0, "steps": 10,
                "diverged": "step 10: the loss is nan", "metrics": {}, "history": [],
            },
        ]  # fmt: skip
        lineage = {"key": "5" * 64, "data": "digits", "data_sha256": "d" * 64, "seed": 0}
        assert tracking.log_sweep("vae-digits", lineage, rows) is True
        assert tracking.log_sweep("vae-digits", lineage, rows) is False
        assert tracking.record_sweep("vae-digits", lineage, rows[:1]) is True
        experiment = client.get_experiment_by_name(tracking.SWEEPS).experiment_id
        runs = {run.info.run_name: run for run in client.search_runs([experiment])}
        assert set(runs) == {"vae-digits", "vae-digits/0", "vae-digits/1"}
        parent = runs["vae-digits"].info.run_id
        assert {runs[f"vae-digits/{k}"].data.tags["mlflow.parentRunId"] for k in (0, 1)} == {parent}
        assert runs["vae-digits/1"].info.status == "FAILED"
        assert runs["vae-digits/1"].data.params == {"optim.vae.lr": "9.0"}
        assert history(client, runs["vae-digits/0"].info.run_id, "validation/nats") == [(10, 6.0), (20, 3.0)]
        first = runs["vae-digits/0"].data
        assert (first.params, first.tags["seed"], first.metrics["mean"]) == ({"seed": "5"}, "5", 3.5)
        told = runs["vae-digits"].data.metrics
        assert (told["best_mean"], told["best_sd"], told["seeds"]) == (3.5, 0.5, 2.0)
        page = runs["vae-digits"].data.tags["mlflow.note.content"]
        assert page.startswith("1 trial on `digits`. Trial 0 has the best mean over seeds, 3.5 ± 0.5")

        def draw() -> bytes | None:
            return sweep_pictures.samples(rows, {0: np.zeros((4, 1, 8, 8), np.uint8)}, 17)

        assert tracking.complete_sweep("vae-digits", lineage, rows, draw) is True
        assert tracking.complete_sweep("vae-digits", lineage, rows, pytest.fail) is False

    def test_a_sweep_whose_settings_diverged_with_their_first_seed_is_logged(self, project, client):
        rows = [
            {"trial": 0, "override": {}, "value": None, "best_step": 0, "diverged": "step 1: nan", "metrics": {}},
            {"trial": 1, "override": {}, "value": 2.0, "best_step": 5, "diverged": None, "metrics": {}, "of": 0},
        ]
        assert tracking.log_sweep("vae-digits", {"key": "7" * 64, "data": "digits"}, rows) is True

    def test_the_page_of_a_sweep_ranks_settings_as_the_sweep_chooses(self):
        def row(trial: int, value: float | None, **others: object) -> dict[str, object]:
            return {"trial": trial, "override": {"model.beta": trial / 2}, "value": value, **others}

        rows = [row(0, 2.0), row(1, None), row(2, 1.0), row(3, 1.5, mean=1.7, sd=0.1, seeds=[0, 1]), row(4, 0.5, of=3)]
        page = sweep_page({"data": "digits"}, rows)
        assert page.startswith("5 trials on `digits`, 1 of them diverged. Trial 3 has")
        first_cells = [line.split()[1] for line in page.splitlines() if line.startswith("| ")]
        assert first_cells == ["trial", "---", "3", "2", "0"]
        assert trials.choose(rows, "vae-digits")["trial"] == 3
        assert sweep_page({"data": "digits"}, rows[1:2]).endswith("No setting has a finite value.")

    def test_settings_that_seeds_cannot_tell_apart_are_named(self):
        def rows(*settings: tuple[float, float, float]) -> list[dict[str, Any]]:
            """A setting for each three values, one a seed; the repeats follow, as in trials.json."""
            found = []
            for seed in range(3):
                for k, values in enumerate(settings):
                    told = {"mean": fmean(values), "sd": stdev(values), "seeds": [0, 1, 2]} if seed == 0 else {"of": k}
                    at = {"trial": len(found), "seed": seed, "override": {"model.beta": k}, "value": values[seed]}
                    found.append(at | told)
            return found

        # each seed says that the first is better, by 6.3, 9.4 and 6.9: t is 7.9, above 4.3 with 2 degrees of freedom
        clear = rows((165.1, 166.1, 171.7), (171.4, 175.5, 178.6))
        assert undecided(clear) == ""
        next_one = "Better than the next, trial 1 (model.beta 1, mean 175.2), by 7.53"
        assert decided(clear) == f"{next_one} (95% interval of the difference, seed by seed: 3.45 to 11.6)."
        low, high = ttest_rel((171.4, 175.5, 178.6), (165.1, 166.1, 171.7)).confidence_interval()
        assert (low, high) == pytest.approx((3.45, 11.6), abs=0.02)
        apart = (20.1, 20.3, 20.7), (35.0, 55.0, 89.0)  # the interval of the differences holds 0
        assert undecided(rows(*apart)) == "" and undecided(rows(apart[0], (20.6, 55.0, 89.0))) != ""
        assert decided(rows(*apart)).endswith(": the worst of its 3 seeds is better than the best of the other's.")
        # the same values, but no seed by seed: the differences are 13.5, 5.3 and 3.8, and t is 2.5
        alike = rows((165.1, 166.1, 171.7), (178.6, 171.4, 175.5))
        assert [of["trial"] for of in as_good(alike)] == [1]
        said = "The seeds do not tell trial 0 (model.beta 0, mean 167.6) from trial 1 (model.beta 1, mean 175.2): give "
        assert undecided(alike).startswith(said) and decided(alike) == ""
        # a setting with a wide spread says nothing of one with a narrow one
        assert [of["trial"] for of in as_good(rows((1, 1.001, 1), (1.1, 1.101, 1.1), (1, 3, 2)))] == [2]
        many = rows(*((1.0, 1.0 + k / 100, 1.0 - k / 200) for k in range(6)))
        assert " and 2 more: give" in undecided(many)
        # each seed orders two models that learned nothing in the same way, and the third setting is far from them
        nothing = rows((0.143401, 0.143402, 0.143403), (0.143405, 0.143406, 0.143407), (0.2, 0.21, 0.22))
        assert as_good(nothing) == [] and "differ by 4e-06, less than 0.1%" in undecided(nothing)
        assert decided(nothing) == "" == undecided(rows((0.1434, 0.1435, 0.1436), (0.1444, 0.1445, 0.1446)))
        assert undecided([rows((1, 1, 1))[0], {"trial": 9, "override": {}, "value": 1.01}]) == ""

    def test_the_page_of_a_sweep_shows_the_rate_beside_the_metric(self):
        rows = [
            {
                "trial": k,
                "override": {"model.beta": k},
                "value": k,
                "metrics": {"validation.vae.rate_nats": rate, "vae.rate_nats": 9.0},  # the second is of training rows
            }
            for k, rate in enumerate((12.3, 0.004))
        ]
        lines = [line for line in sweep_page({"data": "digits"}, rows).splitlines() if line.startswith("| ")]
        assert lines[0] == "| trial | value | `model.beta` | `validation/vae.rate_nats` |" and lines[-1].endswith(
            "| 1 | 0.004 |"
        )
        assert "has one seed, so" in sweep_page({"data": "digits"}, rows)
        cut = sweep_page({"data": "digits"}, [{**rows[0], "steps": 500}, {**rows[1], "steps": 125}])
        assert "| `validation/vae.rate_nats` | steps |" in cut and "| 0.004 | 125 |" in cut, (
            "a trial that was cut is shown as such"
        )
        again = {**rows[1], "trial": 2, "of": 1, "metrics": {"validation.vae.rate_nats": 0.002}}
        assert sweep_page({"data": "digits"}, [*rows, again]).count("| 1 | 0.003 |") == 1, "the mean over its seeds"

    def test_settings_that_hardly_differ_are_said_to_decide_nothing(self):
        alike = [{"trial": k, "override": {"model.beta": k}, "value": 0.1434 + 2e-5 * k} for k in range(3)]
        assert "**The choice means little: the best and the worst of 3 settings" in sweep_page(
            {"data": "digits"}, alike
        )
        assert undecided([*alike, {"trial": 3, "override": {}, "value": 0.15}]) == ""
        assert undecided(alike[:2]) == "" and undecided([{**one, "value": None} for one in alike]) == ""

    def test_a_sweeps_samples_are_in_the_order_of_their_settings_and_each_setting_once(self):
        rows = [{"trial": k, "override": {"model.beta": beta}, "value": float(k)} for k, beta in enumerate((4, 1, 2))]
        rows.append({**rows[0], "trial": 3, "of": 0})
        drawn = {k: np.full((2, 2), float(k)) for k in range(4)}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(figures, "trial_samples", lambda panels, file, levels: file.write(str(list(panels)).encode()))
            assert sweep_pictures.samples(rows, drawn, None) == b"['1: beta 1', '2: beta 2', '0: beta 4']"
        for shape in ((64, 1, 8, 8), (64, 2), (64, 1), (64, 9)):
            panels = {k: np.random.default_rng(k).random(shape) for k in range(3)}
            assert sweep_pictures.samples(rows, panels, None).startswith(b"\x89PNG")
        assert sweep_pictures.samples(rows, {}, None) is None


class TestGate:
    here = Standing("nats", 20.0, "d")

    @pytest.mark.parametrize(
        ("candidate", "champion", "passes"),
        [
            (here, None, True),
            (Standing("nats", math.nan, "d"), None, False),
            (Standing("nats", math.inf, "d"), here, False),
            (Standing("nats", 20.0, "d"), here, True),
            (Standing("nats", 19.9, "d"), here, True),
            (Standing("nats", 20.1, "d"), here, False),
            (Standing("nats", 0.0, "other"), here, False),
            (Standing("mse", 0.0, "d"), here, False),
            (here, Standing("nats", math.nan, "d"), True),
            (Standing("nats", 0.0, "d", "0 of 8 modes reached"), here, False),
            (Standing("nats", 0.0, "d", "0 of 8 modes reached"), None, False),
            (here, Standing("nats", 0.0, "d", "0 of 8 modes reached"), True),
            (Standing("nats", 19.9, "other", rows_sha256="r"), replace(here, rows_sha256="r"), True),
            (Standing("nats", 20.1, "other", rows_sha256="r"), replace(here, rows_sha256="r"), False),
            (Standing("nats", 0.0, "d", observed="binary pixels"), replace(here, observed=""), False),
            (Standing("nats", 19.9, "d", observed="binary pixels"), here, True),  # of an earlier release
            (Standing("nats", 0.0, "other", rows_sha256="s"), replace(here, rows_sha256="r"), False),
        ],
    )
    def test_champion_moves_to_what_is_sound_and_not_worse_on_the_same_data(self, candidate, champion, passes):
        moves, reason = gate(candidate, champion, "1")
        assert moves is passes
        assert reason


class TestRegister:
    def test_a_setting_that_comes_back_finds_its_version_again(self, project, client, run):
        written = []
        for beta, nats in ((1, 20.0), (4, 21.0), (1, 20.0)):
            finish(project, run, beta=beta, nats=nats)
            written.append(register.register(run))
        assert [row["version"] for row in written] == [1, 2, 1]
        assert len(versions.versions(client, run)) == 2
        assert versions.models(client)[run] == {"candidate": "1", "champion": "1"}
        assert written[1]["aliases"] == ["candidate"]
        digest = checkpoint.digest(project / "out" / "train" / run / "checkpoint")
        assert written[2]["checkpoint_sha256"] == digest
        assert versions.find(client, run, "candidate").tags["checkpoint_sha256"] == digest
        assert not (project / "out" / "register").exists(), "the stage has no outputs"
        assert [(row["alias"], row["from"], row["to"]) for row in moves_of(client, run)] == [
            ("candidate", None, "1"), ("champion", None, "1"), ("candidate", "1", "2"), ("candidate", "2", "1"),
        ]  # fmt: skip

    def test_a_second_run_of_the_stage_changes_nothing(self, project, client, run):
        finish(project, run)
        register.register(run)
        before = moves_of(client, run), versions.versions(client, run), versions.models(client)[run]
        register.register(run)
        assert (moves_of(client, run), versions.versions(client, run), versions.models(client)[run]) == before

    def test_a_version_carries_its_lineage_and_the_hash_of_each_file(self, project, client, run):
        lineage = finish(project, run)
        register.register(run)
        version = versions.find(client, run, "champion")
        for name in ("key", "git_commit", "data_sha256", "conf_sha256", "seed"):
            assert version.tags[name] == str(lineage[name])
        files = json.loads(version.tags["files"])
        assert "artifacts/checkpoint/weights.safetensors" in files
        assert "code/gen_models/checkpoint.py" in files
        assert files == versions.hashes(versions.folder_of(client, version))
        assert "no other was champion" in version.tags["became_champion"]
        assert not [name for name in files if name.endswith((".pkl", ".pt", ".pickle"))]

    def test_a_better_model_becomes_champion_and_a_worse_one_does_not(self, project, client, run):
        for beta, nats, champion in ((1, 20.0, "1"), (2, 19.0, "2"), (3, 19.5, "2"), (4, 19.0, "4")):
            finish(project, run, beta=beta, nats=nats)
            register.register(run)
            assert versions.models(client)[run] == {"candidate": str(beta), "champion": champion}

    def test_a_kill_between_upload_and_alias_is_made_good_by_the_next_run(self, project, client, run, monkeypatch):
        finish(project, run)
        for alias in ("candidate", "champion"):

            def killed(client_, name, version, *, at=alias, real=versions.point):
                if name == at:
                    raise KeyboardInterrupt
                real(client_, name, version)

            with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr(versions, "point", killed)
                register.register(run)
        written = register.register(run)
        assert (written["version"], written["aliases"]) == (1, ["candidate", "champion"])
        assert [move["alias"] for move in moves_of(client, run)] == ["candidate", "champion"]

    def test_a_kill_during_the_upload_leaves_no_half_version(self, project, client, run, monkeypatch):
        finish(project, run)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(versions, "hashes", _interrupted)
            register.register(run)
        assert versions.versions(client, run) == []
        experiment = client.get_experiment_by_name(tracking.TRAININGS).experiment_id
        assert register.register(run)["version"] == 1
        held = client.search_logged_models([experiment], f"tags.run = '{run}'")
        assert len(held) == 2, "the one without a version may be another copy's, at work at this moment"
        finish(project, run, beta=2, nats=19.0)
        with monkeypatch.context() as patch:
            patch.setattr(versions, "SECONDS_OF_AN_UPLOAD", 0)
            register.register(run)
        held = client.search_logged_models([experiment], f"tags.run = '{run}'")
        assert len(held) == len(versions.versions(client, run)) == 2

    def test_no_alias_moves_to_files_that_changed_in_the_store(self, project, client, run, monkeypatch):
        finish(project, run)
        real = versions.upload

        def swapped(*arguments, **keywords):
            version = real(*arguments, **keywords)
            _flip(a_file_of(client, version, "artifacts/checkpoint/weights.safetensors"))
            return version

        with (
            monkeypatch.context() as patch,
            pytest.raises(RegistryError, match=r"weights.safetensors has changed") as e,
        ):
            patch.setattr(versions, "upload", swapped)
            register.register(run)
        assert "\n" not in str(e.value)
        assert versions.models(client)[run] == {}

    @pytest.mark.parametrize("damage", ["flip", "remove", "add"])
    def test_a_version_damaged_later_is_not_used_and_is_stored_anew(self, project, client, run, damage, capsys):
        finish(project, run)
        register.register(run)
        path = a_file_of(client, versions.find(client, run, "champion"), "serving.py")
        if damage == "flip":
            _flip(path)
        elif damage == "remove":
            path.unlink()
        else:
            (path.parent / "code" / "sitecustomize.py").write_text("")
        with pytest.raises(RegistryError, match="has changed"):
            versions.folder_of(client, versions.find(client, run, "champion"))
        written = register.register(run)
        assert (written["version"], written["aliases"]) == (2, ["candidate", "champion"])
        assert "has changed" in capsys.readouterr().out

    def test_what_loading_leaves_in_a_store_is_no_change(self, project, client, run):
        finish(project, run)
        register.register(run)
        folder = versions.folder_of(client, versions.find(client, run, "champion"))
        (folder / "code" / "gen_models" / "__pycache__").mkdir()
        (folder / "code" / "gen_models" / "__pycache__" / "x.pyc").write_bytes(b"x")
        assert versions.folder_of(client, versions.find(client, run, "champion")) == folder

    def test_an_evaluation_of_another_checkpoint_is_refused(self, project, run):
        finish(project, run)
        path = project / "out" / "evaluate" / run / "metrics.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"checkpoint_sha256": "0" * 64}))
        with pytest.raises(GenModelsError, match=f"dvc repro evaluate@{run}"):
            register.register(run)

    def test_a_damaged_checkpoint_is_never_registered(self, project, client, run):
        finish(project, run)
        _flip(project / "out" / "train" / run / "checkpoint" / "weights.safetensors")
        with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
            register.register(run)
        assert run not in versions.models(client)

    def test_a_metric_that_is_not_finite_makes_a_candidate_but_no_champion(self, project, client, run):
        finish(project, run, nats=math.nan)
        assert register.register(run)["aliases"] == ["candidate"]
        assert "champion" not in versions.models(client)[run]

    @pytest.mark.parametrize("words", [["a", "b"], ["vae-digit"], ["../vae-digits"]])
    def test_a_run_that_params_do_not_name_is_refused(self, project, words):
        with pytest.raises(GenModelsError, match="unknown run"):
            register.main(words)


class TestFind:
    def test_an_unknown_model_or_alias_names_the_nearest_and_all_that_exist(self, project, client, run):
        finish(project, run)
        register.register(run)
        with pytest.raises(RegistryError, match=f"did you mean '{run}'"):
            versions.find(client, f"{run}x", "champion")
        with pytest.raises(RegistryError, match=r"did you mean 'champion'\? choose from 1, candidate, champion"):
            versions.find(client, run, "champ")


class TestAllRuns:
    def test_it_is_quiet_where_nothing_lags(self, tmp_path_factory, project, run, capsys):
        finish(project, run)
        register.register(run)
        capsys.readouterr()
        assert register.register_run(run).startswith("up to date; version 1 (candidate, champion); ")
        assert register.register_run("never-trained") == "not trained yet"
        assert register.register_sweep("vae-digits") == "not swept yet"

    def test_what_was_never_trained_is_named_once_and_no_failure(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("GEN_MODELS_ROOT", str(make_project(tmp_path / "new", ["one", "two"])))
        finish(tmp_path / "new", "two")
        capsys.readouterr()
        register.main([])
        told = capsys.readouterr().out.splitlines()
        assert told[:2] == ["not swept yet: one, two", "not trained yet: one"] and len(told) == 3
        assert told[2].startswith("two: ")

    @pytest.mark.slow
    def test_a_lost_store_is_rebuilt(self, tmp_path, monkeypatch, capsys):
        """Runs, histories, sample grids, evaluation, versions and aliases: all from what lies in out/."""
        root = make_project(tmp_path / "lost", ["one", "two", "three"])
        monkeypatch.setenv("GEN_MODELS_ROOT", str(root))
        for run in ("one", "two"):
            finish(root, run)
            register.register(run)
        (root / "mlflow.db").unlink()
        shutil.rmtree(root / "mlartifacts")
        done = command(root, "register")  # a new process: this one still holds the removed file open
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [
            "not swept yet: one, two, three",
            "not trained yet: three",
            "one: logged 9 numbers and 3 pictures; version 1 (candidate, champion); no other was champion, nats 20",
            "two: logged 9 numbers and 3 pictures; version 1 (candidate, champion); no other was champion, nats 20",
        ]
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/./mlflow.db")
        client = tracking.open_store()
        for run in ("one", "two"):
            assert versions.models(client)[run] == {"candidate": "1", "champion": "1"}
            run_id = versions.find(client, run, "champion").run_id
            assert history(client, run_id, "vae/nats") == expected("vae.nats")
            assert len(client.list_artifacts(run_id, "images")) == 6
            versions.folder_of(client, versions.find(client, run, "champion"))


@pytest.mark.slow
def test_four_first_openings_at_once_make_one_store(tmp_path):
    root = make_project(tmp_path / "new", ["one"])
    code = "from pipelines import tracking; print(len(tracking.open_store().search_experiments()))"
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    environment |= {"GEN_MODELS_ROOT": str(root), "PYTHONPATH": str(PROJECT)}
    started = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [process.communicate(timeout=120)[0] for process in started] == ["3\n"] * 4  # MLflow's Default is the third


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _interrupted(*_):
    raise KeyboardInterrupt
