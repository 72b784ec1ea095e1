"""Which images the data set holds: every record is a pure function of its ids and the seed."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from data_prep.posed_people.motion.actions import ACTION_NAMES

FPS = 50
SECONDS = 20
"""Length of a sequence: one person doing one action."""

OUTFITS = ("a", "b")
FIRST_PERSON = {"train": 0, "validation": 7000, "test": 8000}
"""Number of a split's first person. Apart, so that splits of any size never share a person, and a
small configuration holds the first persons of a large one."""


class Size(NamedTuple):
    """How much a configuration renders.

    Attributes:
      side: of the images, pixels.
      persons: per split.
      images: of each person in each outfit.
      shards: of each split.
    """

    side: int
    persons: dict[str, int]
    images: int
    shards: int


FULL = {"train": 360, "validation": 20, "test": 40}
SIZES = {
    "64": Size(64, FULL, 8, 8),
    "128": Size(128, FULL, 8, 8),
    "256": Size(256, FULL, 8, 16),
    "tiny": Size(32, {"train": 6, "validation": 2, "test": 2}, 4, 2),
}


class Group(NamedTuple):
    """A person in an outfit: what one worker renders in one go."""

    person: int
    outfit: int


class Shot(NamedTuple):
    """One image: what a person does, when (frame at FPS), and which camera sees it."""

    action: str
    frame: int
    camera: int


def groups(size: Size, split: str) -> Iterator[Group]:
    """All groups of a split, in order."""
    for offset in range(size.persons[split]):
        for outfit in range(len(OUTFITS)):
            yield Group(FIRST_PERSON[split] + offset, outfit)


def shots(group: Group, images: int, cameras: int, seed: int) -> list[Shot]:
    """The images of a group: different actions, cameras in turn; the first n are those of any n."""
    rng = np.random.default_rng([seed, 4, group.person, group.outfit])
    actions = rng.permutation(len(ACTION_NAMES))
    turn = rng.permutation(cameras)
    frames = rng.integers(0, FPS * SECONDS, max(images, 1024))
    return [
        Shot(ACTION_NAMES[actions[i % len(actions)]], int(frames[i]), int(turn[i % cameras]))
        for i in range(images)
    ]


def person_name(number: int) -> str:
    """Id of a person."""
    return f"p{number:04d}"


def key(group: Group, index: int) -> str:
    """Unique id of a record."""
    return f"{person_name(group.person)}/{OUTFITS[group.outfit]}/{index:03d}"
