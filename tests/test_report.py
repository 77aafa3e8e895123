"""The report: self-contained, escaped, the same bytes for the same outputs, true to them, and never half a page."""

import dataclasses
import hashlib
import json
import math
import re
import shutil
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest
from matplotlib import image
from PIL import Image

from gen_models.measures.modes import SAMPLES
from pipelines.config.params import Run, params
from pipelines.evaluation.metrics import standard_errors
from pipelines.evaluation.metrics.two_sample import TWO_SAMPLE_ROWS
from pipelines.report import as_text, comparison_table, leaderboard, read, report, versus_baselines
from pipelines.report.comparison_table import Data
from pipelines.report.details_page import _is_grid, details_page
from pipelines.report.page import _about
from pipelines.report.page import page as page_of
from pipelines.report.questions import QUESTIONS
from pipelines.report.read import ResultError
from tests.project import params_of, write_params

PROJECT = Path(__file__).resolve().parent.parent
HOSTILE = "<script>alert('x')</script>\"&"
FAMILIES = {"gmm": "mixtures", "vae": "autoencoders", "realnvp": "flows"}
RUNS = {"gmm-a": "gmm", "vae-a": "vae", "realnvp-a": "realnvp"}
DATA = "digits_normal"
SAID = f"Latents: 2 of 3 active {HOSTILE}."
METRICS = {
    "gmm-a": {"rows": 90, "dims": 64, "nats": 120.25, "nats_error": 1.5, "mmd2": 0.002, "mmd2_floor": 0.0001,
              "c2st_accuracy": 0.44, "c2st_accuracy_error": 0.02, "c2st_accuracy_floor": 0.51, "memorisation": 1.25},
    "vae-a": {"rows": 90, "dims": 64, "nats": 110.5, "nats_error": 1.25, "nats_iw50": 108.0, "mse": 0.0125,
              "mse_pca": 0.025, "mmd2": 0.001, "mmd2_floor": 0.0001, "c2st_accuracy": 0.7, "c2st_accuracy_error": 0.02,
              "c2st_accuracy_floor": 0.51, "memorisation": 0.8},
    "realnvp-a": {"rows": 90, "dims": 64, "nats": 100.0, "nats_error": 1.0, "mmd2": math.nan, "memorisation": 1.5},
}  # fmt: skip
AUROC = {"gmm-a": 0.8, "vae-a": 0.95, "realnvp-a": 0.4, "pca": 0.85, "isolation_forest": 0.5}
ACC = {"gmm-a": 0.7, "vae-a": 0.5, "k-means": 0.6}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def png(shade: float) -> bytes:
    file = BytesIO()
    image.imsave(file, np.full((3, 4, 3), shade), format="png")
    return file.getvalue()


def gif(frames: int) -> bytes:
    file = BytesIO()
    shades = [Image.new("L", (5, 3), 40 * k) for k in range(frames)]
    shades[0].save(file, "GIF", save_all=True, append_images=shades[1:])
    return file.getvalue()


def write(root: Path, name: str, value: object) -> None:
    path = root / "out" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(value, bytes):
        path.write_bytes(value)
    else:
        path.write_text(value if isinstance(value, str) else json.dumps(value))


