"""The multi-part warp against ten masked copies sampled by scipy, and the laws of its contract."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import warping
from warping import CASES, SHAPE, SIDE, VISIBLE, every_form

import oracles
from volsynth.data import fake
from volsynth.ops.warp import voxel_lists, warp

# --- against slow forms --------------------------------------------------------------------------


@every_form
@pytest.mark.parametrize("case", CASES)
def test_warp_equals_masked_copies(case, form):
    volume, (masks, transforms) = warping.volume(), warping.case(case)
    wanted = warping.slow_warp(volume, masks, transforms)
    np.testing.assert_allclose(warping.warped(volume, masks, transforms, form), wanted, atol=2e-4)
    assert np.abs(wanted).max() > 0.5


@every_form
@pytest.mark.parametrize("case", ["poses", "random"])
def test_the_gradient_equals_that_of_masked_copies(case, form):
    volume, (masks, transforms) = warping.volume(1), warping.case(case)
    g = warping.volume(2)
    naive, pull = jax.vjp(lambda v: warping.copies(v, masks, transforms), jnp.asarray(volume))
    np.testing.assert_allclose(warping.warped(volume, masks, transforms, form), naive, atol=2e-4)
    gradient = warping.pull(volume, masks, transforms, g, form)
    np.testing.assert_allclose(gradient, pull(jnp.asarray(g))[0], atol=5e-4)
    assert np.abs(gradient).max() > 0.5


@pytest.mark.parametrize("shape", [(8, 8, 1), (5, 7, 9)])
def test_other_shapes_and_two_dimensions(shape):
    volume, (masks, transforms) = warping.volume(3, shape), warping.random_case(2, shape)
    if shape[2] == 1:
        # Turns and shifts within the plane, which is what 2D means.
        angles = np.linspace(-1, 1, 20).reshape(2, 10)
        matrix = [[oracles.rotation_about((0, 0, 1), a) for a in row] for row in angles]
        offset = np.asarray(transforms.offset) * (1, 1, 0)
        transforms = warping.part_transforms(matrix, offset, transforms.valid)
    got = warping.warped(volume, masks, transforms)
    np.testing.assert_allclose(got, warping.slow_warp(volume, masks, transforms), atol=2e-4)
    assert np.any(np.asarray(got))


@every_form
def test_parts_larger_than_a_block(form, monkeypatch):
    """Parts that fill the volume: lists are cut into many blocks, the last of them not full."""
    monkeypatch.setattr(voxel_lists, "BLOCK", 64)
    monkeypatch.setattr(warp.FORMS[form], "BLOCK", 32)
    masks, transforms = jnp.asarray(warping.full()), warping.random_case(5)[1]
    assert np.prod(SHAPE) > 5 * 32
    assert np.prod(SHAPE) % 32

    @jax.jit
    def both(volume, g):
        result, pull = jax.vjp(lambda v: warp.warp(v, masks, transforms, SIDE, form), volume)
        return result, pull(g)[0]

    g = warping.volume(6)
    for volume in (warping.volume(4), -np.abs(warping.volume(4))):
        result, gradient = both(volume, g)
        wanted = warping.slow_warp(volume, masks, transforms)
        np.testing.assert_allclose(result, wanted, atol=2e-4)
        wanted = warping.pull(volume, masks, transforms, g, form)
        np.testing.assert_allclose(gradient, wanted, atol=1e-4)
    assert np.any(wanted)


def test_voxel_transforms_follow_the_rule_of_the_thesis():
    """Third row times D / W, third column divided by it, in (x, y, z); H equals W there."""
    transforms = warping.random_case(6)[1]
    matrix, _ = warp.voxel_transforms(transforms, (8, 8, 3), 8.0)
    wanted = np.array(transforms.matrix)
    wanted[..., 2, :] *= 3 / 8
    wanted[..., :, 2] /= 3 / 8
    order = [1, 0, 2]
    np.testing.assert_allclose(matrix, wanted[..., order, :][..., order], rtol=1e-5)


def test_voxel_transforms_agree_with_pixels():
    transforms = warping.random_case(7)[1]
    matrix, offset = warp.voxel_transforms(transforms, SHAPE, SIDE)
    index = np.array(list(np.ndindex(*SHAPE)))
    for b, p in np.ndindex(2, 10):
        wanted = oracles.source_positions(
            transforms.matrix[b, p], transforms.offset[b, p], SHAPE, SIDE
        )
        np.testing.assert_allclose(index @ matrix[b, p].T + offset[b, p], wanted, atol=1e-4)


# --- laws ----------------------------------------------------------------------------------------


def test_the_identity_returns_the_masked_volume_merged_with_zeros():
    volume = warping.volume()
    masks = np.asarray(warping.random_case(8)[0]).copy()
    masks[:, :, :4, :3] = False  # Some voxels in no part, others in all of them.
    masks[:, :, 4:, 3:] = True
    inside, everywhere = (f(axis=1)[..., None] for f in (masks.any, masks.all))
    wanted = np.where(inside, volume, 0)
    wanted = np.where(everywhere, volume, np.maximum(wanted, 0))
    np.testing.assert_array_equal(warping.warped(volume, masks, warping.same()), wanted)
    assert (wanted < 0).any()


def test_equal_poses_move_nothing():
    poses = (fake.poses(2, 16), VISIBLE) * 2
    masks, transforms = warping.from_poses(*poses)
    volume = np.abs(warping.volume())
    wanted = volume * np.asarray(masks).any(axis=1)[..., None]
    np.testing.assert_allclose(warping.warped(volume, masks, transforms), wanted, atol=1e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_shift_by_one_voxel(axis, sign):
    step = SIDE / SHAPE[axis]
    offset = np.zeros(3)
    offset[[1, 0, 2][axis]] = sign * step
    volume = warping.volume()
    wanted = np.roll(volume, -sign, axis=1 + axis)
    beyond = [slice(None)] * 5
    beyond[1 + axis] = -1 if sign > 0 else 0
    wanted[tuple(beyond)] = 0
    np.testing.assert_allclose(
        warping.warped(volume, warping.full(), warping.same(offset=offset)), wanted, atol=1e-5
    )


@pytest.mark.parametrize("reason", ["no mask", "not valid", "far away"])
def test_nothing_gives_zeros_and_no_gradient(reason):
    masks, transforms = warping.full(), warping.same()
    if reason == "no mask":
        masks = ~masks
    if reason == "not valid":
        transforms = transforms._replace(valid=jnp.zeros((2, 10), bool))
    if reason == "far away":
        transforms = warping.same(offset=(1e7, 0, -1e9))
    volume = warping.volume()
    assert not np.any(warping.warped(volume, masks, transforms))
    assert not np.any(warping.pull(volume, masks, transforms, volume))


@every_form
def test_negative_features_show_only_where_every_part_reaches(form):
    volume = -1 - np.abs(warping.volume())
    masks = warping.full()
    np.testing.assert_array_equal(warping.warped(volume, masks, warping.same(), form), volume)
    masks[1, 3, :, 2] = False
    got = np.asarray(warping.warped(volume, masks, warping.same(), form))
    np.testing.assert_array_equal(got[0], volume[0])
    assert not got[1, :, 2].any()
    kept = np.arange(SHAPE[1]) != 2
    np.testing.assert_array_equal(got[1][:, kept], volume[1][:, kept])


def test_the_examples_of_a_batch_are_independent():
    volume, (masks, transforms) = warping.volume(), warping.case("poses")
    other_masks, other = warping.case("other")
    mixed_masks = np.stack([masks[0], other_masks[1]])
    mixed = jax.tree.map(lambda a, b: jnp.stack([a[0], b[1]]), transforms, other)
    changed = np.stack([volume[0], warping.volume(9)[1]])
    before, after = (
        warping.warped(volume, masks, transforms),
        warping.warped(changed, mixed_masks, mixed),
    )
    np.testing.assert_array_equal(before[0], after[0])
    np.testing.assert_array_equal(after[1], warping.warped(changed, other_masks, other)[1])


def test_the_order_of_the_parts_does_not_matter():
    volume, (masks, transforms) = warping.volume(), warping.case("random")
    shuffled = np.random.default_rng(0).permutation(10)
    got = warping.warped(
        volume, masks[:, shuffled], jax.tree.map(lambda v: v[:, shuffled], transforms)
    )
    np.testing.assert_allclose(got, warping.warped(volume, masks, transforms), atol=1e-5)
