"""The bootstrap over persons: coverage, clusters, pairs of draws, edges."""

import numpy as np
import pytest
import scipy.stats

from volsynth.metrics.intervals import PersonDraws


def test_one_picture_of_each_person_gives_scipys_interval():
    values = np.random.default_rng(0).gamma(2.0, size=60)
    low, high = PersonDraws([str(i) for i in range(60)], samples=20_000).interval(
        values, np.ones(60, bool)
    )
    found = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    np.testing.assert_allclose([low, high], found, atol=0.02)


def test_intervals_hold_the_true_mean_as_often_as_they_say():
    """Persons differ, and pictures of a person by less: pictures alone would say far too little."""
    rng = np.random.default_rng(0)
    persons = [str(i // 8) for i in range(320)]
    held, narrow = 0, 0
    for trial in range(200):
        values = np.repeat(rng.normal(size=40), 8) + 0.2 * rng.normal(size=320)
        counted = np.ones(320, bool)
        low, high = PersonDraws(persons, samples=400, seed=trial).interval(values, counted)
        held += low < 0 < high
        own = PersonDraws([str(i) for i in range(320)], samples=400, seed=trial)
        low, high = own.interval(values, counted)
        narrow += low < 0 < high
    assert 0.89 < held / 200 < 0.98
    assert narrow / 200 < 0.7


def test_persons_weigh_by_their_pictures_and_what_does_not_count_does_not():
    persons = ["a", "a", "a", "b"]
    values = np.array([1.0, 1.0, np.nan, 5.0])
    counted = np.array([True, True, False, True])
    means = PersonDraws(persons, samples=500).means(values, counted)
    # Twice a, twice b, or one of each: (1 + 1 + 5) / 3.
    assert set(np.round(means, 6)) == {1.0, 5.0, round(7 / 3, 6)}
    without = PersonDraws(persons, samples=500).means(values, np.array([1, 1, 0, 0], bool))
    # Persons of whom nothing counts can be all that was drawn.
    assert set(np.unique(without[~np.isnan(without)])) == {1.0}
    assert np.any(np.isnan(without))


def test_draws_are_the_same_for_every_score_and_seed():
    persons = [str(i // 3) for i in range(27)]
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 27))
    counted = np.ones(27, bool)
    drawn, again = PersonDraws(persons), PersonDraws(persons)
    np.testing.assert_array_equal(drawn.means(a, counted), again.means(a, counted))
    np.testing.assert_allclose(
        drawn.means(a, counted) - drawn.means(b, counted), drawn.means(a - b, counted), atol=1e-12
    )
    assert np.any(PersonDraws(persons, seed=1).means(a, counted) != drawn.means(a, counted))


def test_what_cannot_be_said_is_none():
    one = np.ones(1, bool)
    assert PersonDraws(["a"]).interval(np.ones(1), one) is None
    assert PersonDraws(["a", "b"]).interval(np.array([1.0, np.nan]), np.ones(2, bool)) is None
    assert PersonDraws(["a", "b"]).interval(np.ones(2), np.zeros(2, bool)) is None
    assert PersonDraws(["a", "b"]).interval(np.array([1.0, np.inf]), np.ones(2, bool)) is None
    assert PersonDraws(["a", "b"]).interval(np.ones(2), np.ones(2, bool)) == (1.0, 1.0)
    # Of one person alone something is known: that is no interval of width 0.
    many = PersonDraws(["a", "a", "b", "c"])
    assert many.interval(np.ones(4), np.array([1, 1, 0, 0], bool)) is None
    assert many.interval(np.ones(4), np.array([1, 0, 1, 0], bool)) == (1.0, 1.0)


@pytest.mark.usefixtures("_unchecked")
def test_values_of_other_pictures():
    with pytest.raises(ValueError, match=r"must have shape \(2,\), got \(3,\) and \(3,\)"):
        PersonDraws(["a", "b"]).means(np.ones(3), np.ones(3, bool))
