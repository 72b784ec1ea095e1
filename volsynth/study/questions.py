"""What a judge is asked next: in which task, of which item, and which two methods' pictures."""

from typing import NamedTuple

import numpy as np

from volsynth.study import pairs

TASKS = ("realistic image", "same person", "correct pose")
"""In the order in which every judge has them (seed 000, section 5.4)."""

CHOICES = {"left": 1.0, "tie": 0.5, "right": 0.0}
"""What a judge can answer, and the score of the left picture that it means."""

RULE = "largest"
"""By which pairs are chosen: see `volsynth.study.pairs.select`."""


class Draw(NamedTuple):
    """Numbers of an item and of the two methods whose pictures stand left and right."""

    item: int
    left: int
    right: int


def draw(
    counts: np.ndarray, own: np.ndarray, everyone: np.ndarray, rng: np.random.Generator
) -> Draw:
    """The next question of a task.

    The methods are a pair whose decision can change this judge's ratings most. The item is one that
    this judge has seen least, among those one that all judges together have: so they cover many.

    Args:
      counts: of this judge in this task, [M, M]; see `volsynth.study.ratings.count`.
      own: how often this judge was asked about each item in this task, int [N].
      everyone: how often anyone was.
      rng: draws among equals, and which picture stands on the left.
    """
    first, second = (int(number) for number in pairs.select(counts, RULE, rng))
    rank = np.lexsort((rng.random(len(own)), everyone, own))
    left, right = (first, second) if rng.random() < 0.5 else (second, first)
    return Draw(int(rank[0]), left, right)
