"""Fréchet distances against scipy and closed forms, and the states of features."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg

from volsynth import metrics
from volsynth.errors import UserError
from volsynth.metrics import FeatureState, fid


def _features(seed, count=60, size=7, shift=0.0):
    """Rows with dependent columns, float32, far from zero: sums of squares would cancel."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, size)) @ rng.normal(size=(size, size))
    return np.float32(rows + 30 + shift)


def _state(rows, size=64):
    """The state after batches of `size`, the last one padded with NaN."""
    state = FeatureState.empty(rows.shape[1])
    for begin in range(0, len(rows), size):
        batch = rows[begin : begin + size]
        valid = np.arange(size) < len(batch)
        padding = np.full((size - len(batch), rows.shape[1]), np.nan, np.float32)
        state = state.update(jnp.asarray(np.concatenate([batch, padding])), jnp.asarray(valid))
    return state


# --- Fréchet distances ---------------------------------------------------------------------------


def _slow_frechet(a, b):
    """The distance by numpy's covariances and scipy's root of their non-symmetric product."""
    a, b = (np.asarray(rows, np.float64) for rows in (a, b))
    s, t = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(s @ t)
    step = a.mean(0) - b.mean(0)
    return step @ step + np.trace(s + t - 2 * np.real(root))


@pytest.mark.parametrize(("counts", "size"), [((60, 60), 7), ((40, 90), 25), ((30, 31), 3)])
def test_frechet_equals_the_root_of_scipy(counts, size):
    a, b = _features(0, counts[0], size), _features(1, counts[1], size, shift=0.5)
    wanted = _slow_frechet(a, b)
    assert wanted > 1
    assert metrics.frechet(_state(a), _state(b)) == pytest.approx(wanted, rel=1e-8)


def test_frechet_of_two_gaussians_in_one_dimension():
    rows = {name: np.float32([[m - s], [m + s]]) for name, m, s in (("a", 1, 2), ("b", 4, 7))}
    a, b = (_state(rows[name]) for name in "ab")
    # (mean - mean)^2 + (deviation - deviation)^2: values at m - s and m + s have variance 2 s^2.
    assert metrics.frechet(a, b) == pytest.approx(3**2 + 2 * 5**2, rel=1e-12)


def test_frechet_of_independent_features_is_a_sum_over_them():
    rows = np.float32(
        [[3, 0, 0], [-3, 0, 0], [0, 2, 0], [0, -2, 0], [0, 0, 5], [0, 0, -5], [0, 0, 0]]
    )
    deviation = np.array([3.0, 2.0, 5.0]) * np.sqrt(2 / 6)
    scale, shift = np.float32([2, 3, 0.5]), np.float32([1, 0, -4])
    wanted = 17 + np.sum((deviation * (scale - 1)) ** 2)
    got = metrics.frechet(_state(rows), _state(rows * scale + shift))
    assert got == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("count", [5, 200])
def test_a_set_has_no_distance_from_itself(count):
    """Also where the covariances are singular, so that a root is one of rounding."""
    rows = _features(2, count, 40)
    spread = np.trace(np.cov(rows, rowvar=False))
    got = metrics.frechet(_state(rows), _state(rows[::-1], 3))
    assert 0 <= got < 1e-12 * spread


def test_frechet_is_symmetric():
    a, b = _state(_features(0, 20, 30)), _state(_features(1, 25, 30))
    assert metrics.frechet(a, b) == pytest.approx(metrics.frechet(b, a), rel=1e-10)


def test_fewer_images_than_features_give_what_their_own_span_gives():
    """The product is small in the span of all images, its root is known; no more is computed."""
    a, b = (np.float64(_features(seed, 12, 50)) for seed in (3, 4))
    shared = linalg.svdvals((a - a.mean(0)) @ (b - b.mean(0)).T / 11).sum()
    step = a.mean(0) - b.mean(0)
    wanted = step @ step + a.var(0, ddof=1).sum() + b.var(0, ddof=1).sum() - 2 * shared
    assert metrics.frechet(_state(a), _state(b)) == pytest.approx(wanted, rel=1e-11)
    assert fid._root(_state(a)).shape == (50, 11)


