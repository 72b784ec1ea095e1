"""The plan of the data set: which images it holds. Every record is a function of ids and seed."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from data_prep.posed_people.motion.actions import ACTION_NAMES

FPS = 50
"""Frames a second of a sequence."""

SECONDS = 20
"""The length of a sequence, in which one person does one action."""

OUTFITS = ("a", "b")
"""The ids of the outfits of each person."""

FIRST_PERSON = {"train": 0, "validation": 7000, "test": 8000}
"""The number of the first person of each split. They are far apart, so that splits of any size
never share a person, and a small configuration holds the first persons of a large one."""


class Size(NamedTuple):
    """The size of a configuration: side and numbers of images, persons and shards.

    Attributes:
      side: side of the images, pixels.
      persons: how many persons each split has.
      images: how many images each person has in each outfit.
      shards: how many shards each split has.
    """

    side: int
    persons: dict[str, int]
    images: int
    shards: int


FULL = {"train": 360, "validation": 20, "test": 40}
"""The number of persons in each split of the large configurations."""

SIZES = {
    "64": Size(64, FULL, 8, 8),
    "128": Size(128, FULL, 8, 8),
    "256": Size(256, FULL, 8, 16),
    "tiny": Size(32, {"train": 6, "validation": 2, "test": 2}, 4, 2),
}
"""The configurations by their names."""


class Group(NamedTuple):
    """A person in an outfit: what one worker renders in one go.

    Attributes:
      person: the number of the person.
      outfit: the number of the outfit in `OUTFITS`.
    """

    person: int
    outfit: int


class Shot(NamedTuple):
    """One image of a sequence.

    Attributes:
      action: what the person does.
      frame: when, in frames at FPS.
      camera: the number of the camera that sees it.
    """

    action: str
    frame: int
    camera: int


def groups(size: Size, split: str) -> Iterator[Group]:
    """Yields all groups of a split, in order."""
    for offset in range(size.persons[split]):
        for outfit in range(len(OUTFITS)):
            yield Group(FIRST_PERSON[split] + offset, outfit)


def shots(group: Group, images: int, cameras: int, seed: int) -> list[Shot]:
    """The images of a group: different actions, with the cameras in turn.

    Args:
      group: the person and the outfit.
      images: how many images; the first n are the same for every number.
      cameras: how many cameras there are.
      seed: the seed of the data set.
    """
    # A generator for each group: no record depends on how many others there are.
    rng = np.random.default_rng([seed, 4, group.person, group.outfit])
    # Without repetition, so that source and target of a pair differ in what is done.
    actions = rng.permutation(len(ACTION_NAMES))
    turn = rng.permutation(cameras)
    # Always so many that the first ones do not depend on how many are wanted.
    frames = rng.integers(0, FPS * SECONDS, max(images, 1024))
    return [
        Shot(ACTION_NAMES[actions[i % len(actions)]], int(frames[i]), int(turn[i % cameras]))
        for i in range(images)
    ]


def person_name(number: int) -> str:
    """The id of a person."""
    return f"p{number:04d}"


def key(group: Group, index: int) -> str:
    """The unique key of a record."""
    return f"{person_name(group.person)}/{OUTFITS[group.outfit]}/{index:03d}"
