"""Heatmaps against a slow loop, and soft-argmax, which reads them back."""

import jax.numpy as jnp
import numpy as np
import posing
import pytest
from posing import SIDE, VISIBLE

import oracles
from volsynth.data import fake
from volsynth.ops import pose_volumes

# --- heatmaps ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 7, 4), (4, 4, 1)])
def test_heatmaps_equal_a_slow_loop(shape):
    joints, visible = posing.joints(low=-0.2, high=1.2), posing.hidden("neck")
    got = posing.heatmaps(joints, visible, shape, SIDE, 5.0)
    for b in range(2):
        for j in range(15):
            wanted = visible[b, j] * oracles.heatmap(joints[b, j], shape, SIDE, 5.0)
            np.testing.assert_allclose(got[b, ..., j], wanted, atol=1e-5)


def test_a_heatmap_peaks_where_its_joint_is():
    rng = np.random.default_rng(0)
    shape = (8, 16, 4)
    index = np.stack([rng.integers(0, n, (2, 15)) for n in shape], axis=-1)
    centres = (index + 0.5) * (SIDE / np.array(shape))
    joints = centres[..., [1, 0, 2]].astype(np.float32)
    got = np.asarray(posing.heatmaps(joints, VISIBLE, shape, SIDE, 1.0))
    for b, j in np.ndindex(2, 15):
        assert np.unravel_index(got[b, ..., j].argmax(), shape) == tuple(index[b, j])
        assert got[b, ..., j].max() == pytest.approx(1)
    assert not posing.heatmaps(joints, ~VISIBLE, shape, SIDE, 1.0).any()


def test_voxel_centres_are_symmetric():
    np.testing.assert_allclose(pose_volumes.voxel_centres(4, 32.0), [4, 12, 20, 28])


def test_flat_heatmaps_forget_the_depth_alone():
    joints = jnp.asarray(fake.poses(2, 64, seed=5))
    visible = jnp.ones((2, 15), bool).at[0, 3].set(False)
    maps = pose_volumes.heatmaps(joints, visible, (16, 16, 4), 64.0, 4.0, flat=True)
    moved = joints.at[..., 2].add(20.0)
    np.testing.assert_array_equal(
        maps, pose_volumes.heatmaps(moved, visible, (16, 16, 4), 64.0, 4.0, flat=True)
    )
    for layer in range(4):
        np.testing.assert_array_equal(maps[..., layer, :], maps[..., 0, :])
    # Where a 3D Gaussian has its own depth, they are the same.
    centre = joints.at[..., 2].set(24.0)  # The centre of the second of four layers.
    solid = pose_volumes.heatmaps(centre, visible, (16, 16, 4), 64.0, 4.0)
    np.testing.assert_allclose(maps[..., 1, :], solid[..., 1, :], atol=1e-6)


# --- soft-argmax ---------------------------------------------------------------------------------


def test_soft_argmax_is_the_centre_of_gravity():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((2, 4, 6, 3, 5)).astype(np.float32)
    got = pose_volumes.soft_argmax(jnp.asarray(logits), 12.0)
    weights = np.exp(logits, dtype=np.float64)
    weights /= weights.sum(axis=(1, 2, 3), keepdims=True)
    wanted = np.zeros((2, 5, 3))
    for h, w, d in np.ndindex(4, 6, 3):
        centre = np.array([(w + 0.5) * 12 / 6, (h + 0.5) * 12 / 4, (d + 0.5) * 12 / 3])
        wanted += weights[:, h, w, d, :, None] * centre
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_soft_argmax_reads_heatmaps_back():
    joints = 32 + jnp.asarray(fake.poses(2, 64, seed=5) - 32) / 2  # Away from the borders.
    visible = jnp.ones((2, 15), bool)
    maps = pose_volumes.heatmaps(joints, visible, (16, 16, 16), 64.0, 4.0)
    np.testing.assert_allclose(
        pose_volumes.soft_argmax(jnp.log(maps + 1e-30), 64.0), joints, atol=0.05
    )
    assert pose_volumes.soft_argmax(maps.astype(jnp.bfloat16), 64.0).dtype == jnp.float32
