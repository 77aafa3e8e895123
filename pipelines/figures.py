"""Pictures; the only import of matplotlib.

Each function takes arrays and writes a PNG into a path or an open binary file: the same bytes for the same arrays, with
no window system, no global state, no date or version in the file. Colours are Okabe and Ito's (2008), told apart by
colour-blind readers; heat maps are viridis. Grey levels have one fixed scale a picture, so that its images compare.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import matplotlib
import numpy as np
from matplotlib import image
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

INK, GREY = "#222222", "#9a9a9a"
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C6D31", "#000000", "#B8AD00", "#6A51A3")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
AROUND = LinearSegmentedColormap.from_list("around", [*COLOURS[:5], COLOURS[0]])  # for angles: it ends where it began
DASHES = ("-", "--", ":", "-.")
STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#666666",
    "axes.linewidth": 0.8,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}
DPI = 130
PLAIN: dict[str, Any] = {"Software": None}  # matplotlib would write its version into the file
TILE_PIXELS = 56  # an image of 8 x 8 is enlarged to about this
PANEL = (3.9, 3.1)  # inches

Points = Mapping[str, np.ndarray]
Target = Path | BinaryIO


def image_grid(images: np.ndarray, to: Target, *, levels: int | None, columns: int = 10) -> None:
    """Images (n, c, h, w) or (n, h, w), row by row; black is 0 and white levels - 1, for all alike."""
    image.imsave(to, mosaic(images, levels=levels, columns=columns), format="png", metadata=PLAIN)


def mosaic(images: np.ndarray, *, levels: int | None, columns: int = 10) -> np.ndarray:
    """The same as an array (height, width, 3) of uint8."""
    tiles = _tiles(images, levels)
    n, height, width, channels = tiles.shape
    columns = max(1, min(columns, n))
    rows = -(-n // columns)
    sheet = np.ones((rows * (height + 1) + 1, columns * (width + 1) + 1, channels))
    for k, tile in enumerate(tiles):
        top, left = 1 + (k // columns) * (height + 1), 1 + (k % columns) * (width + 1)
        sheet[top : top + height, left : left + width] = tile
    zoom = max(1, round(TILE_PIXELS / max(height, width)))
    sheet = sheet.repeat(zoom, axis=0).repeat(zoom, axis=1)
    coloured = sheet.repeat(3, axis=2) if channels == 1 else sheet
    return np.ascontiguousarray((255 * coloured).round().astype(np.uint8))


def draws(samples: np.ndarray, data: np.ndarray, to: Target, *, levels: int | None) -> None:
    """Samples as their shape allows: images as a grid, numbers and pairs beside data, longer rows by the data's PCA."""
    if is_image(samples.shape[1:]):
        image_grid(samples[:100], to, levels=levels)
        return
    samples, data = samples.reshape(len(samples), -1), data.reshape(len(data), -1)
    if samples.shape[1] == 1:
        histogram({"data": data[:, 0], "samples": samples[:, 0]}, to)
    elif samples.shape[1] == 2:
        scatter({"data": data, "samples": samples}, to)
    else:
        centre, scale = data.mean(axis=0), np.where(data.std(axis=0) > 0, data.std(axis=0), 1.0)
        axes = np.linalg.svd((data - centre) / scale, full_matrices=False)[2][:2]
        layers = {name: (rows - centre) / scale @ axes.T for name, rows in (("data", data), ("samples", samples))}
        scatter(layers, to, x_label="data's first component", y_label="data's second component")


def step_picture(folder: Path, step: int, dataset: Any) -> np.ndarray | None:
    """The samples of a training's step as (height, width, 3) uint8; None where there are none or no picture of them."""
    path = folder / "samples" / f"step_{step:08d}.npy"
    if not path.is_file():
        return None
    samples = np.load(path, allow_pickle=False)
    if is_image(dataset.event_shape):
        return mosaic(samples, levels=dataset.levels, columns=8)
    if dataset.event_shape != (2,):
        return None
    low, high = _extent(np.asarray(dataset.x("validation")[:2000]))  # of data: the same window at every step
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = _panels(1, size=(3.4, 3.3))
        axes.scatter(samples[:, 0], samples[:, 1], s=10, alpha=0.7, color=COLOURS[0], linewidths=0)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="x1", ylabel="x2", title=f"step {step}")
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.array(canvas.buffer_rgba())[:, :, :3]


