"""Pictures of anomaly scores: new rows beside calibration rows, and images with maps of their errors.

Calibration rows are normal rows that the training has not seen. A map holds, for each pixel of an image, the squared
error of the model's reconstruction. A larger score is more anomalous.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.figures.image_grids import padded_row, tiles_of
from pipelines.figures.style import COLOURS, DPI, GREY, INK, STYLE, Target, heading, panels_of, plain, save

BINS = 60
WIDE = 4.0  # a score so many spreads from the middle of calibration scores is drawn at the edge; in small panels 3
MAP = "inferno"
BRIGHTEST = 50.0  # an error of so many times map_scale has the brightest colour; below, colours are logarithmic
TILE = 0.72  # the width of an image in a sheet, in inches
CAPTION, LINE = 5.6, 0.095  # the size of a caption's letters, in points, and the height of its lines, in inches
LETTER = 0.1  # the width of a letter of a sheet's title, in inches, at most


@dataclass(frozen=True)
class Strip:
    """Images of one kind in a sheet, such as the most anomalous ones.

    images      (n, channels, height, width)
    captions    what is written below each image, n texts of the same number of lines; () for none
    is_flagged  whether each image is flagged as an anomaly, (n,); the caption is then orange. None: none is
    maps        the map of errors of each image, (n, height, width), or None
    """

    images: np.ndarray
    captions: Sequence[str] = ()
    is_flagged: np.ndarray | None = None
    maps: np.ndarray | None = None


def score_histogram(scores: np.ndarray, calibration: np.ndarray | None, edge: float, to: Target, *, title: str) -> None:
    """Draw the distribution of the scores of new rows, beside the distribution of the scores of calibration rows.

    scores: of new rows, (rows,); scores that are not finite are left out
    calibration: of calibration rows, (n,), or None
    edge: the score above which rows are flagged, drawn as a line; NaN or inf for none
    """
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = panels_of(1, size=(6.4, 3.2))
        first, last = _histogram(axes, scores, calibration, BINS, WIDE, "these rows", reach=edge)
        finite = scores[np.isfinite(scores)]
        beyond, below = int((finite > last).sum()), int((finite < first).sum())
        said = {
            "right": (last, f"{beyond:,} beyond →" * bool(beyond)),
            "left": (first, f"← {below:,} below" * bool(below)),
        }
        for side, (place, words) in said.items():
            axes.text(place, 0.12, words, ha=side, fontsize=7.5, transform=axes.get_xaxis_transform())
        if np.isfinite(edge):
            axes.axvline(edge, color=GREY, linestyle="--", label="flagged from here on")
            half = (last - first) / BINS / 2  # the marks of what lies beyond stand in the middle of the last bin
            flagged = np.clip(scores[scores > edge], first + half, last - half)
            (marks,) = axes.plot(flagged, np.full(len(flagged), 0.03), "|", color=COLOURS[3], markersize=12)
            marks.set(transform=axes.get_xaxis_transform(), label=f"{len(flagged):,} flagged rows")
        outside = " (what lies outside is drawn in the end bins)" if beyond or below else ""
        axes.set(xlabel=f"score{outside}", ylabel="share of rows")
        axes.legend()
        heading(figure, title)
        save(figure, to)


def score_distributions(panels: Mapping[str, tuple[np.ndarray, np.ndarray | None]], to: Target, *, title: str) -> None:
    """Draw a panel for each anomaly score, with its distribution on test rows and its distribution on calibration rows.

    panels: {title of a panel: (the score of test rows (rows,), the score of calibration rows (n,) or None)}
    """
    with matplotlib.rc_context(STYLE):
        figure, drawn = panels_of(len(panels), columns=min(3, len(panels)), size=(3.7 if len(panels) > 1 else 6.4, 2.5))
        for axes, (name, (scores, calibration)) in zip(drawn, panels.items(), strict=True):
            _histogram(axes, scores, calibration, BINS // 2, WIDE * 0.75, "test rows")
            axes.set_title(name, fontsize=8.5)
            axes.set(xlabel="score (beyond: at the edge)", ylabel="share of rows")
            axes.tick_params(labelsize=7.5)
        drawn[0].legend(fontsize=7.5)
        heading(figure, title)
        save(figure, to)


def score_sheet(
    strips: Mapping[str, Strip], to: Target, *, levels: int | None, map_scale: float | None, title: str
) -> None:
    """Draw strips of images with their names, one below the other; below each strip its maps, and then its captions.

    strips: {name, such as "most anomalous": the strip}; strips without images are left out
    levels: the number of grey levels of the images, or None for continuous pixels
    map_scale: the error that few pixels of normal images exceed; an error of this size is drawn dark in all maps. None:
    the largest error in the maps takes its place
    """
    strips = {name: strip for name, strip in strips.items() if len(strip.images)}
    columns = max(len(strip.images) for strip in strips.values())
    tiles = tiles_of(np.concatenate([strip.images for strip in strips.values()]), levels)
    ends = np.cumsum([len(strip.images) for strip in strips.values()])
    top = map_scale or max((float(of.maps.max()) for of in strips.values() if of.maps is not None), default=1.0)
    bands: list[tuple[str, np.ndarray | Strip]] = []  # from top to bottom: pictures, and strips for their captions
    for (name, strip), own in zip(strips.items(), np.split(tiles, ends[:-1]), strict=True):
        bands.append((name, padded_row(np.broadcast_to(own, (*own.shape[:3], 3)), columns)))
        if strip.maps is not None:
            bands.append(("their errors", padded_row(_coloured(strip.maps, top), columns)))
        bands += [("", strip)] if strip.captions else []
    heights = [
        TILE * columns * of.shape[0] / of.shape[1] if isinstance(of, np.ndarray) else _caption_height(of)
        for _, of in bands
    ]
    lines = title.split("\n")
    head = 0.18 + 0.18 * len(lines)
    width, height = max(1.7 + TILE * columns, LETTER * max(map(len, lines))), 0.04 + head + sum(heights)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=DPI)
        above = height - head
        for (name, of), tall in zip(bands, heights, strict=True):
            above -= tall
            if isinstance(of, Strip):
                _write_captions(figure, of, above + tall)
                continue
            axes = figure.add_axes((1.6 / width, above / height, TILE * columns / width, tall / height))
            axes.imshow(of, interpolation="nearest", aspect="auto")
            axes.set_axis_off()
            figure.text(1.52 / width, (above + tall / 2) / height, name, ha="right", va="center", fontsize=8)
        figure.text(0.08 / width, 1 - 0.08 / height, plain(title), va="top", weight="bold", fontsize=10)
        save(figure, to)


def _coloured(maps: np.ndarray, top: float) -> np.ndarray:
    """Return maps (n, height, width) in colours, (n, height, width, 3); top: the error that is drawn dark."""
    bright = np.log1p(maps / max(top, 1e-30)) / np.log1p(BRIGHTEST)
    return matplotlib.colormaps[MAP](np.clip(bright, 0, 1))[..., :3]


def _caption_height(strip: Strip) -> float:
    return LINE * (1 + max(caption.count("\n") for caption in strip.captions)) + 0.09


def _write_captions(figure: Figure, strip: Strip, at: float) -> None:
    """Write the captions of a strip, each below its image. at: inches from the bottom of the figure to their top"""
    width, height = figure.get_size_inches()
    flagged = strip.is_flagged if strip.is_flagged is not None else np.zeros(len(strip.captions), dtype=bool)
    for k, (caption, is_flagged) in enumerate(zip(strip.captions, flagged, strict=True)):
        figure.text(
            (1.6 + TILE * (k + 0.5)) / width, (at - 0.03) / height, plain(caption), ha="center", va="top",
            fontsize=CAPTION, linespacing=1.1, color=COLOURS[3] if is_flagged else INK,
        )  # fmt: skip


def score_bands(
    labels: list[str], bands: np.ndarray, usual: np.ndarray, p: np.ndarray, to: Target, *, title: str
) -> None:
    """Draw the scores of each file of rows as a box with whiskers, over grey bands for the scores of calibration rows.

    labels: a name for each file
    bands: the quantiles at 5%, 25%, 50%, 75% and 95% of each file's scores, (files, 5)
    usual: the same quantiles of the scores of calibration rows, (5,)
    p: for each file the p-value of the test that it scores as the calibration rows do; below 0.01 the box is orange
    """
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = panels_of(1, size=(max(6.6, 1.6 + 0.9 * len(labels)), 3.6))
        axes.axhspan(usual[0], usual[4], color=GREY, alpha=0.15, linewidth=0)
        axes.axhspan(usual[1], usual[3], color=GREY, alpha=0.25, linewidth=0)
        axes.axhline(usual[2], color=GREY, linewidth=1.0)
        boxes = [dict(zip(("whislo", "q1", "med", "q3", "whishi"), row, strict=True)) for row in bands.tolist()]
        drawn = axes.bxp(
            boxes, positions=list(range(len(labels))), showfliers=False, widths=0.45, patch_artist=True,
            medianprops={"color": INK},
        )  # fmt: skip
        for k, box in enumerate(drawn["boxes"]):
            box.set(facecolor=COLOURS[3 if p[k] < 0.01 else 0], alpha=0.6)
        words = [f"{plain(label)}\np {value:.2g}" for label, value in zip(labels, p, strict=True)]
        axes.set_xticks(range(len(labels)), words)
        axes.tick_params(axis="x", labelsize=7.5)
        axes.set(ylabel="score: 5%, 25%, 50%, 75%, 95%")
        axes.set_xlabel("grey bands: the same quantiles of calibration rows; orange boxes: p below 0.01", fontsize=7.5)
        heading(figure, title)
        save(figure, to)


def _histogram(
    axes: Axes,
    scores: np.ndarray,
    calibration: np.ndarray | None,
    count: int,
    wide: float,
    label: str,
    *,
    reach: float = math.nan,
) -> tuple[float, float]:
    """Draw histograms of the finite scores and of the calibration scores, as fractions of rows, in the same bins.

    The bins reach at most `wide` spreads (from the 1% to the 99% quantile of the calibration scores) from the median of
    the calibration scores; scores beyond are drawn in the last bin. Without calibration scores the scores set the bins.
    Returns where the first bin begins and the last one ends.

    count: the number of bins; reach: a score up to which the bins reach at least, or NaN
    """
    finite = scores[np.isfinite(scores)]
    has_known = calibration is not None and len(calibration) > 0
    known = calibration[np.isfinite(calibration)] if calibration is not None and has_known else finite
    low, middle, high = np.quantile(known, [0.01, 0.5, 0.99]) if len(known) else (0.0, 0.5, 1.0)
    spread = max(high - low, 1e-12)
    first = max(min([*finite, *known, low]), middle - wide * spread)
    last = min(max([*finite, *known, high]), middle + wide * spread)
    last = max(last, reach + 0.1 * spread) if np.isfinite(reach) else last
    bins = np.linspace(first, max(last, first + 1e-12), count + 1).tolist()
    weights = np.full(len(finite), 1 / max(1, len(finite)))
    axes.hist(np.clip(finite, first, last), bins=bins, weights=weights, color=COLOURS[0], label=label)
    if has_known and len(known):
        weights = np.full(len(known), 1 / len(known))
        axes.hist(
            np.clip(known, first, last), bins=bins, weights=weights, histtype="step", color=COLOURS[3], linewidth=1.4,
            label="calibration rows",
        )  # fmt: skip
    return first, last
