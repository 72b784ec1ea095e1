"""Samplers: which records make one example of a batch.

An example of the methods for still pictures is a pair, a source and a target, or a triple with a
further picture of the person. What an example is follows from the roles of the fields that are
asked for, see `volsynth.fields`: a method for clips adds fields of another role, and here the
sampler that says which records they are made of.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from volsynth import fields
from volsynth.data import mixture, pairing, prepared
from volsynth.errors import UserError


class Sampler(NamedTuple):
    """A way to choose the records of examples.

    Attributes:
      roles: the roles of an example's records, in the order of their columns. A role has one
        column, or one for each frame if its fields are clips.
      training: (split, seed, step, batch size, share of single images, frames) -> record numbers of
        one training batch, [batch size, columns].
      evaluation: (split, seed, whether images that are the only one of their outfit are kept,
        frames) -> record numbers of all examples of a split, [N, columns]. The last column is the
        picture that is scored.
      fields: names of the fields that evaluation looks at.
    """

    roles: tuple[str, ...]
    training: Callable[[mixture.Split, int, int, int, float, int], np.ndarray]
    evaluation: Callable[[prepared.Split, int, bool, int], np.ndarray]
    fields: tuple[str, ...]

    def columns(self, frames: int) -> dict[str, range]:
        """The columns of each role, where clips have so many frames."""
        clips = {fields.role_and_kind(name)[0] for name, f in fields.BATCH.items() if f.is_clip}
        counts = [frames if role in clips else 1 for role in self.roles]
        ends = list(itertools.accumulate(counts))
        return {role: range(end - count, end) for role, count, end in zip(self.roles, counts, ends)}


def _training_pairs(split, seed, step, batch_size, single, frames):
    return pairing.training_pairs(split, seed, step, batch_size, single)


def _evaluation_pairs(split, seed, keep_unpaired, frames):
    return pairing.evaluation_pairs(split, seed, keep_unpaired)


def _training_triples(split, seed, step, batch_size, single, frames):
    return pairing.training_triples(split, seed, step, batch_size, single)


def _evaluation_triples(split, seed, keep_unpaired, frames):
    return pairing.evaluation_triples(split, seed, keep_unpaired)


_SOURCE, _TARGET = fields.ROLES

SAMPLERS: Mapping[str, Sampler] = {
    "pair": Sampler(fields.ROLES, _training_pairs, _evaluation_pairs, fields.PAIR),
    "triple": Sampler(
        (_SOURCE, fields.ALSO, _TARGET), _training_triples, _evaluation_triples, fields.PAIR
    ),
}
"""Samplers by name."""


def find_sampler(names: Iterable[str]) -> Sampler:
    """The first sampler whose examples have all the roles of these fields.

    Args:
      names: names of fields of a batch, see `fields.BATCH`.

    Raises:
      UserError: a batch has no such field, or no sampler gives these roles together.
    """
    roles = {fields.role_and_kind(name)[0] for name in names}
    for sampler in SAMPLERS.values():
        if roles <= {*sampler.roles}:
            return sampler
    raise UserError(
        f"no sampler makes examples of the roles {', '.join(sorted(roles))}; "
        f"known are {'; '.join(' and '.join(s.roles) for s in SAMPLERS.values())}."
    )
