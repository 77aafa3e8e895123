"""predict: asks a registered model, or one in a checkpoint's folder, about rows of data.

    gen-models predict vae-digits@champion rows.npy --task score --output scores.csv
    gen-models predict vae-photos new_photos/ --output scores.csv
    gen-models predict gmm-clients clients_of_may.csv --output scores.parquet

The file is read as the training data were: a table with its words, dates and missing cells, or a folder of images. Each
row of the answer has the row's name (a path, or its identifier in the table) and, where it cannot be answered, the
reason in the column `problem`.
"""

import argparse
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from gen_models.errors import DataError
from gen_models.names import TASKS
from pipelines.commands.output_file import answering, as_rows, check_suffix
from pipelines.commands.words import MODEL, ROWS
from pipelines.runtime.stage import run


def main(argv: Sequence[str]) -> None:
    """predict MODEL INPUT --task TASK --output FILE [--strict]"""
    parser = argparse.ArgumentParser(
        prog="gen-models predict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help=MODEL)
    parser.add_argument("input", type=Path, help=ROWS)
    parser.add_argument("--task", default="score", help=f"one of {', '.join(t for t in TASKS if t != 'sample')}")
    parser.add_argument("--output", type=Path, help="FILE.csv, .parquet or .npy; without it, CSV to the terminal")
    parser.add_argument("--strict", action="store_true", help="stop at the first row that has a problem")
    asked = parser.parse_args(argv)
    check_suffix(asked.output)
    if asked.task == "sample":
        raise DataError(
            f"predict answers to rows; for draws, run `gen-models sample {shlex.quote(asked.model)} --n 16`"
        )
    from pipelines.commands.stored_model import open_model

    model, facts = open_model(asked.model)
    if asked.task == "decode":
        _decode(model, facts, asked)
    else:
        _answer(model, facts, asked)


def _answer(model: Any, facts: Mapping[str, Any], asked: argparse.Namespace) -> None:
    from pipelines.commands.input_rows import count_rows, place_of, read_blocks
    from pipelines.registry import serving
    from pipelines.runtime.progress import Progress

    problems, first = 0, (None, "")
    progress = Progress(asked.task, count_rows(asked.input), "row", stream=sys.stderr)
    with answering(asked.output) as answer, closing(progress):
        for block in read_blocks(asked.input, facts):
            for place in sorted(block.problems) if asked.strict else ():
                raise DataError(f"{place_of(asked.input, block.names[place], facts)}: {block.problems[place]}")
            flat = block.x.reshape(len(block.x), math.prod(block.x.shape[1:]))
            found = serving.answer(model, flat, facts=facts, task=asked.task)
            for place in np.flatnonzero(np.isnan(found).any(axis=1)).tolist():
                block.problems.setdefault(place, f"the model's {asked.task} of this row is not a number")
            answer.write(_columns(model, found, block, facts, asked.task))
            if block.problems and not problems:
                first = (block.names[min(block.problems)], block.problems[min(block.problems)])
            problems += len(block.problems)
            progress.show(answer.rows, f"{problems} with a problem")
        if problems == answer.rows > 0:
            where = place_of(asked.input, first[0], facts)
            raise DataError(f"{where}: {first[1]} (no row can be answered)")
    if problems:
        print(f"{problems} of {answer.rows} rows have no answer; the column `problem` says why", file=sys.stderr)


def _decode(model: Any, facts: Mapping[str, Any], asked: argparse.Namespace) -> None:
    from pipelines.commands.input_rows import read_latents
    from pipelines.registry import serving

    found = serving.answer(model, read_latents(asked.input), facts=facts, task="decode")
    with answering(asked.output) as answer:
        answer.write(as_rows(found, facts, "decode"))


def _columns(model: Any, found: np.ndarray, block: Any, facts: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Return the columns of an answer: what identifies a row, the answer, and the problem if a row has one."""
    from pipelines.registry import serving

    columns: dict[str, Any] = dict(block.ids)
    if not columns and not isinstance(block.names, range):
        columns["path"] = np.array(block.names, dtype=object)
    if task == "reconstruct":
        values = as_rows(found, facts, task)
        columns |= {name: [None if k in block.problems else v for k, v in enumerate(of)] for name, of in values.items()}
    else:
        found = found.astype(np.float64)
        found[list(block.problems)] = np.nan
        columns |= {
            name: found[:, k] for k, name in enumerate(serving.answer_names(model, task, found.shape[1], facts))
        }
    columns["problem"] = np.array([block.problems.get(place, "") for place in range(len(found))], dtype=object)
    return columns


if __name__ == "__main__":
    run(main)
