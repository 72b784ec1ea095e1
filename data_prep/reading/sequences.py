"""Sequences of archives of videos: what one camera saw in one recording. Each is a piece."""

import abc
import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from data_prep.building import preparing
from data_prep.building.pieces import Dropped
from data_prep.building.sighting import Sighting
from data_prep.errors import SightingError
from volsynth.poses import joint_orders

FRAME_STEP = 5
"""The step between frames that are looked at: at 50 frames a second, more would hardly differ."""

MIN_MOVEMENT_MM = 100.0
"""The distance, in mm, that some joint must have moved since the last frame that was taken."""

MAX_REPROJECTION_PIXELS = 5.0
"""The largest median distance, in pixels, between the published joints in an image and the
projections of the published joints in space. Beyond it, the cameras are not those of the
recording."""

OUTSIDE = "with joints outside of the frame"
"""The reason for which a frame with joints outside of it is left out."""

BEHIND = "with joints behind the camera"
"""The reason for which a frame with joints behind the camera is left out."""

CHAIR = "with a chair"
"""The reason for which a frame with a chair is left out: masks take the chair for the person."""

NO_MASK = "with an empty mask"
"""The reason for which a frame with an empty mask is left out."""


# Frozen, with the paths of files and not their contents: it is pickled for every worker.
@dataclasses.dataclass(frozen=True)
class Sequence(abc.ABC):
    """One camera's frames of one person. Making a sequence opens no large file.

    Attributes:
      name: the name of the sequence, unique in its archive.
      split: the split that its records belong to.
      stamps: a text that changes when one of its files does.
    """

    name: str
    split: str
    stamps: str

    @abc.abstractmethod
    def positions(self) -> Float[np.ndarray, "n j 3"]:
        """The joints of all frames, mm, by which frames with movement are chosen.

        Raises:
          ArchiveError: a file is missing or damaged.
        """

    @abc.abstractmethod
    def seen(self, frames: Int[np.ndarray, "k"]) -> Iterator[Sighting | SightingError | Dropped]:
        """Yields sightings of some frames, in order.

        Args:
          frames: numbers of the frames, increasing.

        Yields:
          For each frame a sighting, or why there is none.

        Raises:
          ArchiveError: a file is missing or damaged. What was yielded before is right.
        """

    def sightings(self) -> Iterator[Sighting | SightingError | Dropped]:
        """Yields one of `FRAME_STEP` frames, if the person has moved since the last one.

        See `pieces.Piece`.
        """
        frames = (
            # Only frames that are looked at are compared: fewer have to be decoded then.
            preparing.select_by_movement(self.positions()[::FRAME_STEP], MIN_MOVEMENT_MM)
            * FRAME_STEP
        )
        for found in self.seen(frames):
            yield _checked(found) if isinstance(found, Sighting) else found


def _checked(found: Sighting) -> Sighting | Dropped:
    """The sighting, or why it is left out: every archive of videos has some that nobody wants."""
    # In our order: joints that records do not hold may lie outside.
    joints, known = joint_orders.to_skeleton(found.joints_px, found.visible, found.order)
    height, width = found.image.shape[:2]
    # Left out without a fault: in an archive, people walk out of the picture.
    if np.any(known & ~np.all((joints >= 0) & (joints <= (width, height)), axis=-1)):
        return Dropped(OUTSIDE)
    if np.any(found.joints_mm[found.visible, 2] <= 0):
        return Dropped(BEHIND)
    if found.mask is not None and not found.mask.any():
        return Dropped(NO_MASK)
    return found


def stamp(files: list[pathlib.Path]) -> str:
    """A text that changes when one of the files does: a hash of their sizes and times."""
    digest = hashlib.sha256()
    for file in files:
        # A file that is missing changes the stamp when it comes.
        about = file.stat() if file.exists() else None
        digest.update(f"{about and (about.st_size, about.st_mtime_ns)} ".encode())
    return digest.hexdigest()
