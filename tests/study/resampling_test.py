"""Intervals: closed forms, coverage, and where there is none."""

import numpy as np
import pytest
from scipy import special, stats

from volsynth.errors import UserError
from volsynth.study import coverage, ratings, resampling
from volsynth.study.ratings import Game

NAMES = ("Anna", "Bert", "Carl", "Dora")


def _games(counts):
    """Games with these whole counts, all wins."""
    return [
        Game(NAMES[i], NAMES[j], 1.0)
        for i, row in enumerate(counts)
        for j, wins in enumerate(row)
        for _ in range(int(wins))
    ]


def test_intervals_over_games_are_those_of_the_binomial_for_two_models():
    games = _games([[0, 140], [60, 0]])
    found = resampling.over_games(games, NAMES[:2], resamples=4000)
    assert found.left_out == 0
    # Half the logit, whose standard error is 1 / sqrt(n p (1 - p)).
    half = stats.t.ppf(0.975, 199) / np.sqrt(200 * 0.7 * 0.3) / 2
    middle = special.logit(0.7) / 2
    assert found.low[0] == pytest.approx(middle - half, abs=0.01)
    assert found.high[0] == pytest.approx(middle + half, abs=0.01)
    np.testing.assert_allclose(found.low, -found.high[::-1])


def test_intervals_over_judges_are_students_of_their_mean():
    """Judges who hardly differ, each with many games: ratings are nearly the mean of theirs."""
    won = np.array([5020, 5050, 4960, 5010])
    counts = np.zeros((4, 2, 2))
    counts[:, 0, 1], counts[:, 1, 0] = won, 10_000 - won
    found = resampling.over_judges(counts, NAMES[:2], resamples=8000)
    single = ratings.fit(counts)[:, 0]
    half = stats.t.ppf(0.975, 3) * single.std(ddof=1) / 2
    assert found.low[0] == pytest.approx(single.mean() - half, rel=0.05)
    assert found.high[0] == pytest.approx(single.mean() + half, rel=0.05)


def test_intervals_are_repeatable_and_grow_with_the_level():
    games = _games(4 * (1 - np.eye(4)) + np.triu(np.full((4, 4), 3), 1))
    narrow, again, wide, other = (
        resampling.over_games(games, NAMES, resamples=50, level=level, seed=seed)
        for level, seed in ((0.5, 0), (0.5, 0), (0.95, 0), (0.5, 1))
    )
    np.testing.assert_array_equal(narrow.low, again.low)
    assert np.all(narrow.low != other.low)
    assert np.all(wide.low < narrow.low)
    assert np.all(narrow.high < wide.high)
    middle = ratings.fit(ratings.count(games, NAMES))
    np.testing.assert_allclose((wide.low + wide.high) / 2, middle)


@pytest.mark.parametrize(("judges", "spread"), [(1, 0.5), (2, 0.5), (3, 1.0)])
def test_intervals_hold_the_truth_as_often_as_they_say(judges, spread):
    """Quantiles of resamples of few judges hold the truth in half to two thirds of the cases."""
    found = coverage._case(judges, 24, spread, 0.1, 40, 3, 60, seed=7)
    assert 0.9 < found["covered"] <= 1
    assert found["given"] > 0.97


def test_one_prior_is_that_of_the_ratings_and_of_all_resamples():
    # Anna won every game but ties; no resample would be finite without.
    games = [Game("Anna", "Bert", 1.0)] * 6 + [Game("Anna", "Bert", 0.5)] * 2
    found = resampling.over_games(games, NAMES[:2], prior=0.4, resamples=4000)
    rating = special.logit((7 + 0.2) / 8.4) / 2
    assert (found.low[0] + found.high[0]) / 2 == pytest.approx(rating)
    ties = np.arange(9)
    each = special.logit((8 - ties / 2 + 0.2) / 8.4) / 2
    chance = stats.binom.pmf(ties, 8, 0.25)
    error = np.sqrt(chance @ (each - chance @ each) ** 2 * 8 / 7)
    half = stats.t.ppf(0.975, 7) * error
    assert found.high[0] - rating == pytest.approx(half, rel=0.05)
    assert found.left_out == 0


def test_resamples_that_cannot_be_rated_are_counted():
    games = _games([[0, 6], [3, 0]])
    found = resampling.over_games(games, NAMES[:2], resamples=4000)
    # All of one kind: (6/9)^9 and (3/9)^9.
    assert found.left_out / 4000 == pytest.approx((2 / 3) ** 9 + (1 / 3) ** 9, abs=0.01)
    assert found.low[0] < found.high[0]
    assert resampling.over_games(games, NAMES[:2], resamples=100, prior=1).left_out == 0


def test_where_many_cannot_be_rated_there_is_no_interval():
    # A chain of three games: only resamples with each of them have ratings, and those are alike.
    games = _games(np.eye(4, k=1))
    found = resampling.over_games(games, NAMES, resamples=900, prior=0.1)
    assert found.left_out / 900 == pytest.approx(1 - 6 / 27, abs=0.05)
    assert np.all(np.isnan([found.low, found.high]))
    # Nor where those that are left differ: they are a choice.
    found = resampling.over_games(_games([[0, 2], [1, 0]]), NAMES[:2], resamples=900)
    assert found.left_out / 900 == pytest.approx(9 / 27, abs=0.06)
    assert np.all(np.isnan([found.low, found.high]))


def test_where_resamples_do_not_differ_there_is_no_interval():
    games = _games([[0, 0, 9], [0, 0, 0], [0, 0, 0]])
    found = resampling.over_games(games, ["Anna", "Carl"], resamples=20, prior=0.1)
    assert np.all(np.isnan([found.low, found.high]))
    assert found.left_out == 0
    counts = np.stack([ratings.count(_games([[0, 6], [3, 0]]), NAMES[:2])] * 3)
    found = resampling.over_judges(counts, NAMES[:2], resamples=20)
    assert np.all(np.isnan([found.low, found.high]))
    # Of a single game there is no spread at all.
    found = resampling.over_games([Game("Anna", "Bert", 0.5)], NAMES[:2], resamples=20)
    assert np.all(np.isnan([found.low, found.high]))


def test_bad_arguments_are_errors():
    games = _games([[0, 1], [1, 0]])
    counts = ratings.count(games, NAMES[:2])
    for level in (0, 1, -0.1):
        with pytest.raises(UserError, match=f"between 0 and 1, got {level}"):
            resampling.over_games(games, NAMES[:2], level=level)
        with pytest.raises(UserError, match=f"between 0 and 1, got {level}"):
            resampling.over_judges(np.stack([counts] * 2), NAMES[:2], level=level)
    with pytest.raises(UserError, match="Resamples must be at least 1, got 0"):
        resampling.over_games(games, NAMES[:2], resamples=0)
    with pytest.raises(UserError, match="There are no games"):
        resampling.over_games([], NAMES)
    with pytest.raises(UserError, match="Anna took every point in games with Bert"):
        resampling.over_games(games[:1], NAMES[:2])
    with pytest.raises(UserError, match="Intervals over judges need two or more, got 1"):
        resampling.over_judges(counts[None], NAMES[:2])
