"""Advice that works when typed: of each refusal that offers a fix, the fix is applied, and the same run gets past it.

One table of what people hand over: how it comes to be, the command, and the words by which the error is known. For
each fix that `advice.fixes` reads out of the error's line, the case is made anew and mended; the next run succeeds, or
says of something else what `then` has.
"""

import ast
import csv
import io
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.config import yaml_file
from tests.advice import Attempt, fixes
from tests.project import HERE, call, make_project, params_of, write_params

ROWS = 60
RNG = np.random.default_rng(0)
A, B = ([f"{value:.4f}" for value in RNG.normal(size=ROWS)] for _ in range(2))
SHOP = ["n", "s", "w"] * (ROWS // 3)
CLASSES = ["cat", "dog", "eel"] * (ROWS // 3)
SPLIT = {"train": 0.5, "validation": 0.25, "test": 0.25}
VAE = {"model": "vae", "data": "digits"}


@dataclass(frozen=True)
class Case:
    """What is made in a project's folder, the command that refuses it, and a part of its line.

    then: what the next run may say after a fix, a regular expression; None if it must succeed
    count: how many fixes the line offers; line: how it ends, where no test in this process causes it
    """

    name: str
    make: Callable[[Path], Any]
    command: str
    says: str
    count: int = 1
    then: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    line: str = ""

    def __str__(self) -> str:
        return self.name


# --- makers: each takes the project's folder


def table(columns: dict[str, list], name: str = "t.csv", *, above: str = "", **how: Any) -> Callable[[Path], Any]:
    def make(root: Path) -> None:
        with (root / name).open("w", newline="", encoding=how.get("encoding", "utf-8")) as file:
            file.write(above)
            writer = csv.writer(file, lineterminator="\n", delimiter=how.get("delimiter", ","))
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))

    return make


def conf(make: Callable[[Path], Any], file: str = "mine", *, without: tuple[str, ...] = (), **changes: Any):
    """What `make` makes, and conf/data/mine.yaml, of a table of the columns a and b if it is not said otherwise."""

    def both(root: Path) -> None:
        make(root)
        held = {
            "name": "mine", "source": "table", "options": {"path": "t.csv"}, "columns": {"a": {}, "b": {}},
            "split": SPLIT, "anomaly": None, **changes,
        }  # fmt: skip
        text = "".join(f"{yaml_file.dump({k: v})[1:-1]}\n" for k, v in held.items() if k not in without)
        (root / "conf" / "data" / f"{file}.yaml").write_text(text)

    return both


def raw(make: Callable[[Path], Any], before: str, after: str):
    """What `make` makes, with a text of the conf replaced."""

    def both(root: Path) -> None:
        make(root)
        path = root / "conf" / "data" / "mine.yaml"
        assert before in path.read_text()
        path.write_text(path.read_text().replace(before, after))

    return both


def arrays(name: str = "x.npy", **held: np.ndarray) -> Callable[[Path], Any]:
    def make(root: Path) -> None:
        if name.endswith(".npy"):
            np.save(root / name, held["x"], allow_pickle=True)
        else:
            np.savez(root / name, **held)

    return make


def npy_bytes(x: np.ndarray) -> bytes:
    np.save(file := io.BytesIO(), x)
    return file.getvalue()


def images(*, count: int = 40, mode: str = "L", parts: tuple[str, ...] = ("",), also=lambda folder: None):
    def make(root: Path) -> None:
        rng = np.random.default_rng(1)
        for part in parts:
            (root / "photos" / part).mkdir(parents=True, exist_ok=True)
            for k in range(count):
                pixels = rng.integers(0, 256, (6, 5, 3) if mode == "RGB" else (6, 5), dtype=np.uint8)
                Image.fromarray(pixels).save(root / "photos" / part / f"a{k:03}.png")
        also(root / "photos")

    return make


def picture(folder: Path, name: str = "b.png", *, size=(6, 5), mode="L") -> None:
    Image.fromarray(np.full(size, 9, np.uint8)).convert(mode).save(folder / name)


def params(**changes: Any) -> Callable[[Path], Any]:
    return lambda root: write_params(root, {**params_of({}, budget="quick", data=["iris"]), **changes})


def params_text(before: str, after: str, **changes: Any) -> Callable[[Path], Any]:
    def make(root: Path) -> None:
        params(**changes)(root)
        text = (root / "params.yaml").read_text()
        assert before in text
        (root / "params.yaml").write_text(text.replace(before, after))

    return make