def list_runs(root: Path, runs: dict[str, str]) -> None:
    """Write params.yaml with these runs, {key: model}."""
    swept = {key: (model, DATA) for key, model in runs.items() if key in RUNS}
    reused = {key: (model, DATA, f"{model}-a") for key, model in runs.items() if key not in RUNS}
    write_params(root, params_of(swept, reused, seed=3, budget="quick"))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of a test's own, to change."""
    root = outputs(tmp_path / "project")
    monkeypatch.setenv("GEN_MODELS_ROOT", str(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return root


def outputs(root: Path) -> Path:
    """The outputs of a small graph, in the stages' formats; hostile text wherever a file may hold text."""
    shutil.copytree(PROJECT / "conf", root / "conf")
    (root / "gen_models").symlink_to(PROJECT / "gen_models")
    list_runs(root, RUNS)
    entry = {"rows": 90, "x": {}, "y": {}, "labels": {}}
    tested = {**entry, "labels": {"0": 80, "1": 10}}
    manifest = {
        "name": DATA, "source": "digits", "event_shape": [1, 8, 8], "levels": 17, "classes": ["0", HOSTILE],
        "anomaly": [1], "splits": {"train": entry, "test": tested}, "leakage": {"train/test": 0}, "sha256": sha("data"),
    }  # fmt: skip
    write(root, f"data/{DATA}/manifest.json", manifest)
    trials = [
        {"trial": 0, "override": {"model.components": 10}, "value": 130.0, "best_step": 20, "steps": 20,
         "diverged": None, "metrics": {}},
        {"trial": 1, "override": {"model.components": HOSTILE}, "value": None, "best_step": 0, "steps": 10,
         "diverged": f"step 10: {HOSTILE}", "metrics": {}},
        {"trial": 2, "override": {"model.components": 40}, "value": 125.0, "best_step": 20, "steps": 20,
         "diverged": None, "metrics": {}},
    ]  # fmt: skip
    best = {"metric": "nats", "value": 125.0, "trial": 2, "trials": 3, "override": {HOSTILE: 40}, "front": None}
    facts = {"data_sha256": sha("data"), "conf_sha256": sha("conf"), "git_commit": "none", "seed": 3}
    for key in RUNS:
        write(root, f"sweep/{key}/best.json", best)
        write(root, f"sweep/{key}/trials.json", trials)
        write(root, f"sweep/{key}/lineage.json", {**facts, "key": sha("sweep")})
    for key, model in RUNS.items():
        finish(root, key, model, METRICS[key])
    write(root, "evaluate/vae-a/latents.json", {"sentence": f"2 of 3 active {HOSTILE}", "is_collapsed": False})
    write(root, "evaluate/realnvp-a/latents.json", {"sentence": "3 of 3 active", "is_collapsed": False})
    scores = [
        {"run": who, "data": DATA, "score": f"nll {HOSTILE}", "is_default": True,
         "auroc": area, "low": area - 0.02, "high": area + 0.02, "fpr_target": 0.05,
         "fpr": 0.06, "tpr": 0.5, "average_precision": 0.4, "anomaly_share": 0.1, "kinds": []}
        for who, area in AUROC.items()
    ]  # fmt: skip
    flatters = {"score": "other", "is_default": False, "auroc": 0.99, "low": 0.97, "high": 1.0, "pixel_auroc": 0.8125}
    scores.append({**scores[0], **flatters, "pixel_low": 0.75, "pixel_high": 0.875})
    write(root, "compare/anomalies/scores.json", scores)
    write(root, "compare/scores/scores.json", facts_of_scores())
    write(root, "compare/scores/agreement.json", [agreement_of({"gmm-a": 0.5, "vae-a": 0.75, "realnvp-a": 0.25})])
    write(root, f"compare/scores/distributions-{DATA}.png", png(0.6))
    write(root, f"compare/scores/most-{DATA}.png", png(0.7))
    write(root, "compare/anomalies/roc.png", png(0.5))
    write(root, f"compare/anomalies/extremes-{DATA}.png", png(0.4))
    clusters = [
        {"run": who, "data": DATA, "space": "data" if who == "k-means" else "latent", "k": 9, "rows": 900, "seeds": 5}
        | {f"{name}_mean": acc for name in ("acc", "nmi", "ari")}
        | {f"{name}_sd": 0.01 for name in ("acc", "nmi", "ari")}
        for who, acc in ACC.items()
    ]  # fmt: skip
    clusters.append({**clusters[-1], "run": "vae-a", "space": "whitened", "acc_mean": 0.4})
    write(root, "compare/clusters/scores.json", clusters)
    write(root, "compare/clusters/clusters-gmm-a.png", png(0.3))
    denoised = {"run": "vae-a", "data": DATA, "corruption": HOSTILE, "rows": 90, "noisy": 0.09, "wiener": 0.0345}
    denoised |= {"denoised": 0.0233, "gain": 0.0112, "gain_error": 0.001}
    levels = [{**denoised, "factor": factor, "level": factor / 2} for factor in (0.5, 1.0, 2.0)]
    write(root, "compare/denoising/scores.json", levels)
    write(root, "compare/denoising/denoised-vae-a.png", png(0.2))
    file = {"data": DATA, "setting": HOSTILE, "rows": 90, "dims": 64, "bits_per_dim": 1.5, "net": None, "elbo": None}
    file["mse_jpeg"] = None
    codecs = [
        {**file, "run": who, "method": method, "bytes": 90 * size, "bytes_a_row": size, "mse": mse, "mse_pca": pca}
        for who, method, size, mse, pca in (
            ("pca", "latents", 9, 0.0777, None), ("jpeg", "jpeg", 30, 0.01, None),
            ("vae-a", "latents", 10, 0.02, 0.0666), ("realnvp-a", "latents", 11, 0.08, 0.0555),
            ("vae-a", "bits_back", 20, 0.0, 0.0444),
        )
    ]  # fmt: skip
    codecs[-1] |= {"net": 1.2345, "elbo": 1.1234}
    write(root, "compare/compression/scores.json", codecs)
    write(root, f"compare/compression/rates-{DATA}.png", png(0.1))
    return root


def facts_of_scores(**lamps: str) -> list[dict]:
    """What compare says of each run's scores without labels. lamps: {model: the lamp of its default score}"""
    most = [
        {
            "row": k,
            "score": 9.5 - k,
            "p": 0.0625,
            "values": {f"shop {HOSTILE}": HOSTILE, "amount": None},
            "reason": HOSTILE,
        }
        for k in (0, 1)
    ]
    facts = {"data": DATA, "rows": 90, "calibration_rows": 15, "shift_p": 0.4375}
    rows = []
    for key, model in RUNS.items():
        known = {"distance_to_mean": 0.875, "pca": 0.9844 if model in lamps else 0.8125}
        own = {**facts, "run": key, "lamp": lamps.get(model, ""), "resembles": known, "most": most}
        rows.append({**own, "score": f"nll {HOSTILE}", "is_default": True})
        rows.append({**own, "score": "other", "is_default": False, "lamp": "", "most": [], "resembles": {}})
    return rows


def agreement_of(rank: dict[str, float]) -> dict:
    """An agreement of the runs: the correlation of two is the product of their numbers."""
    matrix = [[1.0 if a == b else rank[a] * rank[b] for b in rank] for a in rank]
    own = {run: {"scores": [f"nll {HOSTILE}", "other"], "spearman": [[1.0, 0.1875], [0.1875, 1.0]]} for run in rank}
    scores = [f"nll {HOSTILE}"] * len(rank)
    return {"data": DATA, "rows": 90, "runs": list(rank), "scores": scores, "spearman": matrix, "own": own}


def without_labels(project: Path) -> None:
    """Make the data such that no anomaly is known among the test rows."""
    manifest = json.loads((project / "out" / "data" / DATA / "manifest.json").read_text())
    write(project, f"data/{DATA}/manifest.json", manifest | {"anomaly": None})
    write(project, "compare/anomalies/scores.json", [])


def finish(root: Path, key: str, model: str, metrics: dict) -> None:
    """What train and evaluate leave of a run."""
    manifest = json.dumps({"files": key})
    write(root, f"train/{key}/checkpoint/manifest.json", manifest)
    lineage = {
        "key": sha(key), "run": key, "model": model, "family": FAMILIES[model], "data": DATA,
        "data_sha256": sha("data"), "conf_sha256": sha("conf"), "code_sha256": sha("code"), "seed": 3, "workers": 1,
        "git_commit": f"0123456789abcdef{HOSTILE}", "steps": 1500, "metric": "nats",
        "params": {"model.name": HOSTILE, "optim.lr": 0.001}, "versions": {"torch": HOSTILE},
    }  # fmt: skip
    write(root, f"train/{key}/lineage.json", lineage)
    lines = [
        {
            "step": step,
            "metrics": {"validation.nats": 1000.0 / step, "moves.critic": step, "moves.generator": step // 5},
        }
        for step in (5, 10)
    ]
    write(root, f"train/{key}/history.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    identity = {"checkpoint_sha256": sha(manifest), "data_sha256": sha("data")}
    write(root, f"evaluate/{key}/metrics.json", {**metrics, **identity})
    for k, name in enumerate(("samples", "reconstructions")):
        write(root, f"evaluate/{key}/{name}.png", png(k / 4))
    if key == "vae-a":
        write(root, f"evaluate/{key}/training.gif", gif(3))


class Page(HTMLParser):
    """Every tag with its attributes, and the text between tags."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def made(project: Path) -> dict[str, Page]:
    """The pages of the report, by the names of their files."""
    report.main([])
    return {path.name: Page(path.read_text()) for path in (project / "reports").glob("*.html")}


def said(page: Page) -> str:
    """The text of a page in one line, without its style."""
    return " ".join(page.text.rpartition("}")[2].split())


@pytest.fixture(scope="module")
def pages_of_all(tmp_path_factory):
    """The pages of a project that no test changes."""
    root = outputs(tmp_path_factory.mktemp("report") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_MODELS_ROOT", str(root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return made(root)


@pytest.fixture
def pages(request, pages_of_all):
    """The pages of the test's own project, if it has one."""
    return made(request.getfixturevalue("project")) if "project" in request.fixturenames else pages_of_all


@pytest.fixture
def page(pages):
    """The page of all numbers."""
    return pages["details.html"]


def change(project: Path, key: str, **numbers: float) -> None:
    """Change the metrics of a run."""
    path = project / "out" / "evaluate" / key / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | numbers))


def error_of(project: Path) -> str:
    with pytest.raises(ResultError) as caught:
        report.main([])
    assert not (project / "reports").exists()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_all_runs_without_results_are_named_at_once(project):
    runs = sorted(path.name for path in (project / "out" / "evaluate").iterdir())
    for run in runs[:2]:
        shutil.rmtree(project / "out" / "evaluate" / run)
    said = error_of(project)
    assert (
        f"2 of {len(runs)} have no results (" in said and all(run in said for run in runs[:2]) and "make repro" in said
    )


class TestEveryPage:
    def test_it_needs_nothing_but_itself(self, project, pages):
        assert set(pages) == {"index.html", "details.html", "games.html", f"pictures-{DATA}.html"}
        ids = {
            name: {attributes["id"] for _, attributes in page.tags if "id" in attributes}
            for name, page in pages.items()
        }
        for name, page in pages.items():
            for tag, attributes in page.tags:
                assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form"), tag
                assert not [key for key in attributes if key.startswith("on") or key in ("srcset", "poster", "style")]
                kinds = ("data:image/png;base64,", "data:image/gif;base64,")
                assert attributes.get("src", "data:").startswith(kinds) or "src" not in attributes
                if "href" in attributes:
                    parts = urlsplit(attributes["href"])
                    leads_to = ids.get(parts.path or name)
                    inside = not parts.netloc and leads_to is not None and parts.fragment in {"", *leads_to}
                    assert inside or (parts.scheme, parts.netloc) == ("http", "127.0.0.1:5000"), attributes["href"]
            html = (project / "reports" / name).read_text()
            style = html.partition("<style>")[2].partition("</style>")[0]
            assert "url(" not in style and "@import" not in style
            assert html.startswith("<!doctype html>")

    def test_every_picture_decodes_and_says_what_it_shows(self, pages):
        # a card each; anomalies, scores, clusters, denoised, rates, sweeps; pictures of each run, curves, an animation
        counts = {"index.html": len(RUNS), "details.html": 7 + len(RUNS), f"pictures-{DATA}.html": 2 * len(RUNS) + 2}
        for name, count in counts.items():
            pictures = pages[name].all("img")
            assert len(pictures) == count, name
            for attributes in pictures:
                with Image.open(BytesIO(b64decode(attributes["src"].partition(",")[2]))) as picture:
                    width, height = picture.size
                assert (str(width), str(height)) == (attributes["width"], attributes["height"])
                assert attributes["alt"]

    def test_each_kind_of_anomaly_has_a_row_beside_the_best_scores(self, project):
        manifest = json.loads((project / "out" / "data" / DATA / "manifest.json").read_text())
        tested = {"rows": 90, "labels": {"0": 70, "1": 12, "2": 7, "3": 1}}
        write(project, f"data/{DATA}/manifest.json", manifest | {
            "classes": ["good", HOSTILE, "scratch", "rare"], "anomaly": [1, 2, 3],
            "splits": {**manifest["splits"], "test": tested},
        })  # fmt: skip
        scores = json.loads((project / "out" / "compare" / "anomalies" / "scores.json").read_text())
        for row in scores:
            near = {"auroc": row["auroc"] - 0.125, "low": 0.25, "high": 0.975, "tpr": 0.5}
            row["kinds"] = [{"kind": HOSTILE, "rows": 12, **near}, {"kind": "scratch", "rows": 7, **near, "auroc": 1.0}]
        write(project, "compare/anomalies/scores.json", scores)
        report.main([])
        page = Page((project / "reports" / "details.html").read_text())
        text = said(page)
        assert f"classes {HOSTILE}, scratch, rare held out" in text
        assert "Too few test rows to measure: rare." in text
        best, pca = AUROC["vae-a"], AUROC["pca"]
        assert f"{HOSTILE} 12 {best - 0.125:.3f} 0.250 to 0.975 {pca - 0.125:.3f} 0.250 to 0.975" in text
        assert "scratch 7 1.000 0.250 to 0.975 1.000 0.250 to 0.975" in text

    def test_data_without_an_anomaly_among_the_test_rows_say_so(self, project):
        manifest = json.loads((project / "out" / "data" / DATA / "manifest.json").read_text())
        tested = {"rows": 90, "labels": {"0": 90}}
        write(project, f"data/{DATA}/manifest.json", manifest | {"splits": {**manifest["splits"], "test": tested}})
        write(project, "compare/anomalies/scores.json", [])
        report.main([])
        text = said(Page((project / "reports" / "details.html").read_text()))
        assert "held out, but no anomaly is among the test rows: no AUROC can be measured." in text
        first = (project / "reports" / "index.html").read_text()
        assert "Are anomalies found?" not in first and "nan" not in said(Page(first)).split()

    def test_headings_are_in_order(self, pages):
        for name, page in pages.items():
            levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3", "h4")]
            assert levels[0] == 1 and levels.count(1) == 1, name
            assert all(below - above <= 1 for above, below in pairwise(levels)), name

    def test_text_of_files_is_text_and_never_markup(self, pages):
        text = " ".join(page.text for page in pages.values())
        assert not [page for page in pages.values() if page.all("script")]
        for where in (f"class {HOSTILE}", f"nll {HOSTILE}", f"step 10: {HOSTILE}", f"torch {HOSTILE}", SAID):
            assert where in text
        links = [attributes["href"] for page in pages.values() for attributes in page.all("a")]
        assert not [link for link in links if any(mark in link for mark in "<>\"' ")]

    def test_links_lead_to_each_runs_model_in_mlflow(self, page):
        links = {attributes["href"] for attributes in page.all("a")}
        outside = {link for link in links if link.startswith("http")}
        assert outside == {f"http://127.0.0.1:5000/#/models/{key}" for key in RUNS}

    def test_a_link_is_quoted_whatever_the_name(self):
        link = as_text.model_page(HOSTILE)
        assert link.startswith("http://127.0.0.1:5000/#/models/%3Cscript%3E")
        assert not [mark for mark in "<>\"'& " if mark in link]

    def test_a_budget_that_is_too_short_is_said_to_be(self, project, pages):
        assert "too short" not in (project / "reports" / "index.html").read_text()
        path = project / "out" / "train" / "vae-a" / "lineage.json"
        lineage = json.loads(path.read_text())
        lineage["params"]["budget.note"] = "too short to judge a model"
        path.write_text(json.dumps(lineage))
        report.main([])
        for name in ("index.html", "details.html"):
            page = (project / "reports" / name).read_text()
            assert re.search(r'<p class="warning">\w+: too short to judge a model</p>', page)

    def test_a_second_run_writes_the_same_bytes(self, project, pages):
        folder = project / "reports"
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        report.main([])
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        assert set(before) == {*pages, "leaderboard.json"}

    def test_no_cell_is_a_lone_dash(self, project, pages):
        dash = re.compile(r"<td[^>]*>\s*(-|&[mn]dash;|\N{EN DASH}|\N{EM DASH}|\N{MINUS SIGN})\s*</td>")
        for name in pages:
            assert not dash.search((project / "reports" / name).read_text()), name


class TestFirstPage:
    def test_every_run_has_a_card_with_a_picture_a_sentence_and_numbers(self, pages):
        page = pages["index.html"]
        cards = [attributes["id"] for attributes in page.all("article")]
        assert cards == [f"card-{key}" for key in RUNS]
        assert {attributes["alt"] for attributes in page.all("img")} == {f"Samples of {key}" for key in RUNS}
        text = said(page)
        assert "VAE with a Gaussian decoder." in text  # the first sentence of conf/model/vae.yaml
        assert "The digits with one class held out as the anomaly, which is in the test split only." in text
        known = "ranks anomalies above normal rows: 1 always, 0.5 by chance (the best baseline 0.850)"
        assert f"0.950 AUROC {known}" in text
        assert "≤ 108 nats a row surprise at test rows, lower is better" in text, "the tighter of two bounds"
        assert len(page.all("strong")) == 3 * len(RUNS)

    def test_a_card_says_what_its_line_sets_or_tries(self):
        line = Run("a", "vae", "digits", "a", fixed={"model.beta": 4})
        result = SimpleNamespace(line=line, lineage={"params": {"model.beta": 2}, "steps": 200})
        assert _about(result).endswith(" Set: model.beta 4.")
        result.line = dataclasses.replace(line, fixed={"budget.steps": 200}, grid={"model.beta": [1, 2]})
        assert _about(result).endswith("A grid of model.beta [1, 2]; this run has model.beta 2.")

    def test_runs_that_saw_different_numbers_of_rows_say_how_many_in_each_table(self, project):
        assert Data(read.read(params()), DATA).seen == {}
        path = project / "out" / "train" / "vae-a" / "lineage.json"
        lineage = json.loads(path.read_text())
        path.write_text(json.dumps(lineage | {"params": lineage["params"] | {"batch_size": 7}}))
        found = Data(read.read(params()), DATA)
        assert found.seen["vae-a"] == f"{lineage['steps']:,} minibatches of 7" and set(found.seen) == set(RUNS)
        assert found.entry(found.runs[0], 1.0, note="a note").note == f"a note; {found.seen[found.runs[0].line.key]}"

    def test_it_is_small_whatever_the_pictures(self, project):
        noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), dtype=np.uint8)
        file = BytesIO()
        Image.fromarray(noise).save(file, "PNG")
        runs = {**RUNS, **{f"gmm-{k}": "gmm" for k in range(30)}}
        list_runs(project, runs)
        scores = json.loads((project / "out" / "compare" / "anomalies" / "scores.json").read_text())
        for key in runs:
            if key not in RUNS:
                finish(project, key, "gmm", METRICS["gmm-a"])
                scores.append({**scores[0], "run": key})
            write(project, f"evaluate/{key}/samples.png", file.getvalue())
        write(project, "compare/anomalies/scores.json", scores)
        html = page_of(read.read(params()))
        assert len(html.encode()) <= 3_000_000
        assert html.count("<img ") == len(runs)

    def test_a_question_is_asked_of_the_runs_that_can_answer_it(self, pages):
        text = said(pages["index.html"]).partition("Comparisons")[2]
        likely, _, rest = text.partition("How real are the samples?")
        assert [text.index(name) for name in ("realnvp", "vae", "gmm")] == sorted(
            likely.index(name) for name in ("realnvp", "vae", "gmm")
        ), "the best first"
        real = rest.partition("How well are rows rebuilt?")[0]
        assert "gmm ★ 0.440 ± 0.020" in real and "training rows limit 0.510" in real and "realnvp" not in real
        assert "vae 0.0125 0.0250" in rest, "the only one, so there is no best"
        assert f"vae ★ nll {HOSTILE} 0.950" in rest and "PCA baseline 0.850" in rest
        assert "gmm ★ 9 clusters 0.700 ± 0.016" in rest and "k-means on the data baseline 0.600 ± 0.017" in rest
        assert "vae 0.0233 0.0345 0.0900" in rest

    def test_samples_of_binary_pixels_are_compared_with_one_another(self, project):
        change(project, "gmm-a", binary_nats=20.0)
        text = said(made(project)["index.html"]).partition("How real")[2].partition("How well")[0]
        grey, _, binary = text.partition("Of binary pixels")
        assert "vae 0.700" in grey and "gmm" not in grey
        assert "gmm 0.440" in binary and "vae" not in binary and "★" not in text

    def test_a_run_below_a_baseline_is_not_the_best(self, project):
        for key in RUNS:
            change(project, key, nats_histogram=44.36)
        text = said(made(project)["index.html"]).partition("Comparisons")[2].partition("How real")[0]
        assert "a histogram of each pixel baseline 44.36 realnvp ≤ 100.00" in text
        files = said(made(project)["index.html"]).partition("Nothing is lost.")[2][:200]
        assert "a histogram of each pixel, coded ideally baseline 8.0" in files, "44.36 nats are 64 bits"
        assert "★ ≤" not in text

    def test_the_floor_stands_beside_densities_of_columns_too(self, project):
        manifest = json.loads((project / "out" / "data" / DATA / "manifest.json").read_text())
        write(project, f"data/{DATA}/manifest.json", manifest | {"levels": None, "event_shape": [2]})
        for key in RUNS:
            change(project, key, nats_histogram=44.36)
        pages = made(project)
        assert "a histogram of each column baseline 44.36" in said(pages["index.html"])
        assert "histogram 44" in said(pages["details.html"])


