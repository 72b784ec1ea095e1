"""Sequences of archives of videos: what one camera saw in one recording; each is a piece."""

import abc
import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from data_prep import preparing
from data_prep.errors import SightingError
from data_prep.pieces import Dropped
from data_prep.sighting import Sighting
from volsynth.poses import joint_orders

EVERY = 5
"""Of so many frames one is looked at: more of 50 a second are hardly different."""

MOVED_MM = 100.0
"""How far some joint has moved since the last frame that was taken."""

OUTSIDE = "with joints outside of the frame"
BEHIND = "with joints behind the camera"
NO_MASK = "with an empty mask"


@dataclasses.dataclass(frozen=True)
class Sequence(abc.ABC):
    """One camera's frames of one person; making one opens no large file.

    Attributes:
      name: unique in its archive.
      split: that its records belong to.
      stamps: of its files; changes when one does.
    """

    name: str
    split: str
    stamps: str

    @abc.abstractmethod
    def positions(self) -> Float[np.ndarray, "n j 3"]:
        """The joints of all frames, mm, for choosing frames in which the person has moved.

        Raises:
          ArchiveError: a file is missing or damaged.
        """

    @abc.abstractmethod
    def seen(self, frames: Int[np.ndarray, "k"]) -> Iterator[Sighting | SightingError | Dropped]:
        """Some frames, in order.

        Args:
          frames: numbers of frames, increasing.

        Yields:
          For each a sighting, or why there is none.

        Raises:
          ArchiveError: a file is missing or damaged. What was yielded before is right.
        """

    def sightings(self) -> Iterator[Sighting | SightingError | Dropped]:
        """One of `EVERY` frames, if the person has moved; see `pieces.Piece`."""
        frames = preparing.select_by_movement(self.positions()[::EVERY], MOVED_MM) * EVERY
        for found in self.seen(frames):
            yield _checked(found) if isinstance(found, Sighting) else found


def _checked(found: Sighting) -> Sighting | Dropped:
    """The sighting, unless it is one of those that every archive of videos has and nobody wants."""
    joints, known = joint_orders.to_skeleton(found.joints_px, found.visible, found.order)
    height, width = found.image.shape[:2]
    if np.any(known & ~np.all((joints >= 0) & (joints <= (width, height)), axis=-1)):
        return Dropped(OUTSIDE)
    if np.any(found.joints_mm[found.visible, 2] <= 0):
        return Dropped(BEHIND)
    if found.mask is not None and not found.mask.any():
        return Dropped(NO_MASK)
    return found


def stamp(files: list[pathlib.Path]) -> str:
    """What changes when one of the files does: their sizes and times."""
    digest = hashlib.sha256()
    for file in files:
        about = file.stat() if file.exists() else None
        digest.update(f"{about and (about.st_size, about.st_mtime_ns)} ".encode())
    return digest.hexdigest()
