"""Answers requests to a registered model, over HTTP or in a notebook, by MLflow's "models from code".

Each version stores this file, a checkpoint and a copy of gen_models. MLflow runs this file when it loads the version;
nothing is pickled. Therefore a version always answers with the code with which it was stored, and needs only the
packages that its `requirements.txt` lists.

    mlflow models serve -m models:/vae-digits@champion --env-manager local
    curl localhost:5000/invocations -H 'Content-Type: application/json' \\
         -d '{"inputs": [[0, 3, ...]], "params": {"task": "score"}}'

Rows are vectors: (rows, D) numbers in the units of the training data, or (rows, latent) for `decode`. The answers are:

    score        (rows, 1)       the first of nll, neg_elbo, reconstruction and critic that the model offers
                                 (gen_models/anomalies); larger is more anomalous
    p_value      (rows, 1)       the fraction of normal rows with at least this score, by calibration rows whose scores
                                 the version keeps; if rows with p <= 0.01 are called anomalies, 1% of normal rows are
    encode       (rows, latent)
    decode       (rows, D)
    reconstruct  (rows, D)
    cluster      (rows, 1)       the index of the row's cluster, of a model that has clusters, such as a mixture
    sample       (n, D)          depends on n, seed and temperature; temperature 1 is the model itself, and others need
                                 a model that has one; n = 0 means as many samples as the input has rows
"""

import math
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
import yaml
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc import PythonModel, PythonModelContext
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType
from torch import Tensor, nn

import gen_models
from gen_models.analysis.temperature import at_temperature
from gen_models.anomalies.calibration import Calibration, load_calibration
from gen_models.anomalies.conformal import conformal_p
from gen_models.anomalies.score import Setting
from gen_models.anomalies.scores import FittedScores
from gen_models.checkpoint import about_data, load_model
from gen_models.contracts import Clusterer, Decoder, Encoder, Reconstructor, Sampler, capabilities
from gen_models.errors import DataError, unknown
from gen_models.evaluating import by_rows, draw, evaluating
from gen_models.names import TASKS
from gen_models.noise import Noise
from gen_models.off_levels import off_levels
from gen_models.table import from_json

MOST_SAMPLES = 100_000  # in one request
NO_CALIBRATION = (
    "this model has no calibration rows, so it gives no p-value: train it on data with `calibration: 0.05` or more in "
    "split, and let `gen-models register` store it"
)
REQUIREMENTS = (
    "mlflow",
    "torch",
    "numpy",
    "safetensors",
    "pyyaml",
    "jaxtyping",
    "scipy",
    "torchdiffeq",
    "constriction",
)


class Served(PythonModel):
    """The model of one version. MLflow calls `load_context` once, and `predict` for each request."""

    def load_context(self, context: PythonModelContext) -> None:
        self.model = load_model(Path(context.artifacts["checkpoint"]))
        self.facts = dict(context.model_config)
        stored = context.artifacts.get("calibration")
        self.calibration = load_calibration(Path(stored)) if stored else None

    def predict(self, context: PythonModelContext, model_input: np.ndarray, params: dict[str, Any] | None = None):
        asked = {**(params or {}), "facts": self.facts, "calibration": self.calibration}
        return (answer_table if "table" in self.facts else answer)(self.model, model_input, **asked)


def answer_table(
    model: nn.Module,
    frame: Any,
    *,
    facts: Mapping[str, Any],
    calibration: Calibration | None = None,
    task: str = "score",
    **how: Any,
) -> Any:
    """Return the answer to a data frame with a table's columns, also as a data frame.

    score, p_value, encode, cluster
                             a column for each number; score also gives `p_value`, if the model has calibration rows
    reconstruct, sample      the columns of the table, with its words and units

    All tasks but sample also give the column `problem`: why a row has no answer, or "". If a row has none, its numbers
    are None, which is null in JSON, and the columns hold objects. The other arguments are as for
    `answer`.

    Raises DataError, which names the column, if a column is missing, and DataError for the task decode, whose rows are
    no table.
    """
    import pandas as pd

    if task == "decode":
        raise DataError("decode: a served model of a table takes its columns; use `gen-models predict --task decode`")
    schema = from_json(facts["table"]["columns"])
    if task == "sample":
        x: np.ndarray = np.zeros((len(frame), len(schema.names)))
        return pd.DataFrame(schema.decode(answer(model, x, facts=facts, task=task, **how)))
    if not hasattr(frame, "columns"):
        frame = pd.DataFrame(frame)
    x, problems = schema.encode({name: frame[name].to_numpy() for name in map(str, frame.columns)})
    x[list(problems)] = 0
    found = answer(model, x, facts=facts, calibration=calibration, task=task, **how)
    for row in np.flatnonzero(np.isnan(found).any(axis=1)).tolist():
        problems.setdefault(row, f"the model's {task} of this row is not a number")
    found[list(problems)] = np.nan
    reasons = [problems.get(row, "") for row in range(len(x))]
    if task == "reconstruct":
        values = schema.decode(np.nan_to_num(found), facts.get("statistics"))
        frame = pd.DataFrame(values).rename(columns={"problem": "problem (data)"})
    else:
        names = answer_names(model, task, found.shape[1], facts, calibration)
        frame = pd.DataFrame({name: found[:, k] for k, name in enumerate(names)})
        if task == "cluster":
            frame = frame.astype("Int64")
        if task == "score" and calibration is not None:
            frame["p_value"] = conformal_p(calibration.scores[names[0]], found[:, 0])
    if problems:  # JSON has null and no NaN: one such number would spoil the whole answer for strict readers
        has_answer = ~np.isin(np.arange(len(frame)), list(problems))
        frame = frame.astype(object).where(has_answer[:, None] & frame.notna(), None)
    return frame.assign(problem=reasons)


