"""Every conf/model through the whole graph: swept, trained, evaluated, registered, scored, clustered, on the page.

A new conf file is covered when it is there: what its run must have follows from the capabilities of what it builds.
"""

import json
import math
import os
import re
import signal
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml

from gen_models.build import build_model
from gen_models.contracts import capabilities
from gen_models.errors import ConfigError
from pipelines.config.compose import compose, family_of
from pipelines.data import add_data
from pipelines.data.checks import grey_levels
from pipelines.data.densities import LOG_DENSITIES
from pipelines.registry.model_page import warnings
from pipelines.registry.upload import numbers_in
from tests.project import HERE, candidates, make_project, params_of, start, write_params

pytestmark = pytest.mark.slow
MODELS = sorted(path.stem for path in (HERE / "conf" / "model").glob("*.yaml"))
ANOMALIES = "digits_normal"  # what is scored for anomalies and clustered, and most models take
MADE_FOR = {  # other data, seen as well
    "scalar_flow": "bimodal",
    "ffjord": "two_moons",
    "spline_flow": "two_moons",
    "table_vae": "orders",
}
CHAPTER = {
    line["model"]: line["data"]
    for line in yaml.safe_load((HERE / "chapter" / "params.yaml").read_text())["sweeps"].values()
}
OWN = "orders"  # a table of numbers, flags, words and missing cells, written here
ROWS = 1200  # of a toy
BUDGET = {"steps": 30, "trial_steps": 10, "trials": 1, "reports": 2, "checkpoints": 1}
SECONDS = 3600  # for the whole graph, on two cores that have other work
PROMISES = {
    "density": {"nats", "nats_error"},
    "bound": {"nats", "nats_error", "nats_iw50"},
    "reconstructor": {"mse"},
    "sampler": {
        *("mmd2", "mmd2_floor", "c2st_accuracy", "c2st_accuracy_floor", "memorisation"),
        *("precision", "recall", "density", "coverage", "recall_floor", "coverage_floor"),
    },
}
SCORES = {"density": "nll", "bound": "neg_elbo", "reconstructor": "reconstruction", "critic": "critic"}


@dataclass(frozen=True)
class Line:
    """A run of the graph, and what its model can do."""

    key: str
    model: str
    family: str
    data: str
    levels: int | None  # of grey; None for a table
    event_shape: tuple[int, ...]
    is_binary: bool  # whether its likelihood is of pixels that are 0 or 1
    offers: tuple[str, ...]


class Graph(NamedTuple):
    """A project's folder after `dvc repro`, {model: its runs}, and what went wrong in words."""

    folder: Path
    lines: dict[str, list[Line]]
    failures: str


def line_of(model: str, data: str) -> Line:
    """Raises ConfigError if the model does not take rows of that shape."""
    conf = compose(model, data, "tiny")
    event_shape, levels = tuple(conf["data"]["event_shape"]), grey_levels(conf["data"])
    offers = capabilities(build_model(conf["model"], 0))
    is_binary = "bernoulli" in str(conf["model"].get("likelihood"))
    return Line(f"{model}-{data}", model, family_of(conf), data, levels, event_shape, is_binary, offers)


def lines_of(model: str) -> list[Line]:
    """The model on digits, if it takes them, and on the data that it is made for; else on those of its chapter line."""
    lines = []
    with suppress(ConfigError):
        lines.append(line_of(model, ANOMALIES))
    if model in MADE_FOR:
        lines.append(line_of(model, MADE_FOR[model]))
    if not lines:
        lines.append(line_of(model, CHAPTER[model]))
    return lines


def write_table(path: Path) -> None:
    """A table with a column of each kind."""
    rng = np.random.default_rng(0)
    shops, amounts = rng.choice(["north", "south", "online"], ROWS), rng.gamma(2, 20, ROWS)
    ages = [str(age) if age % 9 else "" for age in rng.integers(18, 90, ROWS)]
    lines = [
        f"{number},{amount:.2f},{'yes' if amount > 30 else 'no'},{shop},{age},{'retail' if amount < 50 else 'trade'}"
        for number, (amount, shop, age) in enumerate(zip(amounts, shops, ages, strict=True), start=1000)
    ]
    path.parent.mkdir()
    path.write_text("\n".join(["order_id,amount,paid,shop,age,buyer", *lines]) + "\n")


@pytest.fixture(scope="module")
def graph(tmp_path_factory) -> Graph:
    """The graph of them all; a stage that fails does not keep the others from running."""
    folder = make_project(tmp_path_factory.mktemp("every") / "project", budget=BUDGET)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_MODELS_ROOT", str(folder))
        write_table(folder / "own" / "orders.csv")
        add_data.main([OWN, str(folder / "own" / "orders.csv"), "--label", "buyer"])
        for name in set(MADE_FOR.values()):
            conf = folder / "conf" / "data" / f"{name}.yaml"
            conf.write_text(re.sub(r"rows: \d+", f"rows: {ROWS}", conf.read_text()))
        lines = {model: lines_of(model) for model in MODELS}
    sweeps = {first.key: (first.model, first.data) for first, *_ in lines.values()}
    reuses = {line.key: (line.model, line.data, first.key) for first, *others in lines.values() for line in others}
    params = params_of(sweeps, reuses, files={OWN: "own/orders.csv"})
    write_params(folder, {**params, "data": [name for name in params["data"] if name != OWN]})
    repro = start(folder, "dvc", "repro", "--keep-going")
    try:
        code = repro.wait(SECONDS)
    finally:
        if repro.poll() is None:
            os.killpg(repro.pid, signal.SIGKILL)
    log = (folder.parent / f"{folder.name}.log").read_text()
    failures = "\n".join(re.findall(r".*(?:rror: |failed to reproduce).*", log)) or f"dvc repro ended with {code}"
    return Graph(folder, lines, failures if code else "")


