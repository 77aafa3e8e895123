"""Tells from the name of a folder what it usually holds: the images of train, validation or test, masks, or images.

Upper and lower case are equal in names, and so are - . _ and a space.
"""

import re

AROUND = r"(?:(?:seg|data|dataset|images?)_)?{}(?:_?(?:set|data|dataset|images?|folder))?(?:_?(?:19|20)\d\d)?"
PARTS = {
    "train": re.compile(AROUND.format("(?:train|training)")),
    "validation": re.compile(AROUND.format("(?:validation|valid|val|dev)")),
    "test": re.compile(AROUND.format("(?:test|testing)")),
}
GROUND_TRUTH = re.compile(r"ground_?truth(?:_masks?)?")
MASKS = re.compile(r"masks?")
PICTURES = re.compile(r"images?|imgs?|pictures?|photos?")


def part_of(name: str) -> str | None:
    """Return the part that a folder's name stands for: train, validation or test; or None."""
    return next((part for part, pattern in PARTS.items() if pattern.fullmatch(_plain(name))), None)


def is_ground_truth(name: str) -> bool:
    """Return whether a folder of this name holds masks, whatever is beside it."""
    return bool(GROUND_TRUTH.fullmatch(_plain(name)))


def may_be_masks(name: str) -> bool:
    """Return whether a folder of this name may hold masks; beside folders of classes, it may also be a class."""
    return bool(MASKS.fullmatch(_plain(name)))


def is_pictures(name: str) -> bool:
    """Return whether a folder's name says no more than that images are inside, as "photos" does."""
    return bool(PICTURES.fullmatch(_plain(name)))


def is_wrapping(name: str, around: str) -> bool:
    """Return whether the name of a folder that is alone in another folder shows that it is not a class.

    name: the folder's name; around: the name of the folder that holds it. True if both names are equal, or if `name` is
    the name of a part, such as train, or says only that images are inside.
    """
    return _plain(name) == _plain(around) or part_of(name) is not None or is_pictures(name)


def _plain(name: str) -> str:
    return re.sub(r"[-_. ]+", "_", name.lower()).strip("_")
