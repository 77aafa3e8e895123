"""The arguments of each tool, and the checks of the arguments that need neither a model nor a file of data.

`cli.py` calls these functions before it imports the module that does the work, so that --help, and the error for a
wrong argument, appear at once. Therefore this file imports nothing slow. Each public function has the name of a command
and adds that command's arguments to a parser. If argparse's own checks are not enough, the function also sets the
parser's default `check`: a function of the parsed arguments that raises DataError. The text and the examples that
--help prints above the options are the docstring of the module that does the work.
"""

import shlex
from argparse import ArgumentParser, ArgumentTypeError, Namespace, _ArgumentGroup
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gen_models.errors import DataError, unknown
from gen_models.names import TASKS

OUTPUTS = (".npy", ".csv", ".parquet")  # the endings of files that answers can be written to
METHODS = ("bits_back", "codes", "latents")  # of compression; a test compares them with gen_models/codecs
TABLES = ("empirical", "prior")
MOST_REASONS = 1_000  # the most anomalous rows, which get a reason
ROW_METRICS = ("nats", "nats_iw50", "mse", "mmd")  # of `versus`; a test compares them with gen_models/measures
OPTIONS_OF = {"latents": ("step", "reference"), "codes": ("table",), "bits_back": ("seed",)}  # of a method alone
KEPT_VERSIONS = 5  # the newest versions of a registered model that `gc` keeps, beside those with an alias
MOST_REASON = 500  # characters; longer ones would not fit into MLflow's tags
PORT = 5000
HOST = "127.0.0.1"
MARKS = {"\\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "none": ""}  # words for marks that shells take apart
TYPED = (".parquet", ".pq", ".npz", ".npy")  # tables that are no text; a test compares them with pipelines/data/tables


def predict(parser: ArgumentParser) -> None:
    _add_model_and_rows(parser)
    parser.add_argument("--task", default="score", help=f"one of {', '.join(_ROW_TASKS)}")
    _add_output(parser)
    parser.add_argument("--strict", action="store_true", help="stop at the first row that has a problem")
    parser.set_defaults(check=_check_predict)


def score(parser: ArgumentParser) -> None:
    _add_model_and_rows(parser)
    parser.add_argument("--fpr", type=_rate, metavar="RATE", help="flag rows at this false-positive rate, 0.01 or 1%%")
    parser.add_argument("--fdr", type=_rate, metavar="RATE", help="flag rows at this false-discovery rate")
    parser.add_argument("--out", "--output", type=Path, help="FILE.csv or .parquet; without it, CSV to the terminal")
    _add_score(parser)
    parser.add_argument("--reasons", type=int, default=MOST_REASONS, help="how many rows get one (%(default)s)")
    parser.add_argument("--explain", type=Path, metavar="FILE", help="FILE.csv or .parquet: what each column adds")
    parser.add_argument("--strict", action="store_true", help="stop at the first row that has a problem")
    parser.set_defaults(check=_check_score)


def drift(parser: ArgumentParser) -> None:
    _add_model_and_rows(parser)
    _add_score(parser)
    parser.add_argument("--history", type=Path, metavar="FILE", help="FILE.csv; by default drift/MODEL.csv")
    parser.add_argument(
        "--alarm", type=_rate, metavar="RATE", help="exit with 3 if the rows have moved; the rate of false alarms"
    )
    parser.set_defaults(check=_check_drift)


def stability(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run of params.yaml that was trained")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="trainings to compare (%(default)s)")
    parser.add_argument("--fpr", type=_rate, metavar="RATE", help="flag rows at this false-positive rate (0.05)")
    parser.add_argument(
        "--out", "--output", type=Path, help="FILE.csv or .parquet: how many trainings flag each test row"
    )
    parser.set_defaults(check=_check_stability)


def benchmark(parser: ArgumentParser) -> None:
    parser.add_argument("name", choices=["adbench"], help="which benchmark")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="with its tables, NUMBER_NAME.npz of X and y")
    parser.add_argument("--tables", choices=["odd", "even", "all"], default="all", help="by the number of the file")
    parser.add_argument(
        "--detectors", metavar="NAMES", help="separated by commas; by default the free ones and `default`"
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="how many shuffles (%(default)s)")
    parser.set_defaults(check=_check_benchmark)


def sample(parser: ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("--n", type=int, default=16, help="how many draws")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same draws")
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="below 1 sharper and less varied, of models that have one"
    )
    _add_output(parser)
    parser.set_defaults(check=_check_sample)


def denoise(parser: ArgumentParser) -> None:
    _add_model_and_rows(parser)
    _add_output(parser)
    parser.set_defaults(check=_check_rows)


def compress(parser: ArgumentParser) -> None:
    _add_model_and_rows(parser)
    parser.add_argument("--output", type=Path, required=True, help="the file to write, FILE.gmc say")
    parser.add_argument("--method", help=f"one of {', '.join(METHODS)}; without it, the first that the model can do")
    parser.add_argument("--step", type=float, help="latents: a cell, in standard deviations of a latent (0.25)")
    parser.add_argument("--reference", type=Path, help="latents: training rows that the step is chosen by, not INPUT")
    parser.add_argument("--table", help=f"codes: probabilities that are {TABLES[0]}, or of the model's {TABLES[1]}")
    parser.add_argument("--seed", type=int, help="bits_back: of the noise that the first row needs (0)")
    parser.set_defaults(check=_check_compress)


def decompress(parser: ArgumentParser) -> None:
    _add_model(parser, "; the one that compressed them")
    parser.add_argument("input", type=Path, metavar="FILE", help="of `gen-models compress`")
    _add_output(parser)
    parser.set_defaults(check=_check_decompress)


def lineage(parser: ArgumentParser) -> None:
    _add_version(parser, "version")


def promote(parser: ArgumentParser) -> None:
    _add_registered(parser)
    parser.add_argument(
        "version", nargs="?", metavar="VERSION", help="its number, or an alias such as candidate; or NAME@VERSION"
    )
    _add_reason(parser)
    parser.set_defaults(check=_check_promote)


def rollback(parser: ArgumentParser) -> None:
    _add_registered(parser)
    parser.add_argument("--to", metavar="VERSION", help="by default the champion before the present one")
    _add_reason(parser)


def versus(parser: ArgumentParser) -> None:
    known = "models:/NAME@ALIAS, models:/NAME/3, NAME@3, or the key of a trained run"
    parser.add_argument("a", metavar="A", help=known)
    parser.add_argument("b", metavar="B", help="the other one, named likewise")
    parser.add_argument(
        "--metric", metavar="NAME", help=f"one of {', '.join(ROW_METRICS)}; by default what both are chosen by"
    )


def gc(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="say what would be removed, and remove nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask; for scripts")
    parser.add_argument(
        "--keep", type=int, default=KEPT_VERSIONS, metavar="N", help="newest versions of each model (%(default)s)"
    )
    parser.add_argument("--dvc", action="store_true", help="also what DVC's cache holds of no workspace, by `dvc gc`")
    parser.set_defaults(check=_check_gc)


def games(parser: ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="where to write; made if it is not there")


def ui(parser: ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=PORT, help=f"of {HOST} (default: {PORT})")


def server(parser: ArgumentParser) -> None:
    ui(parser)
    parser.add_argument("--host", default=HOST, help="the address to listen on; 0.0.0.0: all of this machine's")
    parser.add_argument(
        "--name", action="append", default=[], help="another name by which people reach this machine; may be repeated"
    )
    parser.add_argument("--users", action="store_true", help="ask for a user and a password")
    parser.add_argument("--store", metavar="URI", help="sqlite:////absolute/FILE.db or postgresql://USER@HOST/DATABASE")
    parser.add_argument("--artifacts", metavar="URI", help="a folder or s3://BUCKET/...; by default server/artifacts")


def inspect(parser: ArgumentParser) -> None:
    """Add the path of the data, and the options that say how to read the file and what its columns hold."""
    parser.add_argument("path", metavar="PATH", type=Path, help="a file or folder of data")
    parser.add_argument("--label", metavar="COLUMN", help="the column that holds the labels; none: no column")
    parser.add_argument(
        "--kind", action="append", default=[], metavar="COLUMN=KIND", help="number, count, flag, category or time"
    )
    parser.add_argument("--id", action="append", default=[], metavar="COLUMN", help="an identifier, not a feature")
    parser.add_argument("--ignore", action="append", default=[], metavar="COLUMN", help="a column to leave out")
    parser.add_argument("--delimiter", type=_mark, help="between cells of a text: comma, semicolon, tab or |")
    _add_marks(parser)
    parser.add_argument("--encoding", default="utf-8", help="of a text, such as cp1252")
    parser.add_argument(
        "--missing", action="append", default=[], metavar="WORD", help="one more word for a missing value"
    )
    parser.add_argument("--size", metavar="HEIGHTxWIDTH", help="to which images are resized, such as 64x64")
    parser.add_argument("--mode", choices=["L", "RGB"], help="to which images are converted: grey or colours")
    header = parser.add_mutually_exclusive_group()
    header.add_argument("--no-header", action="store_true", help="the first line holds data, not names")
    header.add_argument("--header", action="store_true", help="it holds names, though it looks like data")
    parser.set_defaults(check=_check_inspect)


def add_data(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="what to call it: conf/data/NAME.yaml")
    inspect(parser)
    held_out = parser.add_mutually_exclusive_group()
    held_out.add_argument("--anomaly", metavar="CLASS", help="the class that is held out as the anomaly")
    held_out.add_argument("--normal", metavar="CLASS", help="the class that is normal; all others are held out")
    parser.add_argument("--force", action="store_true", help="replace the conf that is there")


def remove_data(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a data set that `gen-models add-data` added")


_ROW_TASKS = tuple(task for task in TASKS if task != "sample")


def _add_model(parser: ArgumentParser, more: str = "") -> None:
    known = "a registered model, NAME[@ALIAS or @VERSION] (default: @champion), or a checkpoint's folder"
    parser.add_argument("model", metavar="MODEL", help=known + more)


def _add_registered(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a registered model, the key of its run")


def _add_version(parser: ArgumentParser, name: str) -> None:
    parser.add_argument(name, metavar="VERSION", help="models:/NAME@ALIAS, models:/NAME/3, NAME@ALIAS or NAME@3")


def _add_reason(parser: ArgumentParser) -> None:
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why; it is kept in the record of moves")
    parser.set_defaults(check=_check_reason)


def _add_model_and_rows(parser: ArgumentParser) -> None:
    _add_model(parser)
    rows = "a table, a folder of images, an image, or an array of rows"
    parser.add_argument("input", metavar="INPUT", type=Path, help=rows)
    text = parser.add_argument_group("a table as text", "by default as the training file was")
    text.add_argument("--encoding", help="such as cp1252")
    _add_marks(text)
    text.add_argument("--missing", action="append", metavar="WORD", help="one more word for a missing value")


def _add_marks(parser: ArgumentParser | _ArgumentGroup) -> None:
    parser.add_argument("--decimal", type=_mark, help="the decimal mark, . or ,")
    parser.add_argument("--thousands", type=_mark, help="the mark between groups of three digits, such as , or none")


def _mark(word: str) -> str:
    return MARKS.get(word, word)


def _rate(word: str) -> float:
    try:
        return float(word[:-1]) / 100 if word.endswith("%") else float(word)
    except ValueError:
        raise ArgumentTypeError(f"{word!r} is not a rate; give a number between 0 and 1, such as 0.01, or 1%") from None


def reading(asked: Namespace) -> dict[str, Any]:
    """Return the options that say how a table's text is read, as `input_rows.read_as` takes them."""
    return {key: getattr(asked, key) for key in ("encoding", "decimal", "thousands", "missing")}


def _check_text(asked: Namespace) -> None:
    """Raise DataError if an option says how text is read, and the file of rows is no text."""
    _require_text(asked.input, {option: value is not None for option, value in reading(asked).items()})


def _check_inspect(asked: Namespace) -> None:
    given = {name: bool(getattr(asked, name)) for name in ("delimiter", "missing", "no_header", "header")}
    marks = {name: getattr(asked, name) is not None for name in ("decimal", "thousands")}
    _require_text(asked.path, {**given, **marks, "encoding": asked.encoding != "utf-8"})


def _require_text(path: Path, is_given: Mapping[str, bool]) -> None:
    """Raise DataError if an option says how text is read, and the file is no text. is_given: {option: bool}"""
    option = next((name.replace("_", "-") for name, given in is_given.items() if given), None)
    if option is not None and path.suffix.lower() in TYPED:
        raise DataError(
            f"--{option}: {path} is no text, and its cells are read as they are stored; leave the option out"
        )


def _add_output(parser: ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, help="FILE.csv, .parquet or .npy; without it, CSV to the terminal")


def _add_score(parser: ArgumentParser) -> None:
    parser.add_argument("--score", metavar="NAME", help="by default the first of nll, neg_elbo, reconstruction, critic")
    parser.add_argument(
        "--calibration", type=Path, metavar="FILE", help="of a checkpoint: out/evaluate/RUN/calibration.safetensors"
    )


def _check_apart(reads: Sequence[Path | None], *writes: tuple[str, Path | None]) -> None:
    """Raise DataError if a command would write over a file that it reads, or over another that it writes.

    writes: (the option that names it, the file) of each file that the command writes
    """
    taken = {_place(path): "a file that is read" for path in reads if path is not None}
    for option, path in writes:
        if path is None:
            continue
        if other := taken.get(_place(path)):
            raise DataError(f"{option}: {path} would replace {other}; give another name")
        taken[_place(path)] = f"what {option} writes"


def _place(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a circle of links
        return path.absolute()


def _picture_of(table: Path | None) -> tuple[str, Path | None]:
    """Return the picture that is drawn beside a table, as `_check_apart` takes it."""
    return "the picture beside it", table.with_suffix(".png") if table is not None else None


def _check_reason(asked: Namespace) -> None:
    if not asked.reason.strip() or not " ".join(asked.reason.split()).isprintable():
        raise DataError("--reason: say in some words why, such as --reason 'misses the sevens'")
    if len(asked.reason) > MOST_REASON:
        raise DataError(f"--reason: {len(asked.reason)} characters; at most {MOST_REASON} are kept, say it shorter")


def _check_promote(asked: Namespace) -> None:
    """Also take the version from a name such as vae-digits@3."""
    _check_reason(asked)
    name, _, version = asked.name.partition("@")
    if version and asked.version:
        raise DataError(f"promote {asked.name} {asked.version}: two versions; leave one of them out")
    if not version and not asked.version:
        typed = f"gen-models promote {shlex.quote(name)} candidate --reason {shlex.quote(asked.reason)}"
        raise DataError(f"promote {name}: say which version, as `{typed}`")
    asked.name, asked.version = name, version or asked.version


def _check_gc(asked: Namespace) -> None:
    if asked.keep < 0:
        raise DataError(f"--keep {asked.keep}: 0 or more versions")


def _check_score(asked: Namespace) -> None:
    _check_text(asked)
    for option, path in (("--out", asked.out), ("--explain", asked.explain)):
        _check_table(option, path)
    _check_apart([asked.input], ("--out", asked.out), ("--explain", asked.explain), _picture_of(asked.out))
    if asked.fpr is not None and asked.fdr is not None:
        raise DataError("--fpr and --fdr: give one of them, the rate at which rows are flagged")
    for option, rate in (("--fpr", asked.fpr), ("--fdr", asked.fdr)):
        _check_rate(option, rate)
    if asked.reasons < 0:
        raise DataError(f"--reasons {asked.reasons}: 0 or more rows")


def _check_benchmark(asked: Namespace) -> None:
    if asked.seeds < 1:
        raise DataError(f"--seeds {asked.seeds}: at least one")


def _check_stability(asked: Namespace) -> None:
    if asked.seeds < 2:
        raise DataError(f"--seeds {asked.seeds}: at least 2, to compare them")
    _check_table("--out", asked.out)
    _check_rate("--fpr", asked.fpr)


def _check_rate(option: str, rate: float | None) -> None:
    if rate is not None and not 0 < rate < 1:
        raise DataError(f"{option} {rate:g}: give a rate between 0 and 1, such as 0.01")


def _check_drift(asked: Namespace) -> None:
    _check_text(asked)
    _check_rate("--alarm", asked.alarm)
    _check_table("--history", asked.history, (".csv",))
    _check_apart([asked.input], ("--history", asked.history), _picture_of(asked.history))


def _check_table(option: str, path: Path | None, endings: tuple[str, ...] = (".csv", ".parquet")) -> None:
    if path is not None and path.suffix not in endings:
        raise DataError(f"{option} {path}: expected a name that ends with {' or '.join(endings)}")


def _check_output(asked: Namespace) -> None:
    if asked.output is not None and asked.output.suffix not in OUTPUTS:
        raise DataError(f"--output {asked.output}: expected a name that ends with {', '.join(OUTPUTS)}")


def _check_rows(asked: Namespace) -> None:
    _check_text(asked)
    _check_output(asked)
    _check_apart([asked.input], ("--output", asked.output))


def _check_predict(asked: Namespace) -> None:
    _check_rows(asked)
    if asked.task == "cluster":  # a picture of images
        _check_apart([asked.input], ("--output", asked.output), _picture_of(asked.output))
    if asked.task == "sample":
        model = shlex.quote(asked.model)
        raise DataError(f"predict answers to rows; for draws, run `gen-models sample {model} --n 16`")
    if asked.task == "decode" and any(value is not None for value in reading(asked).values()):
        raise DataError("--encoding, --decimal, --thousands, --missing: of a table's text; latents are numbers")
    if asked.task not in _ROW_TASKS:
        raise DataError("--task: " + unknown("task", asked.task, _ROW_TASKS))


def _check_sample(asked: Namespace) -> None:
    _check_output(asked)
    if asked.n < 1:
        raise DataError(f"--n {asked.n}: at least one draw")


def _check_compress(asked: Namespace) -> None:
    _check_text(asked)
    if asked.method is not None and asked.method not in METHODS:
        raise DataError("--method: " + unknown("method", asked.method, METHODS))
    if asked.table is not None and asked.table not in TABLES:
        raise DataError("--table: " + unknown("table", asked.table, TABLES))
    _check_apart([asked.input, asked.reference], ("--output", asked.output))


def _check_decompress(asked: Namespace) -> None:
    _check_output(asked)
    _check_apart([asked.input], ("--output", asked.output))
