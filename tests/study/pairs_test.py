"""The possible change against the equation in fractions, and how often each pair is drawn."""

from fractions import Fraction

import numpy as np
import pytest

from volsynth.errors import UserError
from volsynth.study import pairs

COUNTS = np.array([[0, 3, 0.5], [1, 0, 2], [0.5, 7, 0]])
PLACES = [(0, 1), (0, 2), (1, 2)]


def _change(won, lost):
    """The larger of the two directions of equation 5.18."""
    won, lost = Fraction(won), Fraction(lost)
    games = won + lost
    return max(
        (won + 1) / (games + 1) - won / games,
        (lost + 1) / (games + 1) - lost / games,
    )


def _draw(counts, rule, times, seed=0):
    rng = np.random.default_rng(seed)
    drawn = [pairs.select(counts, rule, rng) for _ in range(times)]
    return [(int(i), int(j)) for i, j in drawn]


def test_the_possible_change_is_the_equation():
    change = pairs.possible_change(COUNTS)
    for i, j in PLACES:
        assert change[i, j] == pytest.approx(float(_change(COUNTS[i, j], COUNTS[j, i])))
    np.testing.assert_array_equal(change, change.T)
    np.testing.assert_array_equal(np.diagonal(change), 0)
    stacked = np.stack([COUNTS, COUNTS.T])
    np.testing.assert_array_equal(pairs.possible_change(stacked), [change, change])


def test_a_pair_never_played_can_change_most():
    change = pairs.possible_change(np.array([[0, 0, 1], [0, 0, 0.5], [0, 0.5, 0]]))
    assert change[0, 1] == pairs.UNPLAYED
    assert change[0, 2] == 0.5
    assert change[1, 2] == 0.25


def test_uniform_selection_draws_all_pairs_alike():
    drawn = _draw(COUNTS, "uniform", 3000)
    for place in PLACES:
        assert drawn.count(place) / 3000 == pytest.approx(1 / 3, abs=0.03)


def test_weighted_selection_draws_in_proportion_to_the_change():
    drawn = _draw(COUNTS, "weighted", 3000)
    changes = [float(_change(COUNTS[i, j], COUNTS[j, i])) for i, j in PLACES]
    for place, change in zip(PLACES, changes):
        assert drawn.count(place) / 3000 == pytest.approx(change / sum(changes), abs=0.03)


def test_the_largest_change_is_always_taken():
    assert set(_draw(COUNTS, "largest", 20)) == {(0, 2)}


def test_among_equally_large_changes_one_is_drawn():
    # Lopsided after three games is as open as even after two: both are 1/6.
    counts = np.array([[0, 2, 1], [1, 0, 9], [1, 9, 0]])
    assert _change(2, 1) == _change(1, 1)
    drawn = _draw(counts, "largest", 1000)
    assert drawn.count((0, 1)) / 1000 == pytest.approx(0.5, abs=0.06)
    assert drawn.count((0, 2)) == 1000 - drawn.count((0, 1))


def test_the_largest_change_plays_every_pair_once_before_any_twice():
    rng = np.random.default_rng(0)
    counts = np.zeros((8, 8))
    for _ in range(28):
        i, j = pairs.select(counts, "largest", rng)
        assert counts[i, j] + counts[j, i] == 0
        counts[i, j] += 1


@pytest.mark.parametrize("rule", pairs.RULES)
def test_selection_is_a_function_of_the_seed(rule):
    # All alike, so that there is something to draw.
    counts = 1 - np.eye(8)
    first = _draw(counts, rule, 20)
    assert first == _draw(counts, rule, 20)
    assert first != _draw(counts, rule, 20, seed=1)
    assert all(0 <= i < j < 8 for i, j in first)


@pytest.mark.parametrize("rule", pairs.RULES)
def test_many_studies_at_once_follow_each_its_own_counts(rule):
    """Each of the two studies has but one pair that is still open."""
    counts = np.full((2, 3, 3), 1e9) * (1 - np.eye(3))
    counts[0, 0, 2] = counts[0, 2, 0] = counts[1, 1, 2] = counts[1, 2, 1] = 0
    first, second = pairs.select(counts, rule, np.random.default_rng(0))
    assert first.shape == second.shape == (2,)
    if rule != "uniform":
        assert list(zip(first, second)) == [(0, 2), (1, 2)]


@pytest.mark.parametrize("rule", pairs.RULES)
def test_two_models_always_play_each_other(rule):
    assert set(_draw(np.zeros((2, 2)), rule, 5)) == {(0, 1)}


def test_bad_arguments_are_errors():
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match="'largst': did you mean 'largest'"):
        pairs.select(COUNTS, "largst", rng)
    with pytest.raises(UserError, match="A game needs two models, got 1"):
        pairs.select(np.zeros((1, 1)), "uniform", rng)
