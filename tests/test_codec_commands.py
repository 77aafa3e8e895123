"""compress and decompress as commands: an array comes back as it was, a wrong word is one line."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.datasets import load_digits

from gen_models import checkpoint
from gen_models.build import build_model
from gen_models.checkpoint import load_model
from gen_models.errors import GenModelsError
from gen_models.table import Column, Schema
from pipelines.commands import compress, decompress
from tests.models import TINY_VQ

DATA = {"event_shape": [1, 8, 8], "levels": 17}
VAE = {"_target_": "gen_models.autoencoders.vae.VAE", **DATA, "latent": 3, "hidden": [8], "sigma": 0.2}
VQ_VAE = {"_target_": "gen_models.autoencoders.vq_vae.VQVAE", **DATA, **TINY_VQ}


@pytest.fixture
def folder(tmp_path):
    """Two checkpoints and twenty digits, in the types that people store them in."""
    for name, spec in (("vae", VAE), ("vq_vae", VQ_VAE)):
        checkpoint.save_model(tmp_path / name, spec, build_model(spec, seed=0))
    digits = load_digits().images[:20].astype(np.uint8)
    np.save(tmp_path / "images.npy", digits[:, None])
    np.save(tmp_path / "flat.npy", digits.reshape(20, 64).astype(np.float64))
    return tmp_path


def test_colours_that_were_last_come_back_last(tmp_path):
    spec = {**VAE, "event_shape": [3, 4, 5]}
    checkpoint.save_model(tmp_path / "vae", spec, build_model(spec, seed=0))
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).integers(0, 17, (9, 4, 5, 3)).astype(np.uint8))
    compress.main([f"{tmp_path}/vae", f"{tmp_path}/rows.npy", "--output", f"{tmp_path}/rows.gmc"])
    decompress.main([f"{tmp_path}/vae", f"{tmp_path}/rows.gmc", "--output", f"{tmp_path}/back.npy"])
    assert (tmp_path / "back.npy").read_bytes() == (tmp_path / "rows.npy").read_bytes()


@pytest.mark.parametrize("name", ["images", "flat"])
def test_an_array_comes_back_in_its_type_and_shape(folder, name, capsys):
    compress.main([f"{folder}/vae", f"{folder}/{name}.npy", "--output", f"{folder}/rows.gmc"])
    said = capsys.readouterr().out
    assert "20 rows by bits_back" in said and "one PNG" in said and "net" in said
    decompress.main([f"{folder}/vae", f"{folder}/rows.gmc", "--output", f"{folder}/back.npy"])
    assert (folder / "back.npy").read_bytes() == (folder / f"{name}.npy").read_bytes()


def test_rows_of_a_table_come_back_as_a_table(tmp_path, capsys):
    """Names, words, dates, whole numbers and booleans: in the file, and by CSV on the terminal."""
    columns = ("number", {"step": 250.0}), ("flag", {"values": ("false", "true")}), ("time", {"as_": "days"})
    schema = Schema(
        (*(Column(kind, kind, **more) for kind, more in columns), Column("shop", "category", values=("b", "c")))
    )
    text = "number,flag,time,shop\n500,true,2024-02-29,c\n1750,false,2025-01-01,b\n"
    (tmp_path / "rows.csv").write_text(text)
    spec = {"_target_": "gen_models.flows.affine_flow.AffineFlow", "event_shape": [len(schema.names)], "levels": None}
    model = build_model(spec, seed=0)
    data = {"table": {"columns": schema.as_json()}}
    checkpoint.save_model(tmp_path / "flow", spec, model, data=data)
    options = ["--method", "latents", "--step", "0.0001"]
    compress.main([f"{tmp_path}/flow", f"{tmp_path}/rows.csv", "--output", f"{tmp_path}/rows.gmc", *options])
    capsys.readouterr()
    decompress.main([f"{tmp_path}/flow", f"{tmp_path}/rows.gmc"])
    assert capsys.readouterr().out == text
    decompress.main([f"{tmp_path}/flow", f"{tmp_path}/rows.gmc", "--output", f"{tmp_path}/rows.parquet"])
    assert pq.read_table(tmp_path / "rows.parquet").to_pylist() == [
        {"number": 500, "flag": True, "time": "2024-02-29", "shop": "c"},
        {"number": 1750, "flag": False, "time": "2025-01-01", "shop": "b"},
    ]


@pytest.mark.parametrize(("step", "lost"), [("0.001", ""), ("1000", ": 2 of 3 columns: a, c\n")])
def test_columns_of_a_table_that_are_not_kept_are_named(tmp_path, step, lost, capsys):
    spec = {"_target_": "gen_models.flows.affine_flow.AffineFlow", "event_shape": [3], "levels": None}
    schema = Schema(tuple(Column(name) for name in "abc"))
    data = {"table": {"columns": schema.as_json()}}
    checkpoint.save_model(tmp_path / "flow", spec, build_model(spec, seed=0), data=data)
    (tmp_path / "rows.csv").write_text("a,b,c\n1,7,5\n2,7,0\n3,7,5\n4,7,0\n")
    words = [f"{tmp_path}/flow", f"{tmp_path}/rows.csv", "--output", f"{tmp_path}/rows.gmc"]
    compress.main([*words, "--method", "latents", "--step", step])
    said = capsys.readouterr().out
    assert lost in said and ("not kept" in said) == bool(lost)


@pytest.mark.parametrize("options", [[], ["--table", "prior"], ["--method", "latents", "--step", "0.5"]])
def test_what_is_lost_is_the_models_and_is_said(folder, options, capsys):
    compress.main([f"{folder}/vq_vae", f"{folder}/images.npy", "--output", f"{folder}/rows.gmc", *options])
    assert "squared error" in capsys.readouterr().out
    decompress.main([f"{folder}/vq_vae", f"{folder}/rows.gmc", "--output", f"{folder}/back.npy"])
    back = torch.from_numpy(np.load(folder / "back.npy"))
    assert back.shape == (20, 1, 8, 8)
    if "latents" not in options:
        x = torch.from_numpy(np.load(folder / "images.npy")).float()
        assert torch.equal(back, load_model(folder / "vq_vae").reconstruct(x))


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("compress vae images.npy --output rows.gmc --method bitsback", "did you mean 'bits_back'"),
        ("compress vae images.npy --output rows.gmc --method codes", "VAE has no codes"),
        (
            "compress vae images.npy --output rows.gmc --table=prior",
            "--table: of --method codes, and this is bits_back",
        ),
        ("compress vq_vae images.npy --output rows.gmc --table priors", "did you mean 'prior'"),
        ("compress vae images.npy --output none/rows.gmc", "cannot be written"),
        ("compress vae none.npy --output rows.gmc", "no such file"),
        ("compress none images.npy --output rows.gmc", "no checkpoint in that folder"),
        ("decompress vae images.npy --output back.npy", "not a file of `gen-models compress`"),
        ("decompress vae rows.gmc --output back.txt", "ends with .npy, .csv, .parquet"),
        ("decompress vq_vae vae.gmc --output back.npy", "give the checkpoint that compressed them"),
    ],
)
def test_a_wrong_word_is_one_line(folder, command, line):
    verb, *words = command.split()
    words = [
        word if word.startswith("-") or ("." not in word and i > 0) else f"{folder}/{word}"
        for i, word in enumerate(words)
    ]
    if "vae.gmc" in command:
        compress.main([f"{folder}/vae", f"{folder}/images.npy", "--output", f"{folder}/vae.gmc"])
    with pytest.raises(GenModelsError) as raised:
        (compress.main if verb == "compress" else decompress.main)(words)
    assert line in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(("shape", "levels"), [((3, 1, 8, 8), 17), ((2, 3, 4, 5), 256)])
def test_a_png_is_of_all_pictures(shape, levels):
    x = torch.randint(0, levels, shape, generator=torch.Generator().manual_seed(0)).float()
    assert compress.png_bytes(x, levels) > x.numel() * np.log2(levels) / 8 * 0.9, "noise does not compress"
    assert compress.png_bytes(x.flatten(1), levels) is None
