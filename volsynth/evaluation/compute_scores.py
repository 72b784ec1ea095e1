"""Scores of every image of a split, beside baselines, and galleries to look at.

What is scored, and how, is the task's (`volsynth.tasks`) and the instruments'
(`volsynth.evaluation.scorers`). Values are kept image by image: means, intervals and orders are
then of NumPy's float64, and depend neither on the size of a batch nor on its padding.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import numpy as np
from jaxtyping import Bool, Float64

from volsynth.evaluation.scorers import Instrument, SetInstrument
from volsynth.metrics import intervals
from volsynth.system import Batch
from volsynth.tasks import Task
from volsynth.tasks.base import PredictFn


@dataclasses.dataclass(frozen=True)
class Values:
    """A score of every image.

    Attributes:
      value: one for each.
      counted: which of them have that score; the others' values mean nothing.
    """

    value: Float64[np.ndarray, "N"]
    counted: Bool[np.ndarray, "N"]

    @property
    def mean(self) -> float:
        """Of those that count; NaN where there are none, as any number would pass for a score."""
        return float(np.mean(self.value[self.counted])) if np.any(self.counted) else float("nan")


@dataclasses.dataclass(frozen=True)
class Scores:
    """All scores of what a system made, and of baselines.

    Attributes:
      images: {row: {score: of every image}}; rows are the system's own and the baselines.
      sets: {row: {score: of all images as a set}}.
      facts: {name: of every image}; see `Task.facts`.
    """

    images: Mapping[str, Mapping[str, Values]]
    sets: Mapping[str, Mapping[str, float]]
    facts: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def means(self) -> dict[str, dict[str, float]]:
        """{row: {score: its mean, or that of the set}}."""
        return {
            row: {**{name: v.mean for name, v in values.items()}, **self.sets.get(row, {})}
            for row, values in self.images.items()
        }

    def intervals(self, persons: Sequence[str]) -> dict[str, dict[str, list[float] | None]]:
        """{row: {score: [low, high], or None where it cannot be said}}; `persons` of each image."""
        drawn = intervals.Persons(persons)
        found = {}
        for row, values in self.images.items():
            pairs = {name: drawn.interval(v.value, v.counted) for name, v in values.items()}
            found[row] = {name: list(pair) if pair else None for name, pair in pairs.items()}
        return found


def evaluate(
    task: Task,
    make: PredictFn,
    batches: Iterable[Batch],
    trained: np.ndarray,
    progress: Callable[[int], None] = lambda done: None,
    instruments: Sequence[Instrument | SetInstrument] = (),
    total: int = 0,
) -> Scores:
    """Scores what a system makes, and baselines, all in one pass.

    Args:
      task: what is scored.
      make: makes it.
      batches: with `valid`.
      trained: what the baselines need of the training split; see `Task.trained`.
      progress: called with the number of images scored in each batch.
      instruments: that look at the pictures, too; the task must make some.
      total: number of images there will be; only instruments of sets ask for it.

    Raises:
      ValueError: there are no batches.
    """
    score, facts_of = jax.jit(task.score), jax.jit(task.facts)
    of_images = [i for i in instruments if isinstance(i, Instrument)]
    of_sets = [i for i in instruments if isinstance(i, SetInstrument)]
    columns: dict[str, dict[str, list]] = {}
    states: dict[str, list] = {}
    facts: dict[str, list] = {}
    # The sets that others are compared with are of the true pictures, whatever rows there are.
    truth = [i.start(total) for i in of_sets]
    place = 0
    for batch in batches:
        valid = np.asarray(batch["valid"])
        places = place + np.cumsum(valid) - 1
        truth = _add(of_sets, truth, batch["target_image"], places, valid)
        for row, made in task.with_baselines(make(batch), trained, batch).items():
            scored = dict(score(made, batch))
            pictures = task.images(made) if task.images else None
            for instrument in of_images:
                scored |= instrument.measure(pictures, batch)
            if of_sets:
                before = states.get(row) or [i.start(total) for i in of_sets]
                states[row] = _add(of_sets, before, pictures, places, valid)
            kept = columns.setdefault(row, {name: [] for name in scored})
            for name, (value, counted) in jax.device_get(scored).items():
                kept[name].append((value[valid].astype(np.float64), counted[valid]))
        for name, value in jax.device_get(facts_of(batch)).items():
            facts.setdefault(name, []).append(value[valid].astype(np.float64))
        place += int(np.sum(valid))
        progress(int(np.sum(valid)))
    if not columns:
        raise ValueError("nothing to evaluate: there are no batches.")
    images = {
        row: {name: Values(*map(np.concatenate, zip(*parts))) for name, parts in named.items()}
        for row, named in columns.items()
    }
    sets = {
        row: {k: v for i, s, t in zip(of_sets, found, truth) for k, v in i.result(s, t).items()}
        for row, found in states.items()
    }
    return Scores(images, sets, {name: np.concatenate(parts) for name, parts in facts.items()})


def _add(instruments, states, pictures, places, valid):
    return [i.add(s, i.look(pictures), places, valid) for i, s in zip(instruments, states)]


def extremes(values: Values, better: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The places of the best and of the worst images by a score, the most extreme first.

    Args:
      values: of every image; those that do not count are in neither.
      better: "higher" or "lower".
      count: how many of each, at most.
    """
    counted = np.flatnonzero(values.counted)
    # What is not a number is worst of all.
    worth = values.value[counted] * (1 if better == "higher" else -1)
    order = counted[np.argsort(np.nan_to_num(worth, nan=-np.inf), kind="stable")]
    return order[::-1][:count], order[:count]