def answer_names(
    model: nn.Module, task: str, width: int, facts: Mapping[str, Any], calibration: Calibration | None = None
) -> list[str]:
    """Return the names of the columns of an answer, such as nll, or encode0, encode1, ..."""
    name = row_scores(model, facts, calibration).default if task == "score" else task
    return [name] if width == 1 else [f"{name}{k}" for k in range(width)]


def answer(
    model: nn.Module,
    rows: np.ndarray,
    *,
    facts: Mapping[str, Any],
    calibration: Calibration | None = None,
    task: str = "score",
    n: int = 0,
    seed: int = 0,
    temperature: float = 1.0,
) -> np.ndarray:
    """Return the answer to one request, (rows, columns) float32; float64 if the model computes in it.

    rows: as the module says for the task; ignored by sample, except for their number if n is 0
    facts: {"event_shape", "levels", "statistics"} of the data on which the model was trained, from `facts_of`
    calibration: the scores of its calibration rows, which the task p_value needs
    n, seed, temperature: of the task sample

    Raises DataError if the model does not offer the task, if p_value is asked for without a calibration, if the rows
    have the wrong shape, numbers that are not finite or, for a model of grey levels, that are no whole grey levels, or
    if n or seed is out of range.
    """
    require_task(model, task)
    if task == "p_value" and calibration is None:
        raise DataError(NO_CALIBRATION)
    rows = np.asarray(rows, dtype=np.float64 if "table" in facts else np.float32)
    if rows.ndim != 2:
        raise DataError(f"expected rows of numbers, shape (rows, columns), found shape {rows.shape}")
    with evaluating(model):
        if task == "sample":
            return _flat(_sample(model, n or len(rows), seed, temperature, facts))
        return _flat(_by_rows(model, rows, task, facts, calibration))


def require_task(model: nn.Module, task: str) -> None:
    """Raise DataError if a model does not offer a task, or if there is no such task."""
    if task not in TASKS:
        raise DataError(unknown("task", task, tasks(model)))
    if task not in tasks(model):
        offered = tasks(model)
        instead = "; cluster the latents that encode answers, with k-means for example"
        raise DataError(
            f"{type(model).__name__} does not {task}; it offers {', '.join(offered)}"
            + (instead if task == "cluster" and "encode" in offered else "")
        )


def tasks(model: nn.Module) -> tuple[str, ...]:
    """Return the tasks that a model's capabilities allow."""
    has_score = bool({"density", "bound", "reconstructor", "critic"} & set(capabilities(model)))
    offers = {
        "score": has_score,
        "p_value": has_score,
        "encode": isinstance(model, Encoder),
        "decode": isinstance(model, Decoder),
        "reconstruct": isinstance(model, Reconstructor),
        "cluster": isinstance(model, Clusterer),
        "sample": isinstance(model, Sampler),
    }
    return tuple(task for task in TASKS if offers[task])


def row_scores(model: nn.Module, facts: Mapping[str, Any], calibration: Calibration | None = None) -> FittedScores:
    """Return the anomaly scores that a model offers; without a calibration, only those that need no training rows.

    The default of these is the score with which the task `score` answers.
    """
    known = calibration or Calibration({})
    setting = Setting(facts["levels"], facts["statistics"], Noise(int(known.facts.get("seed", 0))))
    return known.fitted(model, setting)


def facts_of(checkpoint: Path) -> dict[str, Any]:
    """Return what `answer` and the readers of rows need to know of a model's data, from the files of its checkpoint.

    event_shape, levels: the shape of a row, and the number of grey levels or None
    latent: the length of a latent vector, or None; statistics: of the training rows
    columns: the names of a table's numbers; options: how images are read
    table: the table's schema and how its text is read; only for tables with a schema
    """
    spec, data = yaml.safe_load((checkpoint / "model.yaml").read_text()), about_data(checkpoint)
    levels = spec.get("levels")
    return {
        "event_shape": list(spec["event_shape"]),
        "levels": levels if isinstance(levels, int) else None,
        "latent": spec.get("latent"),
        "statistics": data.get("statistics"),
        "columns": list(data.get("columns", ())),
        "options": dict(data.get("options", {})),
        **({"table": data["table"]} if "table" in data else {}),
    }


