"""Part transforms against slow fits, their laws, and poses without a fit."""

import jax
import jax.numpy as jnp
import numpy as np
import posing
import pytest
from posing import INDEX, PART, SIDE, VISIBLE

import oracles
from volsynth import skeleton
from volsynth.data import fake
from volsynth.ops import pose_volumes


def _apply(transforms, part, points):
    """Target points [B, n, 3] of one part, moved to the source."""
    matrix, offset = np.asarray(transforms.matrix), np.asarray(transforms.offset)
    return np.einsum("bij,bnj->bni", matrix[:, part], points) + offset[:, part, None]


def _third_point(x, y, z):
    """Equation 4.1 of the thesis."""
    normal = np.cross(x - y, z - y)
    return y + np.linalg.norm(x - y) * normal / np.linalg.norm(normal)


def _sine(x, y, z):
    area = np.linalg.norm(np.cross(x - y, z - y))
    return area / (np.linalg.norm(x - y) * np.linalg.norm(z - y))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_limbs_map_their_joints_and_third_point_exactly(seed):
    source, target = posing.joints(seed, 8), posing.joints(seed + 10, 8)
    visible = np.ones((8, 15), bool)
    transforms = posing.transforms(source, visible, target, visible)
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
    source, target = posing.joints(1, 6), posing.joints(2, 6)
    visible = np.ones((6, 15), bool)
    transforms = posing.transforms(source, visible, target, visible)
    index = list(skeleton.PARTS[PART["torso"]].joints)
    for b in range(6):
        scale, rotation, offset = oracles.similarity_fit(target[b, index], source[b, index])
        if scale < pose_volumes.MIN_SCALE:
            continue
        np.testing.assert_allclose(transforms.matrix[b, 1], scale * rotation, atol=1e-4)
        np.testing.assert_allclose(transforms.offset[b, 1], offset, atol=5e-3)


def test_equal_poses_give_the_identity():
    for joints in (posing.joints(), fake.poses(2, 32)):
        transforms = posing.transforms(joints, VISIBLE, joints, VISIBLE)
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
    before = posing.transforms(source, VISIBLE, target, VISIBLE)
    after = posing.transforms(source, VISIBLE, moved, VISIBLE)
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
    transforms = posing.transforms(joints, VISIBLE, target.astype(np.float32), VISIBLE)
    np.testing.assert_allclose(
        transforms.matrix[:, PART["head"]], np.stack([turn.T] * 2), atol=1e-4
    )
    without = posing.transforms(joints, posing.hidden("left_shoulder"), target, VISIBLE)
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
    transforms = posing.transforms(source, VISIBLE, target, VISIBLE)
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
        transforms = posing.transforms(poses[0], VISIBLE, poses[1], VISIBLE)
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
        transforms = posing.transforms(poses[0], VISIBLE, poses[1], VISIBLE)
        assert np.all(np.isfinite(transforms.matrix))
        assert np.all(np.isfinite(transforms.offset))
        assert np.all(np.linalg.det(transforms.matrix) > 0)
        assert not np.any(transforms.valid[:, PART["torso"]])
        assert np.any(transforms.valid) == (kind == "collinear")


def test_an_invisible_joint_in_either_pose_makes_its_parts_invalid():
    joints = fake.poses(2, 32)
    index = INDEX["right_shoulder"]
    wanted = [[index not in part.joints for part in skeleton.PARTS]] * 2
    hidden = posing.hidden("right_shoulder")
    for seen in ((hidden, VISIBLE), (VISIBLE, hidden), (hidden, hidden)):
        np.testing.assert_array_equal(
            posing.transforms(joints, seen[0], joints, seen[1]).valid, wanted
        )


@pytest.mark.parametrize("factor", [0.02, 50.0])
def test_scales_are_bounded_around_the_centre(factor):
    joints = fake.poses(2, 32)
    target = ((joints - 16) * factor + 16).astype(np.float32)
    transforms = posing.transforms(joints, VISIBLE, target, VISIBLE)
    scale = np.cbrt(np.linalg.det(transforms.matrix))[np.asarray(transforms.valid)]
    bound = pose_volumes.MAX_SCALE if factor < 1 else pose_volumes.MIN_SCALE
    np.testing.assert_allclose(scale, np.full(scale.shape, bound), rtol=1e-4)
    index = list(skeleton.PARTS[PART["torso"]].joints)
    moved = _apply(transforms, PART["torso"], target[:, index]).mean(axis=1)
    np.testing.assert_allclose(moved, joints[:, index].mean(axis=1), atol=0.02)


def test_transforms_never_reflect_and_poses_carry_no_gradient():
    source, target = posing.joints(3), posing.joints(4)
    target[1] = source[1] * np.float32([-1, 1, 1]) + np.float32([32, 0, 0])  # A mirror image.
    transforms = posing.transforms(source, VISIBLE, target, VISIBLE)
    assert np.all(np.linalg.det(transforms.matrix) > 0)

    def total(source, target):
        result = posing.transforms(source, VISIBLE, target, VISIBLE)
        return result.matrix.sum() + result.offset.sum()

    gradients = jax.grad(total, argnums=(0, 1))(jnp.asarray(source), jnp.asarray(target))
    assert not any(np.any(g) for g in gradients)


def test_transforms_are_computed_in_full_precision_on_every_device():
    """Matrix products of float32 default to fewer bits on accelerators: no product may be left."""
    joints = jnp.asarray(fake.poses(2, 32))
    program = posing.transforms.lower(joints, VISIBLE, joints, VISIBLE).as_text()
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
