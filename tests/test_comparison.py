"""baselines and compare over tiny evaluated runs: what is gathered from where, and the same again."""

import json
import re
import shutil
import struct
from io import BytesIO
from typing import NamedTuple

import matplotlib
import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from gen_models.errors import ConfigError, DataError, GenModelsError
from pipelines import figures
from pipelines.comparison import baselines, compare
from pipelines.comparison.anomalies import Case, curves
from pipelines.comparison.anomaly_baselines import anomaly_baselines
from pipelines.comparison.score_agreement import spearman
from pipelines.config.params import BASELINES, params
from pipelines.data.store import Dataset, open_data
from pipelines.evaluation import evaluate
from pipelines.evaluation.prepared_rows import PreparedRows
from pipelines.evaluation.result_files import read_scores
from pipelines.figures import charts
from pipelines.runtime import paths
from tests.trained import DATA, RUNS, be_quick, files, list_runs

SCORES = {
    "vae": {
        "neg_elbo", "importance", "reconstruction", "blurred", "latent_mahalanobis", "latent_neighbours",
        "latent_mixture", "typicality", "complexity", "likelihood_ratio", "mean_rank",
    },
    "gmm": {"nll", "typicality", "complexity", "likelihood_ratio", "mean_rank"},
    "sn_wgan": {"critic", "inversion"},
}  # fmt: skip


class Compared(NamedTuple):
    """rows: {part: its scores.json}; written: {path: bytes} of out/compare; said: what the stages printed."""

    rows: dict[str, list[dict]]
    written: dict[str, bytes]
    said: str


@pytest.fixture(scope="module")
def project(evaluated, tmp_path_factory):
    return shutil.copytree(evaluated.root, tmp_path_factory.mktemp("comparison") / "project")


