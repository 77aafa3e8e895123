"""A project as a person has it who follows README.md and docs/, with the files that their pages take for granted."""

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits

from tests.project import HERE, environment, make_project

BUDGET = {"steps": 60, "trial_steps": 10, "trials": 1, "reports": 2, "checkpoints": 1}
SECONDS = 1800  # for one command, on two cores that have other work
SERVER_SECONDS = 90  # for a server to answer; it does in about ten
ALSO = ("README.md", "Makefile", "install.py", "benchmarks", "docs")
FACTORS = re.compile(r"`(beta_vae-factors: \{.*?\})`")  # the line that docs/latents.md adds


def make(folder: Path, lines: Sequence[str]) -> Path:
    """Return a copy of the repository whose params.yaml keeps these lines of its own, with a tiny budget.

    Its .venv is that of this Python, so that make installs nothing.
    """
    root = make_project(folder, budget=BUDGET)
    text = (HERE / "params.yaml").read_text().replace("budget: quick", "budget: tiny", 1)
    data = {re.search(rf"^  {line}: .*data: (\w+)", text, re.MULTILINE)[1] for line in lines}  # type: ignore[index]
    unused = re.compile(r"^  ([\w-]+): \{model: .*\n|^- (\w+)\n", re.MULTILINE)
    text = unused.sub(lambda found: found[0] if found[1] in lines or found[2] in data else "", text)
    text = re.sub(
        r"^(reuses: &reuses)\n(?=\n)", r"\1 {}\n", re.sub(r"^  # These are.*\n", "", text, flags=re.M), flags=re.M
    )
    (root / "params.yaml").write_text(text)
    for name in ALSO:
        if (HERE / name).is_dir():
            shutil.copytree(HERE / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(HERE / name, root / name)
    (root / ".venv").mkdir()
    for name in ("bin", "include", "lib", "lib64", "pyvenv.cfg"):
        if (Path(sys.prefix) / name).exists():
            (root / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    (root / ".venv" / ".installed").touch()
    for words in (("config", "user.name", "test"), ("config", "user.email", "test@example.org"), ("add", "-A")):
        subprocess.run(["git", *words], cwd=root, check=True)
    subprocess.run(["git", "commit", "-q", "-m", "the repository"], cwd=root, check=True)
    write_inputs(root)
    return root


def write_inputs(root: Path) -> None:
    """Write what the pages' commands read: clients.csv and its rows of May, images, and rows of digits."""
    digits = load_digits().images
    noise = np.random.default_rng(0).normal(size=digits.shape)
    np.save(root / "rows.npy", digits[:20, None].astype(np.uint8))
    np.save(root / "noisy.npy", (digits + 2 * noise)[:20, None])
    table = load_breast_cancer(as_frame=True).data.iloc[:, :6].round(3)
    table.columns = ["age", "visits", "spent", "saved", "score", "trend"]
    table.insert(0, "id", range(1000, 1000 + len(table)))
    table.to_csv(root / "clients.csv", index=False)
    may = table.head(40).copy()
    may.loc[:2, "spent"] *= 50  # three clients who are like nobody before
    may.to_csv(root / "clients_of_may.csv", index=False)
    write_images(root / "photos", digits[:300])
    write_images(root / "new_photos", [*digits[300:310], *(8 + 8 * np.sign(noise[:4]))])  # four of pure noise


def train(root: Path, by_hand: Sequence[str]) -> None:
    """Run the graph, and make runs champion that are too short for the gate of the registry."""
    run(root, "make repro")
    for key in by_hand:
        run(root, f"gen-models promote {key} candidate --reason 'a tiny budget'")


def before(root: Path, page: str) -> None:
    """Bring the trained project into the state in which a person reads the page, of which nothing is done yet."""
    write_inputs(root)
    if (root / "conf" / "data" / "clients.yaml").exists():
        run(root, "gen-models remove-data clients")
    if page == "docs/registry.md":
        for sigma in (0.15, 0.2, 0.3)[versions(root) - 1 :]:
            set_in_line(root, f"model.sigma: {sigma}")
            run(root, "gen-models play && dvc repro register")
        run(root, "gen-models promote vae-digits 1 --reason 'the first'")


def versions(root: Path) -> int:
    """Return how many versions vae-digits has in the registry."""
    with sqlite3.connect(root / "mlflow.db") as store:
        return store.execute("select count(*) from model_versions where name = 'vae-digits'").fetchone()[0]


def add_factors(root: Path) -> None:
    """Write the line of docs/latents.md, and its data set, into params.yaml."""
    line = FACTORS.search((HERE / "docs" / "latents.md").read_text())[1]  # type: ignore[index]
    edit(root, r"^sweeps: .*\n", rf"\g<0>  {line}\n")
    edit(root, r"^data:.*\n", r"\g<0>- factors\n")


def set_in_line(root: Path, setting: str) -> None:
    """Write what the line of vae-digits sets into params.yaml."""
    edit(root, r"^  vae-digits: .*\n", f"  vae-digits: {{model: vae, data: digits, set: {{{setting}}}}}\n")


def edit(root: Path, pattern: str, after: str) -> None:
    """Replace the one place of params.yaml that matches."""
    text, count = re.subn(pattern, after, (root / "params.yaml").read_text(), count=1, flags=re.MULTILINE)
    assert count == 1, pattern
    (root / "params.yaml").write_text(text)


def write_images(folder: Path, images: Sequence[np.ndarray]) -> None:
    """Write images of levels 0 .. 16 as PNG files."""
    folder.mkdir(exist_ok=True)
    for k, image in enumerate(images):
        Image.fromarray((image * 15).astype(np.uint8)).save(folder / f"{k:03}.png")


def as_typed(root: Path, text: str, exports: Sequence[str] = ()) -> dict:
    """Return what subprocess needs to run a command as a shell of the project's folder does, at home beside it.

    exports: the lines of `export` that were typed before
    """
    home = root.parent / "home"
    home.mkdir(exist_ok=True)
    kept = {**environment(root), "HOME": str(home), "PYTHON": "false"}
    return {"args": ["bash", "-c", "\n".join([*exports, text])], "cwd": root, "env": kept, "stdin": subprocess.DEVNULL}


def run(root: Path, text: str, exports: Sequence[str] = ()) -> str:
    """Run a command, which must succeed without a traceback, and return what it says."""
    with subprocess.Popen(
        **as_typed(root, text, exports),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as started:
        try:
            said, _ = started.communicate(timeout=SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
    assert started.returncode == 0 and "Traceback" not in said, f"{text}\n{said[-4000:]}"
    for done, total in re.findall(r"(\d+)/(\d+) rows", said):
        assert int(done) <= int(total), f"{text}\n{said[-4000:]}"
    return said


class Server:
    """A command that serves until it is ended: started, and waited for until its address answers."""

    def __init__(self, root: Path, text: str, address: str):
        self._address, self.log = address, root.parent / f"{root.name}.server"
        with self.log.open("wb") as file:
            self._process = subprocess.Popen(**as_typed(root, text), stdout=file, stderr=file, start_new_session=True)
        deadline = time.monotonic() + SERVER_SECONDS
        while not answers(address) and time.monotonic() < deadline and self._process.poll() is None:
            time.sleep(0.3)
        self.is_up: bool = self._process.poll() is None and answers(address)

    def end(self) -> None:
        """Kill it and all that it has started, and wait until its port is free."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        deadline = time.monotonic() + SERVER_SECONDS
        while is_taken(self._address) and time.monotonic() < deadline:
            time.sleep(0.1)


def answers(address: str) -> bool:
    """Return whether there is a page at the address."""
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def is_taken(address: str) -> bool:
    """Return whether a program listens at the address's port already."""
    host, port = re.search(r"//([\d.]+):(\d+)", address).groups()  # type: ignore[union-attr]
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, int(port)))
        except OSError:
            return True
    return False


def scores(path: Path) -> pd.DataFrame:
    """Return the answer of a command, with empty cells as empty texts."""
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, keep_default_na=False)
