"""Heatmaps, part masks and part transforms against slow loops, drawing and dilating, and laws."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import oracles
from volsynth import skeleton
from volsynth.data import fake
from volsynth.ops import pose_volumes

SIDE = 32.0
INDEX = skeleton.INDEX
PART = {name: i for i, name in enumerate(skeleton.PART_NAMES)}
VISIBLE = np.ones((2, 15), bool)

_heatmaps = jax.jit(pose_volumes.heatmaps, static_argnums=(2, 3, 4))
_masks = jax.jit(pose_volumes.part_masks, static_argnums=(2, 3, 4))
_scale = jax.jit(pose_volumes.person_scale)
_transforms = jax.jit(lambda *args: pose_volumes.part_transforms(*args, SIDE))


def _joints(seed=0, batch=2, low=0.1, high=0.9):
    rng = np.random.default_rng(seed)
    return (rng.uniform(low, high, (batch, 15, 3)) * SIDE).astype(np.float32)


def _hidden(*names):
    visible = VISIBLE.copy()
    visible[:, [INDEX[name] for name in names]] = False
    return visible


def _apply(transforms, part, points):
    """Target points [B, n, 3] of one part, moved to the source."""
    matrix, offset = np.asarray(transforms.matrix), np.asarray(transforms.offset)
    return np.einsum("bij,bnj->bni", matrix[:, part], points) + offset[:, part, None]


# --- heatmaps ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 7, 4), (4, 4, 1)])
def test_heatmaps_equal_a_slow_loop(shape):
    joints, visible = _joints(low=-0.2, high=1.2), _hidden("neck")
    got = _heatmaps(joints, visible, shape, SIDE, 5.0)
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
    got = np.asarray(_heatmaps(joints, VISIBLE, shape, SIDE, 1.0))
    for b, j in np.ndindex(2, 15):
        assert np.unravel_index(got[b, ..., j].argmax(), shape) == tuple(index[b, j])
        assert got[b, ..., j].max() == pytest.approx(1)
    assert not _heatmaps(joints, ~VISIBLE, shape, SIDE, 1.0).any()


def test_voxel_centres_are_symmetric():
    np.testing.assert_allclose(pose_volumes.voxel_centres(4, 32.0), [4, 12, 20, 28])


# --- masks ---------------------------------------------------------------------------------------


def _drawn(joints, visible, shape, across, along):
    """All masks of one person by drawing and dilating."""
    step = SIDE / np.array(shape, np.float64)
    voxels = np.asarray(joints, np.float64)[:, [1, 0, 2]] / step
    masks = []
    for part in skeleton.PARTS:
        ends = [(i, j) for i in part.joints for j in part.joints if i < j]
        lines = (
            [(voxels[i], voxels[j]) for i, j in ends] if visible[list(part.joints)].all() else []
        )
        masks.append(oracles.draw_and_dilate(lines, shape, along, across - along))
    return np.stack(masks)


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.9), (-0.5, 1.5)])
@pytest.mark.parametrize("shape", [(16, 16, 16), (12, 12, 5), (9, 11, 6), (16, 16, 1)])
def test_masks_equal_drawing_and_dilating(shape, low, high):
    joints, visible = _joints(len(shape) + shape[2], low=low, high=high), VISIBLE.copy()
    visible[1, INDEX["left_knee"]] = False
    scale = np.linalg.norm(
        joints[:, list(skeleton.SHOULDERS)] - joints[:, list(skeleton.HIPS)], axis=-1
    ).mean(axis=-1)
    got = np.asarray(_masks(joints, visible, shape, SIDE, 0.2))
    for b in range(2):
        across = max(round(0.2 * scale[b] * shape[1] / SIDE - 0.5), 1)
        along = math.ceil(across * shape[2] / shape[1] - 0.5)  # Halves go down.
        np.testing.assert_array_equal(got[b], _drawn(joints[b], visible[b], shape, across, along))
    assert got[0].any()
    assert not got[0].all()


def test_masks_of_lines_along_the_axes():
    """Along an axis two of three intervals are everything or nothing."""
    joints = np.full((3, 15, 3), 17.3, np.float32)
    for axis in range(3):
        joints[axis, INDEX["right_elbow"], axis] = 6.1
    joints[:, list(skeleton.HIPS), 1] = 37.3  # Scale 20, so 0.2 of it are 4 pixels.
    shape = (16, 16, 8)
    got = np.asarray(_masks(joints, np.ones((3, 15), bool), shape, SIDE, 0.2))
    for b in range(3):
        wanted = _drawn(joints[b], VISIBLE[0], shape, 2, 1)
        np.testing.assert_array_equal(got[b], wanted)


def test_an_invisible_joint_empties_its_parts_and_no_other():
    joints = fake.poses(2, 32)
    shape = (16, 16, 8)
    full = np.asarray(_masks(joints, VISIBLE, shape, SIDE, 0.2))
    assert full.any(axis=(2, 3, 4)).all()
    got = np.asarray(_masks(joints, _hidden("right_elbow"), shape, SIDE, 0.2))
    gone = [PART["right_upper_arm"], PART["right_lower_arm"]]
    assert not got[:, gone].any()
    kept = [p for p in range(10) if p not in gone]
    np.testing.assert_array_equal(got[:, kept], full[:, kept])


def test_nothing_depends_on_where_an_invisible_joint_is():
    joints, visible = fake.poses(2, 32), _hidden("left_hip", "left_wrist")
    elsewhere = np.where(visible[..., None], joints, np.float32(1e4))
    shape = (16, 16, 8)
    for f in (
        lambda j: _masks(j, visible, shape, SIDE, 0.2),
        lambda j: _heatmaps(j, visible, (4, 4, 4), SIDE, 2.0),
        lambda j: _scale(j, visible),
    ):
        np.testing.assert_array_equal(f(joints), f(elsewhere))
    here, there = (_transforms(j, visible, j[::-1], visible) for j in (joints, elsewhere))
    valid = np.asarray(here.valid)
    np.testing.assert_array_equal(valid, there.valid)
    np.testing.assert_allclose(here.matrix[valid], there.matrix[valid], atol=1e-5)
    assert np.all(np.isfinite(there.matrix))
    assert np.all(np.isfinite(there.offset))


def test_person_scale_is_the_mean_of_the_visible_sides():
    joints = np.zeros((4, 15, 3), np.float32)
    joints[:, INDEX["right_hip"]] = (0, 3, 4)
    joints[:, INDEX["left_hip"]] = (0, 0, 15)
    visible = np.ones((4, 15), bool)
    visible[1, INDEX["left_shoulder"]] = False
    visible[2, INDEX["right_hip"]] = False
    visible[3, list(skeleton.HIPS)] = False
    np.testing.assert_allclose(_scale(joints, visible), [10, 5, 15, 0])


def test_masks_and_their_dilations_grow_with_the_person():
    joints = fake.poses(2, 32) - 16
    shape = (32, 32, 12)
    sizes, counts = [], []
    for factor in (0.3, 0.5, 0.7, 0.9):
        person = (factor * joints + 16).astype(np.float32)
        masks = _masks(person, VISIBLE, shape, SIDE, 0.5)
        sizes.append(np.asarray(masks.sum(axis=(2, 3, 4))))
        scale = _scale(person, VISIBLE)
        counts.append(np.asarray(pose_volumes.mask_dilations(scale, shape, SIDE, 0.5)))
    assert np.all(np.diff(sizes, axis=0).sum(axis=2) > 0)
    assert np.all(sizes[-1] > sizes[0])
    assert np.all(np.diff(counts, axis=0) >= 0)
    assert np.all(counts[-1][0] > counts[0][0])
    for across, along in counts:
        assert np.all(across == np.round(across))
        np.testing.assert_array_equal(along, np.ceil(across * 12 / 32 - 0.5))


# --- transforms ----------------------------------------------------------------------------------


def _third_point(x, y, z):
    """Equation 4.1 of the thesis."""
    normal = np.cross(x - y, z - y)
    return y + np.linalg.norm(x - y) * normal / np.linalg.norm(normal)


def _sine(x, y, z):
    area = np.linalg.norm(np.cross(x - y, z - y))
    return area / (np.linalg.norm(x - y) * np.linalg.norm(z - y))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_limbs_map_their_joints_and_third_point_exactly(seed):
    source, target = _joints(seed, 8), _joints(seed + 10, 8)
    visible = np.ones((8, 15), bool)
    transforms = _transforms(source, visible, target, visible)
    assert np.all(transforms.valid)
    checked = 0
    for p, part in enumerate(skeleton.PARTS):
        if len(part.joints) != 2:
            continue
        for b in range(8):
            poses = [j[b].astype(np.float64) for j in (source, target)]
            triples = [j[[*part.joints, *part.roll]] for j in poses]
            bones = [np.linalg.norm(x - y) for x, y, _ in triples]
            straight = min(_sine(*triple) for triple in triples) < pose_volumes.MIN_SINE
            if (
                straight
                or not pose_volumes.MIN_SCALE < bones[0] / bones[1] < pose_volumes.MAX_SCALE
            ):
                continue
            wanted, points = (np.stack([x, y, _third_point(x, y, z)]) for x, y, z in triples)
            matrix, offset = (
                np.asarray(transforms.matrix[b, p]),
                np.asarray(transforms.offset[b, p]),
            )
            np.testing.assert_allclose(points @ matrix.T + offset, wanted, atol=2e-3)
            checked += 1
    assert checked > 40


def test_the_torso_is_the_least_squares_fit_of_its_joints():
    source, target = _joints(1, 6), _joints(2, 6)
    visible = np.ones((6, 15), bool)
    transforms = _transforms(source, visible, target, visible)
    index = list(skeleton.PARTS[PART["torso"]].joints)
    for b in range(6):
        scale, rotation, offset = oracles.similarity_fit(target[b, index], source[b, index])
        if scale < pose_volumes.MIN_SCALE:
            continue
        np.testing.assert_allclose(transforms.matrix[b, 1], scale * rotation, atol=1e-4)
        np.testing.assert_allclose(transforms.offset[b, 1], offset, atol=5e-3)


def test_equal_poses_give_the_identity():
    for joints in (_joints(), fake.poses(2, 32)):
        transforms = _transforms(joints, VISIBLE, joints, VISIBLE)
        assert np.all(transforms.valid)
        eye = np.broadcast_to(np.eye(3), (2, 10, 3, 3))
        np.testing.assert_allclose(transforms.matrix, eye, atol=2e-5)
        np.testing.assert_allclose(transforms.offset, np.zeros((2, 10, 3)), atol=1e-3)


@pytest.mark.parametrize("move", ["shift", "turn in the image", "turn in space", "scale", "all"])
def test_moving_the_target_composes_with_the_transform(move):
    rng = np.random.default_rng(7)
    scale, rotation, shift = 1.0, np.eye(3), np.zeros(3)
    if move in ("shift", "all"):
        shift = np.array([5.0, -3.0, 2.0])
    if move in ("turn in the image", "all"):
        rotation = oracles.rotation_about((0, 0, 1), 0.7)
    if move == "turn in space":
        rotation = oracles.random_rotation(rng)
    if move in ("scale", "all"):
        scale = 1.3
    source, target = fake.poses(2, 32, 1), fake.poses(2, 32, 2)
    moved = (scale * target @ rotation.T + shift).astype(np.float32)
    before = _transforms(source, VISIBLE, target, VISIBLE)
    after = _transforms(source, VISIBLE, moved, VISIBLE)
    np.testing.assert_array_equal(before.valid, after.valid)
    wanted = np.asarray(before.matrix) @ rotation.T / scale
    np.testing.assert_allclose(after.matrix, wanted, atol=2e-3)
    np.testing.assert_allclose(after.offset, before.offset - wanted @ shift, atol=0.06)


def test_the_head_takes_its_roll_from_the_shoulders():
    joints = fake.poses(2, 32, spread=0.0)
    for i, y in zip(skeleton.PARTS[PART["head"]].joints, (2.0, 5.0, 8.0)):
        joints[:, i] = (16, y, 16)  # Exactly upright.
    for i, x in zip(skeleton.SHOULDERS, (10.0, 22.0)):
        joints[:, i] = (x, 9, 16)
    turn = oracles.rotation_about((0, 1, 0), 0.9)
    target = joints.copy()
    index = list(skeleton.SHOULDERS)
    target[:, index] = (joints[:, index] - 16) @ turn.T + 16
    transforms = _transforms(joints, VISIBLE, target.astype(np.float32), VISIBLE)
    np.testing.assert_allclose(
        transforms.matrix[:, PART["head"]], np.stack([turn.T] * 2), atol=1e-4
    )
    without = _transforms(joints, _hidden("left_shoulder"), target, VISIBLE)
    eye = np.stack([np.eye(3)] * 2)
    np.testing.assert_allclose(without.matrix[:, PART["head"]], eye, atol=1e-4)
    assert np.all(without.valid[:, PART["head"]])


@pytest.mark.parametrize("straight", ["source", "target", "both"])
def test_straight_limbs_keep_their_joints_and_turn_the_least(straight):
    poses = {"source": fake.poses(2, 32, 1), "target": fake.poses(2, 32, 2)}
    shoulder, elbow, wrist = (INDEX[f"right_{n}"] for n in ("shoulder", "elbow", "wrist"))
    for name in poses if straight == "both" else (straight,):
        joints = poses[name]
        joints[:, wrist] = 2 * joints[:, elbow] - joints[:, shoulder]
    source, target = poses["source"], poses["target"]
    transforms = _transforms(source, VISIBLE, target, VISIBLE)
    for name in ("right_upper_arm", "right_lower_arm"):
        p = PART[name]
        x, y = skeleton.PARTS[p].joints
        assert np.all(transforms.valid[:, p])
        moved = _apply(transforms, p, target[:, [x, y]])
        np.testing.assert_allclose(moved, source[:, [x, y]], atol=2e-3)
        a, b = target[:, x] - target[:, y], source[:, x] - source[:, y]
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        cosine = np.sum(a * b, axis=1) / lengths
        matrix = np.asarray(transforms.matrix[:, p])
        trace = np.trace(matrix, axis1=1, axis2=2) / np.cbrt(np.linalg.det(matrix))
        np.testing.assert_allclose(trace, 1 + 2 * cosine, atol=1e-3)


@pytest.mark.parametrize("pair", [("right_shoulder", "right_elbow"), ("head_top", "head")])
def test_a_bone_without_length_has_no_transform(pair):
    first, second = (INDEX[name] for name in pair)
    source, target = fake.poses(2, 32, 1), fake.poses(2, 32, 2)
    source[:, first] = source[:, second]
    for poses in ((source, target), (target, source), (source, source)):
        transforms = _transforms(poses[0], VISIBLE, poses[1], VISIBLE)
        assert np.all(np.isfinite(transforms.matrix))
        assert np.all(np.isfinite(transforms.offset))
        wanted = [not {first, second} <= set(part.joints) for part in skeleton.PARTS]
        np.testing.assert_array_equal(transforms.valid, [wanted, wanted])


@pytest.mark.parametrize("kind", ["coinciding", "collinear", "zero"])
def test_degenerate_people_are_finite(kind):
    line = np.outer(np.arange(15), (1.0, 0.5, -1.0)) + 16
    joints = {"coinciding": 0 * line + 7, "collinear": line, "zero": 0 * line}[kind]
    joints = np.stack([joints] * 2).astype(np.float32)
    for poses in ((joints, fake.poses(2, 32)), (fake.poses(2, 32), joints), (joints, joints)):
        transforms = _transforms(poses[0], VISIBLE, poses[1], VISIBLE)
        assert np.all(np.isfinite(transforms.matrix))
        assert np.all(np.isfinite(transforms.offset))
        assert np.all(np.linalg.det(transforms.matrix) > 0)
        assert not np.any(transforms.valid[:, PART["torso"]])
        assert np.any(transforms.valid) == (kind == "collinear")


def test_an_invisible_joint_in_either_pose_makes_its_parts_invalid():
    joints = fake.poses(2, 32)
    index = INDEX["right_shoulder"]
    wanted = [[index not in part.joints for part in skeleton.PARTS]] * 2
    hidden = _hidden("right_shoulder")
    for seen in ((hidden, VISIBLE), (VISIBLE, hidden), (hidden, hidden)):
        np.testing.assert_array_equal(_transforms(joints, seen[0], joints, seen[1]).valid, wanted)


@pytest.mark.parametrize("factor", [0.02, 50.0])
def test_scales_are_bounded_around_the_centre(factor):
    joints = fake.poses(2, 32)
    target = ((joints - 16) * factor + 16).astype(np.float32)
    transforms = _transforms(joints, VISIBLE, target, VISIBLE)
    scale = np.cbrt(np.linalg.det(transforms.matrix))[np.asarray(transforms.valid)]
    bound = pose_volumes.MAX_SCALE if factor < 1 else pose_volumes.MIN_SCALE
    np.testing.assert_allclose(scale, np.full(scale.shape, bound), rtol=1e-4)
    index = list(skeleton.PARTS[PART["torso"]].joints)
    moved = _apply(transforms, PART["torso"], target[:, index]).mean(axis=1)
    np.testing.assert_allclose(moved, joints[:, index].mean(axis=1), atol=0.02)


def test_transforms_never_reflect_and_poses_carry_no_gradient():
    source, target = _joints(3), _joints(4)
    target[1] = source[1] * np.float32([-1, 1, 1]) + np.float32([32, 0, 0])  # A mirror image.
    transforms = _transforms(source, VISIBLE, target, VISIBLE)
    assert np.all(np.linalg.det(transforms.matrix) > 0)

    def total(source, target):
        result = _transforms(source, VISIBLE, target, VISIBLE)
        return result.matrix.sum() + result.offset.sum()

    gradients = jax.grad(total, argnums=(0, 1))(jnp.asarray(source), jnp.asarray(target))
    assert not any(np.any(g) for g in gradients)


def test_transforms_are_computed_in_full_precision_on_every_device():
    """Matrix products of float32 default to fewer bits on accelerators: no product may be left."""
    joints = jnp.asarray(fake.poses(2, 32))
    program = _transforms.lower(joints, VISIBLE, joints, VISIBLE).as_text()
    products = [line for line in program.splitlines() if "stablehlo.dot_general" in line]
    assert len(products) > 3
    assert all("precision = [HIGHEST, HIGHEST]" in line for line in products)


@pytest.mark.parametrize("bend", [0.0, 1e-30, 1e-12, 1e-6, 1e-3])
def test_nothing_inside_is_nan_for_a_straight_limb(bend):
    """`jax_debug_nans` stops at any NaN, also at one that a later `where` would hide."""
    joints = np.zeros((2, 15, 3), np.float32)
    joints[..., 0] = 100 * np.arange(15)
    joints[:, 1::2, 1] = bend
    jax.config.update("jax_debug_nans", True)
    args = [jnp.asarray(v) for v in (joints, VISIBLE) * 2]
    try:
        # Compiled, only the results are looked at.
        with jax.disable_jit():
            transforms = pose_volumes.part_transforms(*args, SIDE)
    finally:
        jax.config.update("jax_debug_nans", False)
    assert np.all(np.isfinite(transforms.matrix))


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
