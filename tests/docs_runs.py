"""What each command of README.md and docs/ does that tests/test_docs_commands.py runs as it is typed, page by page."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.docs_project import add_factors, scores, set_in_line
from tests.project import HERE


class Does(NamedTuple):
    """What a command of a page must do.

    writes: files that it makes; they are removed before it runs
    leaves: files that are there after it
    says: a regular expression that its output contains
    serves: the address at which it serves until it is ended; it is ended after the page
    before: a function of the project's folder that does what the page says to do before it
    check: a function of the project's folder and the output; asserts what else the page says
    """

    writes: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    says: str = ""
    serves: str = ""
    before: Callable[[Path], None] | None = None
    check: Callable[[Path, str], None] | None = None


def is_decided(name: str) -> Callable[[Path, str], None]:
    """A row is an anomaly where its p-value says so, and a called row has a reason."""

    def check(root: Path, said: str) -> None:
        found = scores(root / name)
        assert {"anomaly", "normal"} == set(found["decision"]), found
        assert (found.loc[found["decision"] == "anomaly", "reason"] != "").all()

    return check


def names_the_column(root: Path, said: str) -> None:
    is_decided("may.csv")(root, said)
    found = scores(root / "may.csv").sort_values("rank")
    assert set(found["id"][:3]) == {1000, 1001, 1002} and "spent" in found["reason"].iloc[0]


def explains(root: Path, said: str) -> None:
    names_the_column(root, said)
    assert "calibration:" in (root / "conf" / "data" / "clients.yaml").read_text()
    assert len(scores(root / "why.csv")) > 3


def same_rows(root: Path, said: str) -> None:
    assert np.load(root / "draws.npy").shape == (16, 1, 8, 8)


def latents(root: Path, said: str) -> None:
    assert np.load(root / "latents.npy").shape[0] == len(np.load(root / "rows.npy"))


def decoded(root: Path, said: str) -> None:
    assert np.load(root / "decoded.npy").shape == np.load(root / "rows.npy").shape


def is_taken_back(root: Path, said: str) -> None:
    assert "clients" not in (root / "params.yaml").read_text()
    assert not (root / "conf" / "data" / "clients.yaml").exists()


def adds_clients(root: Path, said: str) -> None:
    assert re.search(r"^  gmm-clients: ", (root / "params.yaml").read_text(), re.MULTILINE)


def adds_nothing(root: Path, said: str) -> None:
    assert not (root / "conf" / "data" / "clients.yaml").exists()
    assert all(re.search(rf"\b{name}\b", said) for name in ("id", "age", "spent"))


def same_pictures(root: Path, said: str) -> None:
    for name in ("bilinear.png", "quadratic.png"):
        place = Path("docs") / "pictures" / "games" / name
        assert (root / place).read_bytes() == (HERE / place).read_bytes(), name


def has_a_token(root: Path, said: str) -> None:
    assert (root.parent / "home" / ".ray" / "auth_token").is_file()


def counts_latents(root: Path, said: str) -> None:
    found = json.loads(said)
    assert len(found["kl_nats"]) == len(found["activity"]) == 16


GRAPH = ("reports/index.html", "live/index.html", "mlflow.db", "out/evaluate/vae-digits/metrics.json")
MAKES = Does(leaves=(*GRAPH, "out/evaluate/gmm-clients/metrics.json"), check=adds_clients)
INSPECTS = Does(writes=("work/inspect/clients.png",), check=adds_nothing)
ADDS = Does(writes=("conf/data/clients.yaml",), check=adds_clients)
COMPARED = ("out/compare/metrics/vae-digits.json", "out/compare/curves/vae-digits.csv")
MLFLOW = "http://127.0.0.1:5000"

DEFAULT = {  # pages of the default runs, and of people's own data
    "README.md": {
        "make repro": Does(leaves=GRAPH),
        "make ui": Does(serves=MLFLOW, says="/#/models"),
        "source .venv/bin/activate": Does(),
        "make repro RUNS=vae-digits": Does(
            leaves=("out/evaluate/vae-digits/metrics.json", "out/report/index.html"), says="vae-digits: "
        ),
        "gen-models list": Does(says=r"bernoulli_vae"),
        "gen-models inspect clients.csv": INSPECTS,
        "gen-models add-data clients clients.csv": ADDS,
        "make repro RUNS=gmm-clients": Does(
            leaves=("out/evaluate/gmm-clients/metrics.json", "out/report/index.html"), says="gmm-clients: "
        ),
        "gen-models score gmm-clients clients_of_may.csv --fpr 0.01 --output may.csv": Does(
            writes=("may.csv", "may.png"), check=names_the_column
        ),
        "gen-models predict vae-digits rows.npy --task encode --output latents.npy": Does(
            writes=("latents.npy",), check=latents
        ),
        "gen-models predict vae-digits latents.npy --task decode --output decoded.npy": Does(
            writes=("decoded.npy",), check=decoded
        ),
        "gen-models sample glow-digits --n 16 --temperature 0.7 --output draws.npy": Does(
            writes=("draws.npy",), check=same_rows
        ),
        "gen-models denoise denoising_ae-digits noisy.npy --output clean.npy": Does(writes=("clean.npy",)),
        "gen-models compress vae-digits rows.npy --output rows.gmc": Does(
            writes=("rows.gmc",), says="lossless|bits_back"
        ),
        "gen-models preflight": Does(says=r"^ok +cluster"),
    },
    "docs/anomalies.md": {
        "source .venv/bin/activate": Does(),
        "gen-models add-data clients clients.csv": ADDS,
        "make repro": MAKES,
        "gen-models score gmm-clients clients_of_may.csv --fpr 0.01 --output may.csv --explain why.csv": Does(
            writes=("may.csv", "may.png", "why.csv"), check=explains
        ),
        "gen-models score vae-photos new_photos/ --fdr 0.1 --output photos.parquet": Does(
            writes=("photos.parquet", "photos.png"), check=is_decided("photos.parquet")
        ),
        "gen-models drift gmm-clients clients_of_may.csv": Does(
            writes=("drift/gmm-clients.csv", "drift/gmm-clients.png")
        ),
        "gen-models stability gmm-clients": Does(says="by all trainings, [0-9]+ by at least one"),
        "mlflow models serve -m models:/gmm-clients@champion --env-manager local --port 5002": Does(
            serves="http://127.0.0.1:5002/ping"
        ),
    },
    "docs/architecture.md": {
        "gen-models train vae-digits": Does(leaves=("out/train/vae-digits/checkpoint/manifest.json",)),
        "gen-models estimate": Does(says="vae-digits"),
        "dvc repro": Does(leaves=GRAPH),
    },
    "docs/data.md": {
        "gen-models inspect clients.csv": INSPECTS,
        "gen-models add-data clients clients.csv": ADDS,
        "source .venv/bin/activate": Does(),
        "make repro RUNS=gmm-clients": Does(
            leaves=("out/evaluate/gmm-clients/metrics.json", "out/report/index.html"), says="gmm-clients: "
        ),
        "gen-models predict gmm-clients clients_of_may.csv --output scores.csv": Does(writes=("scores.csv",)),
        "gen-models predict gmm-clients clients_of_may.csv --task cluster --output clusters.csv": Does(
            writes=("clusters.csv",)
        ),
        "gen-models remove-data clients": Does(check=is_taken_back),
    },
    "docs/denoising.md": {
        "gen-models denoise denoising_ae-digits@champion noisy.npy --output clean.npy": Does(writes=("clean.npy",)),
    },
    "docs/cluster.md": {
        "ray get-auth-token --generate": Does(check=has_a_token),
        "export RAY_AUTH_MODE=token": Does(),
    },
    "docs/games.md": {
        "gen-models games docs/pictures/games": Does(
            writes=("docs/pictures/games/bilinear.png", "docs/pictures/games/quadratic.png"), check=same_pictures
        ),
    },
    "docs/latents.md": {
        "gen-models evaluate vae-digits": Does(leaves=("out/evaluate/vae-digits/latents.json",), says="latents"),
        "cat out/evaluate/vae-digits/latents.json": Does(check=counts_latents),
        "gen-models ui": Does(serves=MLFLOW, says="/#/models"),
        "make repro RUNS=beta_vae-factors": Does(
            before=add_factors, leaves=("out/evaluate/beta_vae-factors/latents.json",), says="beta_vae-factors: "
        ),
    },
}
VERSIONS = {  # pages of one run and its versions
    "docs/experiments.md": {
        "dvc metrics show": Does(says=r"vae-digits\.json"),
        "dvc metrics diff HEAD": Does(says=r"vae-digits\.json"),
        "dvc plots show": Does(writes=("dvc_plots/index.html",)),
        "dvc exp show": Does(says="criterion"),
        "dvc exp run -S seed=1": Does(says="Ran experiment"),
        "dvc exp run": Does(before=lambda root: set_in_line(root, "model.beta: 4"), says="Ran experiment"),
        "dvc exp apply NAME": Does(says="Changes for experiment"),
        "gen-models register": Does(says="vae-digits: "),
        "gen-models play": Does(),
    },
    "docs/registry.md": {
        'gen-models promote vae-digits 4 --reason "the new split is the one to use"': Does(
            says=r"champion is version 4 \(was 1\)"
        ),
        'gen-models rollback vae-digits --reason "misses the sevens"': Does(says=r"champion is version 1 \(was 4\)"),
        'gen-models rollback vae-digits --to 2 --reason "the last one that the app can load"': Does(
            says=r"champion is version 2 \(was 1\)"
        ),
        "gen-models lineage models:/vae-digits@champion": Does(says="equal"),
        "gen-models versus models:/vae-digits@champion models:/vae-digits/3": Does(says="95%"),
        "gen-models versus vae-digits gmm-digits --metric nats": Does(says="95%"),
    },
    "docs/mlflow.md": {
        "gen-models register": Does(says="vae-digits: "),
        "gen-models ui --port 5001": Does(serves="http://127.0.0.1:5001", says="/#/models"),
        "make server": Does(
            serves=MLFLOW, says="export MLFLOW_TRACKING_URI=http://127.0.0.1:5000", leaves=("server/mlflow.db",)
        ),
        "export MLFLOW_TRACKING_URI=http://127.0.0.1:5000": Does(),
        "gen-models report": Does(leaves=("reports/index.html",)),
    },
}
RUNS = DEFAULT | VERSIONS
