"""Makes the pictures of the report's pages, each with its caption, its runs and its data."""

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO

from pipelines.report.read import BASELINES, Results, RunResult
from pipelines.report.versus_baselines import Comparison

KINDS = {  # {a picture of evaluate: (heading, caption)}, in the order of the page
    "samples": (
        "Samples",
        "Drawn from the model; of numbers, beside test rows. Draws of a VAE with a Gaussian decoder carry its noise.",
    ),
    "temperatures": ("Temperatures", "The same draws at rising temperatures T: sharper and less varied below 1."),
    "reconstructions": ("Reconstructions", "Pairs of rows: test images, and below each what came back."),
    "interpolation": (
        "Interpolations",
        "From a test image to another through latent space, as the model returns them.",
    ),
    "traversal": (
        "Traversals",
        "A test image with one latent changed at a time, those that say most first: what each stands for.",
    ),
    "latent_map": ("Latent maps", "The mean image over two latents, each step of equal mass under the prior."),
    "latent_kl": ("Latents at work", "KL to the prior of each latent in nats a row; a latent of 0 says nothing."),
    "density": ("Densities", "log p over the plane, with test rows in white."),
    "flow": ("Flows of the line", "The density, the map x to z and z of test rows, before training and after it."),
    "latent_flow": ("Flows of the plane", "Test rows, and where the flow takes them, by class or by angle."),
    "scores": (
        "Anomaly scores",
        "Test rows by the default score: of images the most anomalous, those next to the threshold for 5% false "
        "alarms and the most normal, with the error of each pixel; of other rows the distribution.",
    ),
    "latent": ("Latent spaces", "Test rows by class; more than two latents by their first two principal components."),
}


@dataclass(frozen=True)
class Picture:
    """An image in a page.

    uri: the image itself as a data: URI; alt, text: what it shows; runs, data: the runs and data sets that it is about
    is_wide: whether it needs the whole width of the page; size: (width, height) in pixels
    """

    uri: str
    alt: str
    runs: tuple[RunResult, ...]
    data: tuple[str, ...]
    text: str = ""
    is_wide: bool = False
    size: tuple[int, int] = (0, 0)

    @property
    def shape(self) -> str:
        """The class of style.css that says how much of the page's width the picture needs."""
        return "wide" if self.is_wide else "broad" if self.size[0] > 1.1 * self.size[1] else "square"


def picture(
    content: bytes,
    alt: str,
    runs: Iterable[RunResult],
    data: str | Iterable[str],
    text: str = "",
    *,
    is_wide: bool = False,
) -> Picture:
    """Return a picture of the page for the bytes of a PNG or GIF."""
    if content.startswith(b"GIF"):
        kind, size = "gif", (int.from_bytes(content[6:8], "little"), int.from_bytes(content[8:10], "little"))
    else:
        kind, size = "png", (int.from_bytes(content[16:20]), int.from_bytes(content[20:24]))  # after its length
    uri = f"data:image/{kind};base64,{b64encode(content).decode()}"
    return Picture(uri, alt, tuple(runs), (data,) if isinstance(data, str) else tuple(data), text, is_wide, size)


def gallery(found: Results, data: str) -> list[tuple[str, str, list[Picture]]]:
    """Return (heading, caption, pictures) for each kind of picture that evaluate made, and last for the training."""
    runs = found.runs_on(data)
    names = [*KINDS, *sorted({name for run in runs for name in run.pictures} - set(KINDS))]
    groups = []
    for name in names:
        heading, about = KINDS.get(name, (name, ""))
        shown = [
            picture(run.pictures[name], f"{heading} of {run.line.key}", [run], data)
            for run in runs if name in run.pictures
        ]  # fmt: skip
        if shown:
            groups.append((heading, about, shown))
    shown = [curves] if (curves := training_curves(runs, data)) else []
    shown += training_samples(runs, data)
    if shown:
        about = "The validation metric by step, each model has its own; and samples of one noise as training goes on."
        groups.append(("Training", about, shown))
    return groups


def training_curves(runs: list[RunResult], data: str) -> Picture | None:
    """Return a picture with the validation metric of each run by step; None if no run has a history."""
    drawn = [run for run in runs if run.history]
    if not drawn:
        return None
    lines = {
        f"{run.line.key}: {run.lineage['metric']}": ([step for step, _ in run.history], [v for _, v in run.history])
        for run in drawn
    }
    from pipelines import figures  # matplotlib takes a third of a second to import

    file = BytesIO()
    figures.curves(lines, file)
    return picture(file.getvalue(), f"Validation metrics by step on {data}", drawn, data, is_wide=True)


def training_samples(runs: list[RunResult], data: str) -> list[Picture]:
    """Return, for each run that has one, the animation of its samples over the training."""
    return [
        picture(run.animations["training"], f"Samples over the training of {run.line.key}", [run], data)
        for run in runs
        if "training" in run.animations
    ]


def detection_pictures(found: Results) -> list[Picture]:
    """Return the ROC curves of all data sets and, for each, the images that the best default score finds and misses."""
    scored = [data for data in found.data if found.scores_on(data)]
    shown = []
    if "roc" in found.detection.pictures:
        runs = [run for run in found.runs.values() if run.line.data in scored]
        text = "ROC curves, of each run its default score."
        shown.append(picture(found.detection.pictures["roc"], "ROC curves", runs, scored, text, is_wide=True))
    for data in scored:
        if content := found.detection.pictures.get(f"extremes-{data}"):
            best = max((row for row in found.scores_on(data) if row["is_default"]), key=lambda row: row["auroc"])
            runs = [found.runs[best["run"]]] if best["run"] in found.runs else []
            who = "" if runs else f"{BASELINES[best['run']]}, a baseline, "
            text = f"What the best default score finds, and misses: {who}{best['score']}."
            shown.append(picture(content, f"Extremes of {data}", runs, data, text, is_wide=True))
    return shown


def clustering_pictures(found: Results, data: str, comparison: Comparison) -> list[Picture]:
    """Return the sheets of clustered images on a data set, in the order of `comparison`, the table of clusters."""
    sheets = []
    for row, name, who, _ in comparison.rows:
        suffix = {"data": f"-{data}", "whitened": "-whitened"}.get(row["space"], "")
        content = found.clustering.pictures.get(f"clusters-{row['run']}{suffix}")
        if content:
            text = "" if row["space"] == "latent" else f"{name}."
            sheets.append(picture(content, f"Clusters of {name}", [who] if who else [], data, text))
    return sheets
