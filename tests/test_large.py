"""An array of 3 GB and a table of 400 MB of text are prepared by processes that never hold 1 GB of them in memory."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.project import environment, make_project

ROWS, COLUMNS = 750_000, 1024  # float32: 3.07 GB
LIMIT = 1_000_000_000  # bytes of resident memory, mapped pages of files included
BLOCK = 10_000
DISK = 4 * ROWS * COLUMNS * 4

TRAIN = """
import sys
from pathlib import Path
from pipelines.config.compose import compose
from pipelines.runtime import paths
from pipelines.training.task import task_of
from pipelines.training.trainer import train

conf = compose("vae", "large", "tiny")
data = paths.out("data", "large")
records = list(train(task_of(conf, data, seed=0, steps=60, folder=Path(sys.argv[1]), is_trial=True)))
first, last = records[0], records[-1]
assert last.step == 60 and last.metrics["validation.nats"] < first.metrics["validation.nats"], records
"""


READ = """
import sys
from pathlib import Path
from pipelines.commands.input_rows import read_blocks
from pipelines.runtime import paths
import json

manifest = json.loads(paths.out("data", "orders", "manifest.json").read_text())
facts = {"event_shape": manifest["event_shape"], "levels": None, "table": manifest["table"]}
rows = problems = 0
for block in read_blocks(Path(sys.argv[1]), facts):
    rows, problems = rows + len(block.x), problems + len(block.problems)
assert (rows, problems) == (int(sys.argv[2]), 1), (rows, problems)
"""
TABLE_ROWS, TABLE_BYTES = 4_000_000, 400_000_000


@pytest.fixture
def disk():
    """A folder on a disk with room: what is on a file system in memory would count as memory."""
    folder = Path(tempfile.mkdtemp(prefix="large-", dir="/var/tmp" if Path("/var/tmp").is_dir() else None))
    try:
        if shutil.disk_usage(folder).free < DISK:
            pytest.skip(f"{folder}: {DISK >> 30} GB of disk are needed")
        yield folder
    finally:
        shutil.rmtree(folder)


def write_rows(path: Path) -> None:
    """Rows that all differ, on a plane and noise around it; written in blocks."""
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(8, COLUMNS)).astype(np.float32)
    noise = rng.normal(size=(BLOCK, COLUMNS)).astype(np.float32)
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (ROWS, COLUMNS)}
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(ROWS // BLOCK):
            z = rng.normal(size=(BLOCK, 8)).astype(np.float32)
            file.write((z @ plane + 0.1 * noise).tobytes())


def peak(folder: Path, *command: str) -> int:
    """The most bytes that were resident in a command; its output where it fails."""
    with (folder.parent / "output").open("w+") as output:
        started = subprocess.Popen(command, cwd=folder, env=environment(folder), stdout=output, stderr=output)
        _, status, usage = os.wait4(started.pid, 0)
        started.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        assert started.returncode == 0, output.read()
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "RLIMIT_RSS") or os.name != "posix", reason="needs wait4")
def test_an_array_of_3_gb_is_prepared_and_trained_within_1_gb(disk):
    folder = make_project(disk / "project")
    write_rows(disk / "large.npy")
    conf = {
        "name": "large",
        "source": "npy",
        "options": {"path": str(disk / "large.npy")},
        "event_shape": [COLUMNS],
        "levels": None,
        "split": {"train": 0.8, "validation": 0.1, "test": 0.1},
        "anomaly": None,
    }
    (folder / "conf" / "data" / "large.yaml").write_text(yaml.safe_dump(conf))
    python = sys.executable
    assert peak(folder, python, "-m", "pipelines.data.prepare", "large") < LIMIT
    (disk / "large.npy").unlink()
    data = folder / "out" / "data" / "large"
    assert (data / "train.x.npy").stat().st_size > 0.79 * ROWS * COLUMNS * 4
    assert peak(folder, python, "-c", TRAIN, str(disk / "run log")) < LIMIT


def write_table(path: Path) -> None:
    """Rows of numbers, words, times and missing cells, all different."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(BLOCK, 6))
    shops = ["north", "south", "", "online"]
    ends = [
        ",".join(f"{x:.7f}" for x in row)
        + f",{shops[k % 4]},{'yes' if k % 3 else 'no'},2024-{k % 12 + 1:02}-01,{'ab'[k % 2]}"
        for k, row in enumerate(numbers)
    ]
    with path.open("w") as file:
        file.write("order,amount,a,b,c,d,e,f,shop,paid,day,class\n")
        for start in range(0, TABLE_ROWS, BLOCK):
            file.writelines(f"o{start + k},{(start + 3 * k) % 99991}.25,{end}\n" for k, end in enumerate(ends))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "RLIMIT_RSS") or os.name != "posix", reason="needs wait4")
def test_a_table_of_400_mb_of_text_is_added_prepared_and_read_within_1_gb(disk):
    folder, table, python = make_project(disk / "project"), disk / "orders.csv", sys.executable
    write_table(table)
    assert table.stat().st_size > TABLE_BYTES
    kinds = ("--label", "class", "--id", "order", "--kind", "day=time")
    assert peak(folder, python, "-m", "pipelines.data.inspect", str(table), *kinds) < LIMIT
    assert peak(folder, python, "-m", "pipelines.data.add_data", "orders", str(table), *kinds) < LIMIT
    assert peak(folder, python, "-m", "pipelines.data.prepare", "orders") < LIMIT
    with table.open("r+b") as file:
        file.seek(-len("2024-01-01,b\n"), os.SEEK_END)
        file.write(b"2024-13-01,b\n")
    assert peak(folder, python, "-c", READ, str(table), str(TABLE_ROWS)) < LIMIT
