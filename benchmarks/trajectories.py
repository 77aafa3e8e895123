"""Checks that a refactoring changes no number: trains every conf for a few minibatches, before and after, and compares.

    python -m benchmarks.trajectories write FILE          train every conf/model for a few minibatches; write the hashes
    python -m benchmarks.trajectories compare FILE        train again, print what differs; exit code 1 if anything does
    python -m benchmarks.trajectories checkpoints FOLDER  print hashes of the answers of every checkpoint below FOLDER
    python -m benchmarks.trajectories leaderboards A B    compare two leaderboard.json, without hashes of code, commits

Numbers are equal bit for bit only on the same kind of processor with the same versions of libraries: FILE says which.
"""

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import rows
from gen_models.build import build_model
from gen_models.checkpoint import load_model
from gen_models.contracts import Bound, Critic, Decoder, Density, Encoder, Reconstructor, Sampler
from gen_models.errors import ConfigError
from gen_models.evaluating import evaluating
from gen_models.noise import Noise
from pipelines.config.compose import compose
from pipelines.config.conf_files import data_conf, names
from pipelines.data.prepare import prepare
from pipelines.runtime import paths
from pipelines.training.task import task_of
from pipelines.training.trainer import train_or_diverge

STEPS = 40
BUDGET = {"reports": 4, "checkpoints": 2}
SUITS = ("digits", "two_moons", "bimodal", "ring8", "diabetes")  # the first whose rows a model takes
ROWS = 32  # that a checkpoint is asked about
NOT_NUMBERS = ("code_sha256", "key", "git_commit", "mlflow", "family", "columns")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.trajectories",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("act", choices=("write", "compare", "checkpoints", "leaderboards"))
    parser.add_argument("paths", nargs="+", type=Path)
    asked = parser.parse_args()
    if asked.act == "checkpoints":
        print(json.dumps(answers(asked.paths[0]), indent=1))
    elif asked.act == "leaderboards":
        _tell(*(numbers_of(json.loads(path.read_text())) for path in asked.paths))
    elif asked.act == "write":
        asked.paths[0].write_text(json.dumps(trajectories(), indent=1, sort_keys=True) + "\n")
    else:
        _tell(json.loads(asked.paths[0].read_text()), trajectories())


def trajectories() -> dict[str, Any]:
    """Train every conf/model for a few minibatches, and return the hashes.

    Returns {"machine": the processor and versions, "data": {name: sha256}, "confs": {"MODEL-DATA": as `trajectory`}}.
    """
    torch.set_num_threads(1)
    found: dict[str, Any] = {"machine": {"device": rows.device(), **rows.versions()}, "data": {}, "confs": {}}
    for name in SUITS:
        folder = _fresh("data", name)
        prepare(folder, name, data_conf(name), 0)
        found["data"][name] = json.loads((folder / "manifest.json").read_text())["sha256"]
    for model in names("model"):
        data = suited(model)
        found["confs"][f"{model}-{data}"] = trajectory(model, data)
        print(f"{model} on {data}", file=sys.stderr, flush=True)
    return found


def suited(model: str) -> str:
    """Return the first data set of SUITS for which a conf can be built. Raises ConfigError if there is none."""
    for name in SUITS:
        try:
            build_model(compose(model, name, "quick")["model"], 0)
        except ConfigError:
            continue
        return name
    raise ConfigError(f"conf/model/{model}.yaml takes none of {', '.join(SUITS)}; add the data that it is made for")


def trajectory(model: str, data: str) -> dict[str, Any]:
    """Train a model for STEPS minibatches; return {"conf", "last", "files"}.

    conf is the hash of the configuration, last the metrics of the last report, and files has the hashes of the history,
    the samples and the weights in both checkpoints, by path.
    """
    conf = compose(model, data, "quick")
    conf["budget"] |= BUDGET
    folder = _fresh("runs", f"{model}-{data}")
    task = task_of(conf, _work("data", data), seed=0, steps=STEPS, folder=folder, is_trial=False)
    last = list(train_or_diverge(task))[-1]
    return {
        "conf": _sha256(json.dumps(conf, sort_keys=True).encode()),
        "last": last.metrics,
        "files": {
            path.relative_to(folder).as_posix(): _sha256(path.read_bytes())
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix in (".jsonl", ".npy", ".safetensors")
        },
    }


def answers(folder: Path) -> dict[str, dict[str, str]]:
    """Return {checkpoint: {method: hash of what it returns}} for the checkpoints below a folder.

    The methods, such as log_prob and sample, are called on ROWS random rows, which are the same each time.
    """
    torch.set_num_threads(1)
    return {
        path.parent.relative_to(folder).as_posix(): dict(_asked(load_model(path.parent), path.parent))
        for path in sorted(folder.rglob("model.yaml"))
    }


def _asked(model: Any, folder: Path) -> Iterator[tuple[str, str]]:
    import yaml

    spec = yaml.safe_load((folder / "model.yaml").read_text())
    levels, shape = spec.get("levels"), tuple(spec["event_shape"])
    draws = torch.rand(ROWS, *shape, generator=torch.Generator().manual_seed(0))
    x = (draws * (levels - 1)).round() if levels else 2 * draws - 1
    noise = Noise(0)
    with evaluating(model):
        if isinstance(model, Density):
            yield "log_prob", _hash(model.log_prob(x))
        if isinstance(model, Bound):
            yield "elbo", _hash(model.elbo(x, noise))
        if isinstance(model, Encoder):
            z = model.encode(x)
            yield "encode", _hash(z)
            if isinstance(model, Decoder):
                yield "decode", _hash(model.decode(z))
        if isinstance(model, Reconstructor):
            yield "reconstruct", _hash(model.reconstruct(x))
        if isinstance(model, Critic):
            yield "criticise", _hash(model.criticise(x))
        if isinstance(model, Sampler):
            yield "sample", _hash(model.sample(ROWS, noise))


def numbers_of(board: Any) -> Any:
    """Return the content of a leaderboard.json without the keys NOT_NUMBERS, and with each list sorted.

    So two leaderboards can be compared if the code, the commit or the order of the runs differs.
    """
    if isinstance(board, dict):
        return {key: numbers_of(value) for key, value in board.items() if key not in NOT_NUMBERS}
    if isinstance(board, list):
        return sorted((numbers_of(value) for value in board), key=lambda value: json.dumps(value, sort_keys=True))
    return board


def differences(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """Yield a line for each place where two trees of JSON differ; NaN equals NaN. where: the beginning of each line"""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            if key not in before or key not in after:
                yield f"{where}{key}: only {'after' if key in after else 'before'}"
            else:
                yield from differences(before[key], after[key], f"{where}{key}: ")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, f"{where}{index}: ")
    elif before != after and not (before != before and after != after):
        yield f"{where}{str(before)[:60]} before, {str(after)[:60]} after"


def _tell(before: Any, after: Any) -> None:
    found = list(differences(before, after))
    for line in found:
        print(line)
    if found:
        sys.exit(1)
    print("equal")


def _work(*parts: str) -> Path:
    return paths.work("trajectories", *parts)


def _fresh(*parts: str) -> Path:
    folder = _work(*parts)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _hash(values: torch.Tensor) -> str:
    return _sha256(np.ascontiguousarray(values.detach().numpy()).tobytes())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main()
