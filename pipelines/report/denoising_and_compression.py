"""The report's sections on denoising and compression: their tables and pictures."""

from dataclasses import dataclass

from pipelines.report.gallery import Picture, picture
from pipelines.report.read import Results, Row, RunResult

ERRORS = 2.0  # a difference counts if it is more than this many standard errors: 95%
BESIDE = {"jpeg": "JPEG of one picture", "png": "PNG of one picture"}  # PCA is not in the table but in the picture


@dataclass(frozen=True)
class Denoising:
    """The denoising section of a data set.

    rows: (row of numbers, its run)
    above, unclear, below: the runs that are better than the linear denoiser, not clearly different from it, or worse,
    at the noise level of their training
    """

    rows: list[tuple[Row, RunResult]]
    above: list[str]
    unclear: list[str]
    below: list[str]
    pictures: list[Picture]


@dataclass(frozen=True)
class Compression:
    """The compression section of a data set.

    rows: (row of numbers, its name, its run or None for a baseline), the smallest file first
    above: the runs that, at one setting or more, have a lower error than PCA with as many bytes
    below: the other runs that lose something and can be compared with PCA
    """

    rows: list[tuple[Row, str, RunResult | None]]
    above: list[str]
    below: list[str]
    pictures: list[Picture]


def denoising(found: Results) -> dict[str, Denoising]:
    """Return {data: its denoising section}."""
    told: dict[str, Denoising] = {}
    for row in found.denoising.rows:
        run = found.runs[row["run"]]
        it = told.setdefault(row["data"], Denoising([], [], [], [], []))
        it.rows.append((row, run))
        if row["factor"] != 1.0:
            continue
        is_clear = abs(row["gain"]) > ERRORS * row["gain_error"]
        (it.unclear if not is_clear else it.above if row["gain"] > 0 else it.below).append(run.line.key)
        if content := found.denoising.pictures.get(f"denoised-{run.line.key}"):
            text = f"{row['corruption']} {row['level']:.3g}."
            it.pictures.append(picture(content, f"Denoised by {run.line.key}", [run], row["data"], text, is_wide=True))
    return told


def compression(found: Results) -> dict[str, Compression]:
    """Return {data: its compression section}."""
    told = {}
    for data in dict.fromkeys(row["data"] for row in found.compression.rows):
        rows = sorted((row for row in found.compression.rows if row["data"] == data), key=lambda row: row["bytes"])
        mine = [row for row in rows if row["run"] in found.runs]
        runs = [found.runs[key] for key in dict.fromkeys(row["run"] for row in mine)]
        lossy = {row["run"] for row in mine if row["mse_pca"] is not None and row["mse"] > 0}
        above = {row["run"] for row in mine if row["run"] in lossy and 0 < row["mse"] < (row["mse_pca"] or 0)}
        shown = [row for row in rows if row["run"] != "pca"]
        it = Compression(
            [(row, str(BESIDE.get(row["run"], row["run"])), found.runs.get(row["run"])) for row in shown],
            [run.line.key for run in runs if run.line.key in above],
            [run.line.key for run in runs if run.line.key in lossy - above],
            [],
        )
        if content := found.compression.pictures.get(f"rates-{data}"):
            it.pictures.append(picture(content, f"Rate and distortion on {data}", runs, data, is_wide=True))
        told[data] = it
    return told
