"""Folders of images as they are unpacked: what is a row, a class, a part, a mask, and what a pixel looks like.

The laws: junk beside the images changes nothing but the notes, a colour that nobody sees changes nothing at all, and
what is read for training is read alike for a prediction.
"""

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image, features

from gen_models.errors import ConfigError, DataError
from gen_models.noise import Noise
from pipelines.config import yaml_file
from pipelines.data import prepare
from pipelines.data.inspect import look
from pipelines.data.sources.image_folder import image_folder
from pipelines.data.sources.image_rows import count_images, read_images_like
from pipelines.data.store import open_folder

SIZE = (6, 5)
WHITE, RED = (255, 255, 255), (200, 0, 0)


def grey(seed: int = 0, size=SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size).astype(np.uint8)


def colours(seed: int = 0, size=SIZE) -> np.ndarray:
    return grey(seed, (*size, 3))


def save(path: Path, pixels: np.ndarray | Image.Image, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(path, **options)
    return path


def make(root: Path, names: str) -> Path:
    """Save a grey image for each name, of pixels that depend on the name's last part alone."""
    for name in names.split():
        save(root / name, grey(sum(Path(name).stem.encode())), format="PNG")
    return root


def read(root: Path, **options):
    return image_folder(Noise(0), path=str(root), **options)


def facts(arrays) -> tuple[list[bytes], list[str] | None, dict[str, list[int]] | None]:
    labels = None if arrays.y is None else [arrays.classes[label] for label in arrays.y]
    parts = None if arrays.parts is None else {part: rows.tolist() for part, rows in arrays.parts.items()}
    return [row.tobytes() for row in arrays.x], labels, parts


# --- parts and classes

A_B = "/a/1.png {0}/b/2.png"
LAYOUTS = {  # the images; rows, classes, rows of each part
    "flat": ("1.png 2.png", 2, (), None),
    "classes": ("a/1.png b/2.png", 2, ("a", "b"), None),
    "one class": ("good/1.png good/2.png", 2, ("good",), None),
    "names that YAML reads": ("no/1.png 2024/2.png 1e3/3.png", 3, ("1e3", "2024", "no"), None),
    "unpacked twice": ("root/1.png root/2.png", 2, (), None),
    "classes unpacked twice": ("root/a/1.png root/b/2.png", 2, ("a", "b"), None),
    "a folder for all": ("images/1.png images/2.png", 2, (), None),
    "train alone": ("train/a/1.png train/b/2.png", 2, ("a", "b"), None),
    "a train among vehicles": ("train/1.png bus/2.png car/3.png", 3, ("bus", "car", "train"), None),
    "a train, a bus and a mask": ("train/1.png bus/2.png mask/3.png", 3, ("bus", "mask", "train"), None),
    "with and without masks": ("mask/1.png no_mask/2.png", 2, ("mask", "no_mask"), None),
    "flat parts": ("train/1.png test/2.png", 2, (), {"train": 1, "test": 1}),
    "parts in the part's own name": (
        "seg_train/seg_train/a/1.png seg_train/seg_train/b/1.png seg_test/seg_test/a/2.png",
        3,
        ("a", "b"),
        {"train": 2, "test": 1},
    ),
    "images between": ("train/images/1.png valid/images/2.png", 2, (), {"train": 1, "validation": 1}),
    "mvtec": (
        "train/good/0.png train/good/1.png test/good/0.png test/bent/0.png ground_truth/bent/0_mask.png",
        4,
        ("bent", "good"),
        {"train": 2, "test": 2},
    ),
    "mvtec in a folder": (
        "nut/train/good/0.png nut/test/bent/0.png nut/masks/bent/0.png",
        2,
        ("bent", "good"),
        {"train": 1, "test": 1},
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_understood(tmp_path, name):
    images, rows, classes, parts = LAYOUTS[name]
    arrays = read(make(tmp_path / "root", images))
    assert (len(arrays.x), arrays.classes) == (rows, classes)
    assert parts == (None if arrays.parts is None else {part: len(numbers) for part, numbers in arrays.parts.items()})
    assert count_images(tmp_path / "root") == rows


SPELLINGS = [
    ("Train", "Test", "Val"),
    ("TRAINING", "TESTING", "VALIDATION"),
    ("training_set", "test_set", "validation_set"),
    ("train-data", "Test Data", "dev.data"),
    ("seg_train", "seg_test", "seg_val"),
    ("train2017", "test2017", "val2017"),
    ("images_train", "test_images", "valid"),
    ("trainset", "testset", "devset"),
]


@pytest.mark.parametrize(("train", "test", "validation"), SPELLINGS)
def test_parts_are_known_in_all_spellings(tmp_path, train, test, validation):
    for k, folder in enumerate((train, test, validation)):
        make(tmp_path / folder, f"a/{k}.png b/{k}x.png")
    arrays = read(tmp_path)
    assert arrays.classes == ("a", "b")
    plain = tmp_path / "plain"
    for k, folder in enumerate(("train", "test", "validation")):
        make(plain / folder, f"a/{k}.png b/{k}x.png")
    expected = read(plain)
    for part in ("train", "test", "validation"):
        assert sorted(row.tobytes() for row in arrays.x[arrays.parts[part]]) == sorted(
            row.tobytes() for row in expected.x[expected.parts[part]]
        )


UNUSABLE = {
    "only a test folder": ("Testing/a/1.png Testing/b/2.png", r"only the test folder Testing.*give \S+/root/Testing"),
    "nothing to train on": ("val/1.png test/2.png", r"test, val, and no folder to train on; put one named train"),
    "two for one part": ("train/1.png val/2.png valid/3.png", r"val and valid are both validation; put their images"),
    "a third beside parts": ("train/a/1.png test/a/2.png more/3.png", r"beside the parts test, train is more"),
    "an image beside parts": ("train/a/1.png test/a/2.png 3.png", r"beside the parts test, train is the image 3\.png"),
    "several data sets": (
        "nut/train/good/1.png nut/test/bent/1.png cap/train/good/1.png cap/test/bent/1.png",
        r"each of cap, nut holds train and test folders of its own; give one of them, as \S+/root/cap",
    ),
    "images and masks": ("images/1.png masks/1.png", r"images and masks are images and their masks, no classes; move"),
    "images and masks of parts": (
        "train/images/1.png train/masks/1.png test/images/2.png test/masks/2.png",
        r"images and masks are images and their masks, no classes; move",
    ),
    "masks one folder deeper": (
        "nut/train/good/1.png nut/test/bent/1.png nut/ground_truth/bent/1_mask.png new/2.png",
        r"/nut/ground_truth: masks, which would be taken for images; give \S+/root/nut, or move them out of \S+/root$",
    ),
    "masks of a class": ("a/1.png a/masks/1.png b/2.png", r"/a/masks: masks, which would be taken for \S+ move them"),
    "a mask without its image": (
        "train/good/0.png test/bent/0.png ground_truth/bent/7_mask.png",
        r"ground_truth/bent/7_mask\.png: a mask without its image; expected test/bent/7\.png",
    ),
    "a mask of a training image": (
        "train/bent/0.png test/good/0.png ground_truth/bent/0_mask.png",
        r"0_mask\.png: a mask without its image",
    ),
    "two masks": (
        "train/good/0.png test/bent/0.png ground_truth/bent/0.png ground_truth/bent/0_mask.png",
        r"bent/0_mask\.png: a second mask of an image that has \S+/bent/0\.png; remove it or that",
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_folders_that_can_be_understood_in_two_ways_are_one_line(tmp_path, name):
    images, line = UNUSABLE[name]
    with pytest.raises(DataError, match=line) as caught:
        read(make(tmp_path / "root", images))
    assert str(caught.value).isprintable()


def test_a_folder_of_masks_alone_is_no_folder_of_images(tmp_path):
    make(tmp_path / "nut", "train/good/1.png test/bent/1.png ground_truth/bent/1_mask.png")
    assert len(read(tmp_path / "nut").x) == 2
    with pytest.raises(DataError, match=r"by the name of ground_truth, masks and no images; give \S+/nut, or"):
        read(tmp_path / "nut" / "ground_truth")
    with pytest.raises(DataError, match=r"/bent: by the name of ground_truth"):
        read(tmp_path / "nut" / "ground_truth" / "bent")


# --- masks


@pytest.mark.parametrize("size", [None, [12, 10]])
def test_masks_are_prepared_in_the_order_of_their_rows(tmp_path, size):
    for k in range(20):
        save(tmp_path / f"nuts/train/good/{k:03}.png", np.full(SIZE, k, np.uint8))
    for k in range(20):  # the defects' grey level, 100 + k, tells which mask is theirs
        save(tmp_path / f"nuts/test/bent/{k:03}.png", np.full(SIZE, 100 + k, np.uint8))
        save(tmp_path / f"nuts/ground_truth/bent/{k:03}_mask.png", grey(k) > 128)
    shape = [1, *(size or SIZE)]
    conf = {
        "name": "nuts",
        "source": "image_folder",
        "options": {"path": str(tmp_path / "nuts"), "size": size},
        "event_shape": shape,
    }
    conf |= {"levels": 256, "split": {"train": 0.8, "validation": 0.2, "test": "own"}, "anomaly": None}
    prepared = tmp_path / "out"
    prepared.mkdir()
    manifest = prepare.prepare(prepared, "nuts", conf, 0)
    assert manifest["origin"]["files"] == 60
    data = open_folder(prepared)
    assert data.masks("test").shape == (20, *shape[1:]) and data.masks("test").dtype == np.uint8
    assert not data.masks("train").any() and not data.masks("validation").any()
    times = 1 if size is None else 2
    for row, mask in zip(data.x("test"), data.masks("test"), strict=True):
        expected = grey(int(row.flat[0]) - 100) > 128
        np.testing.assert_array_equal(mask, expected.repeat(times, axis=0).repeat(times, axis=1))
    with (prepared / "test.mask.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\7")
    with pytest.raises(DataError, match=r"test\.mask\.npy: expected sha256"):
        open_folder(prepared)


def test_a_mask_of_another_size_is_one_line(tmp_path):
    make(tmp_path, "train/good/0.png test/bent/0.png")
    save(tmp_path / "ground_truth/bent/0_mask.png", grey(0, (7, 5)))
    with pytest.raises(DataError, match=r"0_mask\.png: a mask of 7x5 pixels, its image \S+/bent/0\.png has 6x5; save"):
        read(tmp_path)


def test_masks_are_1_where_they_are_not_black(tmp_path):
    make(tmp_path, "train/good/0.png " + " ".join(f"test/bent/{k}.png" for k in range(5)))
    is_on = grey() > 128
    mask = np.where(is_on, 255, 0).astype(np.uint8)
    save(tmp_path / "ground_truth/bent/0_mask.png", mask)
    save(tmp_path / "ground_truth/bent/1_mask.png", is_on)  # 1 bit
    save(tmp_path / "ground_truth/bent/2_mask.png", is_on.astype(np.uint8))  # 0 and 1
    save(tmp_path / "ground_truth/bent/3_mask.png", np.dstack([np.full((*SIZE, 3), RED, np.uint8), mask]))  # by alpha
    arrays = read(tmp_path)
    row = dict(zip("01234", arrays.parts["test"], strict=True))
    for k in "0123":
        np.testing.assert_array_equal(arrays.masks[row[k]], is_on)
    assert not arrays.masks[row["4"]].any()
    assert any(note.startswith("4 of 6 images have a mask") for note in arrays.notes)


# --- what is left out


def junk(root: Path, inside: Path) -> None:
    """What a Mac, Windows, a NAS, a notebook and people leave in a folder, and in a folder of it."""
    for folder in (root, inside):
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", "notes.txt", "a.json", "README", "IMG_1.HEIC", "b.mp4"):
            (folder / name).write_bytes(b"\0\5\x16\7")
        for name in ("._1.png", ".hidden.png", "SYNOPHOTO_THUMB_M.jpg"):
            save(folder / name, grey(9), format="PNG")
        others = (".ipynb_checkpoints", "__MACOSX", "@eaDir", ".thumbnails", "#recycle", "lost+found", ".hidden")
        for name in (*others, "System Volume Information"):
            save(folder / name / "1.png", grey(9))
    (root / "nothing" / "inside").mkdir(parents=True)


@pytest.mark.parametrize("name", ["flat", "classes", "unpacked twice", "flat parts", "mvtec"])
def test_junk_changes_nothing_but_the_notes(tmp_path, name):
    root = make(tmp_path / "root", LAYOUTS[name][0])
    before = read(root)
    junk(root, next(file.parent for file in sorted(root.rglob("*.png"))))
    after = read(root)
    assert facts(before) == facts(after)
    assert before.origin == after.origin
    assert set(before.notes) <= set(after.notes)
    text = "\n".join(after.notes)
    count = 1 if name == "flat" else 2  # the root is the folder of images itself
    s, were = ("", "was") if count == 1 else ("s", "were")
    for kind in (".ipynb_checkpoints", "__MACOSX", "@eaDir", ".thumbnails", "#recycle", "lost+found", "hidden"):
        assert f"{count} {kind} folder{s} {were} left out" in text
    for kind in ("._*", ".DS_Store", "Thumbs.db", "desktop.ini", "SYNOPHOTO_THUMB*", ".txt", ".json"):
        assert f"{count} {kind} file{s} {were} left out" in text
    assert re.search(rf"{count} \.heic files? {were} left out: save (it|them) as JPEG", text)
    assert "1 folder holds no image: nothing" in text
    assert [name for name, _, _ in read_images_like(root, (1, *SIZE), options={})] and count_images(root) == len(
        after.x
    )


def test_images_that_cannot_be_read_are_an_error_only_if_nothing_else_is_there(tmp_path):
    for k in range(3):
        (tmp_path / f"{k}.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(DataError, match=r"no images; found 3 \.heic; save them as JPEG"):
        read(tmp_path)
    make(tmp_path, "a.png")
    assert "3 .heic files were left out: save them as JPEG" in read(tmp_path).notes


ENDINGS = [".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm"]


@pytest.mark.parametrize("ending", ENDINGS + ([".avif"] if features.check("avif") else []))
def test_an_ending_in_upper_case_is_the_one_in_lower_case(tmp_path, ending):
    lower = save(tmp_path / "lower" / f"1{ending}", grey() if ending == ".pgm" else colours())
    upper = tmp_path / "upper" / f"1{ending.upper()}"
    upper.parent.mkdir()
    upper.write_bytes(lower.read_bytes())
    assert facts(read(lower.parent)) == facts(read(upper.parent))


# --- links


def test_links_are_read_as_the_files_to_which_they_lead(tmp_path):
    copies = make(tmp_path / "root", "a/1.png a/2.png b/3.png")
    cache, links = tmp_path / "cache" / "files" / "md5", tmp_path / "links" / "root"
    for k, file in enumerate(sorted(copies.rglob("*.png"))):
        stored = cache / f"{k:02x}" / ("0" * 30)  # as DVC's cache names a file
        stored.parent.mkdir(parents=True)
        stored.write_bytes(file.read_bytes())
        link = links / file.relative_to(copies)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(stored)
    assert facts(read(copies)) == facts(read(links))
    assert read(copies).origin == read(links).origin
    folder = tmp_path / "folders" / "root"
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        (folder / name).symlink_to(copies / name)
    assert facts(read(copies)) == facts(read(folder))


BROKEN = {
    "to nowhere": ("gone.png", r"b\.png: a link to nowhere or in a circle .*; remove it"),
    "to itself": ("b.png", r"b\.png: a link to nowhere or in a circle .*; remove it"),
    "into DVC's cache": ("../.dvc/cache/files/md5/ab/cd", r"b\.png: a link into DVC's cache.*; run `dvc pull`"),
    "into a cache elsewhere": (f"/srv/files/md5/ab/{'c' * 30}", r"b\.png: a link into DVC's cache.*`dvc pull`"),
    "to the folder": (".", r"b\.png: a link to a folder that holds it, .*; remove it"),
    "to the folder above": ("..", r"b\.png: a link to a folder that holds it, .*; remove it"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_link_that_leads_nowhere_or_in_a_circle_is_one_line(tmp_path, name):
    target, line = BROKEN[name]
    make(tmp_path / "root", "1.png")
    (tmp_path / "root" / "b.png").symlink_to(target)
    with pytest.raises(DataError, match=line):
        read(tmp_path / "root")


def test_two_links_in_a_circle_are_one_line(tmp_path):
    make(tmp_path / "root", "a/1.png c/2.png")
    (tmp_path / "root/a/to_c").symlink_to(tmp_path / "root/c")
    (tmp_path / "root/c/to_a").symlink_to(tmp_path / "root/a")
    with pytest.raises(DataError, match=r"a link to a folder that holds it"):
        read(tmp_path / "root")


# --- what is seen is what is read


def stored(upright: np.ndarray) -> dict[int, np.ndarray]:
    """Return {EXIF orientation: how a camera that was held so stores a picture}."""
    return {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }


@pytest.mark.parametrize("ending", [".png", ".tif", ".webp"])
def test_pictures_turned_by_exif_are_the_upright_picture(tmp_path, ending):
    for orientation, pixels in stored(grey()).items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        lossless = {"lossless": True} if ending == ".webp" else {}
        image = Image.fromarray(np.ascontiguousarray(pixels))
        save(tmp_path / f"{orientation}{ending}", image, exif=exif, **lossless)
    arrays = read(tmp_path, mode="L")
    assert all((row == arrays.x[0]).all() for row in arrays.x)
    if ending != ".webp":  # which stores no grey
        np.testing.assert_array_equal(arrays.x[0, 0], grey())


def hiding(kind: str, shade: int) -> Image.Image:
    """Return a picture whose right half is transparent, over a colour that depends on `shade`."""
    half = np.zeros(SIZE, dtype=np.uint8)
    half[:, :3] = 255
    under = np.where(half == 255, 60, shade).astype(np.uint8)
    rgb = np.dstack([under, np.where(half == 255, 20, 255 - shade), under]).astype(np.uint8)
    if kind == "RGBA":
        return Image.fromarray(np.dstack([rgb, half]))
    if kind == "LA":
        return Image.merge("LA", [Image.fromarray(under), Image.fromarray(half)])
    if kind == "RGB":  # one colour is transparent
        image = Image.fromarray(rgb)
        image.info["transparency"] = (shade, 255 - shade, shade)
        return image
    if kind == "L":
        image = Image.fromarray(under)
        image.info["transparency"] = shade
        return image
    if kind == "I;16":
        image = Image.fromarray(under.astype(np.uint16) * 257)
        image.info["transparency"] = shade * 257
        return image
    image = Image.fromarray((half == 0).astype(np.uint8))
    image.putpalette([60, 20, 60, shade, 255 - shade, shade])
    image.info["transparency"] = 1
    return image


@pytest.mark.parametrize("size", [None, [4, 8]])
@pytest.mark.parametrize("background", [None, "#ff8000"])
@pytest.mark.parametrize("mode", [None, "L", "RGB"])
@pytest.mark.parametrize("kind", ["RGBA", "LA", "RGB", "L", "I;16", "P"])
def test_a_colour_that_nobody_sees_is_never_a_pixel(tmp_path, kind, mode, background, size):
    for shade in (0, 99, 200):
        image = hiding(kind, shade)
        save(tmp_path / f"{shade}.png", image, **{k: v for k, v in image.info.items() if k == "transparency"})
    arrays = read(tmp_path, mode=mode, background=background, size=size)
    assert all((row == arrays.x[0]).all() for row in arrays.x)
    under = WHITE if background is None else (255, 128, 0)
    if arrays.x.shape[1] == 1:
        under = (np.asarray(Image.new("RGB", (1, 1), under).convert("L")).item(),)
    if size is None:  # a resized edge swings over
        np.testing.assert_array_equal(arrays.x[0, :, 0, -1], under)
    assert any(note.startswith("3 of 3 images have transparent pixels: drawn on #") for note in arrays.notes)
    assert arrays.proposed == ({"background": "#ffffff"} if background is None else {})


def test_the_proposal_writes_the_background(tmp_path):
    for k in range(3):
        save(tmp_path / f"{k}.png", np.dstack([colours(k), grey(k)]))
    found = look(tmp_path)
    assert found.options["background"] == "#ffffff"
    assert any("transparent pixels" in note for note in found.notes)


def test_a_jpeg_for_print_looks_as_it_did(tmp_path):
    pixels = np.full((16, 16, 3), 230, np.uint8)
    pixels[:, :8] = (220, 40, 40)
    save(tmp_path / "1.jpg", Image.fromarray(pixels).convert("CMYK"), quality=95)
    arrays = read(tmp_path)
    assert np.abs(arrays.x[0].astype(int) - np.moveaxis(pixels, 2, 0)).mean() < 5
    assert "1 of 1 images are stored as CMYK, and were converted to RGB" in arrays.notes


def test_palettes_become_colours_or_grey(tmp_path):
    for k in range(3):
        save(tmp_path / f"grey/{k}.png", Image.fromarray(grey(k)).convert("P"))
        save(tmp_path / f"colour/{k}.png", Image.fromarray(colours(k)).quantize(16))
    arrays = read(tmp_path / "grey")
    np.testing.assert_array_equal(arrays.x[:, 0], [grey(k) for k in range(3)])
    arrays = read(tmp_path / "colour")
    seen = [np.asarray(Image.fromarray(colours(k)).quantize(16).convert("RGB")) for k in range(3)]
    np.testing.assert_array_equal(arrays.x, np.moveaxis(seen, 3, 1))
    save(tmp_path / "grey/c.png", Image.fromarray(colours(0)).quantize(16))  # one coloured picture among the grey
    assert read(tmp_path / "grey").x.shape == (4, 3, *SIZE)


def test_grey_in_three_channels_is_noted(tmp_path):
    for k in range(3):
        save(tmp_path / f"{k}.png", Image.fromarray(grey(k)).convert("RGB"))
    assert any("options.mode: L" in note for note in read(tmp_path).notes)
    np.testing.assert_array_equal(read(tmp_path, mode="L").x[:, 0], [grey(k) for k in range(3)])
    save(tmp_path / "c.png", colours())
    assert read(tmp_path).notes == ()


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_16_bits_are_scaled_by_the_rule_that_is_said(tmp_path, bits):
    white = (1 << bits) - 1
    values = np.linspace(0, white, 30).round().astype(np.uint16).reshape(SIZE)
    save(tmp_path / "1.png", values)
    save(tmp_path / "2.tif", values)
    arrays = read(tmp_path, bits=bits)
    for row in arrays.x[:, 0]:
        np.testing.assert_array_equal(row, np.rint(values * 255.0 / white))
    assert f"2 of 2 images have 16 bits: 0 .. {white} became 0 .. 255 (options.bits)" in arrays.notes
    # the proposal takes the bits that all values fit into, and what is written is what was read
    found = look(tmp_path)
    assert found.options.get("bits", 16) == bits
    np.testing.assert_array_equal(found.arrays.x, arrays.x)


def test_a_value_that_does_not_fit_the_bits_is_one_line(tmp_path):
    save(tmp_path / "1.png", np.full(SIZE, 5000, np.uint16))
    with pytest.raises(DataError, match=r"1\.png: a grey value of 5000, not 0 \.\. 4095 \(12 bits\); write .*bits: 13"):
        read(tmp_path, bits=12)


@pytest.mark.parametrize("option", [{"background": "white"}, {"background": 0}, {"bits": 7}, {"bits": "12"}])
def test_an_option_that_is_none_is_one_line(tmp_path, option):
    with pytest.raises(ConfigError, match=rf"options\.{next(iter(option))}: .* is not "):
        read(make(tmp_path, "1.png"), **option)


MIXED = {
    "sizes": [grey(0), grey(1, (9, 5)), grey(2), grey(3, (9, 5)), grey(4, (9, 5))],
    "turned sizes": [grey(0), grey(1, (5, 6)), grey(2, (5, 6))],
    "grey and colour": [grey(0), colours(1)],
    "transparent and not": [colours(0), np.dstack([colours(1), grey(1)])],
    "8 and 16 bits": [grey(0), grey(1).astype(np.uint16) * 257],
    "sizes and modes": [grey(0), colours(1), colours(2, (9, 5))],
}


@pytest.mark.parametrize("name", MIXED)
def test_the_line_that_an_error_says_makes_mixed_images_alike(tmp_path, name):
    for k, pixels in enumerate(MIXED[name]):
        save(tmp_path / f"{k}.png", pixels)
    options = {"path": str(tmp_path)}
    for _ in range(2):  # an error for the modes, and one for the sizes
        try:
            arrays = image_folder(Noise(0), **options)
            break
        except DataError as error:
            line = re.search(r"write (options: \{.*\})", str(error)).group(1)
            options = yaml.safe_load(line)["options"]
    else:
        arrays = image_folder(Noise(0), **options)
    assert len(arrays.x) == len(MIXED[name])
    assert options != {"path": str(tmp_path)}
    if name == "sizes":
        assert options["size"] == [9, 5]  # the commonest


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_the_commonest_size_is_that_of_the_turned_pictures(tmp_path, ending):
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / f"0{ending}", grey(0))
    for k in (1, 2):
        save(tmp_path / f"{k}{ending}", np.ascontiguousarray(np.rot90(grey(k, (9, 5)))), exif=exif)
    with pytest.raises(
        DataError, match=rf"1\{ending}: 9x5 pixels .* has 6x5; the commonest size is 9x5, of 2 of 3 .*size: \[9, 5\]"
    ):
        read(tmp_path)


def test_each_file_is_opened_once(tmp_path):
    make(tmp_path, " ".join(f"a/{k}.png" for k in range(20)) + " b/1.png")
    opened: list[str] = []
    is_on = [True]
    sys.addaudithook(lambda event, args: opened.append(str(args[0])) if is_on[0] and event == "open" else None)
    read(tmp_path)
    is_on[0] = False
    images = [path for path in opened if path.endswith(".png")]
    assert sorted(images) == sorted(map(str, tmp_path.rglob("*.png")))


# --- names


def test_names_that_are_not_utf8_are_escaped_in_classes_and_ids(tmp_path):
    for name in (b"\xe9t\xe9", "e\u0301t\u00e9".encode()):
        save(tmp_path / os.fsdecode(name) / os.fsdecode(b"\xe0.png"), grey())
    arrays = read(tmp_path)
    assert arrays.classes == ("\\xe9t\\xe9", "\u00e9t\u00e9")  # the second as one letter each
    ids = [name for name, _, _ in read_images_like(tmp_path, (1, *SIZE), options={})]
    assert "\\xe9t\\xe9/\\xe0.png" in ids
    assert all(name.isprintable() and name.encode() for name in (*ids, *arrays.classes))


def test_the_path_of_a_folder_that_is_not_utf8_can_be_written_into_a_conf(tmp_path):
    root = make(tmp_path / os.fsdecode(b"\xe9t\xe9") / "x", "1.png 2.png")
    found = look(root)
    options = yaml.safe_load(yaml_file.dump(found.options))
    assert options["path"].isprintable()
    assert facts(image_folder(Noise(0), **options)) == facts(found.arrays)
    make(tmp_path / "\\xe9t\\xe9" / "x", "3.png")  # a name as it is written comes before one that is escaped
    assert len(image_folder(Noise(0), path=str(options["path"])).x) == 1


# --- new images for a model that is trained

KINDS = {
    "grey": lambda k: Image.fromarray(grey(k)),
    "colour": lambda k: Image.fromarray(colours(k)),
    "1 bit": lambda k: Image.fromarray(grey(k) > 99),
    "palette": lambda k: Image.fromarray(colours(k)).quantize(16),
    "grey palette": lambda k: Image.fromarray(grey(k)).convert("P"),
    "transparent": lambda k: Image.fromarray(np.dstack([colours(k), grey(k + 7)])),
    "grey and transparent": lambda k: Image.merge("LA", [Image.fromarray(grey(k)), Image.fromarray(grey(k + 7))]),
    "16 bits": lambda k: Image.fromarray(grey(k).astype(np.uint16) * 16),
}


@pytest.mark.parametrize("options", [{}, {"size": [4, 8]}, {"mode": "L"}, {"mode": "RGB", "background": "#102030"}])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_training_and_new_images_are_the_same_bytes(tmp_path, kind, options):
    for k in range(3):
        save(tmp_path / f"{'ab'[k % 2]}/{k}.png", KINDS[kind](k))
    arrays = read(tmp_path, **options)
    rows = list(read_images_like(tmp_path, arrays.x.shape[1:], options={"path": "elsewhere", "sha256": "x", **options}))
    assert [name for name, _, _ in rows] == ["a/0.png", "a/2.png", "b/1.png"]
    assert all(problem == "" for _, _, problem in rows)
    np.testing.assert_array_equal([row for _, row, _ in rows], arrays.x)
    alone = list(read_images_like(tmp_path / "b" / "1.png", arrays.x.shape[1:], options=options))
    assert alone[0][0] == "1.png"
    np.testing.assert_array_equal(alone[0][1], arrays.x[2])


def test_a_file_that_cannot_be_read_is_a_problem_of_its_own_row(tmp_path):
    make(tmp_path, "a.png b.png c.png d.png e.png")
    (tmp_path / "b.png").write_bytes(b"hello")
    save(tmp_path / "c.png", grey(0, (9, 9)))
    (tmp_path / "d.png").write_bytes(b"")
    rows = {name: (row, problem) for name, row, problem in read_images_like(tmp_path, (1, *SIZE), options={})}
    assert [name for name, (_, problem) in rows.items() if problem == ""] == ["a.png", "e.png"]
    assert re.search(r"b\.png: not an image that is read, begins with b'hello'", rows["b.png"][1])
    assert re.search(
        r"c\.png: 9x9 pixels, the model takes 6x5; resize it, or train with options\.size", rows["c.png"][1]
    )
    assert re.search(r"d\.png: empty, 0 bytes", rows["d.png"][1])
    assert rows["b.png"][0] is None and rows["c.png"][0] is None
    resized = {name: row for name, row, _ in read_images_like(tmp_path, (1, *SIZE), options={"size": list(SIZE)})}
    assert resized["c.png"].shape == (1, *SIZE)


@pytest.mark.parametrize(("place", "line"), [("gone", "no such file or folder"), ("empty", "no images; found nothing")])
def test_no_images_for_a_prediction_are_one_line(tmp_path, place, line):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=line):
        read_images_like(tmp_path / place, (1, *SIZE), options={})


def test_a_model_of_other_rows_takes_no_images(tmp_path):
    with pytest.raises(DataError, match=r"images, but the model's rows are 64; give rows of the kind"):
        read_images_like(make(tmp_path, "1.png"), (64,), options={})
