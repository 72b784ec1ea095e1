"""Chroma keying: people keep their colours, the background goes, and comes back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volsynth.ops import keying

MAGENTA = (1.0, -1.0, 1.0)


@jax.jit
def remove(image):
    return keying.remove(image, MAGENTA)


@jax.jit
def over(painted):
    return keying.over(painted, MAGENTA)


def _person(seed=0):
    """Colours that no background has: green above -0.5."""
    rng = np.random.default_rng(seed)
    image = rng.uniform(-1, 1, (2, 5, 4, 3)).astype(np.float32)
    image[..., 1] = rng.uniform(-0.5, 1, image.shape[:3])
    return image


def test_people_keep_their_colours_and_the_background_turns_grey():
    image = _person()
    np.testing.assert_allclose(remove(image), image, atol=1e-6)
    image[0] = MAGENTA
    keyed = np.asarray(remove(image))
    np.testing.assert_allclose(keyed[0], keying.NEUTRAL, atol=1e-6)
    np.testing.assert_allclose(keyed[1], image[1], atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0, 1.5])
def test_what_is_near_the_background_goes_in_part(share):
    """The channel that differs most counts, in either direction."""
    far = share * keying.REACH
    colours = MAGENTA + np.array([[0, far, 0], [-far, far / 2, -far]], np.float32)
    wanted = keying.NEUTRAL + min(share, 1) * (colours - keying.NEUTRAL)
    got = remove(colours.reshape(1, 1, 2, 3))
    np.testing.assert_allclose(got, wanted.reshape(1, 1, 2, 3), atol=1e-6)


def test_coverage_mixes_paint_and_background():
    image = _person()
    for coverage, wanted in ((1, image), (-1, MAGENTA), (0, (image + np.array(MAGENTA)) / 2)):
        painted = np.concatenate([image, np.full((*image.shape[:3], 1), coverage)], -1)
        got = over(painted.astype(np.float32))
        np.testing.assert_allclose(got, np.broadcast_to(wanted, got.shape), atol=1e-6)


def test_gradients_are_finite_on_the_background_and_at_the_borders():
    image = np.broadcast_to(np.float32(MAGENTA), (1, 2, 2, 3)).copy()
    image[0, 0, 0, 1] += keying.REACH
    gradient = jax.grad(lambda x: keying.remove(x, MAGENTA).sum())(image)
    assert np.all(np.isfinite(gradient))


def test_the_dtype_stays():
    image = jnp.asarray(_person(), jnp.bfloat16)
    assert keying.remove(image, MAGENTA).dtype == image.dtype
    painted = jnp.concatenate([image, image[..., :1]], -1)
    assert keying.over(painted, MAGENTA).dtype == image.dtype
