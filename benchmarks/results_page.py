"""`python -m benchmarks.results_page`: writes docs/results.md from benchmarks/results/*.json only.

With --check it writes nothing, and exits with 1 if docs/results.md differs from what it would write.
"""

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gen_models.errors import GenModelsError
from pipelines.runtime import paths

Row = Mapping[str, Any]

GROUPS = {  # {title: the modules of benchmarks/ that measure its rows}
    "Flows": ("flows",),
    "Latent models": ("latent",),
    "Games": ("games",),
    "Anomalies in tables": ("decisions",),
    "Pipeline": ("pipeline", "loader", "engine", "ddp", "graph", "nodes", "scoring", "gpu"),
}
NOTES = {  # how the figures of a group were measured
    "Flows": """\
Rows in nats compare with the density that the data were drawn from, on 20,000 test rows; where a row has several data
sets, the worst counts. `affine-mle` compares with the closed form, on the training rows. Rows in bits/dim are
dequantisation bounds on test rows. `flow1d-normal` and `flow1d-uniform` are one density by construction: a mixture of
Gaussians whose CDF leads to the uniform base, or through the probit to the normal one.
""",
    "Anomalies in tables": """\
Half of the normal rows train; the other half and all anomalies are the test. The target is the best free baseline for
`breast_cancer`, and 0.872 for the tables of ADBench (`gen-models benchmark adbench FOLDER`). The default detector was
developed on the 17 tables of odd number; those of even number were scored once for each recipe. No label chooses
anything for a table. The lead over the neighbours comes from the odd tables: on the even ones five neighbours are
ahead. The 95% interval of the difference over all 30 begins just above 0 (0.0001).
""",
    "Latent models": """\
Rows on MNIST use its official test images: all 10,000 of them, 5,000 for bounds, 2,000 for codebooks, 500 where each
row is fitted or coded by itself. The same test images also chose PCA's components and step for `vqvae-mnist`. The
figure of `gmm-*` is that of the worst of its seeds. Binary pixels are drawn once from the grey level of each pixel, the
same for all models. `one-class-mnist` trains on one digit at a time; its score was chosen on test rows of five digits
and confirmed, with another seed, on validation rows of all ten. `likelihood-paradox*` train on clothes and call digits
anomalies: an area below 0.5 means that the score likes digits more than clothes. Their target was set after a shorter
training, seen on 300 of the test rows. `vqvae2-mnist` compares with a one-level model that needs at least as many bits.
Published figures come from the papers' wider networks and far longer trainings.
""",
    "Games": """\
Modes are counted in 2,500 samples of each seed. A seed of which fewer than 90% of the samples lie within 3 standard
deviations of a mode counts as 0 modes. The counts without this rule are listed as "whatever the quality", and for the
variants as "modes". The figure is the mean over the seeds; that of `modes-variants-*` is of the variant in which it is
highest, or of the first such one. `fgan-*` fits one Gaussian to two modes. Of three seeds it reports the one whose own
critic finds the least divergence; the range is that of all three. `wasserstein-exact` is the worst error over three
pairs of finite samples. The rows in "x floor" divide two Frechet distances in features of a small classifier: of
samples to test rows, by that of training rows to test rows. `modes-variants-*` trains every variant on the same
networks for the same few minibatches at the rates of its conf. It shows what a short training gives, not what each
variant could reach. No game was measured on MNIST.
""",
    "Pipeline": """\
What Ray, DVC, the loader, the checkpoints and the readers cost beside the engine alone. `repro-default`, `repro-noop`
and `chapter-smoke` are whole runs of the pipeline in a fresh clone, after its installation; `noop-repro` is one `dvc
repro` that has nothing to do. `graph-on-two-nodes` is how many times as fast two nodes play the default graph as one.

In a sweep, `sweep-overhead-16` is the time that Ray Tune, the run log and the checkpoints add to a trial, `sweep-4000`
the time of a trial without any work, and `sweep-200` the share of the cores' time in which the engine works. In a
training, `fit-fixed-cost` is the time that Ray Train adds to the first one of a session, `report-stall` the share of
the time that its reports take, and `loader-cost` the share of a step that the loader takes. `engine-vs-bare` compares
the engine with a bare loop of the same mathematics, `ddp-ratio` with torch's DistributedDataParallel. `predict-1m`
divides the CPU time of `predict` on a CSV of 1,000,000 rows by that of pyarrow's reader and the bare model.
""",
}
MIXTURE = "Gaussian mixture by EM"
FREE = {  # {pattern of a unit: pattern of the entries of `baselines` that are in this unit and need no network}
    r"bits/dim": r"histogram of each pixel|Gaussian, full covariance|mixture of \d+ Gaussians",
    r"nats above the truth": rf"histogram of each column|{MIXTURE}",
    r"nats|nats, \d.*": r"histogram of each pixel|independent pixels",
    r"accuracy, .*": r"k-means on pixels, ACC",
    r"mean area, .*": r"PCA, .*",
    r"mean area": r"knn1|knn5|pca|forest|gaussian|gmm|ecod",
}
NAMED = {  # {pattern of a unit that names a rival: the rival's value in this unit}
    r"x (?P<rival>the linear map)'s error": 1,
    r"x the error of (?P<rival>.+)": 1,
    r"nats below (?P<rival>k = \d+),.*": 0,
    r"MIG of beta \S+ above (?P<rival>beta \S+)": 0,
}
SPREADS = {  # {pattern of a row's name: what its `spread` is}; for other rows, their seeds say what it is
    r"beta-mig": "95% interval over seeds +- {}",
    r"modes-.*": "the least of the seeds {} below their mean",
    r"loader-cost": "between quartiles {}",
    r"noop-repro": "range of 5 runs {}",
    r"sweep-overhead-16": "95% interval +- {}",
    r"flow1d-.*": "range over data sets {}",
}
HEAD = ("row", "figure", "target", "best baseline")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results_page", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the file differs")
    is_check = parser.parse_args().check
    path, text = paths.root() / "docs" / "results.md", page(read(paths.root() / "benchmarks" / "results"))
    if not is_check:
        path.write_text(text)
    elif not path.is_file() or path.read_text() != text:
        sys.exit(f"{path} differs from benchmarks/results: run `python -m benchmarks.results_page`")


