"""report: writes pages with the pictures and numbers of all runs, to reports/index.html, or of some, to out/report.

    gen-models report                           all runs of params.yaml, as the stage of `dvc repro` does
    gen-models report vae-digits gmm-digits     these runs alone, to out/report/index.html

The runs named must be evaluated; `make repro RUNS="vae-digits gmm-digits"` does all of it. The others need not be.
"""

import shutil
from contextlib import redirect_stdout
from io import StringIO

from pipelines.config.params import params
from pipelines.report import read
from pipelines.report.report import main as report_all
from pipelines.report.report import write_pages
from pipelines.runtime import paths
from pipelines.runtime.stage import parse, produce, run_keys


def main(argv: list[str]) -> None:
    named = parse(argv, "report", __doc__, run_keys).runs
    if not named:
        report_all([])
        return
    from pipelines.comparison import baselines  # slow to import, and the pages of all runs need neither
    from pipelines.comparison.compare import compare

    asked = params().only(named)
    read.require_runs(asked, are_named=True)
    for name in dict.fromkeys(run.data for run in asked.runs.values()):
        print(f"{name}: measuring methods without a network, to compare with", flush=True)
        baselines.main([name])  # always: those in out/baselines may be of earlier data
    with produce(paths.out("report")) as folder:
        with redirect_stdout(StringIO()):  # its line on each number is for the stage
            compare(asked, folder / "compare")
        found = read.read(asked, folder / "compare")
        shutil.rmtree(folder / "compare")
        write_pages(found, folder)
    print(f"out/report/index.html: runs {', '.join(asked.runs)}")
