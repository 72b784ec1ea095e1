"""Pairs of records, a source and a target: drawn for training, listed for evaluation.

A pair is two images of one person in one outfit. For training, person and outfit are drawn
uniformly, then two of their images (Knoche 2019, section 4.5).
"""

import numpy as np

from volsynth.data import mixture, prepared
from volsynth.errors import UserError


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
    # Seed and step are the key of a counter-based generator: any step's pairs can be drawn without
    # those before it, and no two steps share a stream.
    rng = np.random.Generator(np.random.Philox(key=[seed, step]))
    shares, groups_of_sets = zip(*split.weighted_groups)
    pairs = []
    for _ in range(batch_size):
        # A choice among one would take a number from the stream, and change all batches of runs
        # with a single data set.
        chosen = rng.choice(len(shares), p=shares) if len(shares) > 1 else 0
        groups = groups_of_sets[chosen]
        outfits = groups[rng.integers(len(groups))]
        records = outfits[rng.integers(len(outfits))]
        pair = rng.choice(records, 2, replace=len(records) < 2)
        pairs.append(pair[[0, 0]] if rng.random() < single else pair)
    return np.array(pairs)


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
    rng = np.random.Generator(np.random.Philox(key=[seed, 0]))
    pairs = np.stack([np.arange(split.records)] * 2, axis=1)
    for outfits in split.groups:
        for records in outfits:
            # A cyclic shift of a random order pairs each image with another one.
            order = rng.permutation(records)
            pairs[order, 0] = np.roll(order, 1)
    if not keep_unpaired:
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        if not len(pairs):
            raise UserError(
                f"the split {split.name} has no two images of one person in one outfit: there is "
                f"nothing to make one of the other."
            )
    return pairs
