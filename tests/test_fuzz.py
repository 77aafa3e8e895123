"""Whatever bytes a file holds, a parser gives a result or the project's own error."""

import gzip
import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from gen_models.errors import GenModelsError
from pipelines.data.sources.array_files import read_npy, read_npz
from pipelines.data.sources.csv_file import read_header, read_numbers, text_columns
from pipelines.data.sources.idx import read_idx
from pipelines.data.sources.image_decoding import FORMATS, read_image

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MOST_NUMBERS = 1 << 24


def saved(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def picture(kind: str, mode: str = "L") -> bytes:
    shape = (4, 4, {"RGB": 3, "RGBA": 4}.get(mode, 1))
    pixels = np.arange(np.prod(shape), dtype=np.uint16 if mode == "I;16" else np.uint8).reshape(shape)
    return saved(lambda file: Image.fromarray(pixels[..., 0] if shape[2] == 1 else pixels).save(file, kind))


IDX = struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 3, 4) + bytes(range(24))
X = np.arange(12.0).reshape(4, 3)
VALID = {
    "idx": [IDX, gzip.compress(IDX), struct.pack(">BBBBI", 0, 0, 0x0E, 1, 2) + bytes(16)],
    "npy": [saved(lambda f: np.save(f, X)), saved(lambda f: np.save(f, X.astype(">i2").T))],
    "npz": [saved(lambda f: np.savez(f, x=X, y=np.arange(4))), saved(lambda f: np.savez_compressed(f, x=X))],
    "csv": [b"a,b\n1,2\n3,4\n", b'\xef\xbb\xbf"a","b"\r\n"1.5",\r\n-2e3,nan\r\n', "grün;b\n1,5;2\n".encode()],
    "image": [picture(kind) for kind in FORMATS]
    + [picture("PNG", "RGB"), picture("PNG", "RGBA"), picture("PNG", "I;16")],
}


def csv(path: Path) -> np.ndarray:
    header = read_header(path)
    text_columns(path, ",", 100)
    return read_numbers(path, header)[0]


PARSERS: dict[str, Callable[[Path], np.ndarray]] = {
    "idx": read_idx,
    "npy": read_npy,
    "npz": lambda path: read_npz(path, ["x", "y"], needed="x")["x"],
    "csv": csv,
    "image": lambda path: read_image(path).pixels,
}


def check(kind: str, content: bytes, folder: Path) -> None:
    """A result of numbers, whole and readable, or one line of the project's own."""
    path = folder / "file"
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


@pytest.mark.parametrize("kind", PARSERS)
def test_valid_files_are_read(kind, tmp_path):
    for k, content in enumerate(VALID[kind]):
        (tmp_path / "file").write_bytes(content)
        if kind == "csv" and k:  # a missing cell, a decimal comma
            continue
        assert PARSERS[kind](tmp_path / "file").size


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
    check(kind, data.draw(mutated(VALID[kind])), tmp_path)


@pytest.mark.parametrize("kind", ["idx", "npy", "npz", "image"])
@FUZZ
@given(rest=st.binary(max_size=200), data=st.data())
def test_what_begins_well_and_goes_on_anyhow(kind, rest, data, tmp_path):
    """Bytes behind a valid beginning: past the check of the magic number, into the parser."""
    valid = data.draw(st.sampled_from(VALID[kind]))
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


@FUZZ
@given(cells=st.lists(st.lists(st.text(max_size=6), max_size=4), max_size=6))
def test_any_table_of_text(cells, tmp_path):
    check("csv", "\n".join(",".join(row) for row in cells).encode("utf-8", "replace"), tmp_path)
