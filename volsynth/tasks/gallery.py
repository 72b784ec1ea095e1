"""Galleries: which pairs of a split are shown, and the picture with a row for each of them."""

from collections.abc import Iterable, Sequence

import jax
import numpy as np
from PIL import Image

from volsynth.data import pairing, prepared
from volsynth.images import grids
from volsynth.system import Batch
from volsynth.tasks import Task
from volsynth.tasks.base import PredictFn


def gallery_pairs(split: prepared.Split, seed: int, count: int, alone: bool = True) -> np.ndarray:
    """Pairs for a gallery: one of every person in turn, then a second one, ..., [count, 2].

    They are of `pairing.evaluation_pairs` with the same arguments.
    """
    pairs = pairing.evaluation_pairs(split, seed, alone)
    rng = np.random.Generator(np.random.Philox(key=[seed, 1]))
    order = rng.permutation(len(pairs))
    person = split.index["person"][pairs[order, 1]]
    turn = np.empty(len(order), int)
    for p in np.unique(person):
        turn[person == p] = np.arange(np.sum(person == p))
    return pairs[order[np.argsort(turn, kind="stable")]][:count]


def gallery(
    task: Task,
    predict: PredictFn,
    batches: Iterable[Batch],
    cell: int = 128,
    labels: Sequence[str] | None = None,
) -> Image.Image:
    """A row of pictures for every example, as the task wants.

    Two examples stand side by side, or each has its own row with a label where labels are given.
    """
    rows = []
    for batch in batches:
        prediction = jax.tree.map(np.asarray, predict(batch))
        rows += [
            task.gallery_row(prediction, batch, i, cell) for i in np.flatnonzero(batch["valid"])
        ]
    titles = list(task.gallery_titles)
    if labels is None and len(rows) % 2 == 0 and len(rows) > 4:
        half = len(rows) // 2
        rows = [left + right for left, right in zip(rows[:half], rows[half:])]
        titles = titles * 2
    return grids.grid(rows, titles, labels, cell=cell)
