"""Inception scores against loops and known sets, and the states of classes."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from volsynth.errors import UserError
from volsynth.metrics import ClassState, inception_score


def _probabilities(seed, count=43, classes=6):
    draws = np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), count)
    return np.float32(draws)


def _slow_score(probabilities, splits):
    scores = []
    for k in range(splits):
        begin = k * len(probabilities) // splits
        part = np.float64(probabilities[begin : (k + 1) * len(probabilities) // splits])
        scores.append(np.exp(np.mean([stats.entropy(row, part.mean(0)) for row in part])))
    return np.mean(scores), np.std(scores)


def _classes(probabilities, size, splits, order=None):
    """The state after batches of `size`, in any order, the last one padded with NaN."""
    count, classes = probabilities.shape
    order = np.arange(count) if order is None else order
    state = ClassState.empty(count, classes, splits)
    for begin in range(0, len(order), size):
        place = order[begin : begin + size]
        short = size - len(place)
        rows = np.concatenate([probabilities[place], np.full((short, classes), np.nan, np.float32)])
        valid = np.arange(size) < len(place)
        padded = np.concatenate([place, np.full(short, -1)])
        state = state.update(jnp.asarray(rows), jnp.asarray(padded), jnp.asarray(valid))
    return state


def _score(probabilities, splits=inception_score.SPLITS):
    """The score of images in their order, all in one batch."""
    count, classes = probabilities.shape
    state = ClassState.empty(count, classes, splits)
    return state.update(probabilities, np.arange(count), np.ones(count, bool)).result()


@pytest.mark.parametrize("splits", [1, 3, 10, 43])
def test_the_score_equals_that_of_loops(splits):
    probabilities = _probabilities(0)
    wanted = _slow_score(probabilities, splits)
    got = _score(jnp.asarray(probabilities), splits)
    np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-11)
    assert splits == 43 or got[0] > 1.5


def test_the_usual_number_of_splits_is_ten():
    probabilities = _probabilities(1)
    assert _score(probabilities) == _score(probabilities, 10)
    assert _score(probabilities) != _score(probabilities, 9)


def test_equal_classes_score_one_and_certain_ones_their_number():
    score = _score(np.full((30, 8), 0.125), 3)
    np.testing.assert_allclose(score, (1, 0), atol=1e-12)
    # Within a split every class is as frequent: the score is how many there are.
    score = _score(np.tile(np.eye(5), (6, 1)), 3)
    np.testing.assert_allclose(score, (5, 0), atol=1e-12)
    # One class in the first half, two in the second: (1 + 2) / 2, and half their difference.
    rows = np.eye(3)[[0, 0, 0, 0, 1, 2, 1, 2]]
    np.testing.assert_allclose(_score(rows, 2), (1.5, 0.5), atol=1e-12)


def test_the_score_does_not_depend_on_batches_padding_and_their_order():
    probabilities = _probabilities(2)
    wanted = _score(probabilities)
    shuffled = np.random.default_rng(0).permutation(43)
    for size in (1, 8, 43, 64):
        for order in (None, shuffled):
            got = _classes(probabilities, size, 10, order).result()
            np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_a_nan_of_a_valid_row_is_not_hidden():
    probabilities = _probabilities(4)
    probabilities[12] = np.nan
    assert np.isnan(_score(probabilities)).all()


def test_every_image_is_seen_once():
    probabilities = _probabilities(5, 4)
    part = _classes(probabilities, 3, 2, np.arange(3))
    with pytest.raises(ValueError, match=r"seen once; .* \[2, 2\] images, seen were \[2, 1\]\."):
        part.result()
    twice = part.update(probabilities[:3], np.arange(3), np.ones(3, bool))
    with pytest.raises(ValueError, match=r"seen once; .* seen were \[4, 2\]\."):
        twice.result()


@pytest.mark.parametrize(("count", "splits"), [(9, 10), (0, 1), (5, 0), (5, -1)])
def test_splits_without_images(count, splits):
    with pytest.raises(UserError, match=rf"of {splits} splits needs .* got {count} images\. Take"):
        _score(np.full((count, 2), 0.5), splits)


def test_what_are_no_probabilities():
    state = ClassState.empty(4, 2, 1)
    place, valid = np.arange(2), np.ones(2, bool)
    for row in ([0.5, 0.6], [1.5, -0.5], [0.0, 0.0]):
        with pytest.raises(ValueError, match=r"at least 0 and add up to 1; are these logits\?"):
            state.update(np.float32([[1, 0], row]), place, valid)
    for outside in (-1, 4):
        with pytest.raises(ValueError, match=rf"a place is from 0 to 3, got {outside}\."):
            state.update(np.full((2, 2), 0.5), np.array([0, outside]), valid)


@pytest.mark.usefixtures("_unchecked")
def test_classes_that_do_not_fit():
    state = ClassState.empty(4, 3, 2)
    place, valid = np.arange(2), np.ones(2, bool)
    for shape, mask in (((2, 4), valid), ((3, 3), valid), ((2, 3), valid[None])):
        with pytest.raises(ValueError, match=r"probabilities must have shape \[B, 3\] and valid"):
            state.update(np.full(shape, 1 / 3), place, mask)
    with pytest.raises(ValueError, match=r"place must have shape \(2,\), got \(3,\)\."):
        state.update(np.full((2, 3), 1 / 3), np.arange(3), valid)
