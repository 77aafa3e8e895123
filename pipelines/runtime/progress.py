"""Shows the progress of long work: a bar with the time left on a terminal, plain lines in a log file or a pipe."""

import sys
import time
from typing import TextIO

from tqdm import tqdm

LEAST_SHARE = 0.1  # of the work: before that, its pace says little of the rest
SECONDS_BETWEEN_LINES = 10.0
SECONDS_OF_SILENCE = 60.0  # after which a line is printed although nothing was done


class Progress:
    """Shows how much of `total` units of work is done: a bar on a terminal, else lines. `close` ends it.

    what: the title; total: 0 if it is not known; unit: what one unit is called, in the singular, such as "trial".
    Callers may call `show` as often as they like: without a terminal, a line is printed at most every
    SECONDS_BETWEEN_LINES and at the end.
    """

    def __init__(self, what: str, total: int, unit: str, *, stream: TextIO | None = None):
        """stream: where lines go, if there is no terminal; None: standard output

        Give sys.stderr if standard output carries the answer of a command.
        """
        self._what, self._total, self._unit, self._stream = what, total, unit, stream
        self._bar: tqdm | None = None
        self._is_terminal = sys.stderr.isatty()
        self._first: tuple[int, float] | None = None  # (done, time) of the first call of show
        self._shown, self._printed = -1, time.monotonic()

    def show(self, done: int, note: str, total: int | None = None) -> None:
        """Show that `done` units are done, with `note` beside the number.

        If no number has changed, nothing is shown, or without a terminal a line after SECONDS_OF_SILENCE.

        total: of how many units, if that has changed; None: it has not
        """
        total = self._total if total is None else total
        is_silent = not self._is_terminal and time.monotonic() - self._printed > SECONDS_OF_SILENCE
        if done == self._shown and total == self._total and not is_silent:
            return
        self._total = total
        self._shown = done
        self._first = self._first or (done, time.monotonic())
        if self._is_terminal:
            self._draw(done, note)
        else:
            self._print(done, note)

    def line(self, text: str) -> None:
        """Print a line of text that stays on the terminal, above the bar if there is one."""
        if self._bar is not None:
            self._bar.write(text)
        else:
            print(text, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _draw(self, done: int, note: str) -> None:
        if self._bar is None:  # made here, so that the bar's pace does not count the seconds before the first step
            self._bar = tqdm(total=self._total or None, initial=done, desc=self._what, unit=self._unit)
        self._bar.total = self._total or None
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(done - self._bar.n)
        self._bar.refresh()

    def _print(self, done: int, note: str) -> None:
        now = time.monotonic()
        if (done < self._total or not self._total) and now - self._printed < SECONDS_BETWEEN_LINES:
            return
        self._printed = now
        of = f"/{self._total}" if self._total else ""
        print(
            f"{self._what}: {done}{of} {self._unit}s{self._left(done, now)}, {note}",
            file=self._stream,
            flush=True,
        )

    def _left(self, done: int, now: float) -> str:
        """Return the time left at the pace since the first call of show, as text; "" until LEAST_SHARE is done."""
        assert self._first is not None
        since = done - self._first[0]
        if since <= 0 or since < LEAST_SHARE * self._total or done >= self._total:
            return ""
        return f", {(now - self._first[1]) / since * (self._total - done):.0f} s left"
