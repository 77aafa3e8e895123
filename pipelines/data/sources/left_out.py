"""Counts what a folder of images holds besides images: other programs' files, other kinds of file, empty folders.

Nothing is left out silently: each kind becomes a sentence that says how many there are.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import features

from pipelines.runtime.words import counted

SUFFIXES = frozenset(
    [
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
        *(".pbm", ".pgm", ".ppm", ".pnm"),
        *([".avif"] if features.check("avif") else []),
    ]
)
FOLDERS = (  # what operating systems, NAS boxes, notebooks and version control put beside pictures, in any case
    *("__MACOSX", ".Trashes", ".Spotlight-V100", ".fseventsd", "System Volume Information", "$RECYCLE.BIN"),
    *("lost+found", ".thumbnails", "@eaDir", "@tmp", "#recycle", "#snapshot", ".ipynb_checkpoints", ".git", ".dvc"),
)
FILES = ("Thumbs.db", "ehthumbs.db", "desktop.ini", ".DS_Store")
BEGINNINGS = ("._", "SYNOPHOTO_THUMB")  # AppleDouble, and thumbnails of a Synology
CURES = {
    "save them as JPEG": ".heic .heif .hif .avif .jxl .jp2 .j2k .jpf .jpx .tga .ico .icns .psd .xcf",
    "save them as PNG": ".cr2 .cr3 .nef .nrw .arw .dng .orf .rw2 .raf .pef .srw .raw .exr .hdr .dcm .nii .svg .eps .ai",
    "save their pages as PNG": ".pdf .djvu",
    "save their frames as PNG": ".mp4 .mov .avi .mkv .webm .m4v .mpg .mpeg .wmv .flv .3gp",
    "unpack them": ".zip .rar .7z .tar .gz .tgz .bz2 .xz",
}
CURE_OF = {suffix: cure for cure, suffixes in CURES.items() for suffix in suffixes.split()}
KNOWN_FOLDERS = {name.lower(): name for name in FOLDERS}
KNOWN_FILES = {name.lower(): name for name in FILES}
SHOWN_NAMES = 5
SHOWN_KINDS = 5
ENDING = re.compile(r"\.[a-z0-9]{0,7}[a-z][a-z0-9]{0,7}")  # others, such as .0001, are no kind of file


class LeftOut:
    """Counts the files and folders that are left out of a folder of images, by kind."""

    def __init__(self) -> None:
        self.junk: Counter[tuple[str, str]] = Counter()
        self.others: Counter[str] = Counter()

    def takes(self, name: str, *, is_folder: bool) -> bool:
        """Return whether a file or folder of this name is to be left out, and count it if so."""
        if (kind := junk_kind(name, is_folder=is_folder)) is not None:
            self.junk[kind, "folder" if is_folder else "file"] += 1
        elif not is_folder and (suffix := Path(name).suffix.lower()) not in SUFFIXES:
            self.others[suffix if ENDING.fullmatch(suffix) else ""] += 1
        else:
            return False
        return True

    def notes(self, empty: Sequence[str] = ()) -> tuple[str, ...]:
        """Return a sentence for each kind that was left out, and one on `empty`, the folders without any image."""
        found = [
            f"{count} {kind} {what}{' was' if count == 1 else 's were'} left out"
            for (kind, what), count in sorted(self.junk.items())
        ]
        for suffix, count in sorted(self.others.items()):
            kind, were = suffix or "other", "file was" if count == 1 else "files were"
            cure = CURE_OF.get(suffix)
            found.append(f"{count} {kind} {were} left out{f': {_of(count, cure)}' if cure else ''}")
        if empty:
            names = ", ".join(empty[:SHOWN_NAMES]) + (", ..." if len(empty) > SHOWN_NAMES else "")
            found.append(f"{len(empty)} {'folders hold' if len(empty) > 1 else 'folder holds'} no image: {names}")
        return tuple(found)

    def summary(self) -> str:
        """Return what a folder holds if it has no images, for an error.

        Advice follows for the commonest kind of file for which there is any, such as "unpack them".
        """
        others = sorted(self.others.items(), key=lambda item: (-item[1], item[0] or "~"))[:SHOWN_KINDS]
        there = [f"{count} {suffix or 'with no known ending'}" for suffix, count in others]
        there += [counted(count, f"{kind} {what}") for (kind, what), count in self.junk.most_common(SHOWN_KINDS)]
        cure = next((_of(count, CURE_OF[suffix]) for suffix, count in others if suffix in CURE_OF), "")
        return (", ".join(there) or "nothing") + (f"; {cure}" if cure else "")


def junk_kind(name: str, *, is_folder: bool) -> str | None:
    """Return the kind of a hidden file or folder, or of one that another program made, as notes name it; else None."""
    lower = name.lower()
    if (known := (KNOWN_FOLDERS if is_folder else KNOWN_FILES).get(lower)) is not None:
        return known
    beginning = next((b for b in BEGINNINGS if not is_folder and lower.startswith(b.lower())), None)
    if beginning is not None:
        return f"{beginning}*"
    return "hidden" if name.startswith(".") else None


def cure_of_one(path: Path) -> str | None:
    """Return advice on a file of a kind that is not read, such as "save it as JPEG", or None if there is none."""
    cure = CURE_OF.get(path.suffix.lower())
    return None if cure is None else _of(1, cure)


def _of(count: int, cure: str) -> str:
    """Return advice such as "save them as JPEG" in the singular if it is for one file."""
    return cure if count > 1 else cure.replace("them", "it").replace("their", "its")
