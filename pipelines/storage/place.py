"""A place for files, named by a URI: a bucket such as s3://bucket/folder, or a folder that all machines see.

pyarrow.fs opens it. Credentials come from the environment of each process, as the file system's own tools expect them
(AWS_ACCESS_KEY_ID, an instance's role, GOOGLE_APPLICATION_CREDENTIALS, ...); no file of this project holds them. An S3
server that is not Amazon's is named by AWS_ENDPOINT_URL.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from gen_models.errors import GenModelsError, first_line

T = TypeVar("T")
CONNECT_SECONDS, REQUEST_SECONDS, TRIES = 5.0, 30.0, 4
REGION = "us-east-1"
RAY = "ray"  # the folder for the state that Ray keeps while it runs
CHUNK_BYTES = 1 << 20


class StorageError(GenModelsError):
    """The storage cannot be used, or what it holds is damaged."""


class Place:
    """Reads and writes the files below a URI. The name of a file is its path below the URI, with /.

    A name is written once: no file is overwritten. Each method raises StorageError, in one line with the URI, if the
    file system fails after its own retries.
    """

    def __init__(self, uri: str, *, is_patient: bool = True):
        """Open a place.

        is_patient: whether a request to S3 may take REQUEST_SECONDS and is tried up to TRIES times. If not, it is tried
        once and may take CONNECT_SECONDS.
        """
        self.uri = uri.rstrip("/")
        self._files, self._root = _open(self.uri, is_patient)

    def put(self, source: Path, name: str) -> None:
        """Copy the local file `source` into the place, under `name`."""

        def write() -> None:
            with source.open("rb") as file, self._to_write(name) as out:
                while block := file.read(CHUNK_BYTES):
                    out.write(block)

        self._try("write", name, write)

    def put_bytes(self, content: bytes, name: str) -> None:
        def write() -> None:
            with self._to_write(name) as out:
                out.write(content)

        self._try("write", name, write)

    def get(self, name: str, to: Path) -> None:
        """Copy the file `name` of the place to the local path `to`. Its bytes are on disk when this returns."""

        def read() -> None:
            to.parent.mkdir(parents=True, exist_ok=True)
            with self._files.open_input_stream(self._at(name)) as found, to.open("wb") as file:
                while block := found.read(CHUNK_BYTES):
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())

        self._try("read", name, read)

    def get_bytes(self, name: str) -> bytes | None:
        """Return the content of the file `name`, or None if there is no such file."""

        def read() -> bytes | None:
            try:
                with self._files.open_input_stream(self._at(name)) as found:
                    return found.read()
            except FileNotFoundError:
                return None

        return self._try("read", name, read)

    def names(self, below: str) -> list[str]:
        """Return the names of all files below a folder, sorted; [] if there is no such folder."""
        from pyarrow.fs import FileSelector, FileType

        def look() -> list[str]:
            found = self._files.get_file_info(FileSelector(self._at(below), allow_not_found=True, recursive=True))
            root = PurePosixPath(self._root)
            return sorted(str(PurePosixPath(one.path).relative_to(root)) for one in found if one.type == FileType.File)

        return self._try("list", below, look)

    def remove(self, below: str) -> None:
        """Remove all files below a folder, if there are any."""

        def act() -> None:
            self._files.delete_dir_contents(self._at(below), missing_dir_ok=True)
            if below and not self.uri.startswith("s3:"):  # in S3, a folder exists only as long as it has files
                self._files.delete_dir(self._at(below))

        if self.names(below):
            self._try("remove", below, act)

    def remove_file(self, name: str) -> None:
        self._try("remove", name, lambda: self._files.delete_file(self._at(name)))

    def _to_write(self, name: str) -> Any:
        if not self.uri.startswith("s3:"):
            self._files.create_dir(str(PurePosixPath(self._at(name)).parent), recursive=True)
        return self._files.open_output_stream(self._at(name))

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _try(self, what: str, name: str, act: Callable[[], T]) -> T:
        try:
            return act()
        except OSError as error:
            raise StorageError(
                f"storage: {self.uri}: cannot {what} {name or 'its files'} ({first_line(error)}); see that it is "
                "reachable, has room, and that the environment holds its credentials, then run the same command again"
            ) from None


def check_uri(uri: str) -> str:
    """Return a storage's URI unchanged, if its form is right.

    Raises StorageError for a relative path, for an S3 URI without a bucket, and for a URI with credentials or options.
    """
    parts = urlsplit(uri)
    if not parts.scheme:
        if not Path(uri).is_absolute():
            raise StorageError(
                f"{uri!r}: write an absolute path of a folder that all machines see, or s3://BUCKET/FOLDER"
            )
        return uri
    if "@" in parts.netloc or parts.query:
        raise StorageError(
            f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}: write no credentials or options into the "
            "URI; the environment has them, such as AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL"
        )
    if parts.scheme == "s3" and not parts.netloc:
        raise StorageError(f"{uri}: name a bucket, s3://BUCKET/FOLDER")
    return uri


def for_ray(uri: str) -> str:
    """Return the URI of the folder for Ray's own state, below the storage `uri`, in the form of Ray's storage_path.

    Ray's processes open this folder with pyarrow, each with the credentials of its own environment.
    """
    uri = f"{uri}/{RAY}"
    if not uri.startswith("s3:") or not (endpoint := _endpoint()):
        return uri
    parts = urlsplit(endpoint)
    return (
        f"{uri}?endpoint_override={quote(parts.netloc)}&scheme={parts.scheme}&region={_region()}"
        "&allow_bucket_creation=false"
    )


def forget_ray(uri: str, experiment: str) -> None:
    """Remove the state of an experiment that Ray has kept in a storage; nothing is resumed from it.

    If the storage cannot be reached, the state stays there.
    """
    with suppress(StorageError):
        Place(uri).remove(f"{RAY}/{experiment}")


def _open(uri: str, is_patient: bool) -> tuple[Any, str]:
    """Return (pyarrow's file system for a URI, the path that the URI has in that file system)."""
    from pyarrow import fs

    check_uri(uri)
    parts = urlsplit(uri)
    try:
        if not parts.scheme:
            return fs.LocalFileSystem(), uri
        if parts.scheme == "s3":
            options: dict[str, Any] = {}
            if endpoint := _endpoint():
                options = {"endpoint_override": urlsplit(endpoint).netloc, "scheme": urlsplit(endpoint).scheme}
            files = fs.S3FileSystem(
                region=_region(),
                connect_timeout=CONNECT_SECONDS,
                request_timeout=REQUEST_SECONDS if is_patient else CONNECT_SECONDS,
                allow_delayed_open=True,  # a small file is one request, not three
                retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=TRIES if is_patient else 1),
                **options,
            )
            return files, f"{parts.netloc}{parts.path}"
        return fs.FileSystem.from_uri(uri)
    except (OSError, ValueError) as error:
        raise StorageError(f"storage: {uri}: pyarrow cannot open it ({first_line(error)})") from None


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or REGION


def each_file(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (name, path) of every file below a folder, in the order of the paths, without hidden files and folders.

    name: the path below the folder, with /
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            yield name.as_posix(), path