def read(path: Path):
    return json.loads(path.read_text())


def test_no_stage_failed(graph):
    assert graph.failures == ""


def test_no_stage_imported_what_its_fingerprint_leaves_out(graph):
    log = (graph.folder.parent / f"{graph.folder.name}.log").read_text()
    assert not re.findall(r".*(?:left out of|leaves it out).*", log)


@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_evaluated_as_its_capabilities_promise(graph, model):
    for line in graph.lines[model]:
        folder = graph.folder / "out" / "evaluate" / line.key
        numbers = read(folder / "metrics.json")
        promised = set().union(*(PROMISES.get(name, set()) for name in line.offers))
        promised |= {"rate_nats"} if "bound" in line.offers else set()
        if line.is_binary:
            promised = {"binary_nats", "binary_nats_pixels"} | promised - PROMISES["bound"]
        elif {"density", "bound"} & set(line.offers):
            promised |= {"bits_per_dim"} if line.levels else set()
            promised |= {"gap_nats"} if line.data in LOG_DENSITIES else set()
        if "sampler" in line.offers and len(line.event_shape) == 3:
            promised |= {"frechet", "frechet_floor"}
        assert promised <= set(numbers), line.key
        assert all(math.isfinite(numbers[name]) for name in promised), line.key
        assert {path.stem for path in folder.glob("*.png")} >= pictures_of(line), line.key


def pictures_of(line: Line) -> set[str]:
    """Those of a model that is told by its capabilities alone."""
    offers, is_image = set(line.offers), len(line.event_shape) == 3
    expected = {"samples"} if "sampler" in offers else set()
    if is_image:
        expected |= {"temperatures"} if "temperature" in offers else set()
        expected |= {"reconstructions"} if "reconstructor" in offers else set()
        expected |= {"interpolation"} if {"encoder", "decoder"} <= offers else set()
        expected |= {"traversal"} if "reconstructor" in offers and not line.model.startswith("vq_vae") else set()
    if {"density", "encoder", "decoder"} <= offers and line.levels is None:
        expected |= {(1,): {"flow"}, (2,): {"latent_flow"}}.get(line.event_shape, set())
    return expected


@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_registered_and_its_champion_answers(graph, model):
    with sqlite3.connect(graph.folder / "mlflow.db") as store:
        aliases = store.execute("select name, alias from registered_model_aliases").fetchall()
    for line in graph.lines[model]:
        assert candidates(graph.folder)[line.key] == "1"
        folder = graph.folder / "out" / "evaluate" / line.key
        latents = read(folder / "latents.json") if (folder / "latents.json").is_file() else {}
        is_collapsed = any("Collapsed" in said for said in warnings(numbers_in(read(folder / "metrics.json")), latents))
        expected = {"candidate"} if is_collapsed else {"candidate", "champion"}
        assert {alias for name, alias in aliases if name == line.key} == expected, line.key


@pytest.mark.parametrize("model", MODELS)
def test_a_model_that_can_score_is_scored_on_anomalies(graph, model):
    """A density by its exact likelihood, a bound by its bound, and so on, each by all that it offers."""
    rows = read(graph.folder / "out" / "compare" / "anomalies" / "scores.json")
    for line in graph.lines[model]:
        found = {row["score"]: row["auroc"] for row in rows if row["run"] == line.key}
        expected = {score for name, score in SCORES.items() if name in line.offers and line.data == ANOMALIES}
        expected |= {"inversion"} if line.family == "adversarial" and line.data == ANOMALIES else set()
        assert expected <= set(found), line.key
        assert all(0 <= area <= 1 for area in found.values()), line.key


@pytest.mark.parametrize("model", MODELS)
def test_an_encoder_is_clustered(graph, model):
    rows = read(graph.folder / "out" / "compare" / "clusters" / "scores.json")
    clustered = {row["run"] for row in rows if row["space"] == "latent"}
    for line in graph.lines[model]:
        assert (line.key in clustered) == ("encoder" in line.offers), line.key


@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_on_the_page_with_its_pictures(graph, model):
    page = (graph.folder / "reports" / "index.html").read_text()
    pictures = {path.name: path.read_text() for path in (graph.folder / "reports").glob("pictures-*.html")}
    board = {row["run"] for row in read(graph.folder / "reports" / "leaderboard.json")["runs"]}
    for line in graph.lines[model]:
        assert f'id="card-{line.key}"' in page
        assert line.key in board
        for name in pictures_of(line):
            assert re.search(rf'alt="[^"]+ of {line.key}"', pictures[f"pictures-{line.data}.html"]), (line.key, name)
