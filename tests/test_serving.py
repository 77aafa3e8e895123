"""A version answers the same in memory, through MLflow and over HTTP; what does not fit is refused in one line."""

import ast
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from importlib.metadata import requires
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from gen_models import checkpoint
from gen_models.anomalies.scores import scores
from gen_models.build import build_model
from gen_models.errors import DataError, RegistryError
from gen_models.mixtures.gaussian_mixture import GaussianMixture
from gen_models.noise import Noise
from gen_models.table import TIMES, Column, Schema
from pipelines import tracking
from pipelines.commands import denoise, predict, sample, score
from pipelines.commands.input_rows import read_events, read_latents
from pipelines.registry import register, serving, versions
from tests.finished import EVENT_SHAPE, LEVELS, PROJECT, SPECS, finish, make_project

RUN = "vae-digits"
START_SECONDS = 90  # at most; a server is up in about ten


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with one registered VAE."""
    with pytest.MonkeyPatch.context() as patch:
        root = make_project(tmp_path_factory.mktemp("served"), [RUN])
        patch.setenv("GEN_MODELS_ROOT", str(root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        finish(root, RUN)
        register.register(RUN)
        yield root


@pytest.fixture
def rows():
    return torch.randint(0, LEVELS, (5, 64), generator=torch.Generator().manual_seed(0)).float().numpy()


@pytest.fixture
def vae():
    return build_model(SPECS["vae"], seed=1).eval()


FACTS = {"event_shape": EVENT_SHAPE, "levels": LEVELS, "latent": 3, "statistics": None}
FLAT = {"event_shape": [2], "levels": None, "latent": None, "statistics": None}


class TestAnswer:
    def test_each_task_answers_flat_rows(self, vae, rows):
        shapes = {"score": (5, 1), "encode": (5, 3), "reconstruct": (5, 64), "sample": (5, 64)}
        for task, shape in shapes.items():
            found = serving.answer(vae, rows, facts=FACTS, task=task)
            assert (found.shape, found.dtype) == (shape, np.float32)
        z = serving.answer(vae, rows, facts=FACTS, task="encode")
        back = serving.answer(vae, z, facts=FACTS, task="decode")
        np.testing.assert_array_equal(back, serving.answer(vae, rows, facts=FACTS, task="reconstruct"))

    def test_a_mixture_tells_the_component_that_most_likely_made_a_row(self):
        mixture = GaussianMixture([2], None, components=3, em_steps=5)
        x = torch.randn(30, 2) + 8 * torch.arange(3).repeat(10)[:, None]
        mixture.warm_start(x, Noise(0))
        found = serving.answer(mixture.eval(), x.numpy(), facts=FLAT, task="cluster")
        responsibilities = serving.answer(mixture, x.numpy(), facts=FLAT, task="encode")
        assert found.shape == (30, 1) and (found[:, 0] == responsibilities.argmax(axis=1)).all()
        assert [len(set(found[k::3, 0])) for k in range(3)] == [1, 1, 1] and len(set(found[:, 0])) == 3
        far = serving.answer(mixture, np.full((1, 2), 3e38, dtype=np.float32), facts=FLAT, task="cluster")
        assert np.isnan(far).all(), "a row without a density has no cluster"

    @pytest.mark.parametrize(("name", "score"), [("vae", "neg_elbo"), ("realnvp", "nll"), ("sn_wgan", "critic")])
    def test_the_score_is_the_first_that_the_model_offers(self, name, score, rows):
        model = build_model(SPECS[name], seed=1).eval()
        facts = FACTS if name == "vae" else FLAT
        x = rows if name == "vae" else rows[:, :2]
        expected = scores(model, torch.from_numpy(x).reshape(5, *facts["event_shape"]), levels=facts["levels"])[score]
        assert serving.row_scores(model, facts).default == score
        np.testing.assert_array_equal(serving.answer(model, x, facts=facts)[:, 0], expected.float().numpy())

    def test_a_row_s_answer_does_not_depend_on_its_neighbours(self, vae, rows):
        for task in ("score", "encode", "reconstruct"):
            together = serving.answer(vae, rows, facts=FACTS, task=task)
            alone = np.concatenate([serving.answer(vae, row[None], facts=FACTS, task=task) for row in rows])
            np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)

    def test_no_rows_are_no_answers(self, vae):
        for task, columns in (("score", 1), ("encode", 3), ("reconstruct", 64), ("sample", 64)):
            assert serving.answer(vae, np.zeros((0, 64)), facts=FACTS, task=task).shape == (0, columns)

    def test_samples_are_a_function_of_n_and_seed(self, vae, rows):
        first, again, other = (
            serving.answer(vae, rows, facts=FACTS, task="sample", n=3, seed=seed) for seed in (7, 7, 8)
        )
        assert first.shape == (3, 64)
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)

    @pytest.mark.parametrize(
        ("task", "x", "message"),
        [
            ("scores", np.zeros((2, 64)), r"unknown task 'scores': did you mean 'score'\?"),
            ("score", np.zeros((2, 63)), r"takes rows of 64 numbers, \(1, 8, 8\) flat; found 63 columns"),
            ("decode", np.zeros((2, 64)), r"takes latent vectors of 3 numbers; found 64 columns"),
            ("score", np.zeros(64), r"expected rows of numbers, shape \(rows, columns\), found shape \(64,\)"),
            ("score", np.full((2, 64), np.nan), r"row 0, column 0 is nan"),
            ("score", np.full((2, 64), 0.5), r"row 0: 0.5 is not one of the levels 0 .. 16: pixels between 0 and 1\?"),
            ("encode", np.eye(2, 64) * 255, r"row 0: 255 is not one of the levels 0 .. 16: pixels of 0 .. 255\?"),
        ],
    )
    def test_what_does_not_fit_is_refused_in_one_line(self, vae, task, x, message):
        with pytest.raises(DataError, match=message) as caught:
            serving.answer(vae, x, facts=FACTS, task=task)
        assert "\n" not in str(caught.value)

    def test_a_task_that_the_model_does_not_offer_names_those_that_it_does(self):
        with pytest.raises(DataError, match="RealNVP does not reconstruct; it offers score, p_value, encode, decode"):
            serving.answer(build_model(SPECS["realnvp"], 0), np.zeros((1, 2)), facts=FLAT, task="reconstruct")

    @pytest.mark.parametrize(("n", "seed"), [(-1, 0), (serving.MOST_SAMPLES + 1, 0), (1, -1)])
    def test_a_request_cannot_ask_for_more_samples_than_fit(self, vae, rows, n, seed):
        with pytest.raises(DataError, match="it may be 0"):
            serving.answer(vae, rows, facts=FACTS, task="sample", n=n, seed=seed)

    def test_a_temperature_is_one_unless_asked_for(self):
        flow, ask = build_model(SPECS["realnvp"], seed=1).eval(), {"facts": FLAT, "task": "sample", "n": 5}
        none = np.zeros((0, 2))
        usual = serving.answer(flow, none, **ask)
        np.testing.assert_array_equal(serving.answer(flow, none, **ask, temperature=1.0), usual)
        expected = flow.sample_at(5, Noise(0), 0.5).detach().numpy()
        np.testing.assert_array_equal(serving.answer(flow, none, **ask, temperature=0.5), expected)
        assert not np.array_equal(usual, expected)

    def test_a_model_without_temperature_draws_at_one_only(self, vae, rows):
        ask = {"facts": FACTS, "task": "sample", "n": 3}
        usual = serving.answer(vae, rows, **ask)
        np.testing.assert_array_equal(serving.answer(vae, rows, **ask, temperature=1.0), usual)
        with pytest.raises(DataError, match=r"temperature 0\.7: VAE draws at 1 only; leave it out") as caught:
            serving.answer(vae, rows, **ask, temperature=0.7)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
    @pytest.mark.parametrize("name", ["realnvp", "sn_wgan"])
    def test_a_temperature_is_a_finite_number_above_0(self, name, temperature):
        model = build_model(SPECS[name], seed=1).eval()
        with pytest.raises(DataError, match=f"temperature {temperature:g}: give a finite number above 0"):
            serving.answer(model, np.zeros((0, 2)), facts=FLAT, task="sample", n=3, temperature=temperature)


class TestAnswerTable:
    COLUMNS = (
        Column("amount", step=0.25),
        Column("paid", "flag", values=("no", "yes")),
        Column("shop", "category", values=("north", "south"), missing="value"),
        Column("age", "count", missing="fill", fill=40.0),
        *(Column(f"at {as_}", "time", as_=as_) for as_ in TIMES),
    )

    @pytest.fixture
    def table(self):
        """A mixture that was fitted on a table, its facts, and a frame of eight rows."""
        schema = Schema(self.COLUMNS)
        rng = np.random.default_rng(0)
        moments = pd.Timestamp("2024-02-28 22:30:00") + pd.to_timedelta(rng.integers(0, 10**6, 8), "s")
        frame = pd.DataFrame(
            {
                "amount": rng.integers(1, 40, 8) / 4,
                "paid": ["no", "yes"] * 4,
                "shop": ["north", None, "south", "north"] * 2,
                "age": [31, None, 50, 64] * 2,
                **{f"at {as_}": moments for as_ in TIMES},
            }
        )
        x, problems = schema.encode({name: frame[name].to_numpy() for name in frame})
        assert problems == {}
        model = build_model(
            {
                "_target_": "gen_models.mixtures.gaussian_mixture.GaussianMixture",
                "event_shape": [len(schema.names)],
                "levels": schema.levels,
                "components": 1,
            },
            seed=0,
        )
        model.warm_start(torch.from_numpy(x), Noise(0))
        facts = {"event_shape": [len(schema.names)], "levels": None, "latent": None, "statistics": None}
        return model.eval(), facts | {"table": {"columns": schema.as_json()}}, frame

    def test_moments_are_taken_in_any_form(self, table):
        model, facts, frame = table
        times = [f"at {as_}" for as_ in TIMES]
        expected = serving.answer_table(model, frame, facts=facts)
        assert list(expected["problem"]) == [""] * 8 and np.isfinite(expected["nll"]).all()
        for form in (
            lambda t: t.dt.tz_localize("UTC"),
            lambda t: t.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"),
            lambda t: t.dt.strftime("%Y-%m-%dT%H:%M:%S"),
            lambda t: (t - pd.Timestamp(0)) // pd.Timedelta("1s"),
        ):
            other = frame.assign(**{name: form(frame[name]) for name in times})
            pd.testing.assert_frame_equal(serving.answer_table(model, other, facts=facts), expected)

    def test_rows_that_were_decoded_are_the_same_rows(self, table):
        """What `sample` and `reconstruct` answer can be asked again: hours and weekdays, too, are no seconds then."""
        model, facts, frame = table
        schema = Schema(self.COLUMNS)
        x, _ = schema.encode({name: frame[name].to_numpy() for name in frame})
        again = pd.DataFrame(schema.decode(x))
        found, problems = schema.encode({name: again[name].to_numpy() for name in again})
        assert problems == {}
        np.testing.assert_array_equal(found, x)
        expected = serving.answer_table(model, frame, facts=facts)
        pd.testing.assert_frame_equal(serving.answer_table(model, again, facts=facts), expected)

    def test_a_value_that_cannot_be_used_takes_no_other_row_with_it(self, table):
        model, facts, frame = table
        expected = serving.answer_table(model, frame, facts=facts)
        bad = frame.astype(object)
        cells = {0: ("amount", "many"), 2: ("paid", "perhaps"), 3: ("at hour", "noon"), 5: ("amount", pd.NA)}
        for row, (column, value) in cells.items():
            bad.loc[row, column] = value
        found = serving.answer_table(model, bad, facts=facts)
        json.dumps(found.to_dict("records"), allow_nan=False)  # strict JSON has no NaN
        for row in range(8):
            if row in cells:
                assert found["problem"][row].startswith(f"{cells[row][0]}: ") and found["nll"][row] is None
            else:
                assert found["problem"][row] == "" and found["nll"][row] == pytest.approx(expected["nll"][row])
        levels, sizes = Schema(self.COLUMNS).levels, {"latent": 2, "hidden": [4], "likelihood": "mixed"}
        spec = {"_target_": "gen_models.autoencoders.vae.VAE", "event_shape": facts["event_shape"], "levels": levels}
        vae = build_model({**spec, **sizes}, seed=0).eval()
        found = serving.answer_table(vae, bad, facts=facts, task="reconstruct").drop(columns="problem")
        assert found.loc[list(cells)].isna().all(axis=None) and found.drop(list(cells)).notna().all(axis=None)


class TestLoadedByMLflow:
    def test_it_answers_as_in_memory_and_nothing_is_unpickled(self, project, vae, rows):
        assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
        tracking.open_store()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "path", list(sys.path))  # MLflow puts the version's own code in front
            loaded = mlflow.pyfunc.load_model(f"models:/{RUN}@champion")
        for task in ("score", "encode", "reconstruct"):
            expected = serving.answer(vae, rows, facts=FACTS, task=task)
            np.testing.assert_array_equal(loaded.predict(rows, params={"task": task}), expected)
        drawn = loaded.predict(rows[:1], params={"task": "sample", "n": 4, "seed": 3})
        np.testing.assert_array_equal(drawn, serving.answer(vae, rows, facts=FACTS, task="sample", n=4, seed=3))

    def test_the_signature_tells_tasks_and_shapes(self, project):
        client = tracking.open_store()
        folder = versions.folder_of(client, versions.find(client, RUN, "champion"))
        signature = mlflow.models.Model.load(str(folder)).signature
        assert [(p.name, p.default) for p in signature.params.params] == [
            ("task", "score"),
            ("n", 0),
            ("seed", 0),
            ("temperature", 1.0),
        ]
        assert signature.inputs.inputs[0].shape == (-1, -1)
        requirements = (folder / "requirements.txt").read_text().split()
        assert {line.partition("==")[0] for line in requirements} == set(serving.REQUIREMENTS)

    def test_the_requirements_and_what_they_bring_are_all_that_a_version_s_code_imports(self):
        """A version brings its own gen_models; every other import must be installed from requirements.txt.

        What is imported only where a function needs it may also come with a requirement, as pandas does with mlflow.
        """
        first: set[str] = set()
        later: set[str] = set()
        for path in [Path(serving.__file__), *(PROJECT / "gen_models").rglob("*.py")]:
            tree = ast.parse(path.read_text())
            inside = {child for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) for child in ast.walk(node)}
            for node in ast.walk(tree):
                names = []
                if isinstance(node, ast.Import):
                    names = [name.name for name in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module:
                    names = [node.module]
                (later if node in inside else first).update(name.partition(".")[0] for name in names)
        first, later = (
            {"pyyaml" if name == "yaml" else name for name in names - set(sys.stdlib_module_names)} - {"gen_models"}
            for names in (first, later)
        )
        assert first <= set(serving.REQUIREMENTS) <= first | later
        brought = {
            re.match(r"[\w.-]+", line)[0].lower()
            for name in serving.REQUIREMENTS
            for line in requires(name) or ()
            if "extra ==" not in line
        }
        assert later - set(serving.REQUIREMENTS) <= brought


class TestPredict:
    def test_what_columns_add_is_not_asked_of_images(self, project, rows, tmp_path):
        np.save(tmp_path / "rows.npy", rows)
        with pytest.raises(DataError, match="--explain: what each column adds; images have none"):
            score.main([RUN, str(tmp_path / "rows.npy"), "--explain", str(tmp_path / "why.csv")])
        assert not (tmp_path / "why.csv").exists()

    def test_answers_reach_a_file_or_the_terminal(self, project, vae, rows, tmp_path, capsys):
        np.save(tmp_path / "rows.npy", rows.reshape(5, *EVENT_SHAPE))
        lines = [",".join(f"p{k}" for k in range(64)), *(",".join(map(str, row)) for row in rows)]
        (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
        predict.main([f"{RUN}@champion", str(tmp_path / "rows.npy"), "--output", str(tmp_path / "a.npy")])
        predict.main([RUN, str(tmp_path / "rows.csv"), "--output", str(tmp_path / "b.csv")])
        local = project / "out" / "train" / RUN / "checkpoint"
        capsys.readouterr()
        predict.main([str(local), str(tmp_path / "rows.csv")])
        shown = capsys.readouterr().out
        assert shown == (tmp_path / "b.csv").read_text()
        header, *answers = (line.split(",") for line in shown.splitlines())
        assert header == ["neg_elbo", "problem"]
        assert [problem for _, problem in answers] == [""] * 5
        np.testing.assert_array_equal(np.load(tmp_path / "a.npy")[:, 0], np.float64([score for score, _ in answers]))
        np.testing.assert_allclose(
            np.float64([score for score, _ in answers]), serving.answer(vae, rows, facts=FACTS)[:, 0], rtol=1e-6
        )

    @pytest.mark.parametrize("ending", ["npy", "csv", "parquet"])
    def test_what_encode_writes_decode_reads(self, project, rows, tmp_path, capsys, ending):
        """Also with what identifies the rows, and with rows that have no latents."""
        bad = rows.copy()
        bad[1, 5] = np.nan
        np.save(tmp_path / "bad.npy", bad)
        z, back = tmp_path / f"z.{ending}", tmp_path / "back.npy"
        predict.main([RUN, str(tmp_path / "bad.npy"), "--task", "encode", "--output", str(z)])
        assert ("NaN here" in capsys.readouterr().err) == (ending == "npy")
        predict.main([RUN, str(z), "--task", "decode", "--output", str(back)])
        assert "1 of 5 rows have no latents" in capsys.readouterr().err
        predict.main([RUN, str(tmp_path / "bad.npy"), "--task", "reconstruct", "--output", str(tmp_path / "r.npy")])
        np.testing.assert_allclose(np.load(back).reshape(5, 64), np.load(tmp_path / "r.npy"), rtol=1e-4, atol=1e-5)

    def test_a_row_without_an_answer_says_why_and_takes_no_other_with_it(self, project, rows, tmp_path, capsys):
        bad = rows.copy()
        bad[1, 5], bad[3, 2] = np.nan, 99
        np.save(tmp_path / "rows.npy", rows)
        np.save(tmp_path / "bad.npy", bad)
        for task in ("score", "encode", "reconstruct"):
            answers = {}
            for name in ("rows", "bad"):
                output = tmp_path / f"{name}.parquet"
                predict.main([RUN, str(tmp_path / f"{name}.npy"), "--task", task, "--output", str(output)])
                answers[name] = pq.read_table(output).to_pylist()
            said = capsys.readouterr()
            assert "2 of 5 rows have no answer; the column `problem` says why" in said.err
            problems = [row.pop("problem") for row in answers["bad"]]
            assert [bool(problem) for problem in problems] == [False, True, False, True, False]
            assert problems[1] == "number 5: nan, not a finite 32-bit number"
            assert problems[3].startswith("99 is not one of the levels 0 .. 16")
            for place, row in enumerate(answers["rows"]):
                assert row.pop("problem") == ""
                if place in (1, 3):
                    assert set(answers["bad"][place].values()) == {None}
                else:
                    assert list(answers["bad"][place].values()) == pytest.approx(list(row.values()), rel=1e-5, abs=1e-5)
        output = tmp_path / "none.csv"
        with pytest.raises(DataError, match=r"bad\.npy, row 1: number 5: nan"):
            predict.main([RUN, str(tmp_path / "bad.npy"), "--strict", "--output", str(output)])
        np.save(tmp_path / "bad.npy", np.full((3, 64), np.inf))
        with pytest.raises(DataError, match=r"bad\.npy, row 0: number 0: inf.*no row can be answered"):
            predict.main([RUN, str(tmp_path / "bad.npy"), "--output", str(output)])
        assert not output.exists()

    def test_samples_are_the_same_for_the_same_seed(self, project, tmp_path):
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            words = [f"{RUN}@1", "--n", "3", "--seed", str(seed), "--output", str(tmp_path / f"{name}.npy")]
            sample.main(words)
        a, b, c = (np.load(tmp_path / f"{name}.npy") for name in "abc")
        assert a.shape == (3, *EVENT_SHAPE)
        assert np.array_equal(a, b)
        assert not np.array_equal(a, c)

    def test_images_come_back_in_the_shape_in_which_they_went_in(self, project, tmp_path, capsys):
        spec = {
            "_target_": "gen_models.autoencoders.autoencoder.Autoencoder",
            "event_shape": [3, 4, 6],
            "levels": 17,
            "latent": 2,
            "hidden": [8],
            "corruption": "gaussian",
            "corruption_level": 0.1,
        }
        checkpoint.save_model(tmp_path / "ae", spec, build_model(spec, seed=1))
        x = np.random.default_rng(0).integers(0, 17, (5, 3, 4, 6)).astype(np.float32)
        forms = {"first": x, "last": np.moveaxis(x, 1, -1), "flat": x.reshape(5, -1)}
        for name, rows in forms.items():
            np.save(tmp_path / f"{name}.npy", rows)
            asked = [str(tmp_path / "ae"), str(tmp_path / f"{name}.npy"), "--output"]
            predict.main([*asked, str(tmp_path / f"{name}.back.npy"), "--task", "reconstruct"])
            denoise.main([*asked, str(tmp_path / f"{name}.clean.npy")])
        assert "72 numbers are read as channels, height, width" in capsys.readouterr().err
        for answer in ("back", "clean"):
            first, last, flat = (np.load(tmp_path / f"{name}.{answer}.npy") for name in forms)
            assert (first.shape, last.shape, flat.shape) == ((5, 3, 4, 6), (5, 4, 6, 3), (5, 72))
            assert np.array_equal(first, np.moveaxis(last, -1, 1))
            assert np.array_equal(first, flat.reshape(first.shape))

    def test_a_temperature_draws_from_what_has_one(self, project, tmp_path):
        checkpoint.save_model(tmp_path / "flow", SPECS["realnvp"], build_model(SPECS["realnvp"], seed=1))
        for name, words in {"usual": (), "one": ("1",), "cold": ("0.1",)}.items():
            output = str(tmp_path / f"{name}.npy")
            sample.main([str(tmp_path / "flow"), *(f"--temperature={word}" for word in words), "--output", output])
        usual, one, cold = (np.load(tmp_path / f"{name}.npy") for name in ("usual", "one", "cold"))
        assert np.array_equal(usual, one)
        assert cold.std() < 0.5 * usual.std()
        for model, word in (("flow", "-1"), (RUN, "0.7")):
            with pytest.raises(DataError, match="temperature"):
                sample.main([str(tmp_path / model) if model == "flow" else model, f"--temperature={word}"])

    def test_a_run_that_is_trained_and_not_registered_names_the_command_that_registers_it(
        self, project, rows, tmp_path
    ):
        np.save(tmp_path / "rows.npy", rows)
        finish(project, "vae-later")
        try:
            with pytest.raises(RegistryError, match=r"^vae-later is trained .* run `gen-models register vae-later`$"):
                predict.main(["vae-later", str(tmp_path / "rows.npy")])
        finally:
            for stage in ("train", "evaluate"):
                shutil.rmtree(project / "out" / stage / "vae-later")

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            ("vae-digit", r"unknown registered model 'vae-digit': did you mean 'vae-digits'\? choose from vae-digits"),
            ("vae-digits@champ", r"did you mean 'champion'\? choose from 1, candidate, champion"),
            ("vae-digits@7", r"unknown alias or version of vae-digits '7': choose from 1, candidate, champion"),
            ("no/such/folder", "no checkpoint in that folder"),
        ],
    )
    def test_an_unknown_model_or_alias_names_what_exists(self, project, rows, tmp_path, model, message):
        np.save(tmp_path / "rows.npy", rows)
        with pytest.raises(RegistryError, match=message):
            predict.main([model, str(tmp_path / "rows.npy")])

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("x.csv", b"", "empty"),
            ("x.csv", b"1,2\n3,4\n", "line 1: numbers where the names of the columns belong"),
            ("x.csv", b"a,b\n1,2\n1\n", r"line 3: 1 cells, the header has 2"),
            ("x.csv", b"a,b\n1,2\n3,four\n", r"line 3: b: 'four' is not a number"),
            ("x.csv", b"a,b\n1,2\n3,\n", r"line 3: b: missing"),
            ("x.csv", b"a,b\n1,2\n3,1e99\n", r"line 3: number 1: inf, not a finite 32-bit number"),
            ("x.csv", b"\xff\xfea\x00", "UTF-16; save it as UTF-8"),
            ("x.csv", b"a;b\n1,5;2\n", r"line 2: a: '1,5' is not a number"),
            ("x.csv", b"a,b,c\n1,2,3\n", r"rows of shape 3; this model takes 2"),
            ("x.npy", b"no array", "not an array"),
            ("x.npz", b"no arrays", "not a .npz"),
            ("x.parquet", b"no table", "not a Parquet file"),
            ("x.docx", b"", r"not rows that are known by the file's ending; give .npy, .npz, .csv"),
        ],
    )
    def test_a_file_that_holds_no_rows_of_numbers_is_refused_by_line_and_column(self, tmp_path, name, content, message):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message) as caught:
            read_events(tmp_path / name, FLAT)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        "array",
        [np.array([[{}]], dtype=object), np.zeros((2, 2), dtype=complex), np.zeros((2, 2), dtype=bool), np.zeros(3)],
    )
    def test_an_array_that_is_no_rows_of_real_numbers_is_refused(self, tmp_path, array):
        np.save(tmp_path / "x.npy", array)
        with pytest.raises(DataError, match=r"x\.npy"):
            read_events(tmp_path / "x.npy", FLAT)

    def test_numbers_that_overflow_float32_are_refused(self, tmp_path):
        np.save(tmp_path / "x.npy", np.full((1, 2), 1e300))
        with pytest.raises(DataError, match="row 0: number 0: inf, not a finite 32-bit number"):
            read_events(tmp_path / "x.npy", FLAT)

    @pytest.mark.parametrize("cell", ["four", "", "NA"])
    def test_a_cell_of_latent_vectors_that_is_no_number_is_not_taken_for_zero(self, project, tmp_path, cell):
        (tmp_path / "z.csv").write_text(f"a,b,c\n1,2,3\n3,{cell},5\n")
        with pytest.raises(DataError, match=r"z\.csv, line 3: b: ('four' is not a number|missing)"):
            predict.main([RUN, str(tmp_path / "z.csv"), "--task", "decode"])

    def test_an_array_of_latent_vectors_may_be_empty_and_holds_finite_numbers(self, tmp_path):
        np.save(tmp_path / "z.npy", np.zeros((0, 3)))
        assert read_latents(tmp_path / "z.npy").shape == (0, 3)
        np.save(tmp_path / "z.npy", np.array([[1, 2], [3, 1e300]]))
        (tmp_path / "z.csv").write_text("a,b\n1,2\n3,1e39\n")
        for name in ("z.npy", "z.csv"):
            with pytest.raises(DataError, match=rf"{name}: row 1 holds a value that is no finite number"):
                read_latents(tmp_path / name)
        np.save(tmp_path / "z.npy", 3.0)
        with pytest.raises(DataError, match=r"z\.npy: holds one number; give rows of numbers"):
            read_latents(tmp_path / "z.npy")

    def test_a_changed_version_is_not_used(self, project, rows, tmp_path):
        np.save(tmp_path / "rows.npy", rows)
        client = tracking.open_store()
        weights = versions.folder_of(client, versions.find(client, RUN, "champion")) / "artifacts/checkpoint/model.yaml"
        kept = weights.read_bytes()
        try:
            weights.write_bytes(kept.replace(b"latent: 3", b"latent: 4"))
            with pytest.raises(RegistryError, match=r"model\.yaml has changed"):
                predict.main([RUN, str(tmp_path / "rows.npy")])
        finally:
            weights.write_bytes(kept)


@pytest.mark.slow
def test_a_version_answers_over_http(project, vae, rows, tmp_path):
    """mlflow models serve, on loopback, from another current directory."""
    port = _free_port()
    log = (tmp_path / "server.log").open("w+")
    environment = {name: value for name, value in os.environ.items() if name not in ("GEN_MODELS_ROOT", "PYTHONPATH")}
    server = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("mlflow")), "models", "serve", "-m", f"models:/{RUN}@champion",
            "--env-manager", "local", "--port", str(port), "--host", "127.0.0.1",
        ],
        cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        env=environment
        | {
            "MLFLOW_TRACKING_URI": f"sqlite:///{project}/mlflow.db",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # it starts uvicorn by name
        },
    )  # fmt: skip
    try:
        _wait_for(f"http://127.0.0.1:{port}/ping", server, log)
        found = _ask(port, {"inputs": rows.tolist(), "params": {"task": "score"}})
        np.testing.assert_allclose(found, serving.answer(vae, rows, facts=FACTS), rtol=1e-6)
        assert np.shape(_ask(port, {"inputs": rows[:1].tolist(), "params": {"task": "sample", "n": 3}})) == (3, 64)
        with pytest.raises(urllib.error.HTTPError) as refused:
            _ask(port, {"inputs": [[1.0, 2.0]], "params": {"task": "score"}})
        assert "takes rows of 64 numbers" in refused.value.read().decode()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=20)
        log.close()
        shutil.rmtree(tmp_path, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(url: str, server: subprocess.Popen, log) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.3)
    log.seek(0)
    pytest.fail(f"the server is not up: {log.read()[-2000:]}")


def _ask(port: int, request: dict) -> list:
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", json.dumps(request).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return json.loads(answer.read())["predictions"]