def overview(panels: Mapping[str, np.ndarray | Path], to: Target, *, columns: int = 4) -> None:
    """Pictures side by side under their names: (height, width, 3) arrays or PNG files, each at its own proportions."""
    with matplotlib.rc_context(STYLE):
        figure, places = _panels(len(panels), columns=columns, size=(2.6, 2.75))
        for axes, (name, picture) in zip(places, panels.items(), strict=True):
            axes.imshow(image.imread(picture) if isinstance(picture, Path) else picture, interpolation="none")
            axes.set_title(name)
            axes.set_axis_off()
        _save(figure, to)


def is_image(event_shape: Sequence[int]) -> bool:
    """(channels, height, width)."""
    return len(event_shape) == 3


def reconstructions(
    originals: np.ndarray, reconstructed: np.ndarray, to: Target, *, levels: int | None, columns: int = 12
) -> None:
    """Pairs of rows: originals, and below each what came back."""
    count = len(originals) - len(originals) % columns or len(originals)
    columns = min(columns, count)
    shape = (count // columns, columns, *originals.shape[1:])
    pairs = np.stack([originals[:count].reshape(shape), reconstructed[:count].reshape(shape)], axis=1)
    image_grid(pairs.reshape(-1, *originals.shape[1:]), to, levels=levels, columns=columns)


def sheet(rows: Mapping[str, np.ndarray], to: Target, *, levels: int | None, title: str, limit: int = 12) -> None:
    """Named rows of images: {"cluster 0": (n, c, h, w), ...}, at most `limit` of each; one scale for all."""
    rows = {name: images[:limit] for name, images in rows.items() if len(images)}
    columns = max(len(images) for images in rows.values())
    tiles = np.split(_tiles(np.concatenate(list(rows.values())), levels), np.cumsum([len(r) for r in rows.values()]))
    grid = np.concatenate([_padded_row(row, columns) for row in tiles[:-1]])
    tall, wide = grid.shape[0] / len(rows), grid.shape[1] / columns
    width, height = 1.7 + 0.52 * columns, 0.4 + 0.52 * len(rows) * tall / wide
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=DPI)
        axes = figure.add_axes((1.6 / width, 0.04 / height, 0.52 * columns / width, (height - 0.4) / height))
        axes.imshow(grid.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        for k, name in enumerate(rows):
            axes.text(-0.02 * wide * columns, (k + 0.5) * tall, name, ha="right", va="center", fontsize=8)
        figure.text(0.08 / width, 1 - 0.08 / height, title, va="top", weight="bold", fontsize=10)
        _save(figure, to)


def scatter(layers: Points, to: Target, *, x_label: str = "x1", y_label: str = "x2", title: str = "") -> None:
    """One panel a layer, the same axes for all: {"test data": (n, 2), "samples": (n, 2)}."""
    everything = np.concatenate([points[np.isfinite(points).all(axis=1)] for points in layers.values()])
    low, high = _extent(everything)
    with matplotlib.rc_context(STYLE):
        figure, panels = _panels(len(layers), columns=len(layers), size=(3.4, 3.3))
        for axes, colour, (name, points) in zip(panels, COLOURS, layers.items(), strict=False):
            axes.scatter(points[:, 0], points[:, 1], s=6, alpha=0.5, color=colour, linewidths=0, rasterized=True)
            axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel=x_label, ylabel=y_label, title=name)
        if title:
            figure.suptitle(title)
        _save(figure, to)


def classes(points: np.ndarray, labels: np.ndarray, to: Target, *, x_label: str, y_label: str, title: str) -> None:
    """Points (n, 2) coloured by class: a map of a latent space."""
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = _panels(1, size=(4.8, 4.0))
        _classes(axes, points, labels, size=16)
        axes.set(xlabel=x_label, ylabel=y_label, title=title)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=1.6)
        _save(figure, to)


def flow_of_the_plane(x: np.ndarray, z: np.ndarray, to: Target, *, labels: np.ndarray | None, title: str) -> None:
    """Points (n, 2), and where a flow takes them, in the same colours: of their class, or of the angle of x."""
    with matplotlib.rc_context(STYLE):
        figure, panels = _panels(2, columns=2, size=(4.3, 3.9))
        _heading(figure, title)
        for axes, points, name in zip(panels, (x, z), "xz", strict=True):
            if labels is None:
                angle = np.degrees(np.arctan2(*(x - x.mean(axis=0)).T[::-1]))
                look: dict[str, Any] = {"cmap": AROUND, "vmin": -180, "vmax": 180}
                shown = axes.scatter(points[:, 0], points[:, 1], c=angle, s=7, alpha=0.8, linewidths=0, **look)
            else:
                _classes(axes, points, labels, size=7)
            low, high = _extent(points)
            axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel=f"{name}1", ylabel=f"{name}2")
            axes.set_title("test rows x" if name == "x" else "z = f(x)")
        if labels is None:
            bar = figure.colorbar(shown, ax=panels, label="angle of x around the mean, degrees")
            bar.set_ticks([-180, -90, 0, 90, 180])
        else:
            panels[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=2.0)
        _save(figure, to)