class TestScores:
    def test_the_default_score_stands_for_a_run_although_another_has_a_larger_area(self, project, pages):
        first, details = said(pages["index.html"]), said(pages["details.html"])
        assert "0.990" not in first and "no test label chose it" in first
        assert f"gmm nll {HOSTILE} 0.800" in first
        assert "gmm-a other 0.990" in details and "Below PCA: gmm-a, realnvp-a" in details
        assert f"gmm-a nll {HOSTILE} default 0.800" in details
        assert leaderboard.numbers_of(read.read(params()), "gmm-a")["auroc"] == AUROC["gmm-a"]

    def test_the_area_over_pixels_stands_with_its_interval_where_it_was_measured(self, page):
        assert "pixel AUROC" in said(page) and "0.812 0.750 to 0.875" in said(page)

    def test_a_score_that_ranks_as_something_simpler_says_so_and_has_no_star(self, project, pages):
        assert "vae ★ nll" in said(pages["index.html"])
        write(project, "compare/scores/scores.json", facts_of_scores(vae="ranks rows as PCA does"))
        pages = made(project)
        cards, _, comparisons = said(pages["index.html"]).partition("Comparisons")
        asked = comparisons.partition("Are anomalies found?")[2].partition("Do clusters")[0]
        assert f"vae nll {HOSTILE}, ranks rows as PCA does 0.950" in asked and "★" not in asked
        assert f"Its anomaly score nll {HOSTILE} ranks rows as PCA does." in cards
        assert leaderboard.table(read.read(params()), DATA).best["auroc"] == []
        assert "vae-a: nll" in said(pages["details.html"]) and "added next to nothing" in said(pages["details.html"])

    def test_data_without_labels_ask_which_rows_are_unusual(self, project, pages):
        assert "Which rows are unusual?" not in said(pages["index.html"]), "labels can tell more"
        without_labels(project)
        write(project, "compare/scores/scores.json", facts_of_scores(vae="ranks rows as PCA does"))
        text = said(made(project)["index.html"])
        assert "AUROC ranks" not in text and "Are anomalies found?" not in text
        asked = text.partition("Which rows are unusual?")[2].partition("Do clusters")[0]
        assert f"gmm nll {HOSTILE}, its own ranking 0.25 15" in asked, "the mean of 0.5 x 0.75 and 0.5 x 0.25"
        assert f"vae nll {HOSTILE}, ranks rows as PCA does 0.28 15" in asked and "★" not in asked

    def test_a_single_run_has_no_column_of_agreement(self, project):
        without_labels(project)
        list_runs(project, {"gmm-a": "gmm"})
        for part in ("scores", "clusters", "denoising", "compression"):
            path = project / "out" / "compare" / part / "scores.json"
            rows = [row for row in json.loads(path.read_text()) if row["run"] in ("gmm-a", "k-means")]
            write(project, f"compare/{part}/scores.json", rows)
        write(project, "compare/scores/agreement.json", [agreement_of({"gmm-a": 0.5})])
        pages = made(project)
        asked = said(pages["index.html"]).partition("Which rows are unusual?")[2].partition("Do clusters")[0]
        assert "agreement with others" not in asked and f"gmm nll {HOSTILE}, its own ranking 15" in asked
        assert "Agreement of the runs" not in said(pages["details.html"])

    def test_details_show_agreement_and_the_most_anomalous_rows_in_words(self, page):
        text = said(page)
        assert "Rank correlations of two runs' default scores: 0.12 to 0.38." in text
        assert "gmm-a 1.00 0.38 0.12 vae-a 0.38 1.00 0.19 realnvp-a 0.12 0.19 1.00" in text
        heads, first = f"test row score p why shop {HOSTILE} amount", f"0 9.500 0.06250 {HOSTILE} {HOSTILE} missing"
        assert f"{heads} {first} 1 8.500" in text
        assert "gmm-a other 0.188 15 0.438" in text, "no number of a ranking it was not compared with"


