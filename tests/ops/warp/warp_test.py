"""The multi-part warp against ten masked copies sampled by scipy, and the laws of its contract."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy import ndimage

import oracles
from volsynth.data import fake
from volsynth.ops import pose_volumes, rectangles
from volsynth.ops.warp import voxel_lists, warp

SIDE = 16.0
SHAPE = (8, 6, 5)
CHANNELS = 3
VISIBLE = np.ones((2, 15), bool)


@functools.partial(jax.jit, static_argnums=3)
def _warp(volume, masks, transforms, form=None):
    return warp.warp(volume, masks, transforms, SIDE, form)


@functools.partial(jax.jit, static_argnums=4)
def _pull(volume, masks, transforms, g, form=None):
    return jax.vjp(lambda v: warp.warp(v, masks, transforms, SIDE, form), volume)[1](g)[0]


every_form = pytest.mark.parametrize("form", sorted(warp.FORMS))


@jax.jit
def _from_poses(source, source_visible, target, target_visible):
    masks = pose_volumes.part_masks(source, source_visible, SHAPE, SIDE, 0.2)
    args = (source, source_visible, target, target_visible)
    return masks, pose_volumes.part_transforms(*args, SIDE)


def _volume(seed=0, shape=SHAPE, dtype=np.float32):
    values = np.random.default_rng(seed).standard_normal((2, *shape, CHANNELS))
    return values.astype(np.float32).astype(dtype)


def _random(seed, shape=SHAPE):
    """Masks and transforms without any order in them."""
    rng = np.random.default_rng(seed)
    masks = rng.uniform(size=(2, 10, *shape)) < 0.6
    rotations = [oracles.rotation_about(rng.standard_normal(3), rng.normal()) for _ in range(20)]
    scales = rng.uniform(0.5, 2, (20, 1, 1))
    matrix = (scales * rotations).reshape(2, 10, 3, 3)
    moved = (matrix @ np.full(3, SIDE / 2)) - SIDE / 2
    offset = rng.uniform(-4, 4, (2, 10, 3)) - moved
    valid = rng.uniform(size=(2, 10)) < 0.9
    return masks, _transforms(matrix, offset, valid)


def _transforms(matrix, offset, valid):
    matrix, offset = (jnp.asarray(v, jnp.float32) for v in (matrix, offset))
    return pose_volumes.PartTransforms(matrix, offset, jnp.asarray(valid))


def _same(parts=10, offset=(0.0, 0.0, 0.0)):
    matrix = np.broadcast_to(np.eye(3), (2, parts, 3, 3))
    shift = np.broadcast_to(offset, (2, parts, 3))
    return _transforms(matrix, shift, np.ones((2, parts), bool))


def _full(parts=10, shape=SHAPE):
    return np.ones((2, parts, *shape), bool)


def _case(name):
    if name == "poses":
        poses = (fake.poses(2, 16, 1, 0.08), VISIBLE, fake.poses(2, 16, 2, 0.08), VISIBLE)
        return _from_poses(*poses)
    if name == "crumpled":
        source, target = (fake.poses(2, 16, seed, 0.3) for seed in (3, 4))
        return _from_poses(source, VISIBLE, target, VISIBLE)
    return _random({"random": 0, "other": 1}[name])


CASES = ["poses", "crumpled", "random", "other"]


def _slow_warp(volume, masks, transforms, sample=oracles.sample):
    return np.stack(
        [
            oracles.warp(
                np.asarray(volume[b], np.float64),
                np.asarray(masks[b]),
                transforms.matrix[b],
                transforms.offset[b],
                np.asarray(transforms.valid[b]),
                SIDE,
                sample,
            )
            for b in range(2)
        ]
    )


def _copies(volume, masks, transforms, order=1):
    """The naive form with autodiff: ten copies, `jax.scipy`, `jnp.max`."""
    shape = volume.shape[1:4]
    result = []
    for b in range(2):
        moved = []
        for p in range(masks.shape[1]):
            masked = volume[b] * (masks[b, p] & transforms.valid[b, p])[..., None]
            positions = oracles.source_positions(
                transforms.matrix[b, p], transforms.offset[b, p], shape, SIDE
            )
            coordinates = jnp.asarray(positions.T.reshape(3, *shape), jnp.float32)
            channels = [
                ndimage.map_coordinates(masked[..., c], list(coordinates), order, mode="constant")
                for c in range(CHANNELS)
            ]
            moved.append(jnp.stack(channels, axis=-1))
        result.append(jnp.max(jnp.stack(moved), axis=0))
    return jnp.stack(result)


# --- against slow forms --------------------------------------------------------------------------


@every_form
@pytest.mark.parametrize("case", CASES)
def test_warp_equals_masked_copies(case, form):
    volume, (masks, transforms) = _volume(), _case(case)
    wanted = _slow_warp(volume, masks, transforms)
    np.testing.assert_allclose(_warp(volume, masks, transforms, form), wanted, atol=2e-4)
    assert np.abs(wanted).max() > 0.5


@every_form
@pytest.mark.parametrize("case", ["poses", "random"])
def test_the_gradient_equals_that_of_masked_copies(case, form):
    volume, (masks, transforms) = _volume(1), _case(case)
    g = _volume(2)
    naive, pull = jax.vjp(lambda v: _copies(v, masks, transforms), jnp.asarray(volume))
    np.testing.assert_allclose(_warp(volume, masks, transforms, form), naive, atol=2e-4)
    gradient = _pull(volume, masks, transforms, g, form)
    np.testing.assert_allclose(gradient, pull(jnp.asarray(g))[0], atol=5e-4)
    assert np.abs(gradient).max() > 0.5


@pytest.mark.parametrize("shape", [(8, 8, 1), (5, 7, 9)])
def test_other_shapes_and_two_dimensions(shape):
    volume, (masks, transforms) = _volume(3, shape), _random(2, shape)
    if shape[2] == 1:
        # Turns and shifts within the plane, which is what 2D means.
        angles = np.linspace(-1, 1, 20).reshape(2, 10)
        matrix = [[oracles.rotation_about((0, 0, 1), a) for a in row] for row in angles]
        offset = np.asarray(transforms.offset) * (1, 1, 0)
        transforms = _transforms(matrix, offset, transforms.valid)
    got = _warp(volume, masks, transforms)
    np.testing.assert_allclose(got, _slow_warp(volume, masks, transforms), atol=2e-4)
    assert np.any(np.asarray(got))


@every_form
def test_parts_larger_than_a_block(form, monkeypatch):
    """Parts that fill the volume: lists are cut into many blocks, the last of them not full."""
    monkeypatch.setattr(voxel_lists, "BLOCK", 64)
    monkeypatch.setattr(warp.FORMS[form], "BLOCK", 32)
    masks, transforms = jnp.asarray(_full()), _random(5)[1]
    assert np.prod(SHAPE) > 5 * 32
    assert np.prod(SHAPE) % 32

    @jax.jit
    def both(volume, g):
        result, pull = jax.vjp(lambda v: warp.warp(v, masks, transforms, SIDE, form), volume)
        return result, pull(g)[0]

    g = _volume(6)
    for volume in (_volume(4), -np.abs(_volume(4))):
        result, gradient = both(volume, g)
        wanted = _slow_warp(volume, masks, transforms)
        np.testing.assert_allclose(result, wanted, atol=2e-4)
        wanted = _pull(volume, masks, transforms, g, form)
        np.testing.assert_allclose(gradient, wanted, atol=1e-4)
    assert np.any(wanted)


def test_voxel_transforms_follow_the_rule_of_the_thesis():
    """Third row times D / W, third column divided by it, in (x, y, z); H equals W there."""
    transforms = _random(6)[1]
    matrix, _ = warp.voxel_transforms(transforms, (8, 8, 3), 8.0)
    wanted = np.array(transforms.matrix)
    wanted[..., 2, :] *= 3 / 8
    wanted[..., :, 2] /= 3 / 8
    order = [1, 0, 2]
    np.testing.assert_allclose(matrix, wanted[..., order, :][..., order], rtol=1e-5)


def test_voxel_transforms_agree_with_pixels():
    transforms = _random(7)[1]
    matrix, offset = warp.voxel_transforms(transforms, SHAPE, SIDE)
    index = np.array(list(np.ndindex(*SHAPE)))
    for b, p in np.ndindex(2, 10):
        wanted = oracles.source_positions(
            transforms.matrix[b, p], transforms.offset[b, p], SHAPE, SIDE
        )
        np.testing.assert_allclose(index @ matrix[b, p].T + offset[b, p], wanted, atol=1e-4)


# --- laws ----------------------------------------------------------------------------------------


def test_the_identity_returns_the_masked_volume_merged_with_zeros():
    volume = _volume()
    masks = np.asarray(_random(8)[0]).copy()
    masks[:, :, :4, :3] = False  # Some voxels in no part, others in all of them.
    masks[:, :, 4:, 3:] = True
    inside, everywhere = (f(axis=1)[..., None] for f in (masks.any, masks.all))
    wanted = np.where(inside, volume, 0)
    wanted = np.where(everywhere, volume, np.maximum(wanted, 0))
    np.testing.assert_array_equal(_warp(volume, masks, _same()), wanted)
    assert (wanted < 0).any()


def test_equal_poses_move_nothing():
    poses = (fake.poses(2, 16), VISIBLE) * 2
    masks, transforms = _from_poses(*poses)
    volume = np.abs(_volume())
    wanted = volume * np.asarray(masks).any(axis=1)[..., None]
    np.testing.assert_allclose(_warp(volume, masks, transforms), wanted, atol=1e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_shift_by_one_voxel(axis, sign):
    step = SIDE / SHAPE[axis]
    offset = np.zeros(3)
    offset[[1, 0, 2][axis]] = sign * step
    volume = _volume()
    wanted = np.roll(volume, -sign, axis=1 + axis)
    beyond = [slice(None)] * 5
    beyond[1 + axis] = -1 if sign > 0 else 0
    wanted[tuple(beyond)] = 0
    np.testing.assert_allclose(_warp(volume, _full(), _same(offset=offset)), wanted, atol=1e-5)


@pytest.mark.parametrize("reason", ["no mask", "not valid", "far away"])
def test_nothing_gives_zeros_and_no_gradient(reason):
    masks, transforms = _full(), _same()
    if reason == "no mask":
        masks = ~masks
    if reason == "not valid":
        transforms = transforms._replace(valid=jnp.zeros((2, 10), bool))
    if reason == "far away":
        transforms = _same(offset=(1e7, 0, -1e9))
    volume = _volume()
    assert not np.any(_warp(volume, masks, transforms))
    assert not np.any(_pull(volume, masks, transforms, volume))


@every_form
def test_negative_features_show_only_where_every_part_reaches(form):
    volume = -1 - np.abs(_volume())
    masks = _full()
    np.testing.assert_array_equal(_warp(volume, masks, _same(), form), volume)
    masks[1, 3, :, 2] = False
    got = np.asarray(_warp(volume, masks, _same(), form))
    np.testing.assert_array_equal(got[0], volume[0])
    assert not got[1, :, 2].any()
    kept = np.arange(SHAPE[1]) != 2
    np.testing.assert_array_equal(got[1][:, kept], volume[1][:, kept])


def test_the_examples_of_a_batch_are_independent():
    volume, (masks, transforms) = _volume(), _case("poses")
    other_masks, other = _case("other")
    mixed_masks = np.stack([masks[0], other_masks[1]])
    mixed = jax.tree.map(lambda a, b: jnp.stack([a[0], b[1]]), transforms, other)
    changed = np.stack([volume[0], _volume(9)[1]])
    before, after = _warp(volume, masks, transforms), _warp(changed, mixed_masks, mixed)
    np.testing.assert_array_equal(before[0], after[0])
    np.testing.assert_array_equal(after[1], _warp(changed, other_masks, other)[1])


def test_the_order_of_the_parts_does_not_matter():
    volume, (masks, transforms) = _volume(), _case("random")
    shuffled = np.random.default_rng(0).permutation(10)
    got = _warp(volume, masks[:, shuffled], jax.tree.map(lambda v: v[:, shuffled], transforms))
    np.testing.assert_allclose(got, _warp(volume, masks, transforms), atol=1e-5)


# --- edges, gradients, types ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["coinciding", "collinear", "invisible"])
def test_degenerate_poses_give_finite_values_and_gradients(kind):
    joints = fake.poses(2, 16)
    visible = VISIBLE.copy()
    if kind == "coinciding":
        joints[:] = 7.0
    if kind == "collinear":
        joints[:] = np.outer(np.arange(15), (1.0, 0.0, 0.5))
    if kind == "invisible":
        visible[0], visible[1, 3:6] = False, False
    masks, transforms = _from_poses(joints, visible, fake.poses(2, 16, 5), VISIBLE)
    volume = _volume()
    assert np.all(np.isfinite(_warp(volume, masks, transforms)))
    gradient = np.asarray(_pull(volume, masks, transforms, volume))
    assert np.all(np.isfinite(gradient))
    assert np.any(gradient[1]) == (kind != "coinciding")


@every_form
def test_at_a_tie_one_contributor_gets_the_gradient(form):
    """All parts give the same value; part 0 takes it one voxel further on than the others."""
    volume, g = np.ones((2, *SHAPE, CHANNELS), np.float32), _volume(1)
    np.testing.assert_array_equal(_pull(volume, _full(), _same(), g, form), g)
    offset = np.zeros((2, 10, 3))
    offset[:, 0, 1] = SIDE / SHAPE[0]
    transforms = _transforms(_same().matrix, offset, np.ones((2, 10), bool))
    np.testing.assert_allclose(_warp(volume, _full(), transforms, form), volume, atol=1e-6)
    wanted = np.zeros_like(g)
    wanted[:, 1:] = g[:, :-1]
    wanted[:, -1] += g[:, -1]  # Part 0 samples beyond the border there.
    np.testing.assert_allclose(_pull(volume, _full(), transforms, g, form), wanted, atol=1e-5)


@every_form
def test_a_tie_with_the_zeros_gives_no_gradient(form):
    masks = _full()
    masks[:, 9] = False
    zero = np.zeros((2, *SHAPE, CHANNELS), np.float32)
    assert not np.any(_pull(zero, masks, _same(), _volume(), form))
    np.testing.assert_array_equal(_pull(zero, _full(), _same(), _volume(), form), _volume())


@every_form
def test_nan_features_are_not_hidden(form):
    volume = _volume()
    volume[0, 4, 3, 2, 1] = np.nan
    for masks in (_full(), _full() & (np.arange(10) < 5)[:, None, None, None]):
        got = np.asarray(_warp(volume, masks, _same(), form))
        assert np.isnan(got[0, 4, 3, 2, 1])
        np.testing.assert_array_equal(np.isnan(got[1]), np.zeros((*SHAPE, CHANNELS), bool))


@every_form
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_in_and_out(form, dtype):
    volume, (masks, transforms) = _volume(), _case("poses")
    half, g = jnp.asarray(volume, dtype), jnp.asarray(_volume(1), dtype)
    got = _warp(half, masks, transforms, form)
    gradient = _pull(half, masks, transforms, g, form)
    assert got.dtype == gradient.dtype == dtype
    wanted = _warp(volume, masks, transforms)
    np.testing.assert_allclose(got.astype(np.float32), wanted, atol=0.05)
    # Of the largest values another part may win; so the gradient is compared as a whole.
    exact = _pull(volume, masks, transforms, _volume(1))
    difference = np.linalg.norm(gradient.astype(np.float32) - exact)
    assert difference < 0.1 * np.linalg.norm(exact)


def test_masks_and_transforms_have_no_gradient():
    masks, transforms = _case("random")

    def total(matrix, offset):
        return _warp(_volume(), masks, transforms._replace(matrix=matrix, offset=offset)).sum()

    gradients = jax.grad(total, argnums=(0, 1))(transforms.matrix, transforms.offset)
    assert not any(np.any(g) for g in gradients)


def test_vmap_is_a_loop_and_shapes_are_inferred():
    cases = [_case("poses"), _case("other")]
    volumes = np.stack([_volume(0), _volume(1)])
    masks = np.stack([np.asarray(case[0]) for case in cases])
    transforms = jax.tree.map(lambda *v: jnp.stack(v), *(case[1] for case in cases))
    got = jax.vmap(_warp)(volumes, masks, transforms)
    for i, case in enumerate(cases):
        np.testing.assert_allclose(got[i], _warp(volumes[i], *case), atol=1e-5)
    spec = jax.eval_shape(_warp, volumes[0].astype(jnp.bfloat16), masks[0], cases[0][1])
    assert (spec.shape, spec.dtype) == ((2, *SHAPE, CHANNELS), jnp.bfloat16)


def test_positions_are_computed_in_full_precision_on_every_device():
    """Accelerators multiply matrices with fewer bits; the only ones are weights and features."""
    masks, transforms = _case("random")
    for form, wanted in (("gather", 0), ("matmul", 1)):
        program = _warp.lower(_volume(), masks, transforms, form).as_text()
        assert program.count("stablehlo.dot_general") == wanted


@pytest.mark.parametrize(("platform", "products"), [("cpu", 0), ("cuda", 0), ("tpu", 1)])
def test_every_platform_gets_its_form(platform, products):
    masks, transforms = _case("random")
    exported = jax.export.export(_warp, platforms=[platform])(_volume(), masks, transforms)
    assert exported.mlir_module().count("stablehlo.dot_general") == products


# --- the nearest voxel ---------------------------------------------------------------------------


@functools.partial(jax.jit, static_argnums=(4,))
def _nearest(volume, masks, transforms, g, form):
    def moved(v):
        return warp.warp(v, masks, transforms, SIDE, form, interpolation="nearest")

    result, pull = jax.vjp(moved, volume)
    return result, pull(g)[0]


@every_form
@pytest.mark.parametrize("case", CASES)
def test_nearest_equals_masked_copies_and_so_does_its_gradient(case, form):
    volume, g, (masks, transforms) = _volume(), _volume(1), _case(case)
    result, gradient = _nearest(volume, masks, transforms, g, form)
    wanted = _slow_warp(volume, masks, transforms, oracles.sample_nearest)
    np.testing.assert_allclose(result, wanted, atol=1e-6)
    assert np.abs(wanted - _warp(volume, masks, transforms)).max() > 0.5
    if case in ("poses", "random"):
        naive, pull = jax.vjp(lambda v: _copies(v, masks, transforms, 0), jnp.asarray(volume))
        np.testing.assert_allclose(result, naive, atol=1e-6)
        np.testing.assert_allclose(gradient, pull(jnp.asarray(g))[0], atol=1e-4)
        assert np.abs(gradient).max() > 0.5


@every_form
def test_between_two_voxels_nearest_takes_the_higher_index(form):
    volume = _volume()
    offset = np.array([0, SIDE / SHAPE[0] / 2, 0])
    got, _ = _nearest(volume, _full(), _same(offset=offset), volume, form)
    wanted = np.roll(volume, -1, axis=1)
    wanted[:, -1] = 0
    np.testing.assert_array_equal(got, wanted)


def test_an_interpolation_that_there_is_not():
    masks = jnp.asarray(_full())
    with pytest.raises(ValueError, match=r"unknown interpolation 'cubic'; one of \('linear', "):
        warp.warp(jnp.asarray(_volume()), masks, _same(), SIDE, interpolation="cubic")


# --- prisms and the offcut -----------------------------------------------------------------------


def test_prisms_move_every_layer_like_an_image():
    """A prism with a planar transform is the same as warping each layer in 2D."""
    volume, masks = _volume(), _case("poses")[0]
    rng = np.random.default_rng(0)
    matrix = np.eye(2) + rng.uniform(-0.4, 0.4, (2, 10, 2, 2))
    offset = rng.uniform(-2, 2, (2, 10, 2))
    matrix, offset = (jnp.asarray(v, jnp.float32) for v in (matrix, offset))
    transforms = warp.planar(matrix, offset, jnp.ones((2, 10), bool))
    solid = warp.prisms(masks)
    got = _warp(volume, solid, transforms)
    flat = np.asarray(masks).any(axis=-1)[..., None]
    for d in range(SHAPE[2]):
        layer = _warp(volume[:, :, :, d : d + 1], flat, transforms)
        np.testing.assert_allclose(got[:, :, :, d : d + 1], layer, atol=1e-4)
    np.testing.assert_allclose(got, _slow_warp(volume, solid, transforms), atol=2e-4)
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
    masks, solid = _from_poses(*poses)
    flat = jax.jit(lambda *poses: warp.planar(*rectangles.affine_fits(*poses, SIDE)))(*poses)
    assert np.all(solid.valid & flat.valid)
    np.testing.assert_allclose(solid.matrix[..., :2, :2], flat.matrix[..., :2, :2], atol=2e-3)
    masks = jax.jit(warp.prisms)(masks)
    volume = np.broadcast_to(_volume()[:, :, :, :1], (2, *SHAPE, CHANNELS))
    in_2d, in_3d = _warp(volume, masks, flat), _warp(volume, masks, solid)
    np.testing.assert_allclose(in_3d, in_2d, atol=2e-2)
    assert np.abs(in_2d).max() > 0.5


def test_the_offcut_stays_where_it_is():
    volume, (masks, transforms) = _volume(), _case("poses")
    more, moved = warp.with_offcut(masks, transforms)
    assert more.shape == (2, 11, *SHAPE)
    assert np.all(np.asarray(more).any(axis=1))
    assert not np.any(more[:, 10] & masks.any(axis=1))
    rest = np.where(np.asarray(masks).any(axis=1)[..., None], 0, volume)
    wanted = np.maximum(_warp(volume, masks, transforms), rest)
    np.testing.assert_allclose(_warp(volume, more, moved), wanted, atol=1e-5)
    assert np.abs(wanted - _warp(volume, masks, transforms)).max() > 0.5


def test_what_a_part_without_a_place_covers_is_offcut():
    masks, transforms = _case("poses")
    transforms = transforms._replace(valid=transforms.valid.at[0, 3].set(False))
    more, _ = warp.with_offcut(masks, transforms)
    placed = np.delete(np.asarray(masks[0]), 3, axis=0).any(axis=0)
    np.testing.assert_array_equal(more[0, 10], ~placed)
