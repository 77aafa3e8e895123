"""Whatever bytes a file holds, a parser gives a result or the project's own error."""

import gzip
import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from gen_models.errors import GenModelsError
from pipelines.commands.input_rows import read_blocks, read_latents
from pipelines.data.describe import describe
from pipelines.data.look import look
from pipelines.data.proposal import conf_text, propose
from pipelines.data.sources.array_files import read_npy, read_npz
from pipelines.data.sources.idx import read_idx
from pipelines.data.sources.image_decoding import FORMATS, read_image

FUZZ = settings(
    max_examples=settings.default.max_examples * 3 // 2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
MOST_NUMBERS = 1 << 24


def saved(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def parquet(**columns: object) -> bytes:
    return saved(lambda file: pq.write_table(pa.table(columns), file))


def picture(kind: str, mode: str = "L") -> bytes:
    shape = (4, 4, {"RGB": 3, "RGBA": 4}.get(mode, 1))
    pixels = np.arange(np.prod(shape), dtype=np.uint16 if mode == "I;16" else np.uint8).reshape(shape)
    return saved(lambda file: Image.fromarray(pixels[..., 0] if shape[2] == 1 else pixels).save(file, kind))


IDX = struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 3, 4) + bytes(range(24))
X = np.arange(12.0).reshape(4, 3)
VALID = {
    "idx": [IDX, gzip.compress(IDX), struct.pack(">BBBBI", 0, 0, 0x0E, 1, 2) + bytes(16)],
    "npy": [saved(lambda f: np.save(f, X)), saved(lambda f: np.save(f, (X[::-1] ** 2).astype(">i2").T))],
    "npz": [saved(lambda f: np.savez(f, x=X, y=np.arange(4))), saved(lambda f: np.savez_compressed(f, x=X))],
    "csv": [
        b"a,b\n1,2\n3,4\n5,7\n",
        b'\xef\xbb\xbf"a","b"\r\n"1.5",7\r\n-2e3,nan\r\n2,9\r\n',
        "grün;b\n1,5;2\n2,5;3\n3,75;9\n".encode(),
        b"id,a,b,when,word\n7,1.5,yes,2024-01-02,x\n9,2.5,no,2024-01-03,y\n4,0.5,yes,2024-05-03,x\n",
        b'a\tb\n"x\ny"\t1\n"z"\t2\nz\t4\n',
    ],
    "parquet": [
        parquet(a=[1.5, 2.5, None], b=["x", "y", "x"], day=np.array(["2024-01-02", "2024-01-03", "NaT"], "M8[D]")),
        parquet(a=[True, False, True], b=[[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]),
    ],
    "image": [picture(kind) for kind in FORMATS]
    + [picture("PNG", "RGB"), picture("PNG", "RGBA"), picture("PNG", "I;16")],
}


SCHEMA = [{"name": "a"}, {"name": "b", "kind": "category", "values": ["1", "x"], "missing": "value"}]
FACTS = {"event_shape": [3], "levels": None, "columns": ["a", "b is 1", "b is x", "b is missing"]}
TABLE = {"table": {"columns": SCHEMA, "ids": ["id"], "reading": {"decimal": ","}}}


def proposed(path: Path) -> np.ndarray:
    """What `inspect` does with a file."""
    found = look(path)
    conf_text(propose(found, "mine"), found)
    assert "\n\n" not in describe(found)
    assert found.arrays is not None
    return found.arrays.x


def asked_by_schema(path: Path) -> np.ndarray:
    """What `predict` does with a file, of a model of a table."""
    blocks = list(read_blocks(path, FACTS | TABLE))
    for block in blocks:
        assert all(reason.isprintable() and len(reason) < 300 for reason in block.problems.values()), block.problems
        assert np.isfinite(block.x[[k for k in range(len(block.x)) if k not in block.problems]]).all()
    return np.concatenate([block.x for block in blocks]) if blocks else np.zeros((0, 4))


def asked_by_columns(path: Path) -> np.ndarray:
    """What `predict` does with a file, of a model of rows of numbers, and of latent vectors."""
    blocks = list(read_blocks(path, {"event_shape": [2], "levels": 17, "columns": []}))
    read_latents(path)
    return np.concatenate([block.x for block in blocks]) if blocks else np.zeros((0, 2))


TABLES = ("csv", "parquet", "npz", "npy")
READERS = {"look": proposed, "schema": asked_by_schema, "columns": asked_by_columns}
PARSERS: dict[str, Callable[[Path], np.ndarray]] = {
    "idx": read_idx,
    "npy": read_npy,
    "npz": lambda path: read_npz(path, ["x", "y"], needed="x")["x"],
    "image": lambda path: read_image(path).pixels,
    **{f"{kind} {reader}": READERS[reader] for kind in TABLES for reader in READERS},
}


def check(kind: str, content: bytes, folder: Path) -> None:
    """A result of numbers, whole and readable, or one line of the project's own."""
    ending = kind.partition(" ")[0]
    path = folder / ("file" if ending == kind else f"file.{ending}")
    path.write_bytes(content)
    try:
        found = PARSERS[kind](path)
    except GenModelsError as error:
        assert str(error).isprintable() and str(path) in str(error), str(error)
        assert len(str(error)) < 1000
        return
    assert found.dtype.kind in "uif"
    assert found.size < MOST_NUMBERS
    np.asarray(found).sum()


def valid_of(kind: str) -> list[bytes]:
    return VALID[kind.partition(" ")[0]]


@st.composite
def mutated(draw, valid: list[bytes]) -> bytes:
    """A valid file with some bytes replaced, removed, repeated or cut off."""
    content = bytearray(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        match draw(st.sampled_from(["set", "flip", "cut", "insert", "remove", "double"])):
            case "set":
                content[at : at + 4] = draw(st.binary(min_size=1, max_size=4))
            case "flip" if content:
                content[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del content[at:]
            case "insert":
                content[at:at] = draw(st.binary(min_size=1, max_size=8))
            case "remove":
                del content[at : at + draw(st.integers(1, 16))]
            case "double":
                content[at:at] = content[at : at + 32]
    return bytes(content)


@pytest.mark.parametrize("kind", [kind for kind in PARSERS if kind.endswith(" look") or " " not in kind])
def test_valid_files_are_read(kind, tmp_path):
    ending = kind.partition(" ")[0]
    path = tmp_path / ("file" if ending == kind else f"file.{ending}")
    for content in valid_of(kind):
        path.write_bytes(content)
        assert PARSERS[kind](path).size


@pytest.mark.parametrize("kind", PARSERS)
@FUZZ
@given(content=st.binary(max_size=300))
@example(content=b"")
@example(content=b"\0" * 100)
def test_any_bytes_give_a_result_or_the_project_s_error(kind, content, tmp_path):
    check(kind, content, tmp_path)


@pytest.mark.parametrize("kind", PARSERS)
@FUZZ
@given(data=st.data())
def test_mutations_of_valid_files_give_a_result_or_the_project_s_error(kind, data, tmp_path):
    check(kind, data.draw(mutated(valid_of(kind))), tmp_path)


@pytest.mark.parametrize("kind", PARSERS)
@FUZZ
@given(rest=st.binary(max_size=200), data=st.data())
def test_what_begins_well_and_goes_on_anyhow(kind, rest, data, tmp_path):
    """Bytes behind a valid beginning: past the check of the magic number, into the parser."""
    valid = data.draw(st.sampled_from(valid_of(kind)))
    check(kind, valid[: data.draw(st.integers(4, len(valid)))] + rest, tmp_path)


@FUZZ
@given(header=st.text(max_size=80))
def test_any_text_as_an_npy_header(header, tmp_path):
    body = header.encode("latin-1", "replace")
    check("npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(body)) + body, tmp_path)


@FUZZ
@given(
    descr=st.sampled_from(["'<f8'", "'|O'", "'|V0'", "'<U0'", "'>c16'", "[('a', '<f8')]", "'x'", "3", "('<f8', (2,))"]),
    order=st.sampled_from(["True", "False", "3"]),
    shape=st.lists(st.integers(-(2**70), 2**70) | st.integers(0, 3), max_size=40).map(tuple),
)
def test_any_declaration_in_an_npy_header(descr, order, shape, tmp_path):
    body = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    check("npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(body)) + body + bytes(64), tmp_path)


@FUZZ
@given(
    kind=st.integers(0, 255),
    shape=st.lists(st.sampled_from([0, 1, 2, 3, 255, 2**16, 2**31, 2**32 - 1]), max_size=6),
    data=st.binary(max_size=64),
    is_packed=st.booleans(),
)
def test_any_declaration_in_an_idx_header(kind, shape, data, is_packed, tmp_path):
    content = struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape) + data
    check("idx", gzip.compress(content) if is_packed else content, tmp_path)


@pytest.mark.xfail(raises=ValueError, strict=True, reason="numpy's error passes through: empty, and yet too large")
def test_an_idx_header_of_no_rows_that_are_larger_than_memory(tmp_path):
    check("idx", struct.pack(">BBBBIII", 0, 0, 8, 3, 0, 2**32 - 1, 2**32 - 1), tmp_path)


CELLS = st.text(max_size=6) | st.sampled_from(
    ["a", "b", "id", "y", "1,5", "1,934", "1.934,5", "1e999", "-inf", "NA", "2024-02-30", "9999-12-31", "12:30", "yes"]
)


@pytest.mark.parametrize("reader", READERS)
@FUZZ
@given(
    cells=st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), max_size=9)),
    separator=st.sampled_from(",;\t|"),
    is_named=st.booleans(),
)
def test_any_table_of_text(reader, cells, separator, is_named, tmp_path):
    header = ["a", "b", "id", "y"][: len(cells[0]) if cells else 2]
    lines = [header, *cells] if is_named else cells
    check(f"csv {reader}", "\n".join(separator.join(row) for row in lines).encode("utf-8", "replace"), tmp_path)


TYPED = st.one_of(
    *(
        st.lists(st.none() | value, min_size=5, max_size=5)
        for value in (
            st.integers(-(2**63), 2**63 - 1),
            st.floats(),
            st.sampled_from([np.float16(1.5), np.float16(2)]),
            st.booleans(),
            st.text(max_size=4),
            st.binary(max_size=4),
            st.datetimes(),
            st.dates(),
            st.times(),
            st.timedeltas(),
            st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9),
            st.lists(st.floats(), max_size=3),
            st.dictionaries(st.sampled_from("pq"), st.integers(0, 9), max_size=2),
        )
    )
)


@pytest.mark.parametrize("reader", READERS)
@FUZZ
@given(columns=st.dictionaries(st.sampled_from(["a", "b", "id", "y"]) | st.text(max_size=5), TYPED, max_size=4))
def test_any_columns_of_types(reader, columns, tmp_path):
    try:
        content = parquet(**columns)
    except (pa.ArrowException, UnicodeError):  # no Parquet file can hold them
        return
    check(f"parquet {reader}", content, tmp_path)


@pytest.mark.parametrize("reader", READERS)
@FUZZ
@given(
    shape=st.lists(st.integers(0, 4), max_size=4),
    kind=st.sampled_from(["f8", ">f4", "f2", "u1", "i8", "?", "c8", "U2", "M8[D]", "m8[s]", "V3", "S2"]),
    names=st.lists(st.sampled_from(["x", "y", "X", "data", "other", "arr_0"]), min_size=1, max_size=2, unique=True),
    fill=st.sampled_from([0, 1, 255]),
)
def test_any_arrays(reader, shape, kind, names, fill, tmp_path):
    array = np.frombuffer(bytes([fill]) * (np.dtype(kind).itemsize * int(np.prod(shape))), dtype=kind).reshape(shape)
    check(f"npy {reader}", saved(lambda f: np.save(f, array)), tmp_path)
    check(f"npz {reader}", saved(lambda f: np.savez(f, **dict.fromkeys(names, array))), tmp_path)