@pytest.fixture(scope="module")
def compared(project, evaluated):
    """What compare has written, before a test runs it again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_MODELS_ROOT", str(project))
        rows = {part: scores(part) for part in compare.COMPARISONS}
        return Compared(rows, files(paths.out("compare")), evaluated.said)


@pytest.fixture
def here(project, compared, monkeypatch):
    """The project after all stages; its params.yaml is written anew for each test."""
    monkeypatch.setenv("GEN_MODELS_ROOT", str(project))
    be_quick(monkeypatch)
    list_runs(project, RUNS, DATA)
    return project


def scores(part: str) -> list[dict]:
    return json.loads(paths.out("compare", part, "scores.json").read_text())


def in_part(compared: Compared, part: str) -> set[str]:
    """The names of the files of one part of the comparison."""
    return {path.removeprefix(f"{part}/") for path in compared.written if path.startswith(f"{part}/")}


def test_the_stages_again_write_the_same_bytes(here, compared):
    torch.manual_seed(1)  # global generators have no say
    np.random.seed(1)
    evaluated = files(paths.out("evaluate", "sn_wgan-digits_normal"))  # test_evaluation.py has the other capabilities
    evaluate.main(["sn_wgan-digits_normal"])
    assert files(paths.out("evaluate", "sn_wgan-digits_normal")) == evaluated
    before = {name: files(paths.out("baselines", name)) for name in DATA}
    for name in DATA:
        baselines.main([name])
        assert files(paths.out("baselines", name)) == before[name]
    compare.main([])
    assert files(paths.out("compare")) == compared.written


def test_baselines_write_the_parts_that_their_rows_allow(here):
    parts = {f"{name}.json" for name in ("anomalies", "clusters", "denoising", "compression")}
    found = {name: files(paths.out("baselines", name)) for name in DATA}
    assert set(found["two_moons"]) == parts
    assert set(found["digits"]) == parts | {"sheets/clusters-k-means-digits.png"}
    assert set(found["digits_normal"]) == parts | {
        "sheets/clusters-k-means-digits_normal.png", "anomaly_scores.npz",
    }  # fmt: skip
    assert not paths.out("baselines", "two_moons", "sheets").exists()


@pytest.mark.parametrize("stage", [baselines, compare])
def test_wrong_arguments_are_one_line(here, stage):
    with pytest.raises((GenModelsError, SystemExit)) as caught:
        stage.main(["no-such-data"])
    assert "\n" not in str(caught.value)
    with pytest.raises(SystemExit, match="2"):
        baselines.main([])


def test_what_is_not_evaluated_asks_for_its_stage_in_one_line(here):
    list_runs(here, {**RUNS, "gmm-digits": ("gmm", "digits")}, DATA)
    with pytest.raises(DataError, match=r"run `dvc repro evaluate@gmm-digits`") as caught:
        compare.main([])
    assert "\n" not in str(caught.value)


# anomalies


def test_every_score_of_every_run_with_a_held_out_class_and_each_baseline_once(here, compared):
    rows = compared.rows["anomalies"]
    found = {}
    for row in rows:
        found.setdefault(row["run"], set()).add(row["score"])
        assert row["data"] == "digits_normal"
        assert 0 <= row["low"] <= row["auroc"] <= row["high"] <= 1
        assert row["fpr_target"] == 0.05
        assert 0 <= row["tpr"] <= 1
    assert found.pop("vae-digits_normal") == SCORES["vae"]
    assert found.pop("gmm-digits_normal") == SCORES["gmm"]
    assert found.pop("sn_wgan-digits_normal") == SCORES["sn_wgan"]
    assert found == {
        "pca": {"reconstruction_16"},
        "nearest_neighbours": {"mean_distance_5"},
        "isolation_forest": {"isolation"},
    }
    assert len(rows) == sum(map(len, SCORES.values())) + 3
    # the level holds on average over calibration splits; one split of n rows spreads as a beta distribution
    normal, calibration = (int(np.sum(open_data("digits_normal").y(split) != 8)) for split in ("test", "calibration"))
    slack = 4 * np.sqrt(0.05 * 0.95 * (1 / normal + 1 / calibration))
    assert all(row["fpr"] <= 0.05 + slack for row in rows)
    assert in_part(compared, "anomalies") == {"scores.json", "roc.png", "extremes-digits_normal.png"}


def test_one_score_stands_for_each_run_and_no_label_chose_it(compared):
    stands = {row["run"]: row for row in compared.rows["anomalies"] if row["is_default"]}
    expected = {"vae-digits_normal": "neg_elbo", "gmm-digits_normal": "nll", "sn_wgan-digits_normal": "critic"}
    assert expected.items() <= {run: row["score"] for run, row in stands.items()}.items()
    assert len(stands) == len([row for row in compared.rows["anomalies"] if row["is_default"]]) == len(expected) + 3
    best = {run: max(row["auroc"] for row in compared.rows["anomalies"] if row["run"] == run) for run in expected}
    assert any(stands[run]["auroc"] < best[run] for run in expected), "here, a label would have chosen another"


def test_roc_curves_are_of_default_scores():
    def case(run: str, score: str, area: float, is_default: bool) -> Case:
        row = {"run": run, "score": score, "auroc": area, "is_default": is_default}
        return Case(row, np.arange(4.0))

    cases = [case("a", "best", 0.9, False), case("a", "own", 0.6, True), case("pca", "error", 0.8, True)]
    assert list(curves(cases, np.array([False, True, False, True]))) == ["0.800  pca, error", "0.600  a, own"]


# scores without labels


def test_every_score_of_every_run_is_compared_whether_or_not_labels_measure_it(compared):
    found = {}
    for row in compared.rows["scores"]:
        found.setdefault(row["run"], set()).add(row["score"])
    assert set(found) == set(RUNS)
    for key, (model, data) in RUNS.items():
        defaults = [row for row in compared.rows["scores"] if row["run"] == key and row["is_default"]]
        assert len(defaults) == 1 and defaults[0]["data"] == data
        if model in SCORES and data == "digits_normal":
            assert found[key] == SCORES[model] - {"inversion"}
    assert in_part(compared, "scores") == {
        "scores.json", "agreement.json", "most-digits.png", "most-digits_normal.png",
        *(f"distributions-{name}.png" for name in DATA),
    }  # fmt: skip


def test_agreement_is_symmetric_with_ones_and_is_the_rank_correlation_of_what_was_scored(here):
    agreements = json.loads(paths.out("compare", "scores", "agreement.json").read_text())
    assert sorted(row["data"] for row in agreements) == DATA
    for row in agreements:
        assert row["runs"] == [key for key, (_, data) in RUNS.items() if data == row["data"]]
        for names, matrix in [
            (row["runs"], row["spearman"]),
            *((it["scores"], it["spearman"]) for it in row["own"].values()),
        ]:
            found = np.array(matrix, dtype=float)
            assert found.shape == (len(names), len(names))
            assert (found == found.T).all() and (np.diag(found) == 1).all() and (np.abs(found) <= 1).all()
        scores = [
            read_scores(paths.out("evaluate", run))[run, score][: row["rows"]]
            for run, score in zip(row["runs"], row["scores"], strict=True)
        ]
        assert row["spearman"][0][-1] == pytest.approx(spearmanr(scores[0], scores[-1]).statistic)


def test_rank_correlation_knows_order_only():
    x = np.array([3.0, 1.0, 2.0, 2.0, np.inf])
    assert spearman([x, np.exp(-x), np.arctan(x), np.ones(5)]) == [
        [1.0, pytest.approx(-1.0), pytest.approx(1.0), None],
        [pytest.approx(-1.0), 1.0, pytest.approx(-1.0), None],
        [pytest.approx(1.0), pytest.approx(-1.0), 1.0, None],
        [None, None, None, 1.0],
    ]


def test_the_most_anomalous_rows_of_numbers_come_with_their_values(here, compared):
    test = open_data("two_moons").x("test")
    for row in compared.rows["scores"]:
        assert all(("values" in one) == (row["is_default"] and row["data"] == "two_moons") for one in row["most"])
        ordered = [one["score"] for one in row["most"]]
        assert ordered == sorted(ordered, reverse=True)
        for one in row["most"] if "values" in row["most"][0] else ():
            assert list(one["values"].values()) == pytest.approx(test[one["row"]].tolist(), rel=1e-5)


def test_scores_of_an_evaluation_that_are_gone_ask_for_it_in_one_line(here):
    path = paths.out("evaluate", "vae-two_moons", "anomaly_scores.npz")
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(DataError, match=r"run `dvc repro -f -s evaluate@vae-two_moons`") as caught:
        compare.main([])
    path.write_bytes(content)
    assert "\n" not in str(caught.value)


def test_a_part_of_the_runs_is_compared_by_itself(here, tmp_path):
    part = params().only(["gmm-two_moons", "vae-two_moons"])
    assert (list(part.runs), list(part.sweeps), part.data) == (
        ["gmm-two_moons", "vae-two_moons"],
        list(part.runs),
        ("two_moons",),
    )
    compare.compare(part, tmp_path)
    rows = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert {row["run"] for row in rows} == set(part.runs)
    assert {row["data"] for row in json.loads((tmp_path / "clusters" / "scores.json").read_text())} <= {"two_moons"}
    with pytest.raises(ConfigError, match="unknown run 'gmm-moons': did you mean 'gmm-two_moons'"):
        params().only(["gmm-moons"])


def test_runs_that_were_taken_out_are_not_read(here):
    list_runs(here, {"gmm-digits_normal": RUNS["gmm-digits_normal"]}, DATA)
    compare.main([])
    assert {row["run"] for row in scores("anomalies")} == {
        "gmm-digits_normal",
        "pca",
        "nearest_neighbours",
        "isolation_forest",
    }
    list_runs(here, {"ae-digits": RUNS["ae-digits"]}, DATA)
    compare.main([])
    assert scores("anomalies") == []
    assert [(row["run"], row["space"]) for row in scores("clusters")] == [
        ("ae-digits", "latent"),
        ("ae-digits", "whitened"),
        ("k-means", "data"),
    ]


def test_baselines_of_a_held_out_class_without_calibration_rows_say_what_to_write(here):
    data = open_data("digits_normal")
    without = {split: rows for split, rows in data.arrays.items() if split != "calibration"}
    with pytest.raises(DataError, match=r"'8' and has no calibration split; add calibration: 0.2"):
        anomaly_baselines(PreparedRows(Dataset(data.name, data.manifest, without)), 0)


# clusters


def test_every_encoder_is_clustered_beside_its_data(compared):
    assert "sn_wgan-two_moons: no latents to cluster: sn_wgan has no encoder\n" in compared.said
    rows = compared.rows["clusters"]
    encoders = [key for key, (model, _) in RUNS.items() if model != "sn_wgan"]
    assert [row["run"] for row in rows if row["space"] == "latent"] == encoders
    assert sorted(row["data"] for row in rows if row["space"] == "data") == ["digits", "digits_normal", "two_moons"]
    for row in rows:
        classes = {"digits": 10, "digits_normal": 9, "two_moons": 2}[row["data"]]
        assert row["k"] == (10 if row["run"].startswith("gmm") else classes), "a mixture has its own clusters"
        assert 1 / row["k"] < row["acc_mean"] <= 1
        assert row["nmi_sd"] >= 0
    raw = next(row for row in rows if row["space"] == "data" and row["data"] == "digits")
    assert raw["acc_mean"] > 0.55  # k-means on the pixels of digits is known to reach about 0.7
    assert {"clusters-ae-digits.png", "clusters-ae-digits-whitened.png"} <= in_part(compared, "clusters")
    assert [row["run"] for row in rows if row["space"] == "whitened"] == ["ae-digits"], (
        "its latents alone have no prior"
    )


# figures


def chunks(png: bytes) -> list[bytes]:
    """The kinds of a PNG's chunks."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    kinds, at = [], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kinds.append(png[at + 4 : at + 8])
        at += 12 + length
    return kinds


