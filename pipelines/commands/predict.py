"""predict and sample: ask a registered model, or a checkpoint folder, without a server.

    gen-models predict vae-digits@champion rows.npy --task score --output scores.csv
    gen-models sample vae-digits --n 64 --output digits.npy
    gen-models sample glow-digits --n 64 --temperature 0.7

A registered version's files are verified by sha256 and only its checkpoint is read: no stored code runs.
Rows come from .npy, (rows, D) or (rows, *event), or from .csv with one header line, or .parquet; numbers as stored.
A model of a table takes its columns by their names, in whatever order they come and whatever stands beside them.
"""

import argparse
import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from jaxtyping import Float
from torch import Tensor

from gen_models.checkpoint import MANIFEST, load_model
from gen_models.errors import DataError, RegistryError
from pipelines import tracking
from pipelines.data.sources import csv_file, parquet_file
from pipelines.registry import serving, versions
from pipelines.runtime.stage import run

INPUTS = (".npy", ".csv", ".parquet")
OUTPUTS = (".npy", ".csv")
LARGEST = float(np.finfo(np.float32).max)
MODEL = "a registered model, NAME[@ALIAS or @VERSION] (default: @champion), or a checkpoint's folder"


def main(argv: Sequence[str]) -> None:
    """predict MODEL INPUT --task TASK --output FILE"""
    parser = argparse.ArgumentParser(prog="gen-models predict", description="Answers of a model to rows of data.")
    parser.add_argument("model", help=MODEL)
    parser.add_argument("input", type=Path, help="rows: FILE.npy, FILE.csv or FILE.parquet")
    parser.add_argument(
        "--task", default="score", help=f"one of {', '.join(t for t in serving.TASKS if t != 'sample')}"
    )
    parser.add_argument("--output", type=Path, help="FILE.npy or FILE.csv; without it, CSV to the terminal")
    asked = parser.parse_args(argv)
    check_suffix(asked.output)
    if asked.task == "sample":
        raise DataError("predict answers to rows; write `gen-models sample MODEL --n 16` for draws")
    model, facts = open_model(asked.model)
    fit = {} if asked.task == "decode" else {"columns": facts.get("columns", ()), "event_shape": facts["event_shape"]}
    rows = read_rows(asked.input, **fit)  # decode takes latent vectors, which have no names
    found = serving.answer(model, rows, facts=facts, task=asked.task)
    name = serving.score_name(model, facts) if asked.task == "score" else asked.task
    deliver(found, asked.output, name)


def sample(argv: Sequence[str]) -> None:
    """sample MODEL --n N --seed SEED --temperature T --output FILE"""
    parser = argparse.ArgumentParser(prog="gen-models sample", description="Draws from a model.")
    parser.add_argument("model", help=MODEL)
    parser.add_argument("--n", type=int, default=16, help="how many draws")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same draws")
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="below 1 sharper and less varied, of models that have one"
    )
    parser.add_argument("--output", type=Path, help="FILE.npy or FILE.csv; without it, CSV to the terminal")
    asked = parser.parse_args(argv)
    check_suffix(asked.output)
    if asked.n < 1:
        raise DataError(f"--n {asked.n}: at least one draw")
    model, facts = open_model(asked.model)
    draws = {"n": asked.n, "seed": asked.seed, "temperature": asked.temperature}
    found = serving.answer(model, np.zeros((0, 0)), facts=facts, task="sample", **draws)
    deliver(found, asked.output, "x")


def open_model(name: str) -> tuple[Any, dict[str, Any]]:
    """(model, facts for `serving.answer`) of NAME[@ALIAS], NAME@VERSION or a checkpoint's folder, verified.

    Raises RegistryError with the nearest match and what exists.
    """
    if (Path(name) / MANIFEST).is_file():
        return load_model(Path(name)), serving.facts_of(Path(name))
    model, _, which = name.partition("@")
    if os.sep in name:
        raise RegistryError(f"{name}: no checkpoint in that folder ({MANIFEST} is missing)")
    with tracking.translated():
        client = tracking.open_store()
        folder = versions.folder_of(client, versions.find(client, model, which or "champion"))
    stored = yaml.safe_load((folder / "MLmodel").read_text())
    return load_model(folder / "artifacts" / "checkpoint"), stored["flavors"]["python_function"]["config"]


