"""Losses against log-sigmoids in float64 and a search through every neighbour."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import oracles
from volsynth import losses

_nearest = jax.jit(losses.nearest_neighbour, static_argnums=2)
_nearest_gradient = jax.jit(jax.grad(losses.nearest_neighbour, argnums=(0, 1)), static_argnums=2)


def _features(seed, shape=(2, 6, 5, 3)):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# --- adversarial ---------------------------------------------------------------------------------


def _log_sigmoid(x):
    return -np.logaddexp(0, -np.asarray(x, np.float64))


def test_gan_losses_equal_their_formulas():
    real, fake = 4 * jnp.asarray(_features(0)), 4 * jnp.asarray(_features(1))
    wanted = -np.mean(_log_sigmoid(real)) - np.mean(_log_sigmoid(-np.asarray(fake)))
    np.testing.assert_allclose(losses.gan_discriminator(real, fake), wanted, rtol=1e-5)
    np.testing.assert_allclose(losses.gan_generator(fake), -np.mean(_log_sigmoid(fake)), rtol=1e-5)


@pytest.mark.parametrize("logit", [-1e4, -80.0, 0.0, 80.0, 1e4])
def test_extreme_logits_stay_finite_and_exact(logit):
    x = jnp.full((2, 3, 3), logit)
    close = {"rtol": 1e-5, "atol": 1e-37}
    np.testing.assert_allclose(losses.gan_generator(x), -_log_sigmoid(logit), **close)
    wanted = -_log_sigmoid(logit) - _log_sigmoid(-logit)
    np.testing.assert_allclose(losses.gan_discriminator(x, x), wanted, **close)
    slope = -np.exp(_log_sigmoid(-logit)) / x.size
    np.testing.assert_allclose(jax.grad(losses.gan_generator)(x), np.full(x.shape, slope), **close)
    for gradient in jax.grad(losses.gan_discriminator, argnums=(0, 1))(x, x):
        assert np.all(np.isfinite(gradient))


def test_the_players_pull_in_opposite_directions():
    logits = jnp.zeros((1, 2, 2))
    assert np.all(jax.grad(losses.gan_generator)(logits) < 0)
    of_real, of_fake = jax.grad(losses.gan_discriminator, argnums=(0, 1))(logits, logits)
    assert np.all(of_real < 0)
    assert np.all(of_fake > 0)


# --- differences ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_l1_is_the_mean_difference_in_float32(dtype):
    a, b = (jnp.asarray(_features(seed), dtype) for seed in (0, 1))
    got = losses.l1(a, b)
    assert got.dtype == jnp.float32
    wanted = np.mean(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)))
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_chroma_sees_colour_and_not_brightness():
    a, b = jnp.asarray(_features(0)), jnp.asarray(_features(1))
    pairs = ((0, 1), (1, 2), (2, 0))
    difference = np.asarray(a - b)
    wanted = np.mean([np.abs(difference[..., i] - difference[..., j]) for i, j in pairs])
    np.testing.assert_allclose(losses.chroma(a, b), wanted, rtol=1e-5)
    brighter = a + _features(2, (*a.shape[:3], 1))
    np.testing.assert_allclose(losses.chroma(a, brighter), 0, atol=1e-6)


@pytest.mark.parametrize("neighbourhood", [1, 3, 5, 9])
def test_nearest_neighbour_equals_a_full_search(neighbourhood):
    a, b = _features(0), _features(1)
    wanted = oracles.nearest_neighbour(a, b, neighbourhood)
    np.testing.assert_allclose(_nearest(a, b, neighbourhood), wanted, rtol=1e-5)


def test_the_border_never_is_the_nearest():
    """Features of about zero are closer to a padding of zeros than to anything in the image."""
    a, b = 1e-3 * _features(0), 50 + _features(1)
    wanted = oracles.nearest_neighbour(a, b, 5)
    assert wanted > 100
    np.testing.assert_allclose(_nearest(a, b, 5), wanted, rtol=1e-5)


def test_one_pixel_is_the_l1_distance_and_more_never_cost_more():
    a, b = jnp.asarray(_features(0)), jnp.asarray(_features(1))
    np.testing.assert_allclose(_nearest(a, b, 1), 3 * losses.l1(a, b), rtol=1e-5)
    values = [float(_nearest(a, b, n)) for n in (1, 3, 5, 9)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 1.2 * values[-1]


@pytest.mark.parametrize(("shift", "free"), [((1, 2), True), ((2, 2), True), ((3, 0), False)])
def test_a_picture_that_moved_within_the_neighbourhood_costs_nothing(shift, free):
    # In a frame of zeros, so that the border finds its likeness as well.
    a = np.pad(_features(0), ((0, 0), (4, 4), (4, 4), (0, 0)))
    value = float(_nearest(a, np.roll(a, shift, axis=(1, 2)), 5))
    assert (value == 0) == free


def _search(a, b, neighbourhood):
    """The same with every offset stored, for autodiff."""
    radius = neighbourhood // 2
    height, width = a.shape[1:3]
    padded = jnp.pad(b, ((0, 0), (radius,) * 2, (radius,) * 2, (0, 0)), constant_values=1e9)
    distances = [
        jnp.sum(jnp.abs(a - padded[:, i : i + height, j : j + width]), axis=-1)
        for i in range(neighbourhood)
        for j in range(neighbourhood)
    ]
    return jnp.mean(jnp.min(jnp.stack(distances), axis=0))


@pytest.mark.parametrize("neighbourhood", [1, 5])
def test_the_gradient_is_that_of_the_nearest(neighbourhood):
    a, b = _features(0), _features(1)
    gradient, of_target = _nearest_gradient(a, b, neighbourhood)
    wanted = jax.grad(_search)(jnp.asarray(a), jnp.asarray(b), neighbourhood)
    np.testing.assert_allclose(gradient, wanted, atol=1e-7)
    assert not np.any(of_target)  # The target is data.
    for seed in (2, 3):
        direction = _features(seed).astype(np.float64)
        up, down = (
            oracles.nearest_neighbour(a + t * direction, b, neighbourhood) for t in (1e-5, -1e-5)
        )
        np.testing.assert_allclose(np.vdot(gradient, direction), (up - down) / 2e-5, rtol=1e-3)


def test_memory_does_not_grow_with_the_neighbourhood():
    spec = jax.ShapeDtypeStruct((1, 64, 64, 8), jnp.float32)

    def temporary(neighbourhood):
        compiled = _nearest_gradient.lower(spec, spec, neighbourhood).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    # The padding grows a little; 25 times as many distances would not fit.
    assert temporary(15) < 2 * temporary(3)


def test_nearest_neighbour_is_computed_in_float32():
    a, b = (jnp.asarray(_features(seed), jnp.bfloat16) for seed in (0, 1))
    got = _nearest(a, b, 3)
    assert got.dtype == jnp.float32
    wanted = _nearest(a.astype(jnp.float32), b.astype(jnp.float32), 3)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_nan_features_are_not_hidden():
    a = _features(0)
    a[0, 2, 2, 1] = np.nan
    assert np.isnan(_nearest(a, _features(1), 3))


@pytest.mark.parametrize("neighbourhood", [0, 2, 4])
def test_an_even_neighbourhood_is_refused(neighbourhood):
    a = jnp.asarray(_features(0))
    with pytest.raises(ValueError, match=f"neighbourhood must be odd, got {neighbourhood}"):
        losses.nearest_neighbour(a, a, neighbourhood)


def test_masked_l1_is_the_mean_over_the_points_of_the_mask():
    rng = np.random.default_rng(0)
    difference = rng.normal(size=(3, 5, 2)).astype(np.float32)
    mask = rng.uniform(size=(3, 5)) < 0.5
    wanted = np.mean(np.abs(difference[mask]))
    difference[~mask] = np.nan
    got = losses.masked_l1(jnp.asarray(difference), jnp.asarray(mask))
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    gradient = jax.grad(losses.masked_l1)(jnp.asarray(difference), jnp.asarray(mask))
    np.testing.assert_array_equal(gradient != 0, np.broadcast_to(mask[..., None], (3, 5, 2)))
    assert losses.masked_l1(jnp.asarray(difference), jnp.zeros((3, 5), bool)) == 0