def package(
    folder: Path, checkpoint: Path, facts: Mapping[str, Any], model_id: str, calibration: Path | None = None
) -> None:
    """Write a version's files into `folder`: this file, checkpoint, calibration, gen_models and the signature."""
    rows, inputs, outputs = _interface(facts)
    signature = ModelSignature(
        inputs=inputs,
        outputs=outputs,
        params=ParamSchema(
            [
                ParamSpec("task", "string", "score"),
                ParamSpec("n", "long", 0),
                ParamSpec("seed", "long", 0),
                ParamSpec("temperature", "double", 1.0),
            ]
        ),
    )
    mlflow.pyfunc.save_model(
        folder,
        python_model=str(Path(__file__).resolve()),
        artifacts={"checkpoint": str(checkpoint), **({"calibration": str(calibration)} if calibration else {})},
        code_paths=[str(Path(gen_models.__file__).parent)],
        mlflow_model=mlflow.models.Model(model_id=model_id),
        model_config=dict(facts),
        signature=signature,
        input_example=rows,
        pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
    )


def _interface(facts: Mapping[str, Any]) -> tuple[Any, Schema, Schema | None]:
    """Return an example of the input, and the schemas of input and output: the columns of a table, or an array."""
    if "table" not in facts:
        array = Schema([TensorSpec(np.dtype(np.float32), (-1, -1))])
        return np.zeros((1, math.prod(facts["event_shape"])), dtype=np.float32), array, array
    import pandas as pd

    schema = from_json(facts["table"]["columns"])
    example = pd.DataFrame(schema.decode(np.zeros((1, len(schema.names)))))
    return example, Schema([ColSpec(AnyType(), column.name) for column in schema.columns]), None


def _by_rows(
    model: nn.Module, rows: np.ndarray, task: str, facts: Mapping[str, Any], calibration: Calibration | None
) -> Tensor:
    event = tuple(facts["event_shape"])
    function, shape = _function(model, task, facts, calibration), event
    if task == "decode":
        shape = (_latent(model, event, facts),)
    width = math.prod(shape)
    if rows.shape[1] != width:
        what = f"latent vectors of {width} numbers" if task == "decode" else f"rows of {width} numbers, {event} flat"
        raise DataError(f"{task}: this model takes {what}; found {rows.shape[1]} columns")
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0]
        raise DataError(f"row {row}, column {column} is {rows[row, column]}: every number must be finite")
    levels = facts.get("levels")
    if task != "decode" and isinstance(levels, int):
        for row, why in list(off_levels(rows, levels).items())[:1]:
            raise DataError(f"row {row}: {why}")
    if not len(rows):  # networks need a row, whose answer is removed
        return function(torch.zeros(1, *shape))[:0]
    return by_rows(function, torch.from_numpy(rows).reshape(len(rows), *shape))


def _function(
    model: Any, task: str, facts: Mapping[str, Any], calibration: Calibration | None
) -> Callable[[Tensor], Tensor]:
    if task in ("score", "p_value"):
        scores = row_scores(model, facts, calibration)
        if task == "score" or calibration is None:
            return lambda x: scores(scores.default, x, is_checked=False)  # a row without a score takes no other with it
        known = calibration.scores[scores.default]
        return lambda x: torch.from_numpy(conformal_p(known, scores(scores.default, x, is_checked=False).numpy()))
    if task == "cluster":
        return lambda x: (found := model.cluster(x)).double().masked_fill(found < 0, math.nan)
    return getattr(model, task)  # encode, decode and reconstruct are methods of those names


def _sample(model: Any, n: int, seed: int, temperature: float, facts: Mapping[str, Any]) -> Tensor:
    if not 0 <= n <= MOST_SAMPLES:
        raise DataError(f"sample: n is {n}; it may be 0 to {MOST_SAMPLES}")
    if seed < 0:
        raise DataError(f"sample: seed is {seed}; it may be 0 or more")
    sampler = at_temperature(model, temperature)
    return draw(sampler, n, Noise(seed)) if n else torch.zeros(0, *facts["event_shape"])


def _latent(model: Any, event: tuple[int, ...], facts: Mapping[str, Any]) -> int:
    """Return the length of latent vectors: the spec's `latent`, or the length of the encoder's output."""
    if facts.get("latent"):
        return int(facts["latent"])
    return int(model.encode(torch.zeros(1, *event)).shape[1])


def _flat(values: Tensor) -> np.ndarray:
    flat = values.reshape(len(values), -1 if values.numel() else max(1, math.prod(values.shape[1:])))
    return (flat if flat.dtype == torch.float64 else flat.float()).numpy()


set_model(Served())
