"""Galleries: the choice of pairs from a split, and the picture with a row for each of them."""

from collections.abc import Iterable, Sequence

import jax
import numpy as np
from PIL import Image

from volsynth.data import prepared, sampling
from volsynth.images import grids
from volsynth.system import Batch
from volsynth.tasks import Task
from volsynth.tasks.base import PredictFn


def gallery_pairs(
    split: prepared.Split,
    seed: int,
    count: int,
    keep_unpaired: bool = True,
    sampler: sampling.Sampler = sampling.SAMPLERS["pair"],
    frames: int = 1,
) -> np.ndarray:
    """Examples for a gallery: one of every person in turn, then a second one of each, and so on.

    Args:
      split: the split of a data set.
      seed: of the choice; the same seed gives the same pairs.
      count: the largest number of examples.
      keep_unpaired: whether images that are the only one of their outfit are among them.
      sampler: the sampler that gives the examples to choose from.
      frames: length of clips, for samplers of such.

    Returns:
      Numbers of records, [count, columns of the sampler]; of pairs source and target.
    """
    pairs = sampler.evaluation(split, seed, keep_unpaired, frames)
    # A stream of its own: the pairs themselves are drawn with the seed, too.
    rng = np.random.Generator(np.random.Philox(key=[seed, 1]))
    order = rng.permutation(len(pairs))
    person = split.index["person"][pairs[order, -1]]
    turn = np.empty(len(order), int)
    for p in np.unique(person):
        turn[person == p] = np.arange(np.sum(person == p))
    # Stable: within a turn the persons stay in the order that was drawn.
    return pairs[order[np.argsort(turn, kind="stable")]][:count]


def gallery(
    task: Task,
    predict: PredictFn,
    batches: Iterable[Batch],
    cell: int = 128,
    labels: Sequence[str] | None = None,
) -> Image.Image:
    """A picture with a row of images for every example, as its task shows them.

    Two examples stand side by side, or each has its own row with a label where labels are given.

    Args:
      task: the task of the system.
      predict: a function of a batch to the prediction for it.
      batches: batches of evaluation; examples that only fill up the last one are left out.
      cell: side of one image, pixels.
      labels: a label for each row.
    """
    rows = []
    for batch in batches:
        prediction = jax.tree.map(np.asarray, predict(batch))
        rows += [
            task.gallery_row(prediction, batch, i, cell) for i in np.flatnonzero(batch["valid"])
        ]
    titles = list(task.gallery_titles)
    # A few rows fit a screen as they are.
    if labels is None and len(rows) % 2 == 0 and len(rows) > 4:
        half = len(rows) // 2
        rows = [left + right for left, right in zip(rows[:half], rows[half:])]
        titles = titles * 2
    return grids.grid(rows, titles, labels, cell=cell)
