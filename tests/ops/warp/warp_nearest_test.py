"""The warp that takes the nearest voxel, against masked copies and at a tie."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import warping
from warping import CASES, SHAPE, SIDE, every_form

import oracles
from volsynth.ops.warp import warp


@functools.partial(jax.jit, static_argnums=(4,))
def _nearest(volume, masks, transforms, g, form):
    def moved(v):
        return warp.warp(v, masks, transforms, SIDE, form, interpolation="nearest")

    result, pull = jax.vjp(moved, volume)
    return result, pull(g)[0]


@every_form
@pytest.mark.parametrize("case", CASES)
def test_nearest_equals_masked_copies_and_so_does_its_gradient(case, form):
    volume, g, (masks, transforms) = warping.volume(), warping.volume(1), warping.case(case)
    result, gradient = _nearest(volume, masks, transforms, g, form)
    wanted = warping.slow_warp(volume, masks, transforms, oracles.sample_nearest)
    np.testing.assert_allclose(result, wanted, atol=1e-6)
    assert np.abs(wanted - warping.warped(volume, masks, transforms)).max() > 0.5
    if case in ("poses", "random"):
        naive, pull = jax.vjp(
            lambda v: warping.copies(v, masks, transforms, 0), jnp.asarray(volume)
        )
        np.testing.assert_allclose(result, naive, atol=1e-6)
        np.testing.assert_allclose(gradient, pull(jnp.asarray(g))[0], atol=1e-4)
        assert np.abs(gradient).max() > 0.5


@every_form
def test_between_two_voxels_nearest_takes_the_higher_index(form):
    volume = warping.volume()
    offset = np.array([0, SIDE / SHAPE[0] / 2, 0])
    got, _ = _nearest(volume, warping.full(), warping.same(offset=offset), volume, form)
    wanted = np.roll(volume, -1, axis=1)
    wanted[:, -1] = 0
    np.testing.assert_array_equal(got, wanted)


def test_an_interpolation_that_there_is_not():
    masks = jnp.asarray(warping.full())
    with pytest.raises(ValueError, match=r"unknown interpolation 'cubic'; one of \('linear', "):
        warp.warp(jnp.asarray(warping.volume()), masks, warping.same(), SIDE, interpolation="cubic")