def test_a_feature_that_is_not_finite_makes_the_distance_nan():
    good = _features(0, 5)
    for value in (np.nan, np.inf):
        bad = good.copy()
        bad[2, 3] = value
        state = _state(bad)
        assert np.isnan(metrics.frechet(_state(good), state))
        assert np.isnan(metrics.frechet(state, _state(good)))


# --- states of features --------------------------------------------------------------------------


def test_a_state_is_numpys_mean_and_covariance():
    rows = _features(5, 33)
    state = _state(rows, 8)
    assert (state.count, state.mean.dtype, state.scatter.dtype) == (33, np.float64, np.float64)
    exact = np.float64(rows)
    np.testing.assert_allclose(state.mean, exact.mean(0), rtol=1e-12)
    np.testing.assert_allclose(state.scatter / 32, np.cov(exact, rowvar=False), rtol=1e-10)


@pytest.mark.parametrize("shape", [(60, 7), (25, 60)])
def test_the_distance_does_not_depend_on_batches_and_padding(shape):
    a, b = _features(0, *shape), _features(1, *shape)
    wanted = metrics.frechet(_state(a), _state(b))
    for size in (1, 7, 16, 100):
        assert metrics.frechet(_state(a, size), _state(b, size)) == pytest.approx(wanted, rel=1e-9)


def test_far_from_zero_nothing_is_lost():
    a, b = _features(0, 50), _features(1, 50)
    wanted = metrics.frechet(_state(a), _state(b))
    moved = [FeatureState.empty(7).update(np.float64(x) + 1e6, np.ones(50, bool)) for x in (a, b)]
    assert metrics.frechet(*moved) == pytest.approx(wanted, rel=1e-7)


def test_merging_parts_equals_the_whole_in_either_order():
    rows = _features(6, 41)
    whole = _state(rows)
    a, b, c = (_state(part, 5) for part in (rows[:17], rows[17:18], rows[18:]))
    for merged in (a.merge(b).merge(c), a.merge(b.merge(c)), c.merge(a).merge(b)):
        assert merged.count == 41
        np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12)
        np.testing.assert_allclose(merged.scatter, whole.scatter, rtol=1e-9)


def test_an_empty_state_is_neutral_and_others_are_not_changed():
    state, empty = _state(_features(7, 9)), FeatureState.empty(7)
    before = state.scatter.copy()
    for merged in (
        state.merge(empty),
        empty.merge(state),
        state.update(jnp.full((2, 7), jnp.nan), jnp.zeros(2, bool)),
    ):
        assert merged.count == 9
        np.testing.assert_array_equal(merged.scatter, before)
    state.merge(state)
    np.testing.assert_array_equal(state.scatter, before)
    assert empty.merge(empty).count == 0


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_features_of_half_precision_are_summed_in_float64(dtype):
    rows = jnp.asarray(_features(8, 20)).astype(dtype)
    state = FeatureState.empty(7).update(rows, jnp.ones(20, bool))
    np.testing.assert_allclose(state.mean, np.asarray(rows, np.float64).mean(0), rtol=1e-12)


def test_sets_too_small_for_a_distance():
    one, two = _state(_features(0, 1)), _state(_features(0, 2))
    assert metrics.frechet(two, two) == pytest.approx(0, abs=1e-9)
    for a, b in ((one, two), (two, one)):
        with pytest.raises(
            UserError, match=rf"at least 2 images in each set, got {a.count} and {b.count}\."
        ):
            metrics.frechet(a, b)


@pytest.mark.usefixtures("_unchecked")
def test_features_that_do_not_fit():
    state, other = _state(_features(0)), _state(_features(0, size=8))
    with pytest.raises(ValueError, match=r"frechet: both sets .* number of features, got 7 and 8"):
        metrics.frechet(state, other)
    with pytest.raises(ValueError, match=r"merge: both must have the same number .* got 8 and 7"):
        other.merge(state)
    for features, valid in (((4, 8), (4,)), ((4, 7), (5,)), ((4,), (4,)), ((1, 7), (1, 1))):
        with pytest.raises(ValueError, match=r"features must have shape \[B, 7\] and valid \[B\]"):
            state.update(np.zeros(features), np.ones(valid, bool))
