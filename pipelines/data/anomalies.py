"""Finds which classes are anomalies: conf/data/NAME.yaml names them, and the manifest of the prepared data keeps them.

    anomaly: scratch            one class            normal: good            all classes but this one
    anomaly: [bent, scratch]    several              normal: [good, fine]    all classes but these

A conf has one of the two keys, or neither. YAML may read the name of a class as a number: -1 then means the class
"-1", and 1.0 means the class "1.0" or, if there is none, "1". A number that could mean several classes is an error. The
manifest's key `anomaly` holds the sorted indices of the anomalous classes, or null if there are none. Each anomalous
class is one kind of anomaly.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gen_models.errors import ConfigError, unknown
from pipelines.config import yaml_file

LEAST_ROWS = 2  # an AUROC with an interval needs so many anomalies among the test rows
MOST_NAMES = 3  # a heading names at most so many classes; of more, it gives the number
KEYS = ("anomaly", "normal")
TRUTH = {"true": True, "false": False}


def check_keys(conf: Mapping[str, Any], where: str) -> None:
    """Raise ConfigError if a conf has both keys, or a value that is neither a name nor a list of names.

    where: the conf's path, for error messages, here and in the functions below
    """
    given = [key for key in KEYS if conf.get(key) is not None]
    if len(given) == 2:
        raise ConfigError(f"{where}: anomaly and normal: each says what the other would; remove one")
    for key in given:
        for value in _values(conf, key):
            if value is None or isinstance(value, (Mapping, list)):
                raise ConfigError(f"{where}: {key}: {value!r} is no class; write {key}: CLASS or {key}: [CLASS, CLASS]")


def anomalous(classes: Sequence[str], y: np.ndarray, conf: Mapping[str, Any], where: str) -> list[int]:
    """Return the sorted indices in `classes` of the classes that the conf makes anomalies; [] if it names no class.

    y: (rows,) labels, indices into `classes`

    Raises ConfigError if a named class is unknown or ambiguous, if the rows have no labels, if `normal` names no class
    or every class, or if no row is of a normal class.
    """
    key = next((key for key in KEYS if conf.get(key) is not None), None)
    if key is None or (key == "anomaly" and conf[key] == []):
        return []
    if not classes:
        raise ConfigError(
            f"{where}: {key}: {conf[key]!r}, but the rows have no labels (--label COLUMN of add-data names "
            f"their column); write {key}: null"
        )
    named = {index_of(value, classes, f"{where}: {key}", key) for value in _values(conf, key)}
    if key == "normal" and not named:
        known = sorted(classes)
        others = f", or another of {', '.join(known[1:])}" if known[1:] else ""
        raise ConfigError(f"{where}: normal: [] names no class; write normal: {yaml_file.dump(known[0])}{others}")
    found = sorted(named if key == "anomaly" else set(range(len(classes))) - named)
    if key == "normal" and not found:
        raise ConfigError(f"{where}: normal: {conf[key]!r} is every class, so no row is an anomaly; remove the line")
    if found and np.isin(y, found).all():
        raise ConfigError(f"{where}: {key}: {_nothing_left(key, conf[key], len(np.unique(y)))}")
    return found


def index_of(value: Any, classes: Sequence[str], where: str, key: str) -> int:
    """Return the index in the sequence `classes` of the class that a value from a conf means.

    value: as YAML read it, so perhaps a number or a truth value; where: the conf's path and key, for error messages;
    key: "anomaly" or "normal". Raises ConfigError if no class or more than one class fits.
    """
    if isinstance(value, bool):
        found = [name for name in classes if TRUTH.get(name.lower()) is value]
        if not found:
            said = str(value).lower()
            likely = [name for name in classes if name.lower() in (("yes", "on") if value else ("no", "off"))]
            raise ConfigError(
                f"{where}: {said} is a truth value of YAML, and no class has that name; write its name in quotes, "
                f'{key}: "{(likely or sorted(classes))[0]}"'
            )
    else:
        found = [str(value)] if str(value) in classes else _equal(value, classes)
    if not found:
        raise ConfigError(f"{where}: " + unknown("class", str(value), classes))
    if len(found) > 1:
        quoted = " or ".join(f'{key}: "{name}"' for name in found)
        raise ConfigError(f"{where}: {value} may be one of {len(found)} classes; write its name in quotes, {quoted}")
    return classes.index(found[0])


def names(manifest: Mapping[str, Any]) -> list[str]:
    """Return the names of the anomalous classes, in the order of the manifest's `classes`."""
    return [manifest["classes"][label] for label in manifest["anomaly"] or ()]


def tested_rows(manifest: Mapping[str, Any]) -> dict[str, int]:
    """Return {anomalous class: how many test rows it has}."""
    counts = manifest["splits"]["test"]["labels"]
    return {manifest["classes"][label]: counts.get(str(label), 0) for label in manifest["anomaly"] or ()}


def kinds(manifest: Mapping[str, Any]) -> list[str]:
    """Return the anomalous classes that get an AUROC each: those with at least LEAST_ROWS test rows.

    If only one class is anomalous, the AUROC over all anomalies is already its own, and the list is empty.
    """
    rows = tested_rows(manifest)
    return [name for name, count in rows.items() if count >= LEAST_ROWS] if len(rows) > 1 else []


def held_out(manifest: Mapping[str, Any]) -> str:
    """Return a short text on the anomalous classes for a heading: "8", "bent, scratch" or "12 classes"; "" for none."""
    found = names(manifest)
    return ", ".join(found) if len(found) <= MOST_NAMES else f"{len(found)} classes"


def unmeasured(manifest: Mapping[str, Any]) -> str:
    """Return why the AUROC cannot be measured, for data whose manifest says which labels are anomalies.

    Return "" if it can be measured, or if the manifest names no anomalies.
    """
    count = sum(tested_rows(manifest).values())
    if not manifest["anomaly"] or count >= LEAST_ROWS:
        return ""
    return f"{'only one' if count else 'no'} anomaly is among the test rows: no AUROC can be measured"


def _values(conf: Mapping[str, Any], key: str) -> list[Any]:
    return conf[key] if isinstance(conf[key], list) else [conf[key]]


def _equal(value: Any, classes: Sequence[str]) -> list[str]:
    """Return the classes whose names, read as numbers, equal a value from YAML; [] if the value is not a number."""
    if not isinstance(value, (int, float)):
        return []
    return [name for name in classes if _number(name) == value]


def _number(name: str) -> float | None:
    try:
        return float(name)
    except ValueError:
        return None


def _nothing_left(key: str, value: Any, present: int) -> str:
    if key == "normal":
        return f"{value!r} has no rows; nothing is left to train on"
    if isinstance(value, list) and present > 1:
        return f"{value!r} are all classes that have rows; nothing is left to train on"
    return f"{value!r} is the only class; nothing is left to train on"
