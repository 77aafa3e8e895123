"""What README and docs/ name is there and runs; docs/results.md is what the result files say."""

import ast
import importlib
import json
import re
from pathlib import Path

import pytest
import torch

from benchmarks import flows, plan, results_page

REFERENCE = re.compile(r"`([\w/]+\.(?:py|md|html))(?:::([\w.]+))?`")
ROOT = Path(__file__).resolve().parent.parent
CHAPTER = (ROOT / "docs" / "chapter.md").read_text()
RESULTS = ROOT / "benchmarks" / "results"
README = (ROOT / "README.md").read_text()
SHIPPED = 31  # models that README's table describes
LINK = re.compile(r"\]\(([^)#]+)")
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))]
OTHERS = ("docs/architecture.md", "docs/chapter.md", "docs/results.md")  # the chapter has tests of its own
MADE_BY_A_COMMAND = ("reports/index.html", "reports/games.html")


def test_what_the_chapters_index_names_is_there():
    named = sorted(set(REFERENCE.findall(CHAPTER)))
    assert named
    for file, symbol in named:
        assert file in MADE_BY_A_COMMAND or (ROOT / file).is_file(), file
        require_symbol(file, symbol)


def require_symbol(file: str, symbol: str) -> None:
    """Fail unless the file defines the symbol, a class, function or method; "" is always there."""
    names = ast.parse((ROOT / file).read_text()).body if symbol else []
    for name in symbol.split(".") if symbol else ():
        defined = {node.name: node for node in names if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        assert name in defined, f"{file} has no {symbol}"
        names = defined[name].body


def test_every_row_of_the_index_has_code_and_a_test():
    rows = [line for line in CHAPTER.splitlines() if line.startswith("| ") and not line.startswith("| the chapter |")]
    assert rows
    for line in rows:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        assert len(cells) == 5, line
        assert "gen_models/" in cells[1], line
        assert "tests/" in cells[2], line
        assert cells[3], line


def test_the_rows_that_the_index_names_are_measured():
    planned = {*flows.table(), *plan.table("games"), *plan.table("latent")}
    measured = {path.stem for path in (ROOT / "benchmarks" / "results").glob("*.json")}
    for cell in re.findall(r"\brows? ([\w, -]+)", CHAPTER):
        words = [part.split()[0] for part in cell.split(", ") if part.strip()]
        names = [word for word in words if "-" in word]
        stem = words[0].rpartition("-")[0]
        assert {stem + name if name.startswith("-") else name for name in names} <= planned & measured, cell


def test_the_page_of_results_is_that_of_the_result_files():
    written = (ROOT / "docs" / "results.md").read_text()
    assert written == results_page.page(results_page.read(RESULTS)), "run `python -m benchmarks.results_page`"


def test_every_row_is_on_the_page_of_results_once():
    lines = (ROOT / "docs" / "results.md").read_text().splitlines()
    for path in RESULTS.glob("*.json"):
        assert len([line for line in lines if line.startswith(f"| {path.stem} |")]) == 1, path
        assert len([line for line in lines if line.startswith(f"- **{path.stem}**")]) == 1, path
        assert json.loads(path.read_text())["command"] in "\n".join(lines)


def test_the_best_baseline_is_in_the_rows_own_unit():
    row = {"unit": "accuracy, latents whitened", "better": "higher"}
    row["baselines"] = {
        "NMI": 0.9,
        "k-means on pixels, ACC": 0.5,
        "k-means on pixels, NMI": 0.6,
        "DEC, published": 0.95,
    }
    assert results_page.best_baseline(row) == "k-means on pixels, ACC: 0.5"
    row = {"unit": "bits/dim", "better": "lower", "baselines": {"histogram of each pixel": 2.4, "parameters": 2.0}}
    assert results_page.best_baseline(row) == "histogram of each pixel: 2.4"
    row = {"unit": "x the linear map's error", "better": "lower", "baselines": {"PCA, r = 8": 0.03}}
    assert results_page.best_baseline(row) == "the linear map: 1"
    row = {"unit": "nats above the truth", "better": "lower", "baselines": {"seed 0": 0.1}}
    assert results_page.best_baseline(row) == "none"


def test_a_missed_target_is_told_before_the_tables():
    page = results_page.page(results_page.read(RESULTS))
    missed = [path.stem for path in RESULTS.glob("*.json") if not json.loads(path.read_text())["met"]]
    for name in missed:
        assert page.index(f"- {name}: ") < page.index("## Flows")


def test_a_row_behind_its_best_baseline_is_told_though_it_met_its_target():
    row = {"unit": "nats above the truth", "better": "lower", "figure": 0.004, "target": 0.01, "met": True}
    row |= {"name": "flow1d-x", "baselines": {"histogram of each column": 0.001}}
    assert results_page.is_behind(row) and "flow1d-x" in results_page.behind([row])
    assert not results_page.is_behind(row | {"figure": 0.0009})
    assert not results_page.is_behind(row | {"better": "higher"})
    assert not results_page.is_behind(row | {"unit": "nats of another kind"})


def test_what_the_page_says_of_odd_and_even_tables_is_so():
    found = json.loads((RESULTS / "adbench-30.json").read_text())["baselines"]
    assert found["default, even"] < found["knn5, even"] and found["default, odd"] > found["knn5, odd"]
    assert 0 < found["above knn1, 95% from"] < 0.0005, "just above 0"


def test_readme_python_runs_and_trains(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    threads = torch.get_num_threads()
    try:
        for block in blocks:
            exec(compile(block, "README.md", "exec"), {"__name__": "readme"})
    finally:
        torch.set_num_threads(threads)
    *reports, answers = capsys.readouterr().out.strip().splitlines()
    losses = [float(re.findall(r"vae\.nats (\S+)", line)[0]) for line in reports]
    assert losses[-1] < losses[0] - 10 and answers.startswith("(16, 1, 8, 8) [")


def test_readme_is_a_landing_page_that_names_every_model():
    """A model that is added by docs/new-model.md needs no line there."""
    assert len(README.splitlines()) <= 150
    named = re.findall(r"^\| `(\w+)` \| [A-Z]", README, re.MULTILINE)
    assert len(set(named)) == len(named) == SHIPPED
    assert set(named) <= {path.stem for path in (ROOT / "conf" / "model").glob("*.yaml")}


@pytest.mark.parametrize(
    "page", ["README.md", "CHANGELOG.md", *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))]
)
def test_links_of_a_page_lead_somewhere(page):
    for link in LINK.findall((ROOT / page).read_text()):
        assert "://" in link or ((ROOT / page).parent / link).exists(), link


@pytest.mark.parametrize("page", [page for page in PAGES if page not in OTHERS])
def test_the_code_that_a_page_names_is_there(page):
    text = (ROOT / page).read_text()
    if page == "docs/new-model.md":  # names the model that it adds; tests/test_new_model.py follows it
        text = text.replace("gen_models.mixtures.laplace", "")
    for path in re.findall(r"`((?:gen_models|pipelines|benchmarks|tests|conf|docs)/[\w/.-]+\.(?:py|yaml|md))", text):
        assert (ROOT / path).is_file() or "NAME" in path, path
    for name in re.findall(r"(?<![\w/.])(?:gen_models|pipelines)(?:\.[a-z]\w*)+(?:\.[A-Z]\w*)?", text):
        module = importlib.import_module(".".join(name.split(".")[:2]))
        for part in name.split(".")[2:]:
            if not hasattr(module, part):
                importlib.import_module(f"{module.__name__}.{part}")
            module = getattr(module, part)
