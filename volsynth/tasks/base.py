"""The contract of a task: how systems with the same kind of outputs are scored and shown."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from volsynth.data import prepared
from volsynth.system import Batch

Prediction = Any
"""The outputs of a system for a batch that its task scores: an array, or a dict of arrays, whose
leading axis is that of the batch."""

PredictFn = Callable[[Batch], Prediction]
"""A function of a batch to the prediction for it."""


ExampleScores = Mapping[str, tuple[jax.Array, jax.Array]]
"""Scores by name, each a pair of arrays [B]: the value for each example, and whether the example
has that score."""


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """The way in which predictions of one kind are scored and shown.

    A task is equal only to itself, so that it can be a static argument of jitted functions.

    Attributes:
      label: name of the row of results with the system's own scores.
      scores: names of the scores in the table of results.
      details: names of further scores, which are in the results but not in the table.
      protocol: description of how each score is computed, by its name; under "all" what holds for
        all of them.
      pairs: description of how the samples were chosen.
      select: outputs of a system -> its prediction.
      fit_baselines: (split, batch size) -> the array that baselines take from the training data.
      baselines: description of each fitted baseline, by its name.
      with_baselines: (prediction, result of `fit_baselines`, batch) -> {row: prediction}, with the
        system's own under `label`.
      score: (prediction, batch) -> the scores of each example.
      gallery_titles: titles of the columns of a gallery.
      gallery_row: (prediction, batch, example, cell) -> the pictures of one row of a gallery, uint8
        RGB; prediction and batch are NumPy arrays, `cell` is the side of a picture in pixels.
      sorted_by: name of the score by which the best and the worst examples are found.
      sampler: name of the sampler of the task's examples, see `volsynth.data.sampling.SAMPLERS`.
      keep_unpaired: whether images are scored that are the only one of their person and outfit.
      facts: (batch) -> {name: [B]}, properties of each pair by which its scores can be sorted.
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
    sampler: str = "pair"
    keep_unpaired: bool = False
    facts: Callable[[Batch], Mapping[str, jax.Array]] = lambda batch: {}
    images: Callable[[Prediction], jax.Array] | None = None


def evenly_spread(split: prepared.Split, limit: int) -> np.ndarray:
    """The numbers of up to `limit` records that are spread evenly over a split."""
    # Not the first ones: neighbours in a split may be of the same person.
    return np.unique(np.linspace(0, split.records - 1, min(limit, split.records)).astype(int))
