"""What every stage does around its work: errors of one line, a lock, an end with its parent, safe outputs.

- kill -9 of dvc leaves its stage running; the next `dvc repro` would start a second writer on the same
  outputs. A stage therefore ends when the process that started it ends, and holds a lock on its output.
- DVC deletes a stage's outputs before its command runs, so a lock alone does not save a first writer:
  a stage writes into a folder beside its output and renames that into place at the end.
"""

import argparse
import os
import select
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gen_models.errors import GenModelsError
from pipelines.runtime import locks, paths

LOCK_WAIT_SECONDS = 20.0
SECONDS_TO_END = 5.0
STOPS = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated")}  # exit code, in words


class StageBusyError(GenModelsError):
    """Another process is writing the same output."""


def run(main: Callable[[list[str]], None]) -> None:
    """Run a stage's main on sys.argv; an error for people is one line and exit code 1."""
    end_with_parent()
    for number in STOPS:
        signal.signal(number, _stop)
    try:
        main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(128 + signal.SIGPIPE) from None
    except GenModelsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


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
        if not locks.take(file, within_seconds=LOCK_WAIT_SECONDS):
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise StageBusyError(
                f"{output}: process {holder} is writing it; wait for it to end, or stop it with `kill {holder}`"
            )
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
        if any(word.rpartition(b"/")[2] == b"dvc" for word in words[:2]) or words[1:3] == [b"-m", b"dvc"]:
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
    except OSError:  # a kernel or a sandbox without pidfds
        descriptor = None

    def watch() -> None:
        if descriptor is not None:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll()
        while descriptor is None and Path(f"/proc/{pid}").exists():
            time.sleep(0.5)
        act()

    threading.Thread(target=watch, daemon=True, name=f"watch-{pid}").start()


def end_with_parent() -> None:
    """End this process, and what it started, when the dvc that started it is gone."""
    if (pid := dvc_ancestor()) and hasattr(os, "pidfd_open"):
        when_process_ends(pid, _end)


def _end() -> None:
    """As SIGTERM, which lets the run be marked killed; at once if that does not help."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SECONDS_TO_END)
    os._exit(STOPS[signal.SIGTERM][0])


def _stop(number: int, frame: object) -> None:
    """SIGINT, SIGTERM: one line, what is open is closed, the exit code that shells expect; the second time at once."""
    code, word = STOPS[signal.Signals(number)]
    for other in STOPS:
        signal.signal(other, lambda number, frame: os._exit(code))
    print(f"{word}: what was saved stays; run the same command to continue", file=sys.stderr, flush=True)
    raise SystemExit(code)


def _slug(output: Path) -> str:
    return output.relative_to(paths.root()).as_posix().replace("/", ".")
