"""The choice of the next question: pairs by their possible change, items that few have seen."""

import numpy as np

from volsynth.study import pairs, questions

NONE = np.zeros(4, int)


def _draws(counts, own=NONE, everyone=NONE, times=400):
    rng = np.random.default_rng(0)
    return [questions.draw(counts, own, everyone, rng) for _ in range(times)]


def test_the_pair_is_one_whose_decision_can_change_most():
    counts = np.array([[0, 2, 5], [1, 0, 3], [5, 3, 0]])
    change = pairs.possible_change(counts)
    assert change[0, 1] == change.max()
    assert {frozenset(draw[1:]) for draw in _draws(counts)} == {frozenset((0, 1))}


def test_sides_are_drawn():
    draws = _draws(np.array([[0, 1], [1, 0]]))
    assert abs(np.mean([draw.left for draw in draws]) - 0.5) < 0.1


def test_items_are_those_seen_least_by_this_judge_and_then_by_all():
    own, everyone = np.array([1, 0, 0, 0]), np.array([1, 7, 3, 3])
    items = [draw.item for draw in _draws(1 - np.eye(3), own, everyone)]
    assert set(items) == {2, 3}
    assert abs(np.mean(items) - 2.5) < 0.1


def test_every_choice_has_its_score():
    assert questions.CHOICES == {"left": 1.0, "tie": 0.5, "right": 0.0}