def read(folder: Path) -> list[Row]:
    """Return the rows of a folder of result files, sorted by name."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def page(rows: Sequence[Row]) -> str:
    """Return the text of docs/results.md: the rows that missed their target, then a table and a list for each group."""
    rows = beside_mixtures(rows)
    parts = [
        "# Results",
        "This page is written by `python -m benchmarks.results_page` from `benchmarks/results/*.json`. "
        "Do not edit it by hand. Each row has the command that measures it again; MNIST is found by `GEN_MODELS_DATA`. "
        "`python -m benchmarks.rows` lists the rows whose code has changed since they were measured.",
        missed([row for row in rows if not row["met"]], len(rows)),
        behind([row for row in rows if is_behind(row)]),
        "After the figure of one seed, +- is the standard error over test rows. A *best baseline* is in the same unit "
        'as the figure: it needs no network, or it is the rival that the unit names. "none" means that the row has no '
        "baseline in its own unit. Below each table stands all else that a row knows. The seconds in all are those of "
        "the command; a row that found a training which another row had kept did not train again.",
    ]
    for title in GROUPS:
        those = [row for row in rows if group_of(row) == title]
        parts += [f"## {title}", NOTES[title].strip(), table(those), "\n".join(map(details, those))]
    return "\n\n".join(parts) + "\n"


def beside_mixtures(rows: Sequence[Row]) -> list[Row]:
    """Return the rows; a row gets the figure of the Gaussian mixture on its data as a baseline, if there is one."""
    mixtures = {row["data"]: row["figure"] for row in rows if row["name"] == f"gmm-{row['data']}"}
    return [
        row | {"baselines": row["baselines"] | {MIXTURE: mixtures[row["data"]]}}
        if row["data"] in mixtures and row["model"] != "gmm"
        else row
        for row in map(dict, rows)
    ]


def missed(rows: Sequence[Row], count: int) -> str:
    """Return a list of the rows that missed their target, as text. count: how many rows there are"""
    if not rows:
        return f"All {count} rows met their target."
    lines = [f"- {row['name']}: {number(row['figure'])} {row['unit']}; target {target(row)}" for row in rows]
    return f"**{len(rows)} of {count} rows missed their target:**\n\n" + "\n".join(lines)


def behind(rows: Sequence[Row]) -> str:
    """Return a list of the rows whose best baseline is better than their figure, as text."""
    if not rows:
        return "No row is behind its best baseline."
    lines = [f"- {row['name']}: {number(row['figure'])} {row['unit']}; {best_baseline(row)}" for row in rows]
    return "**Behind their best baseline**, whether they met their target or not:\n\n" + "\n".join(lines)


def is_behind(row: Row) -> bool:
    found = baselines_in_its_unit(row).values()
    return any(value < row["figure"] if row["better"] == "lower" else value > row["figure"] for value in found)


def table(rows: Iterable[Row]) -> str:
    lines = [[row["name"], figure(row), verdict(row), best_baseline(row)] for row in rows]
    cells = [[cell.replace("|", "\\|") for cell in line] for line in [HEAD, ["---"] * len(HEAD), *lines]]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def details(row: Row) -> str:
    """Return what the table leaves out of a row, as an item of a list."""
    seeds = ", ".join(map(str, row["seeds"]))
    seeds = f"{'seeds' if len(row['seeds']) > 1 else 'seed'} {seeds}; " if seeds else ""
    lines = [
        f"- **{row['name']}**: conf {row['model']} on {row['data']}; {row['budget']}; {seeds}"
        f"{row['seconds']:.0f} s in all on {row['device']}; `{row['command']}`"
    ]
    return "\n".join(lines + [f"  - {fact}" for fact in facts(row["baselines"])])


def facts(values: Mapping[str, float]) -> list[str]:
    """Return all entries of a row's `baselines` as lines; entries with the same beginning share a line."""
    stems = Counter(stem for stem, what in map(split, values) if what)
    shared: dict[str, list[str]] = {}
    for name, value in values.items():
        stem, what = split(name)
        if stems[stem] > 1 and what:
            shared.setdefault(stem, []).append(f"{what}: {number(value)}")
        else:
            shared.setdefault("", []).append(f"{name}: {number(value)}")
    return [f"{stem} ({'; '.join(said)})" if stem else "; ".join(said) for stem, said in shared.items()]


