"""The card of a run: a picture of what the model makes, what the model is, its key numbers, and how it failed if so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.report.key_numbers import KeyNumber
from pipelines.report.thumbnails import Thumbnail

SHOWN = {  # {name of a picture in out/evaluate/RUN: how its description begins}; a card has the first that exists
    "samples": "Samples",
    "density": "Density",
    "reconstructions": "Reconstructions, below each row what came back,",
    "flow": "Flow of the line",
    "latent": "Latents",
}
PICTURES_BYTES = 1_800_000  # of all cards together; base64 makes them a third larger, so a page stays below 3 MB
LARGEST = 60_000  # of one picture


@dataclass(frozen=True)
class Card:
    """A run on the first page.

    about: what the model is, in a sentence; picture: None if there is none yet; numbers: its key numbers
    failures: how it failed, a sentence each; note: another warning
    state: how far the run is, in a few words, or "" if it is finished
    curve: the validation metric during the training, as the points of an SVG polyline, or ""
    """

    key: str
    model: str
    data: str
    about: str
    picture: Thumbnail | None
    numbers: Sequence[KeyNumber]
    failures: Sequence[str] = ()
    note: str = ""
    state: str = ""
    curve: str = ""


@dataclass
class Group:
    """The cards of a data set, with a sentence on what the data are."""

    data: str
    about: str
    cards: list[Card] = field(default_factory=list)


def grouped(cards: Sequence[Card], about: Mapping[str, str]) -> list[Group]:
    """Return the cards by data set, in the order in which the data sets come. about: {data: a sentence}"""
    groups: dict[str, Group] = {}
    for card in cards:
        groups.setdefault(card.data, Group(card.data, about.get(card.data, ""))).cards.append(card)
    return list(groups.values())


def most_bytes(pictures: int) -> int:
    """Return how many bytes each picture may have if a page has `pictures` of them."""
    return min(LARGEST, PICTURES_BYTES // max(1, pictures))
