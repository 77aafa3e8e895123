"""Charts of results: ROC curves, the trials of a sweep, and metrics by step."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from pipelines.figures.style import COLOURS, DASHES, GREY, STYLE, Target, heading, panels_of, save, word

MOST_TICKS = 6  # of choices that several trials share: each has a tick
TENFOLD = 10.0  # if the largest metric of the trials is this many times the smallest, the axis is logarithmic


def roc(panels: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]], to: Target) -> None:
    """Draw ROC curves, with a panel for each data set.

    panels: {title of the panel: {label of a curve: (false-positive rates, true-positive rates)}}
    """
    with matplotlib.rc_context(STYLE):
        figure, drawn = panels_of(len(panels), columns=1, size=(7.4, 3.9))
        for axes, (name, lines) in zip(drawn, panels.items(), strict=True):
            axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (2, 2)))
            for k, (label, (false, true)) in enumerate(lines.items()):
                look: dict[str, Any] = {
                    "color": COLOURS[k % len(COLOURS)],
                    "linestyle": DASHES[(k // len(COLOURS)) % len(DASHES)],
                }
                axes.plot(false, true, label=word(label), **look)
            axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), title=name)
            axes.set(xlabel="false-positive rate", ylabel="true-positive rate")
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, title="area under the curve")
        save(figure, to)


def trials(
    rows: Sequence[Mapping[str, Any]], metric: str, best: int, to: Target, *, front: Mapping[str, str] | None = None
) -> None:
    """Draw the trials of a sweep: a panel for each key of the conf that was varied, with the metric against its value.

    rows: for each trial {"trial": its number, "override": {key: value}, "value": its metric, or None,
    "metrics": {name: number}, "steps": how many it was trained for}; trials without a finite value are left out, and
    those that were stopped early are hollow
    metric: the name of the metric, measured on validation rows; lower is better
    best: the number of the best trial, which is drawn in colour; of a setting with several seeds, its mean is
    front: {"rate": name, "distortion": name}, two names in `metrics`; a last panel draws these against each other, as
    means over the seeds of each setting, and joins those that no other one beats in both, of the settings that were not
    stopped early. None: no such panel
    """
    kept = [row for row in rows if row["value"] is not None and np.isfinite(row["value"])]
    values = np.array([row["value"] for row in kept], dtype=float)
    chosen = next((k for k, row in enumerate(kept) if row["trial"] == best), None)
    keys = sorted({key for row in rows for key in row["override"]}) or ["trial"]
    most = max((row.get("steps", 0) for row in kept), default=0)
    was_stopped = [row.get("steps", 0) < most for row in kept]
    faces = ["none" if stopped else GREY for stopped in was_stopped]
    count = len(keys) + (front is not None)
    with matplotlib.rc_context(STYLE):
        figure, panels = panels_of(count, columns=2 if count == 4 else min(3, count), size=(3.7, 3.0))
        for axes, key in zip(panels, keys, strict=False):
            if len(values) and values.min() > 0 and values.max() / values.min() >= TENFOLD:
                _logarithmic(axes, "y")  # else one outlier would squeeze the others into a line
            places = _places(axes, [row["override"].get(key, row["trial"]) for row in kept])
            axes.scatter(places, values, s=24, facecolors=faces, edgecolors=GREY, linewidths=0.9)
            _draw_means(axes, places, kept)
            if chosen is not None:
                mean = kept[chosen].get("mean")
                at = (places[chosen], values[chosen] if mean is None else mean)
                axes.scatter(*at, s=60, color=COLOURS[3], zorder=3)
                is_right = at[0] > (places.min() + places.max()) / 2
                side, by = ("right", (-6, 6)) if is_right else ("left", (6, 6))
                note = axes.annotate(f"{at[1]:.4g}", at, xytext=by, textcoords="offset points", ha=side)
                note.set_in_layout(False)
            axes.margins(x=0.14, y=0.1)
            axes.set(xlabel=key, ylabel=f"validation {metric}")
        if front is not None:
            names = (front["rate"], front["distortion"])
            points = np.array([[_held_out(row["metrics"], name) for name in names] for row in kept]).reshape(-1, 2)
            firsts = [row for row in kept if "of" not in row]
            same = [[row is first or row.get("of") == first["trial"] for row in kept] for first in firsts]
            means = np.array([points[of].mean(axis=0) for of in same], dtype=float).reshape(-1, 2)
            if len(points) > len(means):
                panels[-1].scatter(points[:, 0], points[:, 1], s=9, color=GREY, alpha=0.6, linewidths=0, label="a seed")
            was_short = np.array([row.get("steps", 0) < most for row in firsts], dtype=bool)
            if was_short.any():
                x, y = means[was_short].T
                look = panels[-1].scatter(x, y, s=24, facecolors="none", edgecolors=GREY)
                look.set(linewidths=0.9, label="stopped early")
            told = [setting(row["override"]) for row, short in zip(firsts, was_short, strict=True) if not short]
            _draw_front(panels[-1], means[~was_short], told, names)
        title = f"{len(rows)} trials, validation {metric}, lower is better"
        if any(was_stopped):
            title += f"\nhollow: stopped before step {most:,}, so not to be compared with the others"
        heading(figure, title)
        save(figure, to)


def curves(lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], to: Target, *, title: str = "") -> None:
    """Draw a small panel for each metric, with its values over the steps of a training.

    lines: {name of a metric, such as "likelihood.nats": (steps, value at each step)}
    """
    with matplotlib.rc_context(STYLE):
        figure, panels = panels_of(len(lines), columns=min(3, len(lines)), size=(3.3, 2.4))
        for axes, (name, (steps, values)) in zip(panels, lines.items(), strict=True):
            axes.plot(steps, values, color=COLOURS[0], marker="o" if len(steps) < 30 else None, markersize=3)
            axes.set(xlabel="step (minibatches)", title=name)
        if title:
            heading(figure, title)
        save(figure, to)


def _draw_front(axes: Axes, points: np.ndarray, labels: Sequence[str], axis_labels: tuple[str, str]) -> None:
    best = np.array([not np.any((points <= p).all(axis=1) & (points < p).any(axis=1)) for p in points], dtype=bool)
    on_front = points[best][np.argsort(points[best, 0])]
    axes.plot(on_front[:, 0], on_front[:, 1], marker="o", markersize=5, color=COLOURS[0], label="front")
    if not best.all():
        axes.scatter(points[~best, 0], points[~best, 1], s=24, color=GREY, linewidths=0, label="beaten in both")
    if len(axes.collections):
        axes.legend()
    spread = np.maximum(np.ptp(points, axis=0), 1e-12) if len(points) else 1.0
    written: list[np.ndarray] = []
    for k in np.flatnonzero(best)[np.argsort(points[best, 0])]:
        # labels that would overlap are left out; trials.json has them all
        if all(np.abs((points[k] - other) / spread)[1] > 0.055 for other in written):
            written.append(points[k])
            is_right = points[k, 0] > (points[:, 0].min() + points[:, 0].max()) / 2
            side, at = ("right", (-6, -9)) if is_right else ("left", (6, 4))  # inside the panel, off the falling front
            note = axes.annotate(labels[k], points[k], xytext=at, textcoords="offset points", fontsize=7, ha=side)
            note.set_in_layout(False)
    axes.margins(x=0.2, y=0.12)
    axes.set(xlabel=axis_labels[0], ylabel=axis_labels[1])


def _draw_means(axes: Axes, places: np.ndarray, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw the mean metric of each setting that was trained with several seeds, with its standard deviation as a bar.

    rows: of the trials, as `trials` takes them; such a setting has also "mean" and "sd", its standard deviation
    """
    found = [(x, row["mean"], row["sd"]) for x, row in zip(places, rows, strict=True) if row.get("mean") is not None]
    if found:
        x, middle, spread = zip(*found, strict=True)
        axes.errorbar(x, middle, spread, fmt="_", markersize=12, color=COLOURS[0], capsize=3, linewidth=1.2)