def split(name: str) -> tuple[str, str]:
    """Split a name at its first ": " or, without one, at its first ", ".

    "GAN, zero-sum: modes" gives ("GAN, zero-sum", "modes"), "shift, exact" gives ("shift", "exact").
    """
    stem, _, what = name.partition(": " if ": " in name else ", ")
    return stem, what


def figure(row: Row) -> str:
    """Return the figure of a row with its unit and its spread, in words."""
    value, unit, seeds = number(row["figure"]), row["unit"], len(row["seeds"])
    if not has_spread(row):
        return f"{value} {unit}"
    spread = f"{row['spread']:.2g}" if row["spread"] < 100 else f"{row['spread']:.0f}"
    for pattern, words in SPREADS.items():
        if re.fullmatch(pattern, row["name"]):
            return f"{value} {unit} ({words.format(spread)})"
    if seeds == 1:
        return f"{value} +- {spread} {unit}"
    return f"{value} {unit} (range over {seeds} seeds {spread})"


def has_spread(row: Row) -> bool:
    """Return whether a row has a spread; the range over one seed, which is 0, does not count."""
    return row["spread"] is not None and not (row["spread"] == 0 and len(row["seeds"]) == 1)


def target(row: Row) -> str:
    return f"{'at most' if row['better'] == 'lower' else 'at least'} {number(row['target'])}"


def verdict(row: Row) -> str:
    if not row["met"]:
        return f"{target(row)}, **missed**"
    is_close = has_spread(row) and abs(row["figure"] - row["target"]) < row["spread"]
    return f"{target(row)}, met" + (" by less than the spread" if is_close else "")


def best_baseline(row: Row) -> str:
    """Return name and value of the best baseline in the row's own unit and direction, or "none"."""
    found = baselines_in_its_unit(row)
    if not found:
        return "none"
    best = (min if row["better"] == "lower" else max)(found, key=found.__getitem__)
    return f"{best}: {number(found[best])}"


def baselines_in_its_unit(row: Row) -> dict[str, float]:
    """Return {name: value} of the baselines that can be compared with the row's figure."""
    unit = row["unit"]
    found = {
        name: value
        for units, names in FREE.items()
        for name, value in row["baselines"].items()
        if re.fullmatch(units, unit) and re.fullmatch(names, name)
    }
    for pattern, value in NAMED.items():
        if rival := re.fullmatch(pattern, unit):
            found[rival["rival"]] = value
    return found


def group_of(row: Row) -> str:
    """Return the title of a row's group, by the module of its command."""
    for title, modules in GROUPS.items():
        if re.match(rf"python -m benchmarks\.({'|'.join(modules)})\b", row["command"]):
            return title
    raise GenModelsError(
        f"benchmarks/results/{row['name']}.json: command {row['command']!r} is of no group of this page; "
        f"add its module to GROUPS in benchmarks/results_page.py"
    )


def number(value: float) -> str:
    """Return a number as text with four significant digits; whole numbers keep all their digits."""
    return str(int(value)) if value == int(value) else f"{value:.4g}"


if __name__ == "__main__":
    main()