class TestFailedRuns:
    def broken(self, project: Path, name: str) -> str:
        """Make the run that is the best of most columns fail in one of three ways; return what is said of it."""
        if name == "modes":
            for key in RUNS:
                change(project, key, modes=8.0 if key != "vae-a" else 0.0, modes_known=8.0, high_quality=0.5,
                       coverage=0.9, coverage_floor=0.95)  # fmt: skip
            return "Collapsed: 0 of 8 modes reached; 50% of the samples are within 3 standard deviations of a mode."
        if name == "latents":
            change(project, "vae-a", latents=16, active_latents=0)
            sentence = "0 of 16 latents are active, 47.56 nats a row"
            write(project, "evaluate/vae-a/latents.json", {"sentence": sentence, "is_collapsed": True})
            return "Collapsed: 0 of 16 latents are active, so the decoder ignores them."
        with (project / "out" / "train" / "vae-a" / "history.jsonl").open("a") as file:
            file.write(json.dumps({"step": 11, "metrics": {}, "diverged": "the loss is nan"}) + "\n")
        return "Diverged: the loss is nan."

    @pytest.mark.parametrize("how", ["modes", "latents", "divergence"])
    def test_it_says_so_on_its_card_and_is_praised_nowhere(self, project, how):
        sentence = self.broken(project, how)
        pages = made(project)
        (card,) = [a for a in pages["index.html"].all("article") if a["id"] == "card-vae-a"]
        assert card["class"] == "card failed"
        text = said(pages["index.html"])
        cards, _, comparisons = text.partition("Comparisons")
        assert sentence in cards
        assert "47.56" not in text
        assert not re.search(r"\bvae[^★]{0,12}★", comparisons)
        assert "vae failed" in comparisons and " ★ " in comparisons
        assert said(pages["details.html"]).count(sentence) == 2  # below its table, and where it comes from
        found = read.read(params())
        assert not [best for best in leaderboard.table(found, DATA).best.values() if "vae-a" in best]
        assert not [best for best in leaderboard.machine(found)["best"][DATA].values() if "vae-a" in best]

    def test_other_runs_do_not(self, pages):
        assert not [a for a in pages["index.html"].all("article") if a["class"] != "card"]
        assert "failed" not in said(pages["index.html"])