def histogram(layers: Points, to: Target, *, x_label: str = "x", title: str = "") -> None:
    """Numbers (n,) in shared bins, one outline a layer."""
    everything = np.concatenate([values[np.isfinite(values)] for values in layers.values()])
    bins = np.histogram_bin_edges(everything, bins=60)
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = _panels(1, size=(4.8, 3.2))
        for colour, dashes, (name, values) in zip(COLOURS, DASHES, layers.items(), strict=False):
            axes.hist(
                values,
                bins=list(bins),
                density=True,
                histtype="step",
                color=colour,
                linestyle=dashes,
                linewidth=1.6,
                label=name,
            )
        axes.set(xlabel=x_label, ylabel="density", title=title)
        axes.legend()
        _save(figure, to)


def density(
    grid: np.ndarray, extent: tuple[float, float, float, float], points: np.ndarray, to: Target, *, title: str
) -> None:
    """A log density (rows along x2, columns along x1) over extent (x1 low, x1 high, x2 low, x2 high), data on top."""
    top = float(np.max(grid[np.isfinite(grid)], initial=-np.inf))
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        figure, (axes,) = _panels(1, size=(4.9, 4.0))
        # eight nats below the top is a factor of 3000: what lies lower is empty
        shown = axes.imshow(grid, origin="lower", extent=extent, aspect="auto", cmap="viridis", vmin=top - 8, vmax=top)
        axes.scatter(points[:, 0], points[:, 1], s=5, color="white", alpha=0.6, linewidths=0)
        axes.set(xlim=extent[:2], ylim=extent[2:], xlabel="x1", ylabel="x2", title=title)
        figure.colorbar(shown, ax=axes, label="log p(x), nats", extend="min")
        _save(figure, to)


@dataclass(frozen=True)
class LineFlow:
    """What there is to see of a flow of the line: x, p(x), z = f(x) and p(z) along a grid, and z of rows of data."""

    x: np.ndarray
    density: np.ndarray
    z: np.ndarray
    z_density: np.ndarray
    latents: np.ndarray