def _held_out(metrics: Mapping[str, float], name: str) -> float:
    """Return a metric of a trial: its value on validation rows, or else its value in training, or else NaN."""
    return metrics.get(f"validation.{name}", metrics.get(name, float("nan")))


def setting(override: Mapping[str, Any], most: int = 2) -> str:
    """Return a label for a trial's setting, such as "beta 2, sigma 0.1".

    override: {key of the conf: value} that the trial sets; most: the label names at most so many of them, and beta and
    sigma come first
    """
    short = {key.rpartition(".")[2] if key.startswith("model.") else key.removeprefix("optim."): value
             for key, value in override.items()}  # fmt: skip
    names = sorted(short, key=lambda name: ("beta", "sigma", name).index(name))[:most]
    return ", ".join(f"{name} {_short(short[name])}" for name in names)


def _short(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def _places(axes: Axes, raw: Sequence[object]) -> np.ndarray:
    """Return the positions on the x axis of the values that a key of the conf takes in the trials.

    Numbers are their own positions; the axis becomes logarithmic if all are positive and the largest is at least 5
    times the smallest. Other values are placed side by side, with their names as ticks.
    """
    if raw and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in raw):
        numbers = np.array(raw, dtype=float)
        choices = sorted(set(numbers.tolist()))
        if numbers.min() > 0 and numbers.max() / numbers.min() >= 5:
            _logarithmic(axes, "x")
        if len(choices) <= MOST_TICKS and len(choices) < len(numbers):
            axes.set_xticks(choices, [f"{value:g}" for value in choices])
        elif axes.get_xscale() != "log":
            is_whole = bool((numbers == numbers.round()).all())
            axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10], integer=is_whole))
        return numbers
    names = sorted({str(value) for value in raw})
    axes.set_xticks(range(len(names)), names)
    return np.array([names.index(str(value)) for value in raw], dtype=float)


def _logarithmic(axes: Axes, which: str) -> None:
    """Set a log scale for x or y, with plain numbers as ticks: 0.1, 0.2, 0.5, 1."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
