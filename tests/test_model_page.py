"""A model's page in MLflow: at most five numbers first, each with its meaning, and no praise for what is broken."""

import json
import math
import re

import pytest

from gen_models.anomalies.conformal import require_rows
from pipelines import tracking
from pipelines.evaluation.metrics.meanings import MEANINGS, MOST, in_short, that_matter
from pipelines.registry import model_page, register, versions
from pipelines.registry.promotion import Standing
from pipelines.report.leaderboard_columns import COLUMNS
from tests.finished import finish, make_project

LINEAGE = {"model": "vae", "data": "digits", "family": "autoencoders", "key": "k" * 64, "seed": 0}
SAMPLES = {
    "c2st_accuracy": 0.8, "c2st_accuracy_floor": 0.5, "coverage": 0.9, "coverage_floor": 0.95,
    "precision": 0.9, "precision_floor": 0.95, "memorisation": 1.1, "recall": 0.9, "recall_floor": 0.95,
}  # fmt: skip
EVALUATIONS = {
    "vae": {"nats": 145.2, "bits_per_dim": 2.2, "bits_per_dim_histogram": 2.4, "mse": 0.01, "mse_pca": 0.02,
            "latents": 16, "active_latents": 13} | SAMPLES,
    "gan": {"modes": 8.0, "modes_known": 8.0, "high_quality": 0.9} | SAMPLES,
    "flow": {"nats": 2.4, "truth_nats": 2.3, "gap_nats": 0.1} | SAMPLES,
    "ae": {"mse": 0.01, "mse_pca": 0.02},
    "nothing": {},
}  # fmt: skip


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder with prepared digits and no runs."""
    root = make_project(tmp_path / "project", ["vae-digits"])
    monkeypatch.setenv("GEN_MODELS_ROOT", str(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return root


def page(evaluation: dict[str, float]) -> str:
    return model_page.version_page("a", "3", LINEAGE, {"rows": 100, "dims": 64, **evaluation}, ("1", "run"))


def first(text: str) -> list[str]:
    """The rows of numbers before the links."""
    return [line for line in text.partition("[The run")[0].splitlines() if line.startswith("| ")][1:]


def test_every_meaning_is_whole_and_agrees_with_the_reports_columns():
    columns = {column.name: column for column in COLUMNS}
    assert len({meaning.name for meaning in MEANINGS}) == len(MEANINGS)
    for meaning in MEANINGS:
        assert meaning.words.endswith(".") and meaning.title and bool(meaning.baseline) == bool(meaning.beside)
        assert meaning.better in ("lower", "higher") or math.isfinite(float(meaning.better))
        if column := columns.get(meaning.name):
            assert str(column.better).removesuffix(".0") == meaning.better, meaning.name
    assert {meaning.name for meaning in MEANINGS} - set(columns) == {"denoised", "active_latents", "perplexity"}


@pytest.mark.parametrize("kind", EVALUATIONS)
def test_at_most_five_numbers_come_before_the_links_and_all_others_below(project, kind):
    text = page(EVALUATIONS[kind])
    rows = first(text)
    assert len(rows) == min(MOST, len(that_matter(EVALUATIONS[kind]))) <= 5
    for row, meaning in zip(rows, that_matter(EVALUATIONS[kind]), strict=True):
        assert meaning.title in row and meaning.words in row
        assert meaning.title in in_short(EVALUATIONS[kind]) and meaning.words not in in_short(EVALUATIONS[kind])
    above, _, below = text.partition(model_page.BELOW)
    assert "#/experiments/1/runs/run" in above and "models:/a/3" in above and "gen-models" in above
    assert all(f"| {name} | {value:.6g} |" in below for name, value in EVALUATIONS[kind].items())


def test_a_number_is_called_worse_than_its_baseline_if_it_is():
    worse = page(EVALUATIONS["vae"] | {"bits_per_dim": 3.3})
    assert "worse than 2.4, a histogram" in worse and "better than 0.02, PCA" in worse
    assert "better than 2.4, a histogram" in page(EVALUATIONS["vae"])
    near = EVALUATIONS["vae"] | {"bits_per_dim": 2.399, "nats_error": 5.0, "dims": 64}
    assert "about as good as 2.4, a histogram" in page(near), "an interval that holds the baseline is no praise"


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["nats", "mse", "mse_pca", "coverage", "bits_per_dim", "rate_nats"])
def test_a_number_that_is_not_finite_never_appears_and_the_page_says_so_first(project, name, broken):
    text = page(EVALUATIONS["vae"] | {name: broken})
    assert not re.search(r"\b(nan|inf)\b", text, re.IGNORECASE)
    assert text.splitlines()[2] == f"> **Diverged: not a finite number on test rows: {name}.**"
    assert "better than" not in text


def test_an_error_that_a_single_row_leaves_unknown_is_no_divergence(project):
    assert "Diverged" not in page(EVALUATIONS["vae"] | {"nats_error": math.nan})


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("gan", {"coverage": 0.1, "coverage_floor": 1.0}),
        ("gan", {"modes": 3.0}),
        ("gan", {"recall": 0.2, "recall_floor": 1.0}),
        ("vae", {"memorisation": 0.1}),
    ],
)
def test_a_collapsed_model_says_so_first_and_is_not_praised(project, kind, change):
    text = page(EVALUATIONS[kind] | change)
    assert text.splitlines()[2].startswith("> **Collapsed: ")
    assert "better than" not in text


def test_collapsed_latents_are_told_too(project):
    folder = project / "out" / "evaluate" / "a"
    folder.mkdir(parents=True)
    (folder / "latents.json").write_text(json.dumps({"sentence": "0 of 16 latents are active", "is_collapsed": True}))
    assert "> **Collapsed: 0 of 16 latents are active.**" in page(EVALUATIONS["vae"])


def test_numbers_of_other_files_of_the_evaluation_count(project):
    folder = project / "out" / "evaluate" / "a"
    folder.mkdir(parents=True)
    (folder / "anomalies.json").write_text(json.dumps([{"auroc": 0.7, "low": 0.65, "high": 0.75, "is_default": True}]))
    (folder / "denoising.json").write_text(
        json.dumps([{"factor": 1.0, "denoised": 0.03, "wiener": 0.02, "gain_error": 0.001}])
    )
    (folder / "clusters.json").write_text(json.dumps([{"space": "latent", "acc_mean": 0.75}]))
    rows = "\n".join(first(page(EVALUATIONS["ae"])))
    assert "| **0.7** |" in rows and "worse than 0.02, the best linear filter" in rows and "| **0.75** |" in rows


def evaluated(project, calibration_rows: int, lamp: str = "") -> str:
    """The page of a version whose default score is not the one with the largest area."""
    folder = project / "out" / "evaluate" / "a"
    folder.mkdir(parents=True, exist_ok=True)
    areas = [
        {"auroc": area, "low": area - 0.05, "high": area + 0.05, "is_default": area == 0.7} for area in (0.95, 0.7, 0.8)
    ]
    (folder / "anomalies.json").write_text(json.dumps(areas))
    facts = {"score": "nll", "calibration_rows": calibration_rows, "lamp": lamp}
    scores = [{**facts, "score": "typicality", "is_default": False}, {**facts, "is_default": True}]
    (folder / "scores.json").write_text(json.dumps(scores))
    return page(EVALUATIONS["ae"])


def test_the_default_score_stands_for_a_model_although_another_has_a_larger_area(project):
    text = evaluated(project, 199)
    assert "| **0.7** | higher | better than 0.5, guessing |" in text and "0.95" not in text


@pytest.mark.parametrize(
    ("rows", "rate", "least"), [(199, "0.01", "0.0050"), (99, "0.01", "0.010"), (15, "0.063", "0.063")]
)
def test_the_line_that_decides_on_new_rows_states_a_rate_that_is_possible(project, rows, rate, least):
    text = evaluated(project, rows)
    assert f"`gen-models score a@3 FILE --fpr {rate} --out scores.csv`" in text
    assert f"{rows} calibration rows" in text and f"1/{rows + 1} (`--fpr {least}`)" in text
    for stated in (float(rate), float(least)):
        require_rows(rows, stated)


def test_a_model_without_calibration_rows_ranks_and_states_no_rate(project):
    text = evaluated(project, 0)
    assert "`gen-models score a@3 FILE --out scores.csv`" in text and "--fpr" not in text and "no p-values" in text


def test_a_model_without_a_score_says_nothing_of_deciding(project):
    assert "gen-models score" not in page(EVALUATIONS["gan"])


def test_a_score_that_ranks_as_something_simpler_says_so_and_is_not_praised(project):
    text = evaluated(project, 199, "ranks rows as PCA does")
    assert "> **The score nll ranks rows as PCA does: the training added next to nothing to it.**" in text
    assert "better than 0.5, guessing" not in text and "better than 0.02, PCA" in text


def test_the_model_is_told_by_the_first_sentence_of_its_conf(project):
    assert (
        model_page.about("gan") == "GAN: a generator against a classifier of real and fake rows; both are perceptrons."
    )
    assert model_page.about("no_such_model") == ""
    for path in (project / "conf" / "model").glob("*.yaml"):
        assert 10 < len(model_page.about(path.stem)) < 200, path


def test_the_page_of_a_model_names_its_champion_only_if_there_is_one(project):
    assert "No version is champion" in model_page.model_page(LINEAGE, None, None)
    text = model_page.model_page(LINEAGE, "2", Standing("nats", 145.2, ""))
    assert "**version 2**: nats 145.2 on test rows (lower is better)" in text
    assert "nan" not in model_page.model_page(LINEAGE, "2", Standing("nats", math.nan, ""))


def test_register_writes_both_pages(project):
    finish(project, "vae-digits")
    register.register("vae-digits")
    client = tracking.open_store()
    version = client.get_model_version("vae-digits", "1")
    assert version.description.startswith("`vae` on `digits`, 100 test rows")
    assert f"/runs/{version.run_id})" in version.description
    assert "**version 1**: nats 20" in client.get_registered_model("vae-digits").description
    assert versions.find(client, "vae-digits", "champion").number == "1"
