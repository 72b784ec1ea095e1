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
      label: of the row of a table with what the system made.
      scores: names of the columns.
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
    details: tuple[str, ...] = ()


def spread(split: prepared.Split, limit: int) -> np.ndarray:
    """The numbers of up to `limit` records, spread evenly over a split."""
    return np.unique(np.linspace(0, split.records - 1, min(limit, split.records)).astype(int))
