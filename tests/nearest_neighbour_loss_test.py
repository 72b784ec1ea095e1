"""The nearest-neighbour loss and its gradient against a search through every neighbour."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_arrays import normal

import oracles
from volsynth import losses
from volsynth.pretrained import feature_networks

_nearest = jax.jit(losses.nearest_neighbour, static_argnums=2)
_nearest_gradient = jax.jit(jax.grad(losses.nearest_neighbour, argnums=(0, 1)), static_argnums=2)


@pytest.mark.parametrize("neighbourhood", [1, 3, 5, 9])
def test_nearest_neighbour_equals_a_full_search(neighbourhood):
    a, b = normal(0), normal(1)
    wanted = oracles.nearest_neighbour(a, b, neighbourhood)
    np.testing.assert_allclose(_nearest(a, b, neighbourhood), wanted, rtol=1e-5)


def test_the_border_never_is_the_nearest():
    """Features of about zero are closer to a padding of zeros than to anything in the image."""
    a, b = 1e-3 * normal(0), 50 + normal(1)
    wanted = oracles.nearest_neighbour(a, b, 5)
    assert wanted > 100
    np.testing.assert_allclose(_nearest(a, b, 5), wanted, rtol=1e-5)


def test_one_pixel_is_the_l1_distance_and_more_never_cost_more():
    a, b = jnp.asarray(normal(0)), jnp.asarray(normal(1))
    np.testing.assert_allclose(_nearest(a, b, 1), 3 * losses.l1(a, b), rtol=1e-5)
    values = [float(_nearest(a, b, n)) for n in (1, 3, 5, 9)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 1.2 * values[-1]


@pytest.mark.parametrize(("shift", "free"), [((1, 2), True), ((2, 2), True), ((3, 0), False)])
def test_a_picture_that_moved_within_the_neighbourhood_costs_nothing(shift, free):
    # In a frame of zeros, so that the border finds its likeness as well.
    a = np.pad(normal(0), ((0, 0), (4, 4), (4, 4), (0, 0)))
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
    a, b = normal(0), normal(1)
    gradient, of_target = _nearest_gradient(a, b, neighbourhood)
    wanted = jax.grad(_search)(jnp.asarray(a), jnp.asarray(b), neighbourhood)
    np.testing.assert_allclose(gradient, wanted, atol=1e-7)
    assert not np.any(of_target)  # The target is data.
    for seed in (2, 3):
        direction = normal(seed).astype(np.float64)
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


@pytest.mark.parametrize("neighbourhood", [3, 5])
def test_at_full_size_value_and_gradient_fit_into_a_gibibyte(neighbourhood):
    features = feature_networks.load_features("", ["block1_conv2"])
    spec = jax.ShapeDtypeStruct((2, 256, 256, 3), jnp.float32)

    def loss(image, target):
        a, b = (features(x)["block1_conv2"] for x in (image, target))
        return losses.nearest_neighbour(a, b, neighbourhood)

    compiled = jax.jit(jax.value_and_grad(loss)).lower(spec, spec).compile()
    assert 0 < compiled.memory_analysis().temp_size_in_bytes < 2**30


@pytest.mark.slow
def test_at_full_size_the_gradient_is_that_of_the_naive_form():
    a, b = (normal(seed, (2, 256, 256, 16)) for seed in (0, 1))
    gradient, _ = _nearest_gradient(a, b, 5)
    wanted = jax.jit(jax.grad(_search), static_argnums=2)(jnp.asarray(a), jnp.asarray(b), 5)
    np.testing.assert_allclose(gradient, wanted, atol=1e-10)
    assert np.any(gradient)


def test_nearest_neighbour_is_computed_in_float32():
    a, b = (jnp.asarray(normal(seed), jnp.bfloat16) for seed in (0, 1))
    got = _nearest(a, b, 3)
    assert got.dtype == jnp.float32
    wanted = _nearest(a.astype(jnp.float32), b.astype(jnp.float32), 3)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_nan_features_are_not_hidden():
    a = normal(0)
    a[0, 2, 2, 1] = np.nan
    assert np.isnan(_nearest(a, normal(1), 3))


@pytest.mark.parametrize("neighbourhood", [-3, 0, 2, 4])
def test_an_even_neighbourhood_is_refused(neighbourhood):
    a = jnp.asarray(normal(0))
    with pytest.raises(
        ValueError, match=f"neighbourhood must be odd and positive, got {neighbourhood}"
    ):
        losses.nearest_neighbour(a, a, neighbourhood)
