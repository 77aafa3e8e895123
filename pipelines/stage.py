"""What every stage does around its work: errors of one line, a lock, an end with its parent, safe outputs.

- kill -9 of dvc leaves its stage running; the next `dvc repro` would start a second writer on the same
  outputs. A stage therefore ends when the process that started it ends, and holds a lock on its output.
- DVC deletes a stage's outputs before its command runs, so a lock alone does not save a first writer:
  a stage writes into a folder beside its output and renames that into place at the end.
"""

import argparse
import fcntl
import os
import select
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gen_models.errors import GenModelsError
from pipelines import paths

LOCK_WAIT_SECONDS = 20.0


class StageBusyError(GenModelsError):
    """Another process is writing the same output."""


def run(main: Callable[[list[str]], None]) -> None:
    """Run a stage's main on sys.argv; an error for people is one line and exit code 1."""
    end_with_parent()
    signal.signal(signal.SIGTERM, _terminate)
    try:
        main(sys.argv[1:])
    except GenModelsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("interrupted: what was saved stays; run the same command to continue", file=sys.stderr)
        raise SystemExit(130) from None


def argument(argv: list[str], verb: str, name: str, doc: str | None) -> str:
    """The one argument that a stage takes; --help shows what the stage does."""
    parser = argparse.ArgumentParser(
        prog=f"gen-models {verb}", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("key", metavar=name, help="`gen-models list` shows those there are")
    return parser.parse_args(argv).key


def no_argument(argv: list[str], verb: str, doc: str | None) -> None:
    """For a stage over all runs: nothing but --help."""
    argparse.ArgumentParser(
        prog=f"gen-models {verb}", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args(argv)


@contextmanager
def produce(output: Path) -> Iterator[Path]:
    """A folder to write into, renamed onto `output` when the block ends without an error.

    One process at a time holds an output; a second waits a little (the first may be ending with its
    parent) and is then refused.
    """
    with hold(output):
        fresh = paths.work("unfinished", _slug(output))
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        yield fresh
        if output.exists():
            shutil.rmtree(output)
        output.parent.mkdir(parents=True, exist_ok=True)
        fresh.rename(output)


@contextmanager
def hold(output: Path) -> Iterator[None]:
    """The lock of an output; the kernel frees it when its holder ends, however it ends."""
    path = paths.work("locks", _slug(output) + ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        _lock(file, output)
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield


def dvc_ancestor() -> int | None:
    """The process id of the dvc command that started this stage, or None if a person did."""
    pid = os.getppid()
    while pid > 1:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            return None
        if any(word == b"dvc" or word.endswith(b"/dvc") for word in words[:3]):
            return pid
        pid = parent
    return None


def when_process_ends(pid: int, act: Callable[[], None]) -> None:
    """Call `act` in a thread when process `pid` ends (Linux: a pidfd becomes readable)."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        act()
        return

    def watch() -> None:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()
        act()

    threading.Thread(target=watch, daemon=True, name=f"watch-{pid}").start()


def end_with_parent() -> None:
    """End this process, and what it started, when the dvc that started it is gone."""
    if (pid := dvc_ancestor()) and hasattr(os, "pidfd_open"):
        when_process_ends(pid, lambda: os._exit(143))


def _terminate(signum: int, frame: object) -> None:
    """SIGTERM: as Ctrl-C, but with exit code 143."""
    print("terminated: what was saved stays; run the same command to continue", file=sys.stderr)
    raise SystemExit(143)


def _lock(file, output: Path) -> None:
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if time.monotonic() > deadline:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise StageBusyError(
                f"{output}: process {holder} is writing it; wait for it to end, or stop it with `kill {holder}`"
            )
        time.sleep(0.2)


def _slug(output: Path) -> str:
    return output.relative_to(paths.root()).as_posix().replace("/", ".")
