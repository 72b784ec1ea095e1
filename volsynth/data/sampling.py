"""Samplers: which records make one example of a batch.

An example of the methods for still pictures is a pair, a source and a target. What an example is
follows from the roles of the fields that are asked for, see `volsynth.fields`: a method for clips
adds fields of another role, and here the sampler that says which records they are made of.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from volsynth import fields
from volsynth.data import mixture, pairing, prepared
from volsynth.errors import UserError


class Sampler(NamedTuple):
    """A way to choose the records of examples.

    Attributes:
      columns: the records of each role, as a range of the columns of an array of examples; more
        than one of a role are the frames of a clip, in order.
      training: (split, seed, step, batch size, share of single images) -> record numbers of one
        training batch, [batch size, columns].
      evaluation: (split, seed, whether images that are the only one of their outfit are kept) ->
        record numbers of all examples of a split, [N, columns]. The last column is the picture
        that is scored.
      fields: names of the fields that evaluation looks at.
    """

    columns: Mapping[str, range]
    training: Callable[[mixture.Split, int, int, int, float], np.ndarray]
    evaluation: Callable[[prepared.Split, int, bool], np.ndarray]
    fields: tuple[str, ...]


SAMPLERS: Mapping[str, Sampler] = {
    "pair": Sampler(
        columns={"source": range(0, 1), "target": range(1, 2)},
        training=pairing.training_pairs,
        evaluation=pairing.evaluation_pairs,
        fields=fields.PAIR,
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
        if roles <= sampler.columns.keys():
            return sampler
    raise UserError(
        f"no sampler makes examples of the roles {', '.join(sorted(roles))}; "
        f"known are {'; '.join(' and '.join(s.columns) for s in SAMPLERS.values())}."
    )
