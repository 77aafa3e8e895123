"""Proposes conf/data/NAME.yaml for data that `look` has read, and checks that the stage `prepare` would accept it."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from gen_models.anomalies.conformal import rounded_up
from gen_models.errors import option
from gen_models.noise import Noise
from pipelines.config import yaml_file
from pipelines.config.conf_files import of_columns
from pipelines.data.checks import MOST_LEVELS, OWN, SPLITS, check_conf, shaped
from pipelines.data.look import Found
from pipelines.data.prepare import Plan, blocks_of, planned
from pipelines.data.sources.arrays import USUAL_SIDE, Arrays
from pipelines.data.sources.files import shown

ABNORMAL = ("abnormal", "anomaly", "anomalous", "defect", "defective", "bad", "broken", "outlier")
NORMAL = ("good", "normal", "ok", "healthy", "nominal")
FEW_ROWS = 256  # with fewer training rows, the usual minibatch of 128 is too large a share of them
CALIBRATION_ROWS, MOST_CALIBRATION = 200, 0.2  # 200 rows are enough for decisions at 1%; at most 20% of the rows
SPLIT = {"train": 0.65, "validation": 0.15, "calibration": 0.05, "test": 0.15}
LARGEST_DENSE = 40  # pixels of an image's longer side; the layers of larger images are convolutions
HALVED = 4  # pixels of the shorter side that conf/model/conv_vae.yaml, which halves it twice, needs
MOST_FOR_MIXTURE = 64  # numbers in a row; a full covariance has the square of them
ANOMALY_SPLIT = {"train": 0.5, "validation": 0.1, "calibration": 0.2, "test": 0.2}


def propose(found: Found, name: str, *, anomaly: str | None = None, normal: str | None = None) -> dict[str, Any]:
    """Return a data conf for the rows that were found: the keys and values of conf/data/NAME.yaml.

    name     the NAME of the data set
    anomaly  the class that is anomalous and therefore kept out of training
    normal   the only class that is normal, while all others are anomalous

    Give at most one of `anomaly` and `normal`. If both are None, `found.anomaly` is anomalous or, if that is None too,
    the names of the classes decide: of two classes, one named "abnormal" or the like is anomalous; of more, all but the
    one named "good" or the like are.
    """
    arrays = found.arrays
    assert arrays is not None
    said = {"anomaly": anomaly} if anomaly is not None else {"normal": normal}
    held_out = said if anomaly is not None or normal is not None else _held_out(found, arrays)
    rows = len(arrays.x) if arrays.parts is None else len(arrays.parts["train"])
    is_split_anew = _tests_only_anomalies(arrays, held_out)
    split = dict(ANOMALY_SPLIT) if is_split_anew else _split(arrays, has_anomaly=held_out != {"anomaly": None})
    train = int(split["train"] * rows)
    event = list(arrays.x.shape[1:])
    shape = {"event_shape": [1, *event] if len(event) == 2 else event, "levels": _levels(arrays)}
    return {
        "name": name,
        "source": found.source,
        "options": found.options,
        **({"columns": found.columns} if found.columns else shape),
        "split": split,
        **held_out,
        **({"batch_size": 1 << max((train // 2).bit_length() - 1, 0)} if train < FEW_ROWS else {}),
    }


def check(found: Found, conf: Mapping[str, Any], seed: int) -> Plan:
    """Return how `prepare` would divide these rows with this conf and seed, or raise its error. Nothing is written."""
    where = f"conf/data/{conf['name']}.yaml"
    full = {**conf, **of_columns(conf, where)}
    check_conf(full, conf["name"], where)
    assert found.arrays is not None
    return planned(shaped(found.arrays, full, where), full, Noise(seed), where)


def advice(found: Found, plan: Plan, conf: Mapping[str, Any]) -> list[str]:
    """Return lines on what the proposed conf means for the person who adds the data: split, anomalies, size of images.

    plan: the split by the conf
    """
    assert found.arrays is not None
    lines = []
    for key, odd in (("anomaly", "rows labelled {} count"), ("normal", "all rows but those labelled {} count")):
        if conf.get(key) is not None:
            which = odd.format(repr(conf[key]))
            line = yaml_file.dump({key: conf[key]})[1:-1]
            instead = f"in conf/data/{conf['name']}.yaml write `anomaly: null` in place of `{line}`"
            lines.append(f"{which} as anomalies: they are in the test split only; if they are none, {instead}")
    named = [name for name in found.arrays.classes if name.lower() in NORMAL]
    if len(named) == 1 and "anomaly" in conf and conf["anomaly"] is None:
        fix = option("--normal", named[0])
        lines.append(f"all classes are trained on; if all but {named[0]!r} are anomalies, {fix} holds them out")
    calibration = len(plan.splits.get("calibration", ()))
    if calibration:
        rate = rounded_up(1 / (calibration + 1))
        lines.append(f"{calibration} calibration rows: rows can be flagged at a false-positive rate of {rate} or more")
    else:
        lines.append("no calibration rows: rows get no p-values and cannot be flagged")
    if (side := _side(found.arrays)) > USUAL_SIDE:
        height, width = found.arrays.x.shape[-2:]
        to = f"{max(1, height * USUAL_SIDE // side)}x{max(1, width * USUAL_SIDE // side)}"
        small = f": --size {to} resizes them" if found.source == "image_folder" else ""
        lines.append(f"images of {height}x{width} pixels make training slow{small}; our results are of 32x32 at most")
    return lines


def conf_text(conf: Mapping[str, Any], found: Found) -> str:
    """Return the text of conf/data/NAME.yaml, laid out as the project's confs are, with a reason beside each column."""
    assert found.arrays is not None
    lines = [f"# From {shown(found.path.name)}, which had {len(found.arrays.x)} rows when it was added."]
    for key, value in conf.items():
        if key != "columns":
            lines.append(f"{key}: {yaml_file.dump(value)}")
            continue
        lines.append("columns: # role: feature (if it is not said), label, id or ignore")
        for name, entry in value.items():
            reason = " ".join(found.reasons.get(name, "").split())
            lines.append(f"  {yaml_file.dump({name: entry})[1:-1]}" + (f" # {shown(reason)}" if reason else ""))
    return "\n".join(lines) + "\n"


