"""Masks of parts, against each part's capsules alone and against the raster."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volsynth import skeleton
from volsynth.data import fake
from volsynth.ops.body import capsules, masks, raster

SIDE = 64.0
SHAPE = (64, 64)
ALL = jnp.ones((2, 15), bool)

_layers = jax.jit(masks.part_layers, static_argnums=(2, 3))


@pytest.fixture(scope="module")
def joints():
    return jnp.asarray(fake.poses(2, int(SIDE)))


@pytest.fixture(scope="module")
def found(joints):
    return jax.device_get(_layers(joints, ALL, SHAPE, SIDE))


@pytest.fixture(scope="module")
def body(joints):
    return jax.device_get(jax.jit(raster.raster, static_argnums=(2, 3))(joints, ALL, SHAPE, SIDE))


def _covered(joints):
    """The pixels that each part covers, by the distance from the bones in the image: [2, H, W, P].

    Seen from the front a capsule is the pixels that are nearer to its segment than its radius.
    """
    x, y = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    points = np.stack([x, y], axis=-1)[..., None, :]
    wanted = np.zeros((2, 64, 64, skeleton.NUM_PARTS), bool)
    made = jax.device_get(capsules.capsules(joints, ALL))
    share = np.linspace(0, 1, 401)[:, None]
    for b in range(2):
        for n, part in enumerate(capsules.PARTS):
            start, end = made.start[b, n, :2], made.end[b, n, :2]
            nearest = np.linalg.norm(points - (start + share * (end - start)), axis=-1).min(axis=-1)
            wanted[b, ..., part] |= nearest < made.radius[b, n]
    return wanted


def test_a_part_covers_what_its_capsules_cover(joints, found):
    differ = found.mask != _covered(joints)
    # Pixels whose centre lies on an outline may fall to either side.
    assert differ.sum() <= 4
    assert found.mask.any(axis=(1, 2)).all()


def test_what_is_seen_of_a_part_is_where_it_is_in_front(found, body):
    seen = np.asarray(masks.visible_masks(body))
    assert not np.any(seen & ~found.mask)
    np.testing.assert_array_equal(seen.sum(axis=-1), found.mask.any(axis=-1))
    front = found.depth.min(axis=-1)
    np.testing.assert_allclose(front[seen.any(-1)], body.depth[seen.any(-1)], atol=1e-3)
    nearest = found.depth.argmin(axis=-1)
    np.testing.assert_array_equal(nearest[seen.any(-1)], seen.argmax(axis=-1)[seen.any(-1)])
    # Something is hidden, or the test says nothing.
    assert found.mask.sum() > seen.sum()


def test_where_a_part_is_not_it_is_far(found):
    assert np.all((found.depth == raster.FAR) == ~found.mask)


def test_a_part_without_its_joints_has_no_mask(joints):
    visible = ALL.at[0, skeleton.INDEX["left_wrist"]].set(False)
    found = _layers(joints, visible, SHAPE, SIDE)
    arm = skeleton.PART_NAMES.index("left_lower_arm")
    assert not np.any(found.mask[0, ..., arm])
    assert np.any(found.mask[1, ..., arm])