class TestDetails:
    def test_a_model_below_its_baseline_is_said_to_be(self, page):
        text = said(page)
        assert "Below PCA: gmm-a, realnvp-a" in text
        assert "Above PCA: vae-a" in text
        assert "Better than k-means on the data: gmm-a" in text
        assert "Worse than k-means on the data: vae-a." in text, "each run once, by its best row"
        assert "vae-a, whitened" in text
        assert "Models without an encoder have no latents to cluster: realnvp-a." in text

    def test_samples_over_training_move_on_the_page_of_pictures(self, pages):
        images = pages[f"pictures-{DATA}.html"].all("img")
        (moving,) = [attributes for attributes in images if attributes["src"].startswith("data:image/gif")]
        assert moving["alt"] == "Samples over the training of vae-a"
        assert (moving["width"], moving["height"]) == ("5", "3")
        assert "data:image/gif" not in str(pages["index.html"].tags)

    def test_a_number_that_is_not_finite_is_told_and_not_ranked(self, page):
        assert "Not finite: mmd2." in page.text


@pytest.mark.parametrize(
    ("mean", "sd", "text"),
    [
        (165.6123, 0.7308, "165.61 ± 0.73"),
        (173.44, 2.914, "173.4 ± 2.9"),
        (1234.5, 99.6, "1234 ± 100"),
        (-0.0012, 0.00042, "\N{MINUS SIGN}0.00120 ± 0.00042"),
        (2.5, 0.0, "2.500 ± 0.000"),
    ],
)
def test_a_mean_shows_no_digit_that_its_spread_hides(mean, sd, text):
    assert as_text.spread(mean, sd) == text