def models_for(arrays: Arrays) -> list[str]:
    """Return the names of the models that suit the rows, those that train most quickly first."""
    numbers = math.prod(arrays.x.shape[1:])
    if arrays.x.ndim > 2:
        is_wide = _side(arrays) > LARGEST_DENSE and min(arrays.x.shape[-2:]) >= HALVED
        return ["conv_vae" if is_wide else "vae"]
    if arrays.schema is not None and arrays.schema.discrete:
        return ["gmm", "table_vae"] if numbers <= MOST_FOR_MIXTURE else ["table_vae"]
    return (["gmm"] if numbers <= MOST_FOR_MIXTURE else []) + (["realnvp"] if numbers > 1 else [])


def _side(arrays: Arrays) -> int:
    """Return the longer side of images, in pixels; 0 for rows of a table."""
    return max(arrays.x.shape[-2:]) if arrays.x.ndim > 2 else 0


def _held_out(found: Found, arrays: Arrays) -> dict[str, str | None]:
    """Return {"anomaly": class} or {"normal": class} if names tell which rows are anomalous, else {"anomaly": None}.

    The name of a table's column of labels and the names of the classes are considered. A class named good is normal
    beside several others, and beside one other if there are masks, which show its defects.
    """
    if found.anomaly is not None:
        return {"anomaly": found.anomaly}
    abnormal = [c for c in arrays.classes if c.lower() in ABNORMAL]
    if len(arrays.classes) == 2 and abnormal:
        return {"anomaly": abnormal[0]}
    named = [c for c in arrays.classes if c.lower() in NORMAL]
    is_told = len(arrays.classes) > 2 or arrays.masks is not None
    return {"normal": named[0]} if len(named) == 1 and is_told else {"anomaly": None}


def _tests_only_anomalies(arrays: Arrays, held_out: Mapping[str, str | None]) -> bool:
    """Return whether each of the source's own test rows is of a class that is held out: then there is no normal one."""
    parts = arrays.parts or {}
    if arrays.y is None or "test" not in parts or held_out == {"anomaly": None}:
        return False
    tested = {arrays.classes[k] for k in np.unique(arrays.y[parts["test"]])}
    return held_out["normal"] not in tested if "normal" in held_out else tested == {held_out["anomaly"]}


def _split(arrays: Arrays, *, has_anomaly: bool) -> dict[str, Any]:
    split: dict[str, Any] = dict(ANOMALY_SPLIT if has_anomaly else SPLIT)
    if not has_anomaly:
        rows = len(arrays.x) if arrays.parts is None else len(arrays.parts["train"])
        wanted = min(
            max(split["calibration"], math.ceil(100 * CALIBRATION_ROWS / max(rows, 1)) / 100), MOST_CALIBRATION
        )
        split["train"], split["calibration"] = round(split["train"] + split["calibration"] - wanted, 2), wanted
    # anomalies need calibration rows for a threshold; without them, data with too few rows get no such split
    shares = _shares(arrays, split)
    if not has_anomaly and not _calibration_rows(arrays, shares):
        split["train"] += split.pop("calibration")
        shares = _shares(arrays, split)
    return shares


def _shares(arrays: Arrays, split: Mapping[str, float]) -> dict[str, Any]:
    """Return a split whose parts are the source's own where it has them, and whose other shares add up to 1."""
    found: dict[str, Any] = dict(split)
    for part in arrays.parts or {}:
        found[part] = found["train"] if part == "train" else OWN
    shares = {part: share for part, share in found.items() if share != OWN}
    total = sum(shares.values())
    found |= {part: round(share / total, 4) for part, share in shares.items()}
    found["train"] = round(1 - sum(found[part] for part in shares if part != "train"), 4)
    return {part: found[part] for part in SPLITS if part in found}


def _calibration_rows(arrays: Arrays, split: Mapping[str, Any]) -> int:
    """Return how many calibration rows a split gives, of the training part's rows if the source has parts.

    split: {part: its share}; each class is cut at rounded places, as `split_rows` does
    """
    divided = np.arange(len(arrays.x)) if arrays.parts is None else arrays.parts["train"]
    sizes = np.array([len(divided)]) if arrays.y is None else np.unique(arrays.y[divided], return_counts=True)[1]
    divided_by = [part for part in SPLITS if part in split and split[part] != OWN]
    edges = np.cumsum([split[part] for part in divided_by])
    first = divided_by.index("calibration")
    return int((np.rint(edges[first] * sizes) - np.rint(edges[first - 1] * sizes)).sum())


def _levels(arrays: Arrays) -> int | None:
    """Return the number of grey levels to propose; None for numbers that are not grey levels 0 .. 255.

    It is the largest level + 1 if that level is 1 .. 16, else 256.
    """
    is_image = arrays.x.ndim > 2
    if not is_image and arrays.x.dtype != np.uint8:
        return None
    high = 0.0
    for block in blocks_of(arrays.x, np.arange(len(arrays.x)), arrays.x.dtype):
        if not ((block >= 0) & (block < MOST_LEVELS) & (block == np.rint(block))).all():
            return None
        high = max(high, float(block.max(initial=0)))
    if high < 1 and arrays.x.dtype != np.uint8:
        return None
    return int(high) + 1 if 1 <= high <= 16 else MOST_LEVELS
