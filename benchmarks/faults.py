"""Runs the slow tests, and writes into the table of docs/reliability.md when each fault was last tried.

    python -m benchmarks.faults              all slow tests, and the others that the table names (`make faults`)
    python -m benchmarks.faults tests/test_faults.py -k play      pytest's own words: only these

A row keeps its last entry if none of its tests was run. The exit code is pytest's.
"""

import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from gen_models.files import replacing
from pipelines.runtime import paths

PAGE = "docs/reliability.md"
TEST = re.compile(r"`(tests/\w+\.py)?(?:::(\w+))?`")
Result = tuple[str, str, str]  # (file, function, passed, failed or skipped)


def main(words: Sequence[str]) -> int:
    page = paths.root() / PAGE
    text = page.read_text()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        code = 0
        for chosen in [list(words)] if words else [["-m", "slow"], ["-m", "not slow", *_files(text)]]:
            command = [sys.executable, "-m", "pytest", f"--junit-xml={report}", "-o", "junit_family=xunit1", *chosen]
            code = max(code, subprocess.run(command, cwd=paths.root()).returncode)
            if report.is_file():
                text = dated(text, results(report), datetime.now(UTC).date().isoformat())
                report.unlink()
    with replacing(page) as file:
        file.write(text.encode())
    return code


def results(report: Path) -> list[Result]:
    """Read pytest's report of its cases."""
    found = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        ends = {child.tag for child in case}
        end = "failed" if ends & {"failure", "error"} else "skipped" if "skipped" in ends else "passed"
        found.append((case.get("file", ""), case.get("name", "").partition("[")[0], end))
    return found


def dated(text: str, found: Sequence[Result], date: str) -> str:
    """Return the page's text with the last column of its table filled for the rows whose tests have run."""
    lines = text.split("\n")
    file = ""
    for number, line in enumerate(lines):
        cells = line.split("|")
        if len(cells) != 6 or not TEST.search(cells[3]):
            continue
        counts: Counter[str] = Counter()
        for named, function in TEST.findall(cells[3]):
            file = named or file  # a row without a file means that of the row above
            counts.update(end for where, what, end in found if where == file and function in ("", what))
        if ran := counts["passed"] + counts["failed"]:
            cells[4] = f" {date}: {counts['passed']} of {ran} "
            lines[number] = "|".join(cells)
    return "\n".join(lines)


def _files(text: str) -> list[str]:
    return sorted({file for file, _ in TEST.findall(text) if file})


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
