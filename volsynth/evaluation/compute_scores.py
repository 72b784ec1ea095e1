"""Scores of every image of a split, for what a system made and for baselines beside it.

The scores are those of the task (`volsynth.tasks`) and of further scorers
(`volsynth.evaluation.scorers`). Values are kept image by image and averaged in NumPy's float64, so
that means, intervals and orders depend neither on the size of a batch nor on its padding.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent import futures

import jax
import numpy as np
from jaxtyping import Bool, Float64

from volsynth.evaluation.scorers import ImageScorer
from volsynth.evaluation.set_scorers import SetScorer
from volsynth.metrics import intervals
from volsynth.system import Batch
from volsynth.tasks import Task
from volsynth.tasks.base import PredictFn

_THREADS = 4
"""The number of rows (what a system made, and baselines) that are scored at a time."""


@dataclasses.dataclass(frozen=True)
class ImageScores:
    """The values of one score for every image.

    Attributes:
      values: one value for each image.
      counted: which images have that score; the values of the others mean nothing.
    """

    values: Float64[np.ndarray, "N"]
    counted: Bool[np.ndarray, "N"]

    @property
    def mean(self) -> float:
        """The mean of the values that count; NaN where there are none."""
        # NaN rather than 0, as any number would pass for a score.
        return float(np.mean(self.values[self.counted])) if np.any(self.counted) else float("nan")


@dataclasses.dataclass(frozen=True)
class Scores:
    """All scores of what a system made, and of baselines.

    Attributes:
      images: {row: {score: values of every image}}; the rows are the system's own and the
        baselines.
      sets: {row: {score: value of all images as a set}}.
      facts: {name: value of every image}; see `Task.facts`.
    """

    images: Mapping[str, Mapping[str, ImageScores]]
    sets: Mapping[str, Mapping[str, float]]
    facts: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def means(self) -> dict[str, dict[str, float]]:
        """Values {row: {score: its mean over the images, or its value for the set}}."""
        return {
            row: {**{name: s.mean for name, s in scores.items()}, **self.sets.get(row, {})}
            for row, scores in self.images.items()
        }

    def intervals(self, persons: Sequence[str]) -> dict[str, dict[str, list[float] | None]]:
        """The intervals of the means over persons.

        Args:
          persons: name of the person on each image.

        Returns:
          {row: {score: [low, high], or None where there is no interval}}.
        """
        # The same draws for all scores, so that their differences can be compared.
        draws = intervals.PersonDraws(persons)
        found = {}
        for row, scores in self.images.items():
            pairs = {name: draws.interval(s.values, s.counted) for name, s in scores.items()}
            found[row] = {name: list(pair) if pair else None for name, pair in pairs.items()}
        return found


def score_batches(
    task: Task,
    make: PredictFn,
    batches: Iterable[Batch],
    fitted: np.ndarray,
    progress: Callable[[int], None] = lambda done: None,
    scorers: Sequence[ImageScorer | SetScorer] = (),
    total: int = 0,
) -> Scores:
    """Scores what a system makes, and baselines, all in one pass over the batches.

    Args:
      task: the task whose scores are computed.
      make: (batch) -> what the system makes of it.
      batches: batches with `valid`.
      fitted: what the baselines need of the training split; see `Task.fit_baselines`.
      progress: called with the number of images scored in each batch.
      scorers: further scorers, of pictures; the task must make some.
      total: number of images of all batches; needed only by scorers of sets.

    Raises:
      ValueError: there are no batches.
    """
    # One row's scores keep one core busy.
    with futures.ThreadPoolExecutor(_THREADS) as pool:
        gathered = _Gathered(task, scorers, total, pool)
        for batch in batches:
            gathered.add(make(batch), fitted, batch)
            progress(int(np.sum(batch["valid"])))
        return gathered.scores()


class _Gathered:
    """Values of the images scored so far, and the states of the scorers of sets."""

    def __init__(self, task, scorers, total, pool) -> None:
        self._task, self._pool = task, pool
        # Each compiles once for the whole split: the last batch is padded to full size.
        self._score, self._facts_of = jax.jit(task.score), jax.jit(task.facts)
        self._image_scorers = [s for s in scorers if isinstance(s, ImageScorer)]
        self._set_scorers = [s for s in scorers if isinstance(s, SetScorer)]
        self._columns: dict[str, dict[str, list]] = {}
        self._facts: dict[str, list] = {}
        self._total = total
        self._sets: dict[str, list] = {}
        # Distances are to the true pictures themselves: a task need not have a row of them.
        self._true_set = self._empty_sets()
        self._seen = 0

    def add(self, made, fitted, batch):
        """Scores one batch: each row's images, and the facts of the pairs."""
        valid = np.asarray(batch["valid"])
        # The place of each valid image in the whole set; that of padding is never read.
        places = self._seen + np.cumsum(valid) - 1
        self._true_set = self._extended(self._true_set, batch["target_image"], places, valid)
        rows = self._task.with_baselines(made, fitted, batch)
        images_of = self._task.images or (lambda candidate: None)
        pictures_of = {row: images_of(candidate) for row, candidate in rows.items()}
        # The first batch compiles what all further ones use: not in threads, where each row would.
        scored_all = self._pool.map if self._columns else map
        found = scored_all(lambda row: self._scored(rows[row], pictures_of[row], batch), list(rows))
        for (row, pictures), scored in zip(pictures_of.items(), found):
            columns = self._columns.setdefault(row, {name: [] for name in scored})
            for name, (value, counted) in scored.items():
                columns[name].append((value[valid].astype(np.float64), counted[valid]))
            # Every row has sets of its own, to be compared with that of the true pictures.
            if self._set_scorers:
                state = self._sets.get(row) or self._empty_sets()
                self._sets[row] = self._extended(state, pictures, places, valid)
        for name, value in jax.device_get(self._facts_of(batch)).items():
            self._facts.setdefault(name, []).append(value[valid].astype(np.float64))
        self._seen += int(np.sum(valid))

    def scores(self):
        """All scores, of all images in their order."""
        if not self._columns:
            raise ValueError("nothing to evaluate: there are no batches.")
        images = {
            row: {
                name: ImageScores(*map(np.concatenate, zip(*parts)))
                for name, parts in columns.items()
            }
            for row, columns in self._columns.items()
        }
        sets = {row: self._set_results(states) for row, states in self._sets.items()}
        facts = {name: np.concatenate(parts) for name, parts in self._facts.items()}
        return Scores(images, sets, facts)

    def _scored(self, candidate, pictures, batch):
        scored = dict(self._score(candidate, batch))
        for scorer in self._image_scorers:
            scored |= scorer.measure(pictures, batch)
        # One transfer for all scores of a row: each waits for the device.
        return jax.device_get(scored)

    def _empty_sets(self):
        return [scorer.start(self._total) for scorer in self._set_scorers]

    def _extended(self, states, pictures, places, valid):
        return [
            scorer.add(state, scorer.extract(pictures), places, valid)
            for scorer, state in zip(self._set_scorers, states)
        ]

    def _set_results(self, states):
        return {
            name: value
            for scorer, state, true_state in zip(self._set_scorers, states, self._true_set)
            for name, value in scorer.result(state, true_state).items()
        }


def best_and_worst(scores: ImageScores, better: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The indices of the best and of the worst images by a score, the most extreme first.

    Args:
      scores: the score of every image; images that do not count are in neither list.
      better: "higher" or "lower".
      count: how many indices of each to return, at most.
    """
    counted = np.flatnonzero(scores.counted)
    worth = scores.values[counted] * (1 if better == "higher" else -1)
    # A score that is NaN comes from a picture that is broken: worst of all, and to be looked at.
    # A stable sort, so that galleries are the same wherever scores are equal.
    order = counted[np.argsort(np.nan_to_num(worth, nan=-np.inf), kind="stable")]
    return order[::-1][:count], order[:count]
