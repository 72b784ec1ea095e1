"""Which records make a pair of source and target: drawn for training, each once for evaluation."""

import numpy as np

from volsynth.data import mixture, prepared
from volsynth.errors import UserError


def training_pairs(
    split: mixture.Split, seed: int, step: int, batch_size: int, single: float = 0.0
) -> np.ndarray:
    """The record numbers of one training batch, [batch_size, 2]: source, target.

    Args:
      split: to draw from.
      seed: of the run.
      step: whose batch.
      batch_size: pairs in it.
      single: share of the samples whose target is the source image itself, as seed 000 does with
        images that have no partner.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, step]))
    shares, sources = zip(*split.sources)
    pairs = []
    for _ in range(batch_size):
        # A choice among one would take a number all the same, and change every batch.
        groups = sources[rng.choice(len(sources), p=shares) if len(sources) > 1 else 0]
        outfits = groups[rng.integers(len(groups))]
        records = outfits[rng.integers(len(outfits))]
        pair = rng.choice(records, 2, replace=len(records) < 2)
        pairs.append(pair[[0, 0]] if rng.random() < single else pair)
    return np.array(pairs)


def evaluation_pairs(split: prepared.Split, seed: int, alone: bool = True) -> np.ndarray:
    """Every record of the split once as the target, with another image of the outfit as source.

    Args:
      split: to pair.
      seed: of the choice of sources.
      alone: whether an image without another one of its outfit is there, too, as its own source.

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
    if not alone:
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        if not len(pairs):
            raise UserError(
                f"the split {split.name} has no two images of one person in one outfit: there is "
                f"nothing to make one of the other."
            )
    return pairs
