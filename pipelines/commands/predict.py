"""predict: lets a registered model, or one in a checkpoint's folder, score, encode, decode, rebuild or cluster rows.

    gen-models predict vae-digits@champion out/data/digits/test.x.npy --output scores.csv
    gen-models predict vae-photos new_photos/ --task encode --output latents.npy
    gen-models predict gmm-clients clients_of_may.csv --output scores.parquet
    gen-models predict gmm-clients clients_of_may.csv --task cluster --output clusters.csv

The file is read as the training data were: a table with its words, dates and missing cells, or a folder of images. Each
row of the answer has the row's name (a path, or its identifier in the table). If the model cannot answer for a row, the
column `problem` says why.
"""

import math
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from gen_models.errors import DataError
from pipelines import arguments
from pipelines.commands.input_rows import Rows, count_rows, given_shape, place_of, read_as, read_blocks, read_latents
from pipelines.commands.output_file import answering, as_rows, form_of, whole
from pipelines.commands.stored_model import StoredModel, open_stored
from pipelines.data.row_names import beside, free
from pipelines.registry import serving
from pipelines.runtime.progress import Progress
from pipelines.runtime.stage import parse, run
from pipelines.scoring.cluster_profiles import ClusterProfiles


def main(argv: Sequence[str]) -> None:
    """Write a model's answers for the rows of a file; argv: the arguments after `predict`."""
    asked = parse(argv, "predict", __doc__, arguments.predict)
    stored = open_stored(asked.model)
    serving.require_task(stored.model, asked.task)  # before the rows are read, which may need mending in vain
    if asked.task == "decode":
        _decode(stored, asked)
    else:
        _answer(stored, asked)


def _answer(stored: StoredModel, asked: Namespace) -> None:
    model, facts = stored.model, read_as(stored.facts, **arguments.reading(asked))
    problems, first = 0, (None, "")
    progress = Progress(asked.task, count_rows(asked.input), "row", stream=sys.stderr)
    form = form_of(facts, given_shape(asked.input)) if asked.task == "reconstruct" else None
    profiles = ClusterProfiles(stored.calibration, facts)
    with answering(asked.output, form) as answer, closing(progress):
        for block in read_blocks(asked.input, facts):
            _require_strict(block, asked, facts)
            flat = block.x.reshape(len(block.x), math.prod(block.x.shape[1:]))
            found = serving.answer(model, flat, facts=facts, calibration=stored.calibration, task=asked.task)
            for place in np.flatnonzero(~_is_answered(found, asked.task)).tolist():
                block.problems.setdefault(place, f"the model's {asked.task} of this row is not a number")
            _require_strict(block, asked, facts)
            if asked.task == "cluster":
                has_answer = ~np.isin(np.arange(len(flat)), list(block.problems))
                profiles.add(flat[has_answer], found[has_answer, 0])
            answer.write(_columns(stored, found, block, facts, asked.task))
            if block.problems and not problems:
                first = (block.names[min(block.problems)], block.problems[min(block.problems)])
            problems += len(block.problems)
            progress.show(answer.rows, f"{problems} with a problem")
        if problems == answer.rows > 0:
            where = place_of(asked.input, first[0], facts)
            raise DataError(f"{where}: {first[1]} (no row can be answered)")
    for line in profiles.lines():
        print(line, file=sys.stderr)
    if asked.output is not None and (images := profiles.images()):
        from pipelines import figures  # imports matplotlib

        picture = asked.output.with_suffix(".png")
        with whole(picture) as file:
            figures.sheet(images, file, levels=facts["levels"], title=f"{stored.title}: the first rows of each cluster")
        print(f"{picture}: images of the largest clusters")
    if problems:
        is_array = asked.output is not None and asked.output.suffix == ".npy"
        why = "they are NaN here; `--output` to a .csv says why" if is_array else "the column `problem` says why"
        has = "has" if problems == 1 else "have"
        print(f"{problems} of {answer.rows} rows {has} no answer; {why}", file=sys.stderr)


def _is_answered(found: np.ndarray, task: str) -> np.ndarray:
    """Return whether each row's answer is one: scores may be infinite, rows that a model made may not."""
    return np.isfinite(found).all(axis=1) if task == "reconstruct" else ~np.isnan(found).any(axis=1)


def _require_strict(block: Rows, asked: Namespace, facts: Mapping[str, Any]) -> None:
    """With --strict, raise DataError for the first row of a block that has a problem."""
    for place in sorted(block.problems) if asked.strict else ():
        raise DataError(f"{place_of(asked.input, block.names[place], facts)}: {block.problems[place]}")


def _decode(stored: StoredModel, asked: Namespace) -> None:
    model, facts = stored.model, stored.facts
    latents = read_latents(asked.input)
    is_empty = np.isnan(latents).all(axis=1)
    if is_empty.all() and len(latents):
        raise DataError(f"{asked.input}: none of its rows has latents")
    found = serving.answer(model, np.where(is_empty[:, None], 0, latents), facts=facts, task="decode")
    columns = as_rows(found, facts, "decode")
    with answering(asked.output, form_of(facts)) as answer:
        answer.write({name: _without(values, is_empty) for name, values in columns.items()})
    if is_empty.any():
        print(f"{is_empty.sum()} of {len(latents)} rows have no latents, and no answer", file=sys.stderr)


def _without(values: Any, is_empty: np.ndarray) -> Any:
    """Return the values of a column, with none in the rows that are empty; values: an array of numbers, or a list."""
    if isinstance(values, np.ndarray):
        return np.where(is_empty, np.nan, values)
    return [None if gone else value for value, gone in zip(values, is_empty, strict=True)]


def _columns(stored: StoredModel, found: np.ndarray, block: Any, facts: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Return the columns of an answer: what identifies a row, the answer, and the row's problem ("" for none)."""
    names: dict[str, Any] = dict(block.ids)
    if not names and not isinstance(block.names, range):
        names["path"] = np.array(block.names, dtype=object)
    columns: dict[str, Any] = {}
    if task == "reconstruct":
        values = as_rows(np.nan_to_num(found), facts, task)
        for name, of in values.items():
            taken = {"problem", *(other for other in values if other != name)}
            columns[free(name, taken)] = [None if k in block.problems else v for k, v in enumerate(of)]
    else:
        found = found.astype(np.float64)
        found[list(block.problems)] = np.nan
        of_answer = serving.answer_names(stored.model, task, found.shape[1], facts, stored.calibration)
        columns |= {name: found[:, k] for k, name in enumerate(of_answer)}
        if task == "cluster":
            columns[task] = [None if math.isnan(k) else int(k) for k in found[:, 0]]
    columns["problem"] = np.array([block.problems.get(place, "") for place in range(len(found))], dtype=object)
    return beside(names, columns)


if __name__ == "__main__":
    run(main)