class TestLeaderboard:
    def test_numbers_that_two_models_cannot_share_are_shown_and_not_ranked(self, project):
        for key, value in (("vae-a", 0.2), ("gmm-a", 0.1)):
            path = project / "out" / "evaluate" / key / "metrics.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"critic_wasserstein": value}))
        table = leaderboard.table(read.read(params()), DATA)
        assert table.rows["gmm-a"]["critic_wasserstein"].text == "0.100"
        assert table.best["critic_wasserstein"] == []

    def test_the_best_of_each_column_follows_its_direction(self, project):
        best = leaderboard.table(read.read(params()), DATA).best
        assert best["nats"] == ["realnvp-a"]  # lowest
        assert best["mmd2"] == ["vae-a"]  # nearest to 0 of those that are finite
        assert best["auroc"] == ["vae-a"]  # highest, no baseline
        assert best["acc"] == ["gmm-a"]
        assert best["c2st_accuracy"] == ["gmm-a"]  # nearest to a half, from below
        assert best["memorisation"] == ["vae-a"]  # nearest to 1
        assert best["mse"] == best["nats_iw50"] == []  # nothing to compare
        change(project, "gmm-a", mmd2=-0.004, density=1.6)
        change(project, "vae-a", density=0.93)
        best = leaderboard.table(read.read(params()), DATA).best
        assert best["mmd2"] == best["density"] == ["vae-a"], "samples that crowd are no better than the data"
        for key in RUNS:
            change(project, key, c2st_accuracy=0.998 if key == "gmm-a" else 1.0)
        assert leaderboard.table(read.read(params()), DATA).best["c2st_accuracy"] == [], "all are always told apart"

    def test_ties_are_all_best(self):
        assert leaderboard.best_of({"a": 1.0, "b": 2.0, "c": 1.0}, "lower") == ["a", "c"]
        assert leaderboard.best_of({"a": 0.9, "b": 1.1}, "higher") == ["b"]
        assert leaderboard.best_of({"a": 0.75, "b": 1.25}, 1.0) == ["a", "b"]

    def test_the_same_quantity_in_another_unit_has_the_same_stars(self, project):
        for key, nats in (("gmm-a", 100.0), ("realnvp-a", 100.5), ("vae-a", 110.0)):
            bits = {"bits_per_dim": nats / (64 * math.log(2)), "dims": 64}
            change(project, key, nats=nats, nats_error=0.4, rows=300, coverage=0.9 if key == "vae-a" else 0.85, **bits)
        best = leaderboard.table(read.read(params()), DATA).best
        assert set(best["bits_per_dim"]) == set(best["nats"]) == {"gmm-a", "realnvp-a"}
        assert set(best["coverage"]) == {"gmm-a", "realnvp-a", "vae-a"}, "0.05 of 300 rows are less than two errors"

    def test_the_sizes_behind_the_errors_of_shares_are_those_of_the_metrics(self):
        assert (standard_errors.MOST_ROWS, standard_errors.MODE_SAMPLES) == (TWO_SAMPLE_ROWS, SAMPLES)

    def test_clusters_are_above_k_means_only_by_more_than_the_test_rows_tell(self):
        raw = {"acc_mean": 0.8, "acc_sd": 0.0, "seeds": 5, "rows": 360}
        for share, side in ((0.803, "unclear"), (0.95, "above"), (0.6, "below")):
            run = SimpleNamespace(line=SimpleNamespace(key="a"))
            rows = [(raw, "k-means on the data", None), ({**raw, "acc_mean": share}, "a", run)]
            found = versus_baselines.compared(rows, raw, "acc_mean", versus_baselines._share_interval)
            assert getattr(found, side) == ["a"]

    @pytest.mark.parametrize("better", ["lower", "higher"])
    def test_what_errors_cannot_tell_from_the_best_is_marked_too(self, better):
        values = {"a": 100.0, "b": 100.0 + (1 if better == "lower" else -1), "c": 100.0}
        far, near = {"a": 0.3, "b": 0.4, "c": 0.0}, {"a": 0.3, "b": 0.42, "c": 0.0}  # 1 is 2 or 1.94 standard errors
        assert leaderboard.best_of(values, better, far) == ["a", "c"]
        assert leaderboard.best_of(values, better, near) == ["a", "b", "c"]

    @pytest.mark.parametrize(("error", "stars"), [(0.3, ["a"]), (0.4, ["a", "b"])])
    def test_a_comparison_marks_what_errors_cannot_tell_from_the_best_but_nothing_behind_a_baseline(self, error, stars):
        entries = [comparison_table.Entry(key, ("1",), value, error=error) for key, value in (("a", 1.0), ("b", 2.0))]
        other = comparison_table.Entry("baseline", ("2",), 4.0, "baseline")
        (found,) = comparison_table.table(SimpleNamespace(name="digits"), ("x",), entries, [other])
        assert [row.name for row in found.rows if row.is_best] == stars
        for value, best in ((1.8, ["a"]), (1.5, [])):
            near = dataclasses.replace(other, value=value)
            (found,) = comparison_table.table(SimpleNamespace(name="digits"), ("x",), entries, [near])
            assert [row.name for row in found.rows if row.is_best] == best

    def test_a_run_is_marked_on_the_first_page_and_among_all_numbers_or_on_neither(self, project):
        asked = {
            "real": "c2st_accuracy",
            "varied": "coverage",
            "rebuilt": "mse",
            "anomalies": "auroc",
            "clusters": "acc",
        }
        rng, seen = np.random.default_rng(0), dict.fromkeys(asked, 0)
        for _ in range(12):
            for key in RUNS:
                c2st, coverage, mse, pca = rng.choice([0.5, 0.51, 0.6, 0.97], 4)
                change(
                    project, key, c2st_accuracy=c2st, coverage=coverage, mse=mse, mse_error=0.01, mse_pca=pca, rows=300
                )
                if key == "vae-a" or rng.random() < 0.5:
                    change(project, key, binary_nats=20.0)
            found = read.read(params())
            best = leaderboard.table(found, DATA).best
            for question in (q for q in QUESTIONS if q.name in asked):
                rows = [row for table in question.tables(Data(found, DATA)) for row in table.rows if row.is_best]
                assert {row.key for row in rows} == set(best[asked[question.name]]), question.name
                seen[question.name] += bool(rows)
        assert all(seen.values()), seen

    def test_an_interval_is_an_error_too(self, project):
        assert leaderboard.table(read.read(params()), DATA).best["auroc"] == ["vae-a"]
        path = project / "out" / "compare" / "anomalies" / "scores.json"
        rows = json.loads(path.read_text())
        for row in rows:
            row["low"], row["high"] = row["auroc"] - 0.5, row["auroc"] + 0.5
        path.write_text(json.dumps(rows))
        assert leaderboard.table(read.read(params()), DATA).best["auroc"] == [], "no interval is apart from a baseline"
        for row in rows:
            row["auroc"] = 0.1 if row["run"] in ("pca", "isolation_forest") else row["auroc"]
        path.write_text(json.dumps(rows))
        assert set(leaderboard.table(read.read(params()), DATA).best["auroc"]) > {"vae-a"}

    @pytest.mark.parametrize("where", ["config.yaml", "model/vae.yaml"])
    def test_a_grid_of_a_conf_is_one(self, project, where):
        """Its first trial is not the conf's own setting."""
        line = params().runs["vae-a"]
        assert not _is_grid(line) and _is_grid(dataclasses.replace(line, grid={"model.beta": [1, 2]}))
        path = project / "conf" / where
        text = path.read_text()
        own, grid = "searcher: sobol # or random", "searcher: grid # or random"
        path.write_text(
            text.replace(own, grid) if own in text else text.replace("sweep:\n", "sweep:\n  searcher: grid\n")
        )
        assert _is_grid(line)

    def test_settings_of_the_conf_that_were_stopped_early_are_compared_at_the_step_where_they_were(self, project):
        """With 229 after 167 steps beside 151 after 500, a choice of little use would look like a large gain."""
        path = project / "out" / "sweep" / "gmm-a" / "trials.json"
        rows = json.loads(path.read_text())
        values = {5: 128.0, 10: 129.0, 20: 125.0}
        history = [{"step": step, "metrics": {"validation.nats": value}} for step, value in values.items()]
        rows[0]["steps"], rows[2]["history"] = 10, history
        path.write_text(json.dumps(rows))
        told = "; the settings of the conf have 130.0 at step 10, where they were stopped and the chosen ones had 128.0"
        assert told in details_page(read.read(params())).replace("<code>", "").replace("</code>", "")

    def test_clusters_of_another_number_than_the_classes_are_shown_and_not_judged(self, project):
        path = project / "out" / "compare" / "clusters" / "scores.json"
        rows = json.loads(path.read_text())
        for row in rows:
            row["k"] = 16 if row["run"] == "gmm-a" else row["k"]
        path.write_text(json.dumps(rows))
        found = versus_baselines.clustering(read.read(params()), DATA)
        assert "gmm-a" not in [*found.above, *found.below, *found.unclear] and found.below == ["vae-a"]
        assert any(run is not None and run.line.key == "gmm-a" for _, _, run, _ in found.rows)

    def test_the_page_marks_the_best_and_the_bounds(self, page):
        best = [attributes for attributes in page.all("td") if attributes.get("class") == "best"]
        columns = ("nats", "c2st_accuracy", "mmd2", "memorisation", "auroc", "acc")  # not NMI and ARI: errors unknown
        assert len(best) == len(columns) + len(RUNS)  # and the chosen trial of each sweep
        assert page.text.count("≤") >= 4

    def test_cells_show_the_digits_that_the_error_allows(self, project):
        table = leaderboard.table(read.read(params()), DATA)
        cells = {key: row["nats"] for key, row in table.rows.items()}
        shown = [(cell.text, cell.error) for cell in cells.values()]
        assert shown == [("120.2", "1.5"), ("110.5", "1.2"), ("100.0", "1.0")]
        assert all(cell.is_bound for cell in cells.values())  # levels: dequantised, or an ELBO
        assert table.rows["vae-a"]["mse"].text == "0.0125"
        assert table.rows["realnvp-a"]["mmd2"].text == "not finite"
        assert table.beside["c2st_accuracy"] == "floor 0.510"

    @pytest.mark.parametrize(
        ("value", "decimals", "text"),
        [(1.005, 1, "1.0"), (-0.62, 2, "\N{MINUS SIGN}0.62"), (-0.001, 2, "0.00"), (0.01251, None, "0.0125"),
         (0.0, None, "0"), (123.4, None, "123")],
    )  # fmt: skip
    def test_numbers_are_written_for_people(self, value, decimals, text):
        assert leaderboard.decimal(value, decimals) == text

    def test_denoisers_stand_beside_the_linear_one_and_codecs_beside_pca(self, page):
        text = " ".join(page.text.split())
        assert "better than the linear denoiser: vae-a" in text
        assert "0.0233 0.0345 0.0112 ± 0.0010" in text
        assert "Less lost than by PCA in as many bytes, at one setting or more: vae-a" in text
        assert "At no setting better than PCA: realnvp-a" in text
        assert "1.234 1.123" in text or "1.235 1.123" in text
        assert "0.0777" not in text, "PCA's front is in the picture"
        assert "0.0444" not in text, "nothing is lost by bits back"

    def test_the_machine_s_numbers_are_the_outputs(self, project, page):
        written = json.loads((project / "reports" / "leaderboard.json").read_text(), parse_constant=pytest.fail)
        assert [row["run"] for row in written["runs"]] == list(RUNS)
        for row in written["runs"]:
            finite = {name: value for name, value in METRICS[row["run"]].items() if math.isfinite(value)}
            assert row["metrics"] == finite
            assert row["data_sha256"] == sha("data")
            assert row["checkpoint_sha256"] == sha(json.dumps({"files": row["run"]}))
            assert row["detection"][0]["auroc"] == AUROC[row["run"]]
            assert (row["clustering"] or {}).get("acc_mean") == ACC.get(row["run"])
            assert row["mlflow"] == {"model": row["run"]}
        assert written["runs"][2]["not_finite"] == ["mmd2"]
        assert {row["run"] for row in written["baselines"]["detection"]} == {"pca", "isolation_forest"}


