"""The file format of compressed rows, as docs/codec.md defines it.

    8 bytes   89 47 4D 43 0D 0A 1A 0A, which mark the format: as in PNG, a transfer that changes line ends damages them
    2         version, 2; version 1 drew other random numbers
    4         length of the header
    8         length of the payload
    header    JSON in UTF-8, an object
    payload   words of 32 bits: the entropy coder's stack
    32        sha256 of all bytes before

Numbers are little-endian. A file that is cut, changed, of another format or of another model raises an error of one
line; it never decodes to other rows.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt32
from torch import Tensor, nn

from gen_models.errors import CheckpointError, DataError
from gen_models.files import replacing

Rows = Tensor | np.ndarray  # (batch, *event), of any type of numbers
MAGIC = b"\x89GMC\r\n\x1a\n"
VERSION = 2
SETTINGS = (bool, int, float, str)  # attributes of these types are a module's settings
MOST_ROWS = 1 << 31  # no file written here has more
_FRONT = struct.Struct("<8sHIQ")
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class Compressed:
    """Compressed rows, in memory.

    header   method (its name), model (the model's digest), rows (how many), event_shape, and what the method needs
    words    the payload: the entropy coder's stack, in words of 32 bits
    """

    header: dict[str, Any]
    words: UInt32[np.ndarray, " words"]

    def as_bytes(self) -> bytes:
        """Return the bytes of the file."""
        header = json.dumps(self.header, separators=(",", ":"), allow_nan=False).encode()
        payload = self.words.astype("<u4").tobytes()
        body = _FRONT.pack(MAGIC, VERSION, len(header), len(payload)) + header + payload
        return body + hashlib.sha256(body).digest()


def write(path: Path | str, compressed: Compressed) -> int:
    """Write the file, whole or not at all, and return its size in bytes; raises DataError if it cannot be written."""
    data = compressed.as_bytes()
    try:
        with replacing(Path(path)) as file:
            file.write(data)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror}); name a folder that is there and has room"
        ) from None
    return len(data)


def read(path: Path | str) -> Compressed:
    """Return the contents of a file. Raises DataError if it is missing, of another format, cut or changed."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    return parse(data, str(path))


def parse(data: bytes, name: str) -> Compressed:
    """Return the contents of a file, given its bytes. Raises DataError like `read`; its message begins with `name`."""
    if data[: len(MAGIC)] != MAGIC[: len(data)] or not data:
        raise DataError(f"{name}: not a file of `gen-models compress`: it begins with {data[:8]!r}")
    if len(data) < _FRONT.size:
        raise _damaged(name, f"{len(data)} bytes, fewer than any such file has")
    _, version, header_bytes, payload_bytes = _FRONT.unpack_from(data)
    if version != VERSION:
        fix = "update gen-models" if version > VERSION else "decompress it with the gen-models that wrote it"
        raise DataError(f"{name}: written in version {version} of the format, this reads {VERSION}; {fix}")
    expected = _FRONT.size + header_bytes + payload_bytes + _DIGEST_BYTES
    if len(data) != expected:
        raise _damaged(name, f"{len(data)} bytes where {expected} are announced")
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        raise _damaged(name, "its sha256 does not agree")
    if payload_bytes % 4:
        raise _damaged(name, f"a payload of {payload_bytes} bytes is not of whole words")
    header, payload = body[_FRONT.size : _FRONT.size + header_bytes], body[_FRONT.size + header_bytes :]
    try:
        facts = json.loads(header)
    except (ValueError, RecursionError):
        raise _damaged(name, "its header is not JSON") from None
    if not isinstance(facts, dict):
        raise _damaged(name, "its header is no object")
    return Compressed(facts, np.frombuffer(payload, dtype="<u4").astype(np.uint32))


def as_floats(x: Rows, model: nn.Module) -> Tensor:
    """Return rows, an array or a tensor, as a tensor of the dtype of the model's parameters."""
    rows = x if isinstance(x, Tensor) else torch.from_numpy(np.ascontiguousarray(x, dtype=x.dtype.newbyteorder("=")))
    return rows.to(next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32))


def common_header(method: str, model: nn.Module, rows: int, event_shape: tuple[int, ...]) -> dict[str, Any]:
    """Return the header's entries that all methods have: method, model, rows and event_shape."""
    return {"method": method, "model": model_digest(model), "rows": rows, "event_shape": list(event_shape)}


def require_header(compressed: Compressed, method: str, model: nn.Module, keys: Mapping[str, type]) -> dict[str, Any]:
    """Return the header, after checking that it is of this method and model and has the keys that it must have.

    keys  {key: type} of the entries that this method adds to the common ones

    Raises CheckpointError if another model compressed the rows, DataError if another method did, or if a key is missing
    or has an unusable value.
    """
    header = compressed.header
    for key, kind in {"method": str, "model": str, "rows": int, "event_shape": list, **keys}.items():
        if not isinstance(header.get(key), kind) or isinstance(header[key], bool):
            raise DataError(
                f"header of the compressed rows: {key} is {str(header.get(key))[:40]}, not a {kind.__name__}"
            )
    if header["method"] != method:
        raise DataError(f"the rows were compressed by {header['method'][:40]!r}, not by {method!r}")
    if not 0 <= header["rows"] <= MOST_ROWS:
        raise DataError(f"header of the compressed rows: rows is {header['rows']}; it may be 0 to {MOST_ROWS}")
    if header["model"] != (digest := model_digest(model)):
        raise CheckpointError(
            f"the rows were compressed by model {header['model'][:12]}, this {type(model).__name__} is {digest[:12]}; "
            f"give the checkpoint that compressed them"
        )
    return header


def model_digest(model: nn.Module) -> str:
    """Return the sha256 of a model's classes, settings and weights.

    A model can decode what another encoded only if their digests are equal.
    """
    sha = hashlib.sha256()
    for name, module in model.named_modules():
        plain = {k: v for k, v in vars(module).items() if isinstance(v, SETTINGS) and not k.startswith("_")}
        settings = sorted((k, v) for k, v in plain.items() if k != "training")
        sha.update(f"{name}:{type(module).__qualname__}:{settings}\n".encode())
    for name, tensor in sorted(model.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        sha.update(f"{name}:{values.dtype}:{tuple(values.shape)}\n".encode())
        sha.update(values.numpy().tobytes())
    return sha.hexdigest()


def _damaged(name: str, what: str) -> DataError:
    return DataError(f"{name}: damaged: {what}; take another copy of the file")
