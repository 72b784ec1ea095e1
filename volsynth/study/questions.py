"""The next question to a judge: in which task, about which item, and between which methods."""

from typing import NamedTuple

import numpy as np

from volsynth.study import pairs

TASKS = ("realistic image", "same person", "correct pose")
"""The tasks, in the order in which every judge does them (Knoche 2019, section 5.4)."""

CHOICES = {"left": 1.0, "tie": 0.5, "right": 0.0}
"""The answers that a judge can give, and the score of the left picture that each means."""

# The lowest error of a judge's own ratings after a few hundred games (docs/study.md).
RULE = "largest"
"""The rule by which the page chooses pairs; see `volsynth.study.pairs.select`."""


class Draw(NamedTuple):
    """A question that was drawn.

    Attributes:
      item: Number of the item.
      left: Number of the method whose picture stands on the left.
      right: Number of the method whose picture stands on the right.
    """

    item: int
    left: int
    right: int


def draw(
    counts: np.ndarray, own: np.ndarray, everyone: np.ndarray, rng: np.random.Generator
) -> Draw:
    """Draws the next question of a task.

    The methods are a pair whose decision can change this judge's ratings most. The item is one that
    this judge has seen least, and among those one that all judges together have seen least, so that
    together they cover many.

    Args:
      counts: points of this judge in this task, [M, M]; see `volsynth.study.ratings.count`.
      own: how often this judge was asked about each item in this task, int [N].
      everyone: how often all judges together were, int [N].
      rng: draws among equals, and which picture stands on the left.
    """
    first, second = (int(number) for number in pairs.select(counts, RULE, rng))
    # The last key of `lexsort` counts first; the random one only breaks ties.
    rank = np.lexsort((rng.random(len(own)), everyone, own))
    # Some people prefer a side: drawn, that is the same for all methods.
    left, right = (first, second) if rng.random() < 0.5 else (second, first)
    return Draw(int(rank[0]), left, right)