def line_flows(
    stages: Mapping[str, LineFlow], data: np.ndarray, to: Target, *, truth: np.ndarray | None, title: str
) -> None:
    """A row of three panels a stage, {"before training": ...}: p(x), x -> z, the latents of data under p(z).

    data (rows,) are those whose latents are shown; truth (grid,) is their density where it is known. The panels of a
    column have the same axes, so that the rows compare.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.6, 2.9 * len(stages) + 0.3), dpi=DPI, layout="constrained")
        grid = figure.subplots(len(stages), 3, squeeze=False, sharex="col", sharey="col")
        _heading(figure, title)
        for (density_of_x, map_to_z, density_of_z), (name, flow) in zip(grid, stages.items(), strict=True):
            _filled(density_of_x, data, "data")
            if truth is not None:
                density_of_x.plot(flow.x, truth, color=INK, linestyle="--", label="true density")
            density_of_x.plot(flow.x, flow.density, color=COLOURS[0], label="model")
            density_of_x.set(title=f"{name}: density of x", xlabel="x", ylabel="p(x)")
            map_to_z.plot(flow.x, flow.z, color=COLOURS[0])
            map_to_z.set(title="flow x \u2192 z", xlabel="x", ylabel="z = f(x)")
            _filled(density_of_z, flow.latents, "data")
            density_of_z.plot(flow.z, flow.z_density, color=COLOURS[3], label="base of the flow")
            density_of_z.set(title="z of the data", xlabel="z", ylabel="p(z)")
            for axes in (density_of_x, map_to_z, density_of_z):
                axes.tick_params(labelbottom=True)
        everything = np.concatenate([flow.latents for flow in stages.values()])
        low, high = _extent(everything[np.isfinite(everything), None])
        grid[0, 2].set_xlim(low[0], high[0])
        for axes in grid[0, (0, 2)]:
            axes.set_ylim(bottom=0)
        looks: dict[str, Any] = {}
        for axes in grid[0, (0, 2)]:
            handles, names = axes.get_legend_handles_labels()
            looks |= dict(zip(names, handles, strict=True))
        figure.legend(looks.values(), looks.keys(), loc="outside upper right", ncols=len(looks))  # no panel has room
        _save(figure, to)


def roc(panels: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]], to: Target) -> None:
    """One panel a data set: {data: {curve: (false-positive rates, true-positive rates)}}."""
    with matplotlib.rc_context(STYLE):
        figure, drawn = _panels(len(panels), columns=1, size=(7.4, 3.9))
        for axes, (name, lines) in zip(drawn, panels.items(), strict=True):
            axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (2, 2)))
            for k, (label, (false, true)) in enumerate(lines.items()):
                look: dict[str, Any] = {
                    "color": COLOURS[k % len(COLOURS)],
                    "linestyle": DASHES[(k // len(COLOURS)) % len(DASHES)],
                }
                axes.plot(false, true, label=label, **look)
            axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), title=name)
            axes.set(xlabel="false-positive rate", ylabel="true-positive rate")
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, title="area under the curve")
        _save(figure, to)


def trials(
    rows: Sequence[Mapping[str, Any]], metric: str, best: int, to: Target, *, front: Mapping[str, str] | None = None
) -> None:
    """The metric of each trial against each swept key, the best in colour; a last panel is the rate-distortion front.

    rows: {trial, override: {key: value}, value, metrics: {name: number}}; trials without a finite value are left out.
    front: {rate: name, distortion: name} of metrics, or None.
    """
    kept = [row for row in rows if row["value"] is not None and np.isfinite(row["value"])]
    values = np.array([row["value"] for row in kept], dtype=float)
    chosen = next((k for k, row in enumerate(kept) if row["trial"] == best), None)
    keys = sorted({key for row in rows for key in row["override"]}) or ["trial"]
    count = len(keys) + (front is not None)
    with matplotlib.rc_context(STYLE):
        figure, panels = _panels(count, columns=min(3, count), size=(3.7, 3.0))
        for axes, key in zip(panels, keys, strict=False):
            places = _places(axes, [row["override"].get(key, row["trial"]) for row in kept])
            axes.scatter(places, values, s=24, color=GREY, linewidths=0)
            if chosen is not None:
                axes.scatter(places[chosen], values[chosen], s=60, color=COLOURS[3], zorder=3)
                at = (places[chosen], values[chosen])
                note = axes.annotate(f"{values[chosen]:.4g}", at, xytext=(6, 6), textcoords="offset points")
                note.set_in_layout(False)
            axes.margins(x=0.14, y=0.1)
            axes.set(xlabel=key, ylabel=f"validation {metric}")
        if front is not None:
            names = (front["rate"], front["distortion"])
            points = [[_held_out(row["metrics"], name) for name in names] for row in kept]
            labels = [_setting(row["override"], ("beta", "sigma")) for row in kept]
            _draw_front(panels[-1], np.array(points, dtype=float).reshape(-1, 2), labels, names)
        figure.suptitle(
            f"{len(rows)} trials, validation {metric}, lower is better", x=0.01, ha="left", weight="bold", fontsize=10
        )
        _save(figure, to)


def curves(lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], to: Target, *, title: str = "") -> None:
    """Small panels, one a name: {"likelihood.nats": (steps, values)}."""
    with matplotlib.rc_context(STYLE):
        figure, panels = _panels(len(lines), columns=min(3, len(lines)), size=(3.3, 2.4))
        for axes, (name, (steps, values)) in zip(panels, lines.items(), strict=True):
            axes.plot(steps, values, color=COLOURS[0], marker="o" if len(steps) < 30 else None, markersize=3)
            axes.set(xlabel="step (minibatches)", title=name)
        if title:
            _heading(figure, title)
        _save(figure, to)


def _classes(axes: Axes, points: np.ndarray, labels: np.ndarray, *, size: float) -> None:
    for k, label in enumerate(np.unique(labels)):
        kept, colour, marker = points[labels == label], COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
        look: dict[str, Any] = {"s": size, "alpha": 0.8, "color": colour, "marker": marker, "linewidths": 0}
        axes.scatter(kept[:, 0], kept[:, 1], label=str(label), **look)


def _filled(axes: Axes, values: np.ndarray, name: str) -> None:
    """A histogram in grey, as a density: what lines are compared with."""
    kept = values[np.isfinite(values)]
    axes.hist(kept, bins=60, density=True, color=GREY, alpha=0.45, label=name)


def _save(figure: Figure, to: Target) -> None:
    FigureCanvasAgg(figure).print_png(to, metadata=PLAIN)


def _heading(figure: Figure, title: str) -> None:
    figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=10)


def _draw_front(axes: Axes, points: np.ndarray, labels: Sequence[str], axis_labels: tuple[str, str]) -> None:
    best = np.array([not np.any((points <= p).all(axis=1) & (points < p).any(axis=1)) for p in points], dtype=bool)
    on_front = points[best][np.argsort(points[best, 0])]
    axes.plot(on_front[:, 0], on_front[:, 1], marker="o", markersize=5, color=COLOURS[0], label="front")
    if not best.all():
        axes.scatter(points[~best, 0], points[~best, 1], s=24, color=GREY, linewidths=0, label="beaten in both")
        axes.legend()
    spread = np.maximum(np.ptp(points, axis=0), 1e-12) if len(points) else 1.0
    written: list[np.ndarray] = []
    for k in np.flatnonzero(best)[np.argsort(points[best, 0])]:
        # a label on another's place helps nobody: trials.json has them all
        if all(np.abs((points[k] - other) / spread)[1] > 0.055 for other in written):
            written.append(points[k])
            note = axes.annotate(labels[k], points[k], xytext=(6, 4), textcoords="offset points", fontsize=7)
            note.set_in_layout(False)
    axes.margins(x=0.2, y=0.12)
    axes.set(xlabel=axis_labels[0], ylabel=axis_labels[1])


def _held_out(metrics: Mapping[str, float], name: str) -> float:
    """A metric on validation data where it was taken there, else in training."""
    return metrics.get(f"validation.{name}", metrics.get(name, float("nan")))


def _setting(override: Mapping[str, Any], names: Sequence[str]) -> str:
    """What of a setting belongs beside a point: "beta 2, sigma 0.1"."""
    short = {key.rpartition(".")[2]: value for key, value in override.items()}
    return ", ".join(f"{name} {short[name]:.2g}" for name in names if name in short)


def _panels(count: int, *, columns: int = 1, size: tuple[float, float] = PANEL) -> tuple[Figure, list[Axes]]:
    columns = max(1, columns)
    rows = max(1, -(-count // columns))
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), dpi=DPI, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for unused in axes[count:]:
        unused.set_axis_off()
    return figure, axes[:count]


def _tiles(images: np.ndarray, levels: int | None) -> np.ndarray:
    """(n, h, w, channels) in [0, 1]."""
    images = np.asarray(images, dtype=np.float64)
    images = images[:, None] if images.ndim == 3 else images
    if levels is None:
        low, high = images.min(), images.max()
        scaled = (images - low) / (high - low if high > low else 1.0)
    else:
        scaled = images / (levels - 1)
    channels = images.shape[1]
    scaled = scaled if channels in (1, 3) else scaled[:, :1]
    return np.clip(scaled, 0.0, 1.0).transpose(0, 2, 3, 1)


def _padded_row(tiles: np.ndarray, columns: int) -> np.ndarray:
    """Tiles side by side on white, (h + 1, columns (w + 1), channels)."""
    n, height, width, channels = tiles.shape
    row = np.ones((columns, height + 1, width + 1, channels))
    row[:n, :height, :width] = tiles
    return row.transpose(1, 0, 2, 3).reshape(height + 1, columns * (width + 1), channels)


def _extent(points: np.ndarray, margin: float = 0.08) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.percentile(points, [0.1, 99.9], axis=0)  # one stray sample must not shrink the rest to a dot
    pad = margin * np.maximum(high - low, 1e-9)
    return low - pad, high + pad


def _places(axes: Axes, raw: Sequence[object]) -> np.ndarray:
    """Where values of a swept key stand on the x axis: numbers (on a log scale if they span factors), or names."""
    if raw and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in raw):
        numbers = np.array(raw, dtype=float)
        if numbers.min() > 0 and numbers.max() / numbers.min() >= 5:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        return numbers
    names = sorted({str(value) for value in raw})
    axes.set_xticks(range(len(names)), names)
    return np.array([names.index(str(value)) for value in raw], dtype=float)
