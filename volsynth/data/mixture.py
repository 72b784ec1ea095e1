"""Mixtures of prepared data sets for training: each sample first draws its data set by a share."""

import dataclasses
import functools
import itertools
import os
from collections.abc import Mapping, Sequence

import numpy as np

from volsynth.data import prepared
from volsynth.errors import UserError


@dataclasses.dataclass(frozen=True)
class MixedSplit:
    """A split of a mixture: splits of several data sets, with their records numbered through.

    Attributes:
      splits: the splits of the data sets.
      shares: shares of the samples that come from each; they sum to 1.
    """

    splits: tuple[prepared.Split, ...]
    shares: tuple[float, ...]

    @functools.cached_property
    def weighted_groups(self) -> tuple[tuple[float, prepared.Groups], ...]:
        """The share of each data set, and the numbers of its records by person and outfit."""
        return tuple(
            (
                share,
                tuple(tuple(records + first for records in outfits) for outfits in split.groups),
            )
            for share, split, first in zip(self.shares, self.splits, self._firsts)
        )

    @functools.cached_property
    def _firsts(self):
        # The number of each data set's first record, where records are numbered through.
        return (0, *itertools.accumulate(split.records for split in self.splits[:-1]))

    @property
    def image_size(self) -> int:
        """Side of the square images in pixels; `open_mixture` admits data sets of one size only."""
        return self.splits[0].image_size

    def read(self, numbers: Sequence[int | np.integer] | np.ndarray) -> list[bytes]:
        """The serialised records with these numbers; raises as `prepared.Split.read` does."""
        numbers = np.asarray(numbers)
        found: list[bytes] = [b""] * len(numbers)
        owners = self._owners(numbers)
        # One call for each data set: reading many records at once is quicker.
        for i in np.unique(owners):
            (rows,) = np.nonzero(owners == i)
            for row, record in zip(
                rows, self.splits[i].read(numbers[rows] - self._firsts[i]), strict=True
            ):
                found[row] = record
        return found

    def locate(self, number: int | np.integer) -> str:
        """The name of a record for messages."""
        owner = int(self._owners(number))
        return self.splits[owner].locate(number - self._firsts[owner])

    def _owners(self, numbers):
        return np.searchsorted(self._firsts, numbers, side="right") - 1


Split = prepared.Split | MixedSplit
"""A split of one data set or of a mixture; training draws its pairs from either."""


@dataclasses.dataclass(frozen=True)
class Mixture:
    """A main data set, and others from which some of the samples come.

    Attributes:
      sets: the data sets, the main one first.
      shares: shares of the samples that come from each; they sum to 1.
    """

    sets: tuple[prepared.Prepared, ...]
    shares: tuple[float, ...]

    @property
    def identity(self) -> str:
        """The identities of all data sets in one, or of the main one where there are no others."""
        names = ["", *(f"+{_name(data)}:" for data in self.sets[1:])]
        return "".join(name + data.identity for name, data in zip(names, self.sets))

    def split(self, name: str) -> Split:
        """The split with this name of all data sets; raises as `prepared.Prepared.split` does."""
        splits = tuple(data.split(name) for data in self.sets)
        return MixedSplit(splits, self.shares) if len(splits) > 1 else splits[0]


def main_identity(identity: str) -> str:
    """The identity of the main data set, taken from that of a mixture."""
    return identity.partition("+")[0]


def open_mixture(
    main: prepared.Prepared, data_dir: str | os.PathLike[str], also: Mapping[str, float]
) -> Mixture:
    """Opens the other data sets of a mixture.

    Args:
      main: main data set; it gives the samples that the others leave.
      data_dir: root folder of the other data sets.
      also: share of each other data set, by "NAME/CONFIG".

    Raises:
      UserError: a name or a share is not allowed, or images have another size.
      DataError: a data set is missing or incomplete.
    """
    sets, shares = [main], []
    # In an order of their own: a config that was saved and read again must draw the same samples.
    for key, share in sorted(also.items()):
        name, slash, config = key.partition("/")
        if not (name and slash and config):
            raise UserError(
                f"config.data.also: {key!r} names no data set; write NAME/CONFIG, such as "
                f"{_name(main)}."
            )
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
            raise UserError(
                f"config.data.also: the share of {key} must lie between 0 and 1, got {share!r}."
            )
        other = prepared.open_prepared(data_dir, name, config)
        if other.folder == main.folder:
            raise UserError(
                f"config.data.also: {key} is the main data set, which gives what others leave."
            )
        if other.image_size != main.image_size:
            raise UserError(
                f"config.data.also: {other.folder} has images of {other.image_size} pixels, "
                f"{main.folder} of {main.image_size}; give data sets of one size."
            )
        sets.append(other)
        shares.append(float(share))
    if sum(shares) >= 1:
        raise UserError(
            f"config.data.also: the shares sum to {sum(shares):g} and leave nothing for "
            f"{_name(main)}; they must sum to less than 1."
        )
    return Mixture(tuple(sets), (1 - sum(shares), *shares))


def _name(data):
    return f"{data.manifest['name']}/{data.manifest['config']}"