class TestMissing:
    @pytest.mark.parametrize(
        ("path", "stage"),
        [
            (f"data/{DATA}/manifest.json", f"prepare@{DATA}"),
            ("sweep/gmm-a/best.json", "sweep@gmm-a"),
            ("sweep/gmm-a/trials.json", "sweep@gmm-a"),
            ("sweep/gmm-a/lineage.json", "sweep@gmm-a"),
            ("train/vae-a/lineage.json", "train@vae-a"),
            ("train/vae-a/history.jsonl", "train@vae-a"),
            ("train/vae-a/checkpoint/manifest.json", "train@vae-a"),
            ("evaluate/vae-a/metrics.json", "evaluate@vae-a"),
            ("compare/anomalies/scores.json", "compare"),
            ("compare/scores/scores.json", "compare"),
            ("compare/scores/agreement.json", "compare"),
            ("compare/clusters/scores.json", "compare"),
            ("compare/denoising/scores.json", "compare"),
            ("compare/compression/scores.json", "compare"),
        ],
    )
    def test_what_is_missing_is_one_line_that_names_the_stage_to_run(self, project, path, stage):
        (project / "out" / path).unlink()
        message = error_of(project)
        assert message.endswith(f"run `dvc repro {stage}`")
        assert message.count("run `") == 1
        assert f"out/{path}".removesuffix("/manifest.json" if "checkpoint" in path else "") in message

    @pytest.mark.parametrize(
        "name",
        [
            "train/vae-a/lineage.json",
            "evaluate/vae-a/metrics.json",
            "evaluate/vae-a/latents.json",
            "compare/anomalies/scores.json",
        ],
    )
    def test_a_torn_file_is_one_line_that_names_it(self, project, name):
        path = project / "out" / name
        path.write_text(path.read_text()[:40])
        assert f"out/{name}" in error_of(project)

    def test_a_torn_picture_is_one_line_that_names_it(self, project):
        path = project / "out" / "evaluate" / "vae-a" / "samples.png"
        path.write_bytes(path.read_bytes()[:-5])
        assert "out/evaluate/vae-a/samples.png" in error_of(project)

    def test_a_torn_animation_is_one_line_that_names_it(self, project):
        path = project / "out" / "evaluate" / "vae-a" / "training.gif"
        path.write_bytes(path.read_bytes()[:-5])
        assert "out/evaluate/vae-a/training.gif: not a whole GIF" in error_of(project)

    def test_numbers_of_another_checkpoint_are_refused(self, project):
        write(project, "train/vae-a/checkpoint/manifest.json", "{}")
        assert "dvc repro evaluate@vae-a" in error_of(project)

    def test_a_run_of_other_data_is_refused(self, project):
        path = project / "out" / "data" / DATA / "manifest.json"
        write(project, f"data/{DATA}/manifest.json", json.loads(path.read_text()) | {"sha256": sha("new")})
        assert "dvc repro sweep@gmm-a" in error_of(project)

    def test_a_removed_run_s_lingering_folders_are_ignored(self, project):
        list_runs(project, {key: model for key, model in RUNS.items() if key != "realnvp-a"})
        write(project, "compare/scores/agreement.json", [agreement_of({"gmm-a": 0.5, "vae-a": 0.75})])
        for part in ("anomalies", "scores", "clusters", "compression"):
            path = project / "out" / "compare" / part / "scores.json"
            write(
                project,
                f"compare/{part}/scores.json",
                [r for r in json.loads(path.read_text()) if r["run"] != "realnvp-a"],
            )
        report.main([])
        assert "realnvp-a" not in (project / "reports" / "index.html").read_text()
        assert "realnvp-a" not in (project / "reports" / "leaderboard.json").read_text()

    def test_scores_of_a_removed_run_ask_for_their_stage(self, project):
        list_runs(project, {key: model for key, model in RUNS.items() if key != "realnvp-a"})
        assert "run `dvc repro compare`" in error_of(project)

    def test_a_new_run_without_scores_asks_for_their_stage(self, project):
        list_runs(project, {**RUNS, "gmm-b": "gmm"})
        finish(project, "gmm-b", "gmm", METRICS["gmm-a"])
        assert "no scores of the run gmm-b: run `dvc repro compare`" in error_of(project)