def test_pictures_hold_pixels_and_no_date_version_or_text(here, compared):
    evaluated = paths.out("evaluate", "vae-digits_normal")
    anomalies = [name for name in in_part(compared, "anomalies") if name.endswith(".png")]
    assert len([*evaluated.glob("*.png"), *anomalies]) == 10
    pictures = {str(path): path.read_bytes() for path in evaluated.rglob("*.png")}
    pictures |= {name: content for name, content in compared.written.items() if name.endswith(".png")}
    for name, content in pictures.items():
        assert set(chunks(content)) <= {b"IHDR", b"pHYs", b"IDAT", b"IEND", b"sBIT"}, name


def test_grey_levels_have_one_scale_for_all_images_of_a_picture():
    images = np.stack([np.full((1, 8, 8), level) for level in (0, 4, 16)])
    grid = figures.mosaic(images, levels=17, columns=3)
    zoom = grid.shape[0] // 10
    centres = [grid[5 * zoom, (5 + 9 * k) * zoom, 0] for k in range(3)]
    assert centres == [0, 64, 255]


def test_the_table_of_trials_is_drawn_without_those_that_diverged(monkeypatch):
    rows = [
        {
            "trial": k,
            "override": {"model.beta": beta, "model.kind": "a"},
            "value": value,
            "metrics": {"rate": k, "mse": -k},
        }
        for k, (beta, value) in enumerate([(0.5, 3.0), (4.0, None), (1.0, 2.0)])
    ]
    whole, part = BytesIO(), BytesIO()
    before = dict(matplotlib.rcParams)
    figures.trials(rows, "nats", 2, whole, front={"rate": "rate", "distortion": "mse"})
    figures.trials(rows[:1] + rows[2:], "nats", 2, part, front={"rate": "rate", "distortion": "mse"})
    assert chunks(whole.getvalue())[-1] == chunks(part.getvalue())[-1] == b"IEND"
    figures.trials([{**rows[0], "override": {}}], "nats", 0, BytesIO())
    drawn = []
    monkeypatch.setattr(charts, "_draw_front", lambda axes, points, labels, names: drawn.append((points, labels)))
    steps = (100, 100, 300)
    figures.trials(
        [{**row, "value": 1.0, "steps": n} for row, n in zip(rows, steps, strict=True)],
        "nats", 2, BytesIO(), front={"rate": "rate", "distortion": "mse"},
    )  # fmt: skip
    ((points, labels),) = drawn
    assert points.tolist() == [[2, -2]] and labels == ["beta 1, kind a"], "trials that were stopped early are no front"
    figures.curves({"likelihood.nats": ([1, 2, 3], [3.0, 2.0, 1.5])}, BytesIO(), title="history")
    assert dict(matplotlib.rcParams) == before  # no global style is left behind