def read_rows(path: Path, *, columns: Sequence[str] = (), event_shape: Sequence[int] | None = None) -> np.ndarray:
    """Rows of numbers, (rows, columns) float32. Raises DataError with the file, the row and the column.

    columns      those of the table that the model was fitted on: taken by name, in that order
    event_shape  of a row, for rows that have axes
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix not in INPUTS:
        raise DataError(f"{path}: expected a file of rows that ends with {' or '.join(INPUTS)}")
    if path.suffix == ".npy":
        rows = _read_npy(path, event_shape)
    elif columns or path.suffix == ".parquet":
        rows = _read_columns(path, columns)
    else:
        rows = _read_csv(path)
    if rows.size and (size := float(np.abs(rows[np.isfinite(rows)]).max(initial=0.0))) > LARGEST:
        raise DataError(f"{path}: {size:g} is too large for 32-bit numbers; rescale the column that holds it")
    return rows.astype(np.float32)


def read_events(path: Path, facts: Mapping[str, Any]) -> Float[Tensor, "rows *event"]:
    """The rows of a file as a model takes them. Raises DataError where a row has another size, or is not finite."""
    event = tuple(facts["event_shape"])
    rows = read_rows(path, columns=facts.get("columns", ()), event_shape=event)
    if rows.shape[1] != math.prod(event):
        raise DataError(
            f"{path}: {rows.shape[1]} columns; this model takes rows of {math.prod(event)} numbers, {event} flat"
        )
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0]
        raise DataError(f"{path}, row {row}, column {column}: {rows[row, column]}; every number must be finite")
    return torch.from_numpy(rows).view(len(rows), *event)


def _read_columns(path: Path, columns: Sequence[str]) -> np.ndarray:
    table = parquet_file if path.suffix == ".parquet" else csv_file
    header = table.read_schema(path) if table is parquet_file else table.read_header(path)
    for name in columns:
        if name not in header:
            near = get_close_matches(name, header, n=1)
            hint = f", nor is it {near[0]!r}" if near else ""
            raise DataError(
                f"{path}: the model was fitted on column {name!r}, which is not there{hint}: it has "
                f"{', '.join(header[:20])}; name the columns as at the fit: {', '.join(columns[:20])}"
            )
    return table.read_numbers(path, list(columns) or header, with_missing=True)[0]


def _read_npy(path: Path, event_shape: Sequence[int] | None) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r")
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path}: not an array that can be read ({tracking.one_line(error)})") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise DataError(f"{path}: expected an array of real numbers, found {getattr(array, 'dtype', 'an archive')}")
    if array.ndim < 2:
        raise DataError(f"{path}: expected rows, shape (rows, columns), found shape {array.shape}")
    if event_shape is not None and array.ndim > 2 and array.shape[1:] != tuple(event_shape):
        raise DataError(
            f"{path}: rows of shape {array.shape[1:]}, this model takes {tuple(event_shape)}; resize or reshape them"
        )
    return np.asarray(array).reshape(len(array), math.prod(array.shape[1:]))


def _read_csv(path: Path) -> np.ndarray:
    try:
        lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not CSV in UTF-8 ({error}); save it as UTF-8 with commas between columns") from None
    if not lines:
        raise DataError(f"{path}: empty; expected a header line and rows of numbers")
    header, body = lines[0], [line for line in lines[1:] if line]
    if header and all(_is_number(cell) for cell in header):
        raise DataError(f"{path}, line 1: numbers where the names of the columns belong; add a header line")
    rows = np.empty((len(body), len(header)))
    for number, line in enumerate(body, start=2):
        if len(line) != len(header):
            raise DataError(f"{path}, line {number}: {len(line)} cells, the header has {len(header)}")
        for column, cell in zip(header, line, strict=True):
            if not _is_number(cell):
                raise DataError(f"{path}, line {number}, column {column!r}: {cell!r} is not a number")
        rows[number - 2] = [float(cell) for cell in line]
    return rows


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def check_suffix(path: Path | None) -> None:
    if path is not None and path.suffix not in OUTPUTS:
        raise DataError(f"--output {path}: expected a name that ends with {' or '.join(OUTPUTS)}")


def deliver(values: np.ndarray, output: Path | None, name: str) -> None:
    """To the terminal, or to a file written beside and renamed."""
    columns = [name] if values.shape[1] == 1 else [f"{name}{k}" for k in range(values.shape[1])]
    if output is None:
        print(_csv(values, columns), end="")
        return
    fresh = output.with_name(f".{output.name}.unfinished")
    try:
        if output.suffix == ".npy":
            with fresh.open("wb") as file:
                np.save(file, values, allow_pickle=False)
        else:
            fresh.write_text(_csv(values, columns))
        fresh.replace(output)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise DataError(f"{output}: cannot be written ({error.strerror})") from None
    print(f"{output}: {len(values)} rows of {values.shape[1]}: {columns[0]}{' ..' if len(columns) > 1 else ''}")


def _csv(values: np.ndarray, columns: Sequence[str]) -> str:
    lines = [",".join(columns), *(",".join(repr(float(value)) for value in row) for row in values)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
