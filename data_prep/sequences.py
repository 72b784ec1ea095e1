"""What readers of archives of videos share: a sequence is what one camera saw in one recording."""

import abc
import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from data_prep.archives import ArchiveError
from data_prep.sighting import Sighting


class Sequence(abc.ABC):
    """One camera's frames of one person. Making one opens no large file.

    Attributes:
      name: unique in its archive, in letters, digits, spaces and `.-_/`.
      split: "train", "validation", "test" or the name of a further split.
    """

    name: str
    split: str

    @abc.abstractmethod
    def positions(self) -> Float[np.ndarray, "n j 3"]:
        """The joints of all frames, mm, for choosing frames in which the person has moved.

        Raises:
          ArchiveError: a file is missing or damaged.
        """

    @abc.abstractmethod
    def sightings(self, frames: Int[np.ndarray, "k"]) -> Iterator[Sighting]:
        """Some frames, in order; those that a data set must not hold are left out.

        Args:
          frames: numbers of frames, increasing.

        Raises:
          ArchiveError: a file is missing or damaged. What was yielded before is right.
        """


@dataclasses.dataclass(frozen=True)
class Archive:
    """What a reader found in a folder.

    Attributes:
      sequences: to prepare.
      faults: files that are missing or damaged, as far as that shows without opening large ones.
      notes: what is left out on purpose, in words.
    """

    sequences: list[Sequence]
    faults: list[ArchiveError]
    notes: list[str]
