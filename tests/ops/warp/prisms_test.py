"""Prisms, which move every layer alike, and the offcut, which stays where it is."""

import jax
import jax.numpy as jnp
import numpy as np
import warping
from warping import CHANNELS, SHAPE, SIDE, VISIBLE

import oracles
from volsynth.data import fake
from volsynth.ops import rectangles
from volsynth.ops.warp import warp


def test_prisms_move_every_layer_like_an_image():
    """A prism with a planar transform is the same as warping each layer in 2D."""
    volume, masks = warping.volume(), warping.case("poses")[0]
    rng = np.random.default_rng(0)
    matrix = np.eye(2) + rng.uniform(-0.4, 0.4, (2, 10, 2, 2))
    offset = rng.uniform(-2, 2, (2, 10, 2))
    matrix, offset = (jnp.asarray(v, jnp.float32) for v in (matrix, offset))
    transforms = warp.planar(matrix, offset, jnp.ones((2, 10), bool))
    solid = warp.prisms(masks)
    got = warping.warped(volume, solid, transforms)
    flat = np.asarray(masks).any(axis=-1)[..., None]
    for d in range(SHAPE[2]):
        layer = warping.warped(volume[:, :, :, d : d + 1], flat, transforms)
        np.testing.assert_allclose(got[:, :, :, d : d + 1], layer, atol=1e-4)
    np.testing.assert_allclose(got, warping.slow_warp(volume, solid, transforms), atol=2e-4)
    assert np.abs(got).max() > 0.5


def test_prisms_equal_parts_in_3d_where_all_depths_agree():
    """Poses in one plane parallel to the image, moved in it: the fits in 2D and 3D are the same.

    A turn, a scale and a shift in the image are an affine map that every fit finds; the 3D fits
    scale the depth, too, around the plane of the poses. So the masks, which are prisms for both,
    and the volume are the same in every layer, and reach so far that no layer is beyond them.
    """
    target = fake.poses(2, int(SIDE), 1, 0.06)
    target[..., 2] = SIDE / 2
    source = target.copy()
    turn = 0.9 * oracles.rotation_about((0, 0, 1), 0.4)[:2, :2]
    source[..., :2] = (target[..., :2] - SIDE / 2) @ turn.T + SIDE / 2 + (0.3, -0.4)
    poses = (source, VISIBLE, target, VISIBLE)
    masks, solid = warping.from_poses(*poses)
    flat = jax.jit(lambda *poses: warp.planar(*rectangles.affine_fits(*poses, SIDE)))(*poses)
    assert np.all(solid.valid & flat.valid)
    np.testing.assert_allclose(solid.matrix[..., :2, :2], flat.matrix[..., :2, :2], atol=2e-3)
    masks = jax.jit(warp.prisms)(masks)
    volume = np.broadcast_to(warping.volume()[:, :, :, :1], (2, *SHAPE, CHANNELS))
    in_2d, in_3d = warping.warped(volume, masks, flat), warping.warped(volume, masks, solid)
    np.testing.assert_allclose(in_3d, in_2d, atol=2e-2)
    assert np.abs(in_2d).max() > 0.5


def test_the_offcut_stays_where_it_is():
    volume, (masks, transforms) = warping.volume(), warping.case("poses")
    more, moved = warp.with_offcut(masks, transforms)
    assert more.shape == (2, 11, *SHAPE)
    assert np.all(np.asarray(more).any(axis=1))
    assert not np.any(more[:, 10] & masks.any(axis=1))
    rest = np.where(np.asarray(masks).any(axis=1)[..., None], 0, volume)
    wanted = np.maximum(warping.warped(volume, masks, transforms), rest)
    np.testing.assert_allclose(warping.warped(volume, more, moved), wanted, atol=1e-5)
    assert np.abs(wanted - warping.warped(volume, masks, transforms)).max() > 0.5


def test_what_a_part_without_a_place_covers_is_offcut():
    masks, transforms = warping.case("poses")
    transforms = transforms._replace(valid=transforms.valid.at[0, 3].set(False))
    more, _ = warp.with_offcut(masks, transforms)
    placed = np.delete(np.asarray(masks[0]), 3, axis=0).any(axis=0)
    np.testing.assert_array_equal(more[0, 10], ~placed)