def both(*makers: Callable[[Path], Any]) -> Callable[[Path], Any]:
    return lambda root: [make(root) for make in makers]


def swept(**line: object) -> dict[str, Any]:
    lines = {"a-run": {"model": "vae", "data": "iris", **line}}
    return {"sweeps": lines, "runs": lines}


def conf_model(before: str, after: str, file: str = "model/vae") -> Callable[[Path], Any]:
    def make(root: Path) -> None:
        params(data=["digits"], sweeps={"a": VAE}, runs={"a": VAE})(root)
        path = root / "conf" / f"{file}.yaml"
        text = path.read_text()
        assert before in text
        path.unlink()  # a link to the project's own
        path.write_text(text.replace(before, after, 1))

    return make


def checkpoint(root: Path) -> None:
    """An autoencoder in a folder whose name has a blank, and rows for it."""
    from gen_models.build import build_model
    from gen_models.checkpoint import save_model

    spec = {
        "_target_": "gen_models.autoencoders.vae.VAE",
        "event_shape": [3],
        "levels": None,
        "latent": 2,
        "hidden": [4],
    }
    save_model(root / "a model", spec, build_model(spec, seed=0), data={"event_shape": [3], "levels": None})
    np.save(root / "x.npy", X)


def masked(root: Path) -> None:
    """Images with masks of the test images, and a mask twice."""
    images(count=20, parts=("train/good", "test/bent"))(root)
    (root / "photos" / "ground_truth" / "bent").mkdir(parents=True)
    for name in ("a000.png", "a000_mask.png"):
        picture(root / "photos" / "ground_truth" / "bent", name)


def cached(root: Path) -> None:
    """Images that DVC keeps as links, in a cache that was emptied after a push to a folder."""
    images()(root)
    photos_conf(lambda _: None, name="photos", file="photos")(root)
    params(data=["iris"], files={"photos": "photos"}, budget="tiny")(root)
    commands = "config cache.type symlink; add photos; remote add --default shelf ../shelf; push photos.dvc"
    for words in commands.split("; "):
        done = call(root, "dvc", *words.split())
        assert done.returncode == 0, done.stderr
    for path in (root / ".dvc" / "cache").rglob("*"):
        path.chmod(0o755)
    shutil.rmtree(root / ".dvc" / "cache" / "files")


FINE = table({"a": A, "b": B})
LABELLED = table({"a": A, "b": B, "c": CLASSES})
OF_LABELLED = {"a": {}, "b": {}, "c": {"role": "label"}}
X = RNG.normal(size=(ROWS, 3))
X_SHA256 = sha256(npy_bytes(X)).hexdigest()
NPY = {"source": "npy", "options": {"path": "x.npy"}, "event_shape": [3], "levels": None}
PHOTOS = {"source": "image_folder", "options": {"path": "photos"}, "event_shape": [1, 6, 5], "levels": 256}
ADD = "add-data mine"
T = f"{ADD} t.csv"


def npy_conf(x: np.ndarray, **changes: Any):
    return conf(arrays(x=x), without=("columns",), **{**NPY, **changes})


def photos_conf(make: Callable[[Path], Any], **changes: Any):
    return conf(make, without=("columns",), **{**PHOTOS, **changes})


def with_(columns: dict[str, Any], **more: list):
    """A table of a, b and more, and its conf with these columns besides."""
    return conf(table({"a": A, "b": B, **more}), columns={"a": {}, "b": {}, **columns})


