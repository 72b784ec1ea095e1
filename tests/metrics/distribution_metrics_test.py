"""Fréchet distances against scipy and closed forms; Inception scores against loops; states."""

import inspect
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg, stats

from volsynth import metrics
from volsynth.errors import UserError
from volsynth.metrics import DISTRIBUTION_PROTOCOL, ClassState, FeatureState, fid
from volsynth.pretrained import feature_networks, inception


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
    """By numpy's covariances and scipy's root of their product, which is not symmetric."""
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
    """In the span of all images the product is small, its root is known; no more is computed."""
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


# --- Inception scores ----------------------------------------------------------------------------


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


@pytest.mark.parametrize("splits", [1, 3, 10, 43])
def test_the_score_equals_that_of_loops(splits):
    probabilities = _probabilities(0)
    wanted = _slow_score(probabilities, splits)
    got = metrics.inception_score(jnp.asarray(probabilities), splits)
    np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-11)
    assert splits == 43 or got[0] > 1.5


def test_the_usual_number_of_splits_is_ten():
    probabilities = _probabilities(1)
    assert metrics.inception_score(probabilities) == metrics.inception_score(probabilities, 10)
    assert metrics.inception_score(probabilities) != metrics.inception_score(probabilities, 9)


def test_equal_classes_score_one_and_certain_ones_their_number():
    score = metrics.inception_score(np.full((30, 8), 0.125), 3)
    np.testing.assert_allclose(score, (1, 0), atol=1e-12)
    # Within a split every class is as frequent: the score is how many there are.
    score = metrics.inception_score(np.tile(np.eye(5), (6, 1)), 3)
    np.testing.assert_allclose(score, (5, 0), atol=1e-12)
    # One class in the first half, two in the second: (1 + 2) / 2, and half their difference.
    rows = np.eye(3)[[0, 0, 0, 0, 1, 2, 1, 2]]
    np.testing.assert_allclose(metrics.inception_score(rows, 2), (1.5, 0.5), atol=1e-12)


def test_the_score_does_not_depend_on_batches_padding_and_their_order():
    probabilities = _probabilities(2)
    wanted = metrics.inception_score(probabilities)
    shuffled = np.random.default_rng(0).permutation(43)
    for size in (1, 8, 43, 64):
        for order in (None, shuffled):
            got = _classes(probabilities, size, 10, order).result()
            np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_merging_parts_of_a_set_equals_the_whole():
    probabilities, order = _probabilities(3), np.arange(43)
    wanted = metrics.inception_score(probabilities)
    for first in (order[:20], order[::2]):
        rest = np.setdiff1d(order, first)
        a, b = (_classes(probabilities, 8, 10, part) for part in (first, rest))
        empty = ClassState.empty(43, 6)
        for merged in (a.merge(b), b.merge(a), empty.merge(a).merge(b).merge(empty)):
            np.testing.assert_allclose(merged.result(), wanted, rtol=1e-12)


def test_a_nan_of_a_valid_row_is_not_hidden():
    probabilities = _probabilities(4)
    probabilities[12] = np.nan
    assert np.isnan(metrics.inception_score(probabilities)).all()


def test_every_image_is_seen_once():
    probabilities = _probabilities(5, 4)
    part = _classes(probabilities, 3, 2, np.arange(3))
    with pytest.raises(ValueError, match=r"seen once; .* \[2, 2\] images, seen were \[2, 1\]\."):
        part.result()
    with pytest.raises(ValueError, match=r"seen once; .* seen were \[4, 2\]\."):
        part.merge(part).result()


@pytest.mark.parametrize(("count", "splits"), [(9, 10), (0, 1), (5, 0), (5, -1)])
def test_splits_without_images(count, splits):
    with pytest.raises(UserError, match=rf"of {splits} splits needs .* got {count} images\. Take"):
        metrics.inception_score(np.full((count, 2), 0.5), splits)


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
    with pytest.raises(ValueError, match=r"probabilities must have shape \[N, C\], got \(4,\)\."):
        metrics.inception_score(np.full(4, 0.25))
    for other in ((5, 3, 2), (4, 2, 2), (4, 3, 1)):
        with pytest.raises(ValueError, match=r"same images, splits and classes, got \(4, 2, 3\)"):
            state.merge(ClassState.empty(*other))


# --- the built-in features, and the protocol -----------------------------------------------------


def test_built_in_outputs_are_those_of_the_deepest_layer():
    image = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (3, 16, 32, 3)), jnp.float32)
    got = metrics.builtin_outputs(image)
    layer = fid.BUILTIN_LAYER
    deep = feature_networks.load_features("", ["block1_conv1", layer])(image)[layer]
    assert deep.shape == (3, 1, 2, 512)
    np.testing.assert_allclose(got["pool"], (deep[:, 0, 0] + deep[:, 0, 1]) / 2, rtol=1e-6)
    odds = np.exp(got["pool"])
    np.testing.assert_allclose(
        got["probabilities"], odds / odds.sum(1, keepdims=True), rtol=1e-5, atol=1e-9
    )
    with pytest.raises(UserError, match=rf"8x16 pixels is too small for {layer}"):
        metrics.builtin_outputs(image[:, :8, :16])


def test_noise_is_farther_from_pictures_than_they_are_from_one_another():
    rng = np.random.default_rng(1)
    low = rng.uniform(-1, 1, (36, 2, 2, 3))
    pictures = np.repeat(np.repeat(low, 8, 1), 8, 2)
    noise = rng.uniform(-1, 1, (12, 16, 16, 3))
    pool = [
        np.asarray(metrics.builtin_outputs(jnp.asarray(x, jnp.float32))["pool"])
        for x in (pictures[:12], pictures[12:24], noise)
    ]
    first, second, other = map(_state, pool)
    near, far = metrics.frechet(first, second), metrics.frechet(first, other)
    assert 0 < 2 * near < far


def test_the_protocol_is_json_and_says_what_the_code_does(monkeypatch):
    assert json.loads(json.dumps(DISTRIBUTION_PROTOCOL)) == DISTRIBUTION_PROTOCOL
    assert set(DISTRIBUTION_PROTOCOL) == {
        *("all", "fid", "inception_score"),
        *("frechet_builtin", "diversity_builtin"),
    }
    seen = {}
    resize = jax.image.resize

    def noted(image, shape, method, **options):
        seen.update(options, size=list(shape[1:3]), filter=method)
        return resize(image, shape, method, **options)

    monkeypatch.setattr(jax.image, "resize", noted)
    inception.resize(jnp.zeros((1, 4, 4, 3)))
    for name in ("fid", "inception_score"):
        assert {"align_corners": False, **seen} == DISTRIBUTION_PROTOCOL[name]["resize"]
    default = inspect.signature(metrics.inception_score).parameters["splits"].default
    assert default == DISTRIBUTION_PROTOCOL["inception_score"]["splits"]
    for name in ("frechet_builtin", "diversity_builtin"):
        stated = DISTRIBUTION_PROTOCOL[name]
        assert stated["network"] == f"builtin-random-vgg19-{fid.BUILTIN_LAYER}"
        assert "Inception" not in json.dumps(stated)
