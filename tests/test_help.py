"""The help of every verb: it comes at once, and has an example that can be typed.

What a verb imports only to work takes seconds, so none of it is imported until its words are parsed.
"""

import argparse
import importlib
import re
import shlex

import pytest
import yaml

from gen_models.codecs.codes import TABLES
from gen_models.codecs.methods import DECOMPRESS
from gen_models.measures.paired import PER_ROW
from pipelines import arguments, cli
from pipelines.data.tables.open_table import ENDINGS
from tests.project import HERE
from tests.test_imports import SLOW, printed

COMMANDS = cli.STAGES | cli.TOOLS
WRONG = [  # words that cannot be right, whatever the project holds
    *([verb, "--no-such-option"] for verb in COMMANDS),
    ["predict", "vae-digits", "rows.npy", "--task", "socre"],
    ["predict", "vae-digits", "rows.npy", "--task", "sample"],
    ["predict", "vae-digits", "rows.npy", "--output", "scores.txt"],
    ["score", "vae-digits", "rows.npy", "--fpr", "0.1", "--fdr", "0.1"],
    ["score", "vae-digits", "rows.npy", "--fpr", "5"],
    ["score", "vae-digits", "rows.npy", "--fpr", "100%"],
    ["score", "vae-digits", "rows.npy", "--fpr", "5x"],
    ["promote", "vae-digits", "--reason", "why"],
    ["promote", "vae-digits@3", "4", "--reason", "why"],
    ["score", "vae-digits", "rows.npy", "--out", "scores.npy"],
    ["drift", "vae-digits", "rows.npy", "--history", "scores.txt"],
    ["drift", "gmm-clients", "may.csv", "--history", "may.csv"],
    ["drift", "gmm-clients", "may.csv", "--alarm", "0"],
    *([verb, "gmm-clients", "may.PARQUET", "--decimal", ","] for verb in ("score", "predict", "drift", "denoise")),
    ["compress", "gmm-clients", "may.npz", "--output", "may.gmc", "--encoding", "cp1252"],
    ["inspect", "clients.parquet", "--missing", "n.v."],
    ["add-data", "clients", "clients.npy", "--no-header"],
    ["drift", "vae-photos", "photo.png", "--history", "photo.csv"],
    ["score", "gmm-clients", "may.csv", "--out", "./may.csv"],
    ["score", "gmm-clients", "may.csv", "--out", "scores.csv", "--explain", "scores.csv"],
    ["score", "vae-photos", "photo.png", "--out", "photo.csv"],
    ["predict", "gmm-clients", "may.csv", "--output", "may.csv"],
    ["denoise", "vae-digits", "rows.npy", "--output", "rows.npy"],
    ["compress", "vae-digits", "rows.npy", "--output", "rows.npy"],
    ["decompress", "vae-digits", "rows.npy", "--output", "rows.npy"],
    ["sample", "vae-digits", "--n", "0"],
    ["sample", "vae-digits", "--temperature", "warm"],
    ["denoise", "vae-digits", "rows.npy", "--output", "clean.png"],
    ["compress", "vae-digits", "rows.npy"],
    ["compress", "vae-digits", "rows.npy", "--output", "a.gmc", "--method", "zip"],
    ["compress", "vae-digits", "rows.npy", "--output", "a.gmc", "--table", "priors"],
    ["decompress", "vae-digits", "a.gmc", "--output", "rows.txt"],
]


def help_of(main, argv, capsys) -> str:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_a_misspelt_stage_or_tool_is_told_the_nearest(capsys):
    with pytest.raises(SystemExit) as ended:
        cli._main(["scor", "gmm-digits"])
    assert ended.value.code == 2
    assert "unknown stage or tool 'scor': did you mean 'score'?" in capsys.readouterr().err


def test_a_rate_may_be_a_percentage_and_its_error_says_so(capsys):
    parser = argparse.ArgumentParser()
    arguments.score(parser)
    assert parser.parse_args(["vae-digits", "rows.npy", "--fpr", "1%"]).fpr == pytest.approx(0.01)
    with pytest.raises(SystemExit):
        parser.parse_args(["vae-digits", "rows.npy", "--fpr", "5x"])
    assert "'5x' is not a rate; give a number between 0 and 1, such as 0.01, or 1%" in capsys.readouterr().err


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_help_has_an_example_that_can_be_typed(verb, capsys):
    said = help_of(cli._main, [verb, "--help"], capsys)
    examples = [shlex.split(line)[2:] for line in re.findall(rf"^    (gen-models {verb}(?: \S+)*)", said, re.MULTILINE)]
    assert examples, said
    parser = argparse.ArgumentParser()
    COMMANDS[verb].add(parser)
    asked = [parser.parse_args(words) for words in examples]
    known = yaml.safe_load((HERE / "params.yaml").read_text())
    first = vars(asked[0])
    if "model" in first:
        assert first["model"].partition("@")[0] in known["runs"]
    if "key" in first:
        assert first["key"] in {*known["runs"], *known["data"]}
    for run in [run for each in asked for run in getattr(each, "runs", ())]:
        assert run in known["runs"]


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_module_has_the_help_of_its_verb(verb, capsys):
    """`python -m`, as DVC starts a stage, and `gen-models` take the same words."""
    module = importlib.import_module(COMMANDS[verb].module)
    assert help_of(module.main, ["--help"], capsys) == help_of(cli._main, [verb, "--help"], capsys)


def test_neither_help_nor_an_error_of_a_word_waits_for_a_slow_library():
    found = printed(
        f"""
        import contextlib, io
        from gen_models.errors import GenModelsError
        from pipelines import cli
        found = []
        for words in {[[], ["--help"], *([verb, "--help"] for verb in COMMANDS), *WRONG]}:
            ended = "worked"
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                try:
                    cli._main(words)
                except (SystemExit, GenModelsError) as error:
                    ended = str(error)
            found.append([words, ended, sorted(set({SLOW}) & set(sys.modules))])
        """
    )
    for words, ended, imported in found:
        assert imported == [], words
        assert ended == "0" if "--help" in words else ended not in ("0", "worked"), words


def test_the_metrics_of_versus_are_those_of_the_measures():
    assert (*PER_ROW, "mmd") == arguments.ROW_METRICS


def test_the_tables_that_are_no_text_are_those_that_are_opened():
    assert sorted(arguments.TYPED) == sorted(ending for ending, kind in ENDINGS.items() if kind != "csv")


def test_the_words_of_compress_are_those_of_the_codecs():
    assert sorted(arguments.METHODS) == sorted(DECOMPRESS) and arguments.TABLES == TABLES
