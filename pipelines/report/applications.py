"""What models are used for beside scores and clusters: denoised rows and small files, as tables and pictures."""

from dataclasses import dataclass

from pipelines.report.gallery import Picture, picture
from pipelines.report.read import Results, Row, RunResult

ERRORS = 2.0  # standard errors that a difference must have to be called one: 95%
BESIDE = {"jpeg": "JPEG of one picture", "png": "PNG of one picture"}  # PCA's front is in the picture


@dataclass(frozen=True)
class Denoising:
    """Of a data set. rows: (row, its run); above, unclear, below: the linear denoiser, at the trained level."""

    rows: list[tuple[Row, RunResult]]
    above: list[str]
    unclear: list[str]
    below: list[str]
    pictures: list[Picture]


@dataclass(frozen=True)
class Compression:
    """Of a data set. rows: (row, its name, its run or None of a baseline), the smallest file first.

    above: runs that lose less than PCA in as many bytes, at one setting or more; below: those that do at none
    """

    rows: list[tuple[Row, str, RunResult | None]]
    above: list[str]
    below: list[str]
    pictures: list[Picture]


def denoising(found: Results) -> dict[str, Denoising]:
    """{data: its table and sheets}."""
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
    """{data: its table and picture}."""
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
