"""Writes the page of a sweep in MLflow: which setting won, and the settings that came next."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.runtime.words import counted
from pipelines.training.ranking import decided, number, of_setting, ranking, undecided

SHOWN = 10
VALIDATION = "validation."
TERMS = ("rate_nats", "distortion_mse")  # endings of the metrics that are shown beside the one that sweeps compare


def sweep_page(lineage: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]) -> str:
    """Return the page as Markdown.

    lineage: the sweep's lineage.json, of which the name of the data is used
    trials: rows of trials.json; a row with "of": n repeats the setting of trial n with another seed
    """
    diverged = sum(trial["value"] is None for trial in trials)
    what = f"{counted(len(trials), 'trial')} on `{lineage['data']}`"
    tried = f"{what}, {diverged} of them diverged" if diverged else what
    ranked = ranking(trials)
    if not ranked:
        return f"{tried}. No setting has a finite value."
    first = ranked[0]
    value = "mean over seeds" if first.get("mean") is not None else "validation metric"
    keys = sorted({key for trial in ranked for key in trial["override"]})
    measured = {name for trial in ranked for name in trial.get("metrics", {}) if name.startswith(VALIDATION)}
    terms = sorted((name for name in measured if name.endswith(TERMS)), reverse=True)
    names = [name.replace(VALIDATION, "validation/", 1) for name in terms]  # as MLflow has them
    lines = [["trial", "value", *(f"`{key}`" for key in (*keys, *names))], ["---"] * (2 + len(keys) + len(names))]
    for row in ranked:
        means = [_mean(trials, row, name) for name in terms]
        lines.append([str(row["trial"]), _value(row), *(_cell(row["override"].get(key)) for key in keys), *means])
    if len({row.get("steps") for row in ranked}) > 1:
        steps = ["steps", "---", *(str(row.get("steps", "")) for row in ranked)]
        lines = [[*line, cell] for line, cell in zip(lines, steps, strict=True)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines[: 2 + SHOWN])
    doubt = f"**{said}** " if (said := undecided(trials) or decided(trials)) else ""
    if len(ranked) > 1 and not any("of" in trial for trial in trials):
        doubt += "Each setting has one seed, so a small difference may be chance. "
    return (
        f"{tried}. Trial {first['trial']} has the best {value}, {_value(first)} (lower is better); `train` "
        f"uses its setting. {doubt}The best {min(len(ranked), SHOWN)} of {len(ranked)} settings:\n\n{table}\n\n"
        "A trial's numbers are those of its best report; of a setting with several seeds, their means are shown. Below "
        "this run, each trial is a run of its own, with its curve; the artifact `images` shows samples of the settings "
        "side by side."
    )


def _value(trial: Mapping[str, Any]) -> str:
    spread = f" ± {trial['sd']:.2g} ({len(trial['seeds'])} seeds)" if trial.get("mean") is not None else ""
    return f"{number(trial):.4g}{spread}"


def _mean(trials: Sequence[Mapping[str, Any]], first: Mapping[str, Any], name: str) -> str:
    """Return the mean of a metric over the trials of one setting, of which `first` is the first; "" without one."""
    values = [trial["metrics"][name] for trial in of_setting(trials, first) if name in trial.get("metrics", {})]
    return f"{sum(values) / len(values):.4g}" if values else ""


def _cell(value: Any) -> str:
    return "as in the conf" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