def test_what_dvc_shows_of_a_run_is_flat_and_is_what_its_stages_measured(here, compared):
    for key in RUNS:
        numbers = json.loads(compared.written[f"metrics/{key}.json"])
        measured = json.loads(paths.out("evaluate", key, "metrics.json").read_text())
        assert numbers and all(isinstance(value, float) and np.isfinite(value) for value in numbers.values())
        assert {name: numbers[name] for name in ("criterion", "mse") if name in measured} == {
            name: measured[name] for name in ("criterion", "mse") if name in measured
        }
        bounds = [value for name, value in measured.items() if re.fullmatch(r"(binary_)?nats(_iw50)?", name)]
        assert numbers.get("nats") == min(bounds, default=None)
    areas = {row["run"]: row["auroc"] for row in compared.rows["anomalies"] if row["is_default"]}
    for key in RUNS:
        assert json.loads(compared.written[f"metrics/{key}.json"]).get("auroc") == areas.get(key)
        reports = map(json.loads, paths.out("train", key, "history.jsonl").read_text().splitlines())
        values = [f"{line['step']},{line['metrics'][curve_of(key)]}" for line in reports]
        assert compared.written[f"curves/{key}.csv"].decode().splitlines() == ["step,validation", *values]


def curve_of(key: str) -> str:
    return f"validation.{json.loads(paths.out('train', key, 'lineage.json').read_text())['metric']}"


def test_no_line_of_params_may_have_the_name_of_a_baseline(here, compared):
    named = {row["run"] for part in ("anomalies", "compression") for row in scores(part)} - set(RUNS)
    assert named and named <= set(BASELINES)