PRICES = [f"{1 + k % 9},{100 + k}" for k in range(ROWS)]
BINARY = ["0", "1"] * (ROWS // 2)

# fmt: off
# ruff: noqa: E501  a case is one line
CASES = [
    # a table is added: questions, and options that are none
    Case("a mark of thousands or decimals", table({"a": A, "p": PRICES}), T, "say --thousands , or --decimal ,", 2),
    Case("points beside decimal commas", table({"a": [f"{k},5" for k in range(ROWS)], "p": [f"{1 + k % 9}.{100 + k}" for k in range(ROWS)]}), T, "beside the decimal commas of a; say", 2),
    Case("a header like data", table({"5.1": A, "3.5": B, "kind": SHOP}), T, "may be data or the names of the columns; say", 2),
    Case("labels in each row of an npz", arrays("rows.npz", X=RNG.normal(size=(ROWS, 3)), y=np.arange(ROWS)), f"{ADD} rows.npz", "has too many values for labels", 2),
    Case("a number as a word for missing", conf(table({"a": A, "b": B}), options={"path": "t.csv", "missing": [-999]}), "prepare mine", "options.missing: [-999] is not a list of words"),
    Case("a number as an encoding", conf(table({"a": A, "b": B}), options={"path": "t.csv", "encoding": 1252}), "prepare mine", "options.encoding: 1252 is not"),
    Case("two answers", table({"a": A, "is_fraud": BINARY, "target": SHOP}), T, "may each be the labels", 3),
    Case("answers of odd names", table({"a": A, "my label": BINARY, "-target": SHOP}), T, "may each be the labels", 3),
    Case("a mistake", table({"a": A, "b": [*B[:-1], "n. v."]}), T, "'n. v.' among numbers", 2),
    Case("a mistake with signs of a shell", table({"a": A, "b b": [*B[:-1], "it's $5"]}), T, "among numbers", 2),
    Case("a mistake that looks like an option", table({"a": A, "-b": [*B[:-1], "--x"]}), T, "among numbers", 2),
    Case("a row without label", table({"a": A, "label": ["", *SHOP[1:]]}), T, "no label (empty)"),
    Case("a label in each row", table({"a": A, "b": B}), f"{T} --label b", "has too many values for labels; say --label none"),
    Case("no header", table({A[0]: A, B[0]: B}), T, "numbers where the names of the columns belong"),
    Case("UTF-16", table({"a": A, "b": B}, encoding="utf-16"), T, "UTF-16; save it as UTF-8"),
    Case("Latin-1", table({"größe": A, "b": B}, encoding="cp1252"), T, "is not UTF-8; save the table"),
    Case("an encoding that is none", FINE, f"{T} --encoding uft-8", "is not known", 2),
    Case("a kind of two words", table({"a": A, "s": SHOP}), f"{T} --kind s=flag", "3 different values, not 2"),
    Case("a category of texts", table({"a": A * 20, "s s": [f"{k} x" for k in range(1200)], "s": SHOP * 20}),
         f"{T} --kind 's s'=category", "more than 1000 different values"),
    Case("signs among numbers", table({"a": A, "s s": [f"CHF {k}.20" for k in range(len(A))]}), f"{T} --kind 's s'=number", "remove the sign"),
    Case("words as numbers", table({"a": A, "s s": SHOP}), f"{T} --kind 's s'=number", "is not a number", 2, then="'s' is not a number"),
    Case("words as times", table({"a": A, "s s": SHOP}), f"{T} --kind 's s'=time", "is not a time"),
    Case("fractions as counts", table({"a": A, "b": B}), f"{T} --kind b=count", "is not a whole number"),
    Case("a number that has no square", table({"a": A, "b b": ["1e200", *B[1:]]}), T, "1e+200 is too large"),
    Case("a number that has no square, in a conf", with_({}, b=["1e200", *B[1:]]), "prepare mine", "1e+200 is too large"),
    Case("a data set to remove", lambda root: params(files={"mine": "t.csv"})(root), "remove-data mien", "unknown data set of your own"),
    Case("a column that is not there", table({"a": A, "shop": SHOP}), f"{T} --ignore shp", "unknown column 'shp'"),
    Case("a kind that is none", table({"a": A, "shop": SHOP}), f"{T} --kind shop=categry", "unknown kind 'categry'"),
    Case("no kind", table({"a": A, "shop": SHOP}), f"{T} --kind shop", "expected COLUMN=KIND"),
    Case("no size", images(), f"{ADD} photos --size 64", "expected HEIGHTxWIDTH"),
    Case("no feature", table({"id": [str(k) for k in range(ROWS)], "when": [f"2024-01-{1 + k % 28:02}" for k in range(ROWS)]}),
         T, "no column of features is left"),
    Case("a line for spreadsheets", table({"a": A, "b": B}, above="sep=,\n"), T, "is for spreadsheets"),
    Case("a remark above the header", table({"a": A, "b": B}, above="# clients\n"), T, "looks like a remark"),
    Case("a class that is misspelt", LABELLED, f"{T} --label c --anomaly ell", "unknown class 'ell'"),
    Case("a path that is misspelt", FINE, f"{ADD} tt.csv", "no such file or folder; did you mean 't.csv'"),
    Case("a name that is taken", FINE, "add-data iris t.csv", "replace it with --force", then="lists 'iris' already"),
    Case("a name of two words", FINE, "add-data 'my data' t.csv", "may hold letters, digits, _ and - only"),
    Case("a name that YAML reads as false", FINE, "add-data no t.csv", "is true or false to some readers"),
    Case("a name that becomes one that YAML reads as false", FINE, "add-data no. t.csv", "may hold letters"),
    Case("options of tables for images", images(), f"{ADD} photos --label x", "is not a table with columns"),
    Case("options of images for a table", FINE, f"{T} --size 8x8", "is not a folder of images"),
    Case("params.yaml is read-only", both(FINE, lambda root: (root / "params.yaml").chmod(0o444)), T, "may not be written"),
    # arrays are added
    Case("an array of images of bytes as a table", arrays("t.npz", p=X, q=SHOP), f"{ADD} t.npz", "its arrays are p, q"),
    Case("objects", arrays(x=X.astype(object)), f"{ADD} x.npy", "an array of Python objects"),
    Case("labels of objects", arrays("t.npz", x=X, y=np.array(SHOP, object)), f"{ADD} t.npz", "save y.astype(str)"),
    Case("truth in an array", arrays(x=X > 0), f"{ADD} x.npy", "save x.astype('uint8')"),
    Case("one number", arrays(x=np.array(3.0)), f"{ADD} x.npy", "one number, not rows", then="no column of features"),
    # images are added
    Case("images of two sizes", images(also=lambda f: picture(f, size=(7, 5))), f"{ADD} photos", "pixels (height"),
    Case("images of two modes", images(also=lambda f: picture(f, mode="RGB")), f"{ADD} photos", "mode RGB, "),
    Case("an empty image", images(also=lambda f: (f / "b.png").touch()), f"{ADD} photos", "empty, 0 bytes"),
    Case("a text as an image", images(also=lambda f: (f / "b.png").write_text("hello")), f"{ADD} photos", "not an image"),
    Case("a link to nowhere", images(also=lambda f: (f / "b.png").symlink_to("gone")), f"{ADD} photos", "a link to nowhere"),
    # a conf of data is prepared: its keys
    Case("a key", conf(FINE, batch_sise=8), "prepare mine", "unknown key 'batch_sise'"),
    Case("another name", conf(FINE, name="yours"), "prepare mine", "is not the file's name; write mine"),
    Case("a source", conf(FINE, source="tabel"), "prepare mine", "unknown source 'tabel'"),
    Case("an option", conf(FINE, options={"path": "t.csv", "delimitr": ","}), "prepare mine", "unknown option of table"),
    Case("a path", conf(FINE, options={"path": "tt.csv"}), "prepare mine", "no such file or folder"),
    Case("a split", conf(FINE, split={"trian": 0.5, "validation": 0.25, "test": 0.25}), "prepare mine", "unknown split 'trian'"),
    Case("a part of its own", conf(FINE, split={"train": 0.75, "validation": 0.25, "test": "own"}), "prepare mine", "has no such part", then="the shares .* sum to"),
    Case("a seed that is none", conf(FINE, seed=1.5), "prepare mine", "is not a whole number of 0 or more", 2),
    Case("a batch of none", conf(FINE, batch_size=0), "prepare mine", "is not a number of rows"),
    Case("a data set", lambda root: None, "prepare irs", "unknown data set 'irs'"),
    # the columns of a conf
    Case("a column's key", with_({"a": {"knd": "number"}}), "prepare mine", "unknown key 'knd'"),
    Case("a column's kind", with_({"a": {"kind": "nmber"}}), "prepare mine", "unknown kind 'nmber'"),
    Case("a column's role", with_({"a": {"role": "ignor"}}), "prepare mine", "unknown role 'ignor'"),
    Case("a missing value", with_({}, b=["", *B[1:]]), "prepare mine", "missing; fill it in"),
    Case("a missing value of a category", with_({"s": {"kind": "category", "values": ["n", "s", "w"]}}, s=["", *SHOP[1:]]),
         "prepare mine", "missing; fill it in"),
    Case("a missing value of a flag", with_({"f": {"kind": "flag", "values": ["0", "1"]}}, f=["", *BINARY[1:]]),
         "prepare mine", "missing; fill it in"),
    Case("a new value", with_({"s": {"kind": "category", "values": ["n", "s"]}}, s=SHOP), "prepare mine", "is not among"),
    Case("a new value of a flag", with_({"f": {"kind": "flag", "values": ["0", "1"]}}, f=["2", *BINARY[1:]]),
         "prepare mine", "is not among"),
    Case("a new column", conf(table({"a": A, "b": B, "c d": A})), "prepare mine", "the conf does not say what column"),
    Case("a label that is not there", with_({"labl": {"role": "label"}}, label=SHOP), "prepare mine", "unknown column 'labl'"),
    Case("a column that is not there", conf(FINE, columns={"a": {}, "bb": {}}), "prepare mine", "unknown column 'bb'"),
    Case("a word among numbers", with_({}, b=["far", *B[1:]]), "prepare mine", "'far' is not a number"),
    Case("decimal commas", conf(table({"a": [x.replace(".", ",") for x in A], "b": [x.replace(".", ",") for x in B]}, delimiter=";")),
         "prepare mine", "decimal comma", 2, then="is not a number"),
    Case("a constant", conf(table({"a": A, "b": ["7.5"] * ROWS})), "prepare mine", "is 7.5 in every training row"),
    Case("a name that YAML reads as a number", raw(conf(table({"a": A, "5": B}), columns={"a": {}, "z": {}}), "z: {}", "5: {}"),
         "prepare mine", "the key 5 is no text: write"),
    Case("words that YAML reads as truth", raw(with_({"f": {"kind": "flag", "values": ["0", "1"]}}, f=BINARY), "['0', '1']", "[0, 1]"),
         "prepare mine", "YAML reads 0 as int"),
    Case("a flag of one letter", with_({"f": {"kind": "flag", "values": ["M", "m"]}}, f=["M", "m"] * 30), "prepare mine", "upper and lower"),
    Case("a flag of three words", with_({"f": {"kind": "flag", "values": ["n", "s", "w"]}}, f=SHOP), "prepare mine", "a flag has two"),
    Case("a category of one word", with_({"s": {"kind": "category", "values": ["n"]}}, s=["n"] * ROWS), "prepare mine", "one word"),
    Case("a word twice", with_({"s": {"kind": "category", "values": ["n", "s", "w", "n"]}}, s=SHOP), "prepare mine", "stands there twice"),
    Case("values of a number", with_({"b": {"values": ["x", "y"]}}), "prepare mine", "leave them out for a number"),
    Case("a step of a category", with_({"s": {"kind": "category", "values": ["n", "s", "w"], "step": 1}}, s=SHOP),
         "prepare mine", "leave it out for a category"),
    Case("a form of time of a number", with_({"b": {"as": "hour"}}), "prepare mine", "only times have one"),
    Case("a step that is none", with_({"b": {"step": 0}}), "prepare mine", "is not a number above 0"),
    Case("missing of another kind", with_({"b": {"missing": "value"}}), "prepare mine", "is not one of refuse, fill"),
    # classes
    Case("an anomaly without labels", conf(FINE, anomaly="1"), "prepare mine", "the rows have no labels"),
    Case("an anomaly that is misspelt", conf(LABELLED, columns=OF_LABELLED, anomaly="eell"), "prepare mine", "unknown class 'eell'"),
    Case("a class that YAML reads as truth", raw(conf(table({"a": A, "b": B, "c": ["yes", "no"] * 30}), columns=OF_LABELLED, anomaly="Z"),
         "anomaly: Z", "anomaly: true"), "prepare mine", "is a truth value of YAML"),
    Case("a number that is two classes", conf(table({"a": A, "b": B, "c": ["1.0", "1.00", "2"] * 20}), columns=OF_LABELLED, anomaly=1),
         "prepare mine", "may be one of 2 classes", 2),
    Case("anomaly and normal", conf(LABELLED, columns=OF_LABELLED, anomaly="eel", normal="cat"), "prepare mine", "remove one", 2),
    Case("all are normal", conf(LABELLED, columns=OF_LABELLED, normal=["cat", "dog", "eel"]), "prepare mine", "is every class"),
    Case("none is normal", conf(LABELLED, columns=OF_LABELLED, normal=[]), "prepare mine", "names no class"),
    # arrays and images of a conf
    Case("another shape", npy_conf(X, event_shape=[4]), "prepare mine", "is not that of"),
    Case("bytes without levels", npy_conf(RNG.integers(0, 256, (ROWS, 1, 4, 4)).astype(np.uint8), event_shape=[1, 4, 4]),
         "prepare mine", "has uint8 rows"),
    Case("images without levels", npy_conf(RNG.integers(0, 256, (ROWS, 1, 4, 4)).astype(float), event_shape=[1, 4, 4]),
         "prepare mine", "has whole numbers"),
    Case("pixels of 0 .. 1 with levels", npy_conf(RNG.random((ROWS, 1, 4, 4)), event_shape=[1, 4, 4], levels=256),
         "prepare mine", "not one of the levels"),
    Case("levels that are none", npy_conf(X, levels=1), "prepare mine", "for continuous data", 2, then="not one of the levels"),
    Case("one axis", npy_conf(X[:, 0], event_shape=[1]), "prepare mine", "give (rows, columns) or more"),
    Case("an array of another name", conf(arrays("z.npz", xx=X), without=("columns",), **{**NPY, "source": "npz", "options": {"path": "z.npz"}}),
         "prepare mine", "holds no array 'x'"),
    Case("a checksum", npy_conf(X, options={"path": "x.npy", "sha256": "0" * 64}), "prepare mine", "the data have changed"),
    Case("two sizes in a conf", photos_conf(images(also=lambda f: picture(f, size=(7, 5)))), "prepare mine", "write options"),
    Case("two modes in a conf", photos_conf(images(also=lambda f: picture(f, mode="RGB"))), "prepare mine", "write options", 2,
         then=r"event_shape: \[1, 6, 5\] is not that"),
    Case("a test part of its own", photos_conf(images(parts=("train", "test"))), "prepare mine", "write test: own",
         then="the shares .* sum to"),
    Case("a mode that is none", photos_conf(images(), options={"path": "photos", "mode": "rgb"}), "prepare mine", "is none; write mode: L", 2,
         then=r"event_shape: \[1, 6, 5\] is not that"),
    Case("a size that is none", photos_conf(images(), options={"path": "photos", "size": 6}), "prepare mine", "in pixels; write",
         then="event_shape"),
    Case("a background", photos_conf(images(), options={"path": "photos", "background": "white"}), "prepare mine", "is not a colour"),
    Case("bits", photos_conf(images(), options={"path": "photos", "bits": 7}), "prepare mine", "the bits of a grey value"),
    Case("a damaged image", images(also=lambda f: (f / "b.png").write_bytes((f / "a000.png").read_bytes()[:50])), f"{ADD} photos",
         "a damaged image"),
    Case("two masks of an image", masked, f"{ADD} photos", "a second mask of an image"),
    Case("a link to its own folder", images(also=lambda f: (f / "b").symlink_to(f)), f"{ADD} photos", "a link to a folder that holds it"),
    Case("a checksum without labels", conf(both(arrays(x=X), arrays("y.npy", x=np.arange(ROWS) % 2)), without=("columns",), **{**NPY,
         "options": {"path": "x.npy", "labels": "y.npy", "sha256": X_SHA256}}), "prepare mine", "is that of this file alone"),
    # params.yaml
    Case("a key of params.yaml", params(sed=1), "check", "unknown key 'sed'", then="also in line|seed"),
    Case("a budget", params(budget="quik"), "check", "unknown budget 'quik'"),
    Case("data of params.yaml", params(data=["irsi"]), "check", "unknown data set 'irsi'"),
    Case("a model", params(**swept(model="vea")), "check", "unknown model 'vea'", then="runs.a-run is not the line"),
    Case("data that are not listed", params(**swept(data="wine")), "check", "is not listed under data"),
    Case("a file that is listed under data", params(files={"iris": "a"}), "check", "is also listed under data", then="reads no file"),
    Case("a file that nobody reads", params(data=[], files={"iris": "a"}), "check", "reads no file"),
    Case("a file's path", both(conf(FINE), params(data=[], files={"mine": "a.csv"})), "check", "is not what conf/data/mine.yaml reads"),
    Case("a home", both(conf(FINE), params(data=[], files={"mine": "~/a"})), "check", "DVC does not know ~", then="is not what"),
    Case("runs that are not the lines", params(sweeps=swept()["sweeps"], runs={}), "check", "runs.a-run is not the line"),
    Case("a reuse of another sweep", params(**{"sweeps": swept()["sweeps"], "reuses": {"b": {**VAE, "data": "iris", "setting": "a-rnu"}},
         "runs": {**swept()["sweeps"], "b": {**VAE, "data": "iris", "setting": "a-rnu"}}}), "check", "unknown sweep 'a-rnu'", then="runs.b is not"),
    Case("a key that a line sets", params(**swept(set={"model.bta": 4})), "check", "unknown key of the conf 'model.bta'",
         then="runs.a-run is not the line"),
    Case("a number that DVC reads as text", params_text("seed: 0", "seed: 1_0"), "check", "PyYAML reads", 2,
         then="expected a whole number, found '1_0'"),
    Case("yes", params_text("budget: quick", "budget: yes"), "check", "PyYAML reads True", 2, then="budget"),
    Case("a key with a dot", params_text("a-run:", "a.b:", **swept()), "check", "as keys inside one another", then="runs.a.b is not|also|inside"),
    Case("a key that is a number", params_text("  a-run:", "  5:", **swept()), "check", "is no text: write", then="is no text: write"),
    Case("a key twice", params_text("seed: 0", "seed: 0\nseed: 1"), "check", "and one would be lost"),
    # conf/model
    Case("a key of a model", conf_model("optim:", "optm:"), "check", "unknown key 'optm'"),
    Case("a key to sweep", conf_model("model.beta: {", "model.bta: {"), "check", "unknown key to sweep"),
    Case("a run", lambda root: params(**swept())(root), "play a-rnu", "unknown run 'a-rnu'", then="not in a git repository"),
    Case("a share of a GPU", conf_model("training: {cpus: 1, gpus: 1}", "training: {cpus: 1, gpus: 1.5}", "cluster/local"), "check", "1.5 GPUs cannot be given"),
    Case("an order of play", conf_model("optim:", "order: simultanous\noptim:"), "check", "unknown value 'simultanous'"),
    Case("a list of lines", both(FINE, params(sweeps=[1])), T, "run `gen-models check`", then="sweeps: expected a mapping"),
    Case("a line that is none", both(FINE, params(sweeps={"a": 3})), T, "run `gen-models check`", then="expected a mapping"),
    # a trained model
    Case("draws of predict", checkpoint, "predict 'a model' x.npy --task sample", "predict answers to rows"),
    Case("a task", checkpoint, "predict 'a model' x.npy --task scor", "unknown task 'scor'"),
    Case("a method", checkpoint, "compress 'a model' x.npy --output x.gmc --method latnts", "unknown method 'latnts'"),
    Case("rows that are misspelt", checkpoint, "predict 'a model' y.npy", "did you mean 'x.npy'"),
    # the project's folder
    Case("another folder", lambda root: None, "check", "set it to the project's folder", environment={"GEN_MODELS_ROOT": "/"}),
]
# fmt: on


SAID: dict[str, str] = {}  # the line of each case


def project(root: Path, case: Case) -> Attempt:
    """A project's conf and params.yaml, and what the case makes in it."""
    for group in ("data", "model", "budget", "cluster"):
        (root / "conf" / group).mkdir(parents=True)
        for path in (HERE / "conf" / group).glob("*.yaml"):
            (root / "conf" / group / path.name).symlink_to(path)
    (root / "conf" / "config.yaml").symlink_to(HERE / "conf" / "config.yaml")
    (root / "gen_models").symlink_to(HERE / "gen_models")
    params()(root)
    case.make(root)
    return Attempt(root, shlex.split(case.command), dict(case.environment))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_fix_of_a_refusal_gets_the_next_run_past_it(case, tmp_path, capsys):
    message = project(tmp_path / "0", case).run()
    SAID[case.name] = str(message)
    assert message is not None, "nothing was refused"
    assert case.says in message and "\n" not in message, message
    offered = fixes(message, Attempt(tmp_path, case.command.split()))
    assert len(offered) >= case.count, (message, list(map(str, offered)))
    for place in range(len(offered)):
        attempt = project(tmp_path / str(place + 1), case)
        said = attempt.run()
        assert said is not None
        fix = fixes(said, attempt)[place]
        fix.apply(attempt)
        after = attempt.run()
        assert after is None or (case.then and re.search(case.then, after)), f"{said}\n  {fix}\n  {after}"


# --- commands of DVC and git, in a whole project

APART = [
    Case("data that are not prepared", lambda root: None, "baselines iris", "unknown prepared data set 'iris'",
         line="unknown prepared data set 'iris'; run `gen-models prepare iris` first"),
    Case("no repository", lambda root: shutil.rmtree(root / ".git"), "play", "not in a git repository", 2),
    Case("a link into a cache that was emptied", cached, "prepare photos", "a link into DVC's cache",
         line="1.png: a link into DVC's cache, where its file is missing; run `dvc pull photos.dvc`"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", APART, ids=str)
def test_each_command_of_dvc_and_git_that_is_offered_works(case, tmp_path):
    def attempt(folder: str) -> Attempt:
        root = make_project(tmp_path / folder, params_of({}, data=["iris"]))
        case.make(root)
        return Attempt(root, shlex.split(case.command), apart=True)

    message = attempt("0").run()
    assert message is not None and case.says in message, message
    offered = fixes(message, attempt("1"))
    assert len(offered) == case.count, message
    for place, fix in enumerate(offered, start=2):
        mended = attempt(str(place))
        said = mended.run()
        fixes(said, mended)[place - 2].apply(mended)
        after = mended.run()
        assert after is None, f"{said}\n  {fix}\n  {after}"


# --- every refusal that offers a fix has its row

OFFER = re.compile(
    r"`|\b(?:say|with|or|as) (?:--|\{option)|did you mean|unknown |\b(?:write|add|take|run|unset) \S|\bset [A-Z{]"
    r"|remove (?:it|one|the line)|leave .* out|; save "
)
NOT_TYPED = (  # of what these say, only a person knows the words
    "save the file as", "save it as", "save it with",
    "save the table", "save them in one way", "save a plain array", "save it again",
    "save one", "write it again", "write one such as", "write the folder in full", "add the rows to train on",
    "leave the labels out", "lines such as", "is no class; write", "take another copy", "run the same command again",
    "unknown split of", "unknown key to override",  # which only a program can name
)  # fmt: skip
ELSEWHERE = {  # advice that needs the graph, a server, a download or a huge file, and who tests it
    "pipelines/arguments.py": "tests/test_help.py",
    "pipelines/cli.py": "tests/test_help.py",
    "pipelines/commands/benchmark.py": "tests/test_adbench.py",
    "pipelines/commands/compress.py": "tests/test_codec_commands.py",
    "pipelines/commands/decompress.py": "tests/test_codec_commands.py",
    "pipelines/commands/gc.py": "tests/test_lineage.py",
    "pipelines/commands/reading_hints.py": "tests/test_scoring.py",
    "pipelines/commands/versus.py": "tests/test_lineage.py",
    "pipelines/commands/mlflow_server.py": "tests/test_ui.py",
    "pipelines/commands/served_users.py": "tests/test_ui.py",
    "pipelines/commands/server.py": "tests/test_ui.py",
    "pipelines/comparison": "tests/test_comparison.py",
    "pipelines/config/params_edit.py": "tests/test_params_edit.py",
    "pipelines/config/yaml_file.py": "tests/test_yaml_file.py",
    "pipelines/data/add_data.py": "tests/test_inspection.py",
    "pipelines/data/sources/mnist.py": "tests/test_sources.py",
    "pipelines/data/sources/files.py": "tests/test_bad_input.py",
    "pipelines/data/sources/array_files.py": "tests/test_bad_input.py",
    "pipelines/evaluation": "tests/test_evaluation.py",
    "pipelines/garbage": "tests/test_lineage.py",
    "pipelines/registry": "tests/test_registry.py",
    "pipelines/report": "tests/test_report.py",
    "pipelines/runtime": "tests/test_own_files.py",
    "pipelines/storage": "tests/test_storage.py",
    "pipelines/scoring": "tests/test_scoring.py",
    "pipelines/tracking": "tests/test_registry.py",
    "pipelines/training": "tests/test_workers.py",
}


def refusals() -> Iterator[tuple[str, str]]:
    """Yield (file:line, text) of each error that is raised with a fix; what is not constant is {} in the text."""
    for path in sorted((HERE / "pipelines").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                text = _text(node.exc.args[0])
                if OFFER.search(text) and not any(words in text for words in NOT_TYPED):
                    yield f"{path.relative_to(HERE)}:{node.lineno}", text


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(value) for value in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.FormattedValue):
        return _text(node.value) if isinstance(node.value, ast.Call) else "{}"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id == "unknown":
            return f"unknown {_text(node.args[0])} {{}}"
        if node.func.id == "option":
            return "{option}"
    return "{}"


def test_each_refusal_that_offers_a_fix_has_a_row_here_or_a_test_elsewhere(tmp_path, capsys):
    for place, case in enumerate(CASES):
        if case.name not in SAID:  # the law was not tested before this
            SAID[case.name] = str(project(tmp_path / str(place), case).run())
    lines = [*SAID.values(), *(case.line for case in APART)]
    bare = []
    for where, text in refusals():
        form = ".*".join(map(re.escape, re.split(r"\{\}|\{option\}", text)))
        is_elsewhere = any(where.startswith(place) for place in ELSEWHERE)
        if not is_elsewhere and not any(re.search(f"{form}$", line) for line in lines):
            bare.append(f"{where}: {text}")
    assert not bare, "\n".join(bare)
    assert all((HERE / test).is_file() for test in ELSEWHERE.values())
