"""What evaluation needs to know of a task."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from volsynth.data import prepared
from volsynth.system import Batch

Made = Any
"""What a system makes of a batch: some of its outputs, a pytree of arrays with leading [B]."""

Scored = Mapping[str, tuple[jax.Array, jax.Array]]
"""Score name to one value per image, [B], and to which of them count."""


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """A task. Equal only to itself, so that it can be a static argument of jitted functions.

    Attributes:
      label: of the row of results with what the system made.
      scores: names of those in the table.
      details: names of further scores, which are in the results but not in the table.
      protocol: how each score is computed, by name, and "all".
      pairs: how the samples were chosen, in words.
      taken: from a system's outputs what it made.
      trained: (split, batch size) -> what the baselines need to know of the training data.
      baselines: how that was found, {name: words}.
      candidates: (made, trained, batch) -> {row: made}, the system's own under `label`.
      score: (made, batch) -> the scores.
      columns: titles of a gallery.
      row: (made, batch, example, cell) -> pictures of a row of a gallery, uint8 RGB; what was made
        and the batch are NumPy arrays.
      sorted_by: the score by which the best and the worst are found.
      alone: whether pictures are scored that have no other one of their person and outfit.
      facts: (batch) -> {name: [B]}, numbers of each pair by which its scores can be sorted.
      picture: (made) -> the images [B, H, W, 3] that instruments look at; None where the task makes
        none.
    """

    label: str
    scores: tuple[str, ...]
    protocol: Mapping[str, Mapping[str, Any]]
    pairs: str
    taken: Callable[[Mapping[str, Any]], Made]
    trained: Callable[[prepared.Split, int], np.ndarray]
    baselines: Mapping[str, str]
    candidates: Callable[[Made, np.ndarray, Batch], dict[str, Made]]
    score: Callable[[Made, Batch], Scored]
    columns: tuple[str, ...]
    row: Callable[[Made, Batch, int, int], Sequence[np.ndarray]]
    sorted_by: str
    details: tuple[str, ...] = ()
    alone: bool = False
    facts: Callable[[Batch], Mapping[str, jax.Array]] = lambda batch: {}
    picture: Callable[[Made], jax.Array] | None = None


def spread(split: prepared.Split, limit: int) -> np.ndarray:
    """The numbers of up to `limit` records, spread evenly over a split."""
    return np.unique(np.linspace(0, split.records - 1, min(limit, split.records)).astype(int))
