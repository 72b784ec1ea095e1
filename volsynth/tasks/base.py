"""The contract of a task: what is scored and shown of systems that make the same things."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from volsynth.data import prepared
from volsynth.system import Batch

Prediction = Any
"""What a system makes of a batch and its task scores: some of its outputs, a pytree of arrays whose
leading axis is the batch's."""

PredictFn = Callable[[Batch], Prediction]
"""A function of a batch to the prediction for it."""

ExampleScores = Mapping[str, tuple[jax.Array, jax.Array]]
"""Score name to a value for each example, [B], and to whether that example has the score, [B]."""


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """How predictions of one kind are scored and shown.

    A task is equal only to itself, so that it can be a static argument of jitted functions.

    Attributes:
      label: name of the row of results that holds the system's own scores.
      scores: names of the scores in the table of results.
      details: names of further scores, which are in the results but not in the table.
      protocol: how each score is computed, by its name; what holds for all of them under "all".
      pairs: how the samples were chosen, in words.
      select: a system's outputs to its prediction.
      fit_baselines: (split, batch size) -> what the baselines know of the training data.
      baselines: how the baselines were found, {name: words}.
      with_baselines: (prediction, what `fit_baselines` found, batch) -> {row: prediction}, the
        system's own under `label`.
      score: (prediction, batch) -> the scores.
      gallery_titles: titles of the columns of a gallery.
      gallery_row: (prediction, batch, example, cell) -> the pictures of one row of a gallery, uint8
        RGB; prediction and batch are NumPy arrays, `cell` is the side of a picture in pixels.
      sorted_by: name of the score by which the best and the worst examples are found.
      keep_unpaired: whether pictures are scored that are the only one of their person and outfit.
      facts: (batch) -> {name: [B]}, numbers of each pair by which its scores can be sorted.
      images: prediction -> the images [B, H, W, 3] that image scorers look at; None where the task
        makes none.
    """

    label: str
    scores: tuple[str, ...]
    protocol: Mapping[str, Mapping[str, Any]]
    pairs: str
    select: Callable[[Mapping[str, Any]], Prediction]
    fit_baselines: Callable[[prepared.Split, int], np.ndarray]
    baselines: Mapping[str, str]
    with_baselines: Callable[[Prediction, np.ndarray, Batch], dict[str, Prediction]]
    score: Callable[[Prediction, Batch], ExampleScores]
    gallery_titles: tuple[str, ...]
    gallery_row: Callable[[Prediction, Batch, int, int], Sequence[np.ndarray]]
    sorted_by: str
    details: tuple[str, ...] = ()
    keep_unpaired: bool = False
    facts: Callable[[Batch], Mapping[str, jax.Array]] = lambda batch: {}
    images: Callable[[Prediction], jax.Array] | None = None


def evenly_spread(split: prepared.Split, limit: int) -> np.ndarray:
    """The numbers of up to `limit` records, spread evenly over a split."""
    return np.unique(np.linspace(0, split.records - 1, min(limit, split.records)).astype(int))
