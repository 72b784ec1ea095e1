"""Pairs of records, a source and a target: drawn for training, listed for evaluation.

A pair is two images of one person in one outfit. For training, person and outfit are drawn
uniformly, then two of their images (Knoche 2019, section 4.5). A triple has a further image of the
same outfit between the two, for systems that look at two pictures of a person.
"""

import numpy as np

from volsynth.data import mixture, prepared
from volsynth.errors import UserError

ALONE = 0.25
"""The share of the triples of training whose further image is the source itself, so that systems of
two pictures serve people of whom there is but one."""


def training_pairs(
    split: mixture.Split, seed: int, step: int, batch_size: int, single: float = 0.0
) -> np.ndarray:
    """The record numbers of one training batch, [batch_size, 2]: source, target.

    Args:
      split: split to draw from.
      seed: seed of the run.
      step: number of the step.
      batch_size: number of pairs.
      single: share of the samples whose target is the source image itself, as in Knoche 2019 for
        images that have no partner.
    """
    rng = _stream(seed, step)
    pairs = []
    for _ in range(batch_size):
        records = _outfit(split, rng)
        pair = rng.choice(records, 2, replace=len(records) < 2)
        pairs.append(pair[[0, 0]] if rng.random() < single else pair)
    return np.array(pairs)


def training_triples(
    split: mixture.Split, seed: int, step: int, batch_size: int, single: float = 0.0
) -> np.ndarray:
    """The record numbers of one training batch, [batch_size, 3]: source, a further one, target.

    The further one is the source itself in a share `ALONE` of the triples, and in outfits of which
    there are fewer than three images.

    Args:
      split: split to draw from.
      seed: seed of the run.
      step: number of the step.
      batch_size: number of triples.
      single: share of the samples whose target is the source image itself.
    """
    rng = _stream(seed, step)
    triples = []
    for _ in range(batch_size):
        records = _outfit(split, rng)
        count = min(len(records), 3)
        chosen = rng.choice(records, count, replace=False)
        source, target = chosen[0], chosen[0] if rng.random() < single else chosen[-1]
        alone = rng.random() < ALONE or count < 3
        triples.append([source, source if alone else chosen[1], target])
    return np.array(triples)


def _stream(seed, step):
    """The random numbers of a step."""
    # Seed and step are the key of a counter-based generator: any step's pairs can be drawn without
    # those before it, and no two steps share a stream.
    return np.random.Generator(np.random.Philox(key=[seed, step]))


def _outfit(split, rng):
    """The records of an outfit, of which data set, person and outfit are drawn."""
    shares, groups_of_sets = zip(*split.weighted_groups)
    # A choice among one would take a number from the stream, and change all batches of runs with a
    # single data set.
    chosen = rng.choice(len(shares), p=shares) if len(shares) > 1 else 0
    groups = groups_of_sets[chosen]
    outfits = groups[rng.integers(len(groups))]
    return outfits[rng.integers(len(outfits))]


def evaluation_pairs(split: prepared.Split, seed: int, keep_unpaired: bool = True) -> np.ndarray:
    """The pairs for evaluation: every record once as the target, with another one as the source.

    Args:
      split: split to evaluate on.
      seed: seed of the choice of sources.
      keep_unpaired: whether an image that is the only one of its outfit is there, too, as its own
        source.

    Returns:
      [N, 2]: source, target; the same for the same seed.

    Raises:
      UserError: no image has another one of its outfit.
    """
    return evaluation_triples(split, seed, keep_unpaired)[:, [0, -1]]


def evaluation_triples(split: prepared.Split, seed: int, keep_unpaired: bool = True) -> np.ndarray:
    """The pairs of `evaluation_pairs` with a further image of the outfit between the two.

    Of an outfit of two images the further one is the source.

    Args:
      split: split to evaluate on.
      seed: seed of the choice of sources.
      keep_unpaired: as for `evaluation_pairs`.

    Returns:
      [N, 3]: source, a further one, target; the same for the same seed.

    Raises:
      UserError: no image has another one of its outfit.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, 0]))
    triples = np.stack([np.arange(split.records)] * 3, axis=1)
    for outfits in split.groups:
        for records in outfits:
            # A cyclic shift of a random order pairs each image with another one.
            order = rng.permutation(records)
            triples[order, 0] = np.roll(order, 1)
            triples[order, 1] = np.roll(order, 2 if len(order) > 2 else 1)
    if not keep_unpaired:
        triples = triples[triples[:, 0] != triples[:, -1]]
        if not len(triples):
            raise UserError(
                f"the split {split.name} has no two images of one person in one outfit: there is "
                f"nothing to make one of the other."
            )
    return triples
