"""Runs the main function of a stage: prints errors as one line, locks its output, and ends with its parent.

- If dvc is killed by kill -9, the stage that it started keeps running, and the next `dvc repro` would start a second
  writer on the same outputs. Therefore a stage ends when the dvc that started it ends, and holds a lock on its output.
- DVC deletes a stage's outputs before it runs the stage's command, so a lock alone would not protect an output that
  another process is still writing. Therefore a stage writes into a folder below work/ and renames that folder to its
  output at the end.
"""

import argparse
import atexit
import os
import select
import shutil
import signal
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gen_models.errors import GenModelsError
from pipelines.runtime import locks, paths

LOCK_WAIT_SECONDS = 20.0
SECONDS_TO_END = 5.0
STOPS = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated")}  # (exit code, word for people)


class StageBusyError(GenModelsError):
    """Another process is writing the same output."""


def run(main: Callable[[list[str]], None]) -> None:
    """Run the main function of a stage or command on the arguments of the command line.

    A GenModelsError, or a package that is not installed, is printed as one line, and the exit code is 1.
    """
    end_with_parent()
    for number in STOPS:
        signal.signal(number, _stop)
    try:
        main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe, such as `| head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(128 + signal.SIGPIPE) from None
    except _Stopped as stopped:
        _leave(stopped.code)
    except GenModelsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "gen_models", "pipelines"):
            raise
        print(f"error: {package} is not installed: run `pip install 'gen-models[pipelines]'`", file=sys.stderr)
        raise SystemExit(1) from None


def parse(argv: Sequence[str], verb: str, doc: str | None, add: Callable[[ArgumentParser], None]) -> argparse.Namespace:
    """Parse the command line of a stage or command, and return its arguments.

    argv: the words of the command line; verb: the name of the stage or command
    doc: what --help prints: the docstring of the module that has the stage or command
    add: adds the arguments to the parser. It may also set a default `check`, a function of the parsed arguments that
    raises an error of one line if they cannot be right; it is called here.
    """
    parser = ArgumentParser(
        prog=f"gen-models {verb}", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add(parser)
    asked = parser.parse_args(argv)
    if check := getattr(asked, "check", None):
        check(asked)
    return asked


def argument(argv: Sequence[str], verb: str, name: str, doc: str | None) -> str:
    """Parse the command line of a stage that takes one argument, and return this argument.

    verb, doc: as in `parse`; name: what --help calls the argument
    """
    return parse(argv, verb, doc, one_key(name)).key


def no_argument(argv: Sequence[str], verb: str, doc: str | None) -> None:
    """Parse the command line of a stage or tool that takes no argument: only --help is allowed."""
    parse(argv, verb, doc, nothing)


def one_key(name: str) -> Callable[[ArgumentParser], None]:
    """Return a function that adds one argument, such as the name of a run or data set. name: what --help calls it"""

    def add(parser: ArgumentParser) -> None:
        parser.add_argument("key", metavar=name, help="`gen-models list` shows those there are")

    return add


def run_keys(parser: ArgumentParser) -> None:
    """Add an argument that takes the names of any number of runs, or none."""
    parser.add_argument("runs", nargs="*", metavar="RUN", help="all of params.yaml, if none is named")


def nothing(parser: ArgumentParser) -> None:
    """Add no argument: for commands that take none."""


@contextmanager
def produce(output: Path) -> Iterator[Path]:
    """Yield an empty folder to write into, and rename it to `output` when the block ends without an error.

    Only one process at a time can write an output. A second process waits for LOCK_WAIT_SECONDS, since the first may be
    about to end with its parent; after that, StageBusyError is raised.
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
def hold(output: Path, *, within_seconds: float | None = None) -> Iterator[None]:
    """Hold the lock of an output while the block runs. The kernel frees the lock even if this process is killed.

    Raises StageBusyError if another process still holds the lock after some seconds; None: LOCK_WAIT_SECONDS.
    """
    seconds = LOCK_WAIT_SECONDS if within_seconds is None else within_seconds
    try:
        with locks.held(paths.work("locks", _slug(output) + ".lock"), within_seconds=seconds):
            yield
    except locks.HeldError as error:
        raise StageBusyError(
            f"{output}: process {error.holder} is writing it; wait for it to end, or stop it with `kill {error.holder}`"
        ) from None


def dvc_ancestor() -> int | None:
    """Return the process id of the dvc command that started this stage, or None if a person started it."""
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
    """Call `act` in another thread when the process `pid` ends, or at once if there is no such process.

    On Linux, the thread waits for the process's pidfd to become readable. Where there are no pidfds, it looks into
    /proc every half second.
    """
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
    """Make this process end, by SIGTERM, when the dvc that started it ends.

    If a person started it, nothing is done.
    """
    if (pid := dvc_ancestor()) and hasattr(os, "pidfd_open"):
        when_process_ends(pid, _end)


def _end() -> None:
    """Send SIGTERM to this process, so that its run in MLflow is marked as killed.

    If the process still runs after SECONDS_TO_END, exit.
    """
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SECONDS_TO_END)
    os._exit(STOPS[signal.SIGTERM][0])


def _stop(number: int, frame: object) -> None:
    """Handle SIGINT and SIGTERM: print one line, close what is open, and exit with the code that shells expect.

    A second signal ends the process at once.
    """
    code, word = STOPS[signal.Signals(number)]
    for other in STOPS:
        signal.signal(other, lambda number, frame: os._exit(code))
    print(f"{word}: what was saved stays; run the same command to continue", file=sys.stderr, flush=True)
    raise _Stopped(code)


class _Stopped(SystemExit):
    """SIGINT or SIGTERM has come."""

    code: int


def _leave(code: int) -> None:
    """Exit after the functions of `atexit`, but without taking the interpreter down.

    Threads of Ray and PyTorch that still run when a signal comes may end that with a segmentation fault.
    """
    with suppress(Exception):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _slug(output: Path) -> str:
    return output.relative_to(paths.root()).as_posix().replace("/", ".")
