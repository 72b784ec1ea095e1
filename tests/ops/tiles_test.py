"""Functions of pixels that are computed in some tiles alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volsynth.ops import tiles


def _work(*share):
    """Some work of 1 to 3 in a share of twenty tiles."""
    rng = np.random.default_rng(0)
    return jnp.stack([jnp.asarray((rng.random(20) < s) * rng.integers(1, 4, 20)) for s in share])


@pytest.mark.parametrize("work", [_work(0.3, 0.9), _work(0, 0), _work(1, 0.2)])
def test_tiles_with_work_have_the_functions_values_and_others_the_fill(work):
    shape, side = (64, 80), 40.0

    def function(pixels, _):
        return {"x": pixels.x, "both": jnp.stack([pixels.x, pixels.y], axis=-1)}

    def after(pixels, before):
        return before[0]["x"] + 100 * pixels.tile[..., None, None]

    fills = [{"x": jnp.float32(-1), "both": jnp.array([-2.0, -3.0])}, jnp.float32(-4)]
    found, last = jax.jit(lambda w: tiles.compute([function, after], w, shape, side, fills))(work)
    x, y = np.meshgrid((np.arange(80) + 0.5) / 2, (np.arange(64) + 0.5) / 2)
    here = np.kron(np.asarray(work).reshape(2, 4, 5), np.ones((1, 16, 16))) > 0
    tile = np.kron(np.arange(20).reshape(4, 5), np.ones((16, 16)))
    np.testing.assert_allclose(last, np.where(here, x + 100 * tile, -4), atol=1e-5)
    np.testing.assert_allclose(found["x"], np.where(here, x, -1), atol=1e-5)
    wanted = np.where(here[..., None], np.stack([x, y], axis=-1), (-2, -3))
    np.testing.assert_allclose(found["both"], wanted, atol=1e-5)


def test_centres_are_those_of_the_tiles():
    x, y = tiles.centres((32, 48), 24.0)
    np.testing.assert_allclose(x, [4, 12, 20, 4, 12, 20])
    np.testing.assert_allclose(y, [4, 4, 4, 12, 12, 12])


def test_images_must_be_divisible_into_tiles():
    with pytest.raises(ValueError, match="images of 64 x 70: both must be multiples of 16"):
        tiles.compute([lambda p, _: p.x], jnp.ones((1, 16), int), (64, 70), 64.0, [jnp.zeros(())])
