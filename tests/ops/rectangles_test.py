"""Rectangles and affine fits against polygons and `np.linalg.lstsq`, one person at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.path import Path

from volsynth import skeleton
from volsynth.data import fake
from volsynth.ops import pose_volumes, rectangles

SIDE = 64.0
INDEX = skeleton.INDEX
PART = {name: i for i, name in enumerate(skeleton.PART_NAMES)}
VISIBLE = np.ones((2, 15), bool)

BONES = {
    f"{side}_{which}_{limb}": (f"{side}_{start}", f"{side}_{end}")
    for side in ("right", "left")
    for which, limb, start, end in (
        ("upper", "arm", "shoulder", "elbow"),
        ("lower", "arm", "elbow", "wrist"),
        ("upper", "leg", "hip", "knee"),
        ("lower", "leg", "knee", "ankle"),
    )
}
HEAD = ("head_top", "head", "neck")
SHOULDERS = ("right_shoulder", "left_shoulder")
TORSO = (*SHOULDERS, "right_hip", "left_hip")

_masks = jax.jit(rectangles.rectangle_masks, static_argnums=(2, 3))
_fits = jax.jit(lambda *poses: rectangles.affine_fits(*poses, SIDE))


def _poses(seed=0, spread=0.06):
    return fake.poses(2, int(SIDE), seed, spread)


def _hidden(*names):
    visible = VISIBLE.copy()
    visible[:, [INDEX[name] for name in names]] = False
    return visible


# --- slow forms ----------------------------------------------------------------------------------


def _mirrored(name):
    sides = ("left_", "right_") if name.startswith("left_") else ("right_", "left_")
    return name.replace(*sides)


class _Person:
    """Points by name, in float64."""

    def __init__(self, joints, visible):
        self.xy = dict(zip(skeleton.JOINTS, np.asarray(joints, np.float64)[:, :2]))
        self.sees = dict(zip(skeleton.JOINTS, visible))

    def trunk(self):
        squares = []
        for side in ("right", "left"):
            ends = (f"{side}_hip", f"{side}_shoulder")
            if all(self.sees[name] for name in ends):
                squares.append(np.sum((self.xy[ends[0]] - self.xy[ends[1]]) ** 2))
        return np.sqrt(np.mean(squares)) if squares else 0.0

    def polygon(self, part, lower, mirrored=False):
        """Four corners, or None."""
        for start, end in (BONES[part], [_mirrored(n) for n in BONES[part]])[: 1 + mirrored]:
            if self.sees[start] and self.sees[end]:
                a, b = self.xy[start], self.xy[end]
                a = a + 0.1 * (a - b)
                b = b + (lower if "lower" in part else 0.1) * (b - a)
                along = (b - a) / np.linalg.norm(b - a)
                across = 0.2 * self.trunk() * np.array([-along[1], along[0]])
                return np.array([a + across, a - across, b - across, b + across])
        return None


def _slow_masks(joints, visible, shape):
    person, (height, width) = _Person(joints, visible), shape
    x, y = (np.arange(width) + 0.5) * SIDE / width, (np.arange(height) + 0.5) * SIDE / height
    centres = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    result = np.zeros((10, height, width), bool)
    result[PART["torso"]] = True
    seen = [person.xy[name] for name in HEAD if person.sees[name]]
    if seen:
        reach = np.abs(centres - np.mean(seen, axis=0)).max(axis=1)
        result[PART["head"]] = (reach <= 0.4 * person.trunk()).reshape(shape)
    for part in BONES:
        corners = person.polygon(part, 0.5, mirrored=True)
        if corners is not None:
            result[PART[part]] = Path(corners).contains_points(centres).reshape(shape)
    return result


def _slow_fit(points, wanted):
    """Affine map of points to wanted ones: [2, 2], [2]."""
    design = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    solution = np.linalg.lstsq(design, wanted, rcond=None)[0]
    return solution[:2].T, solution[2]


def _slow_fits(source, source_visible, target, target_visible):
    """{part: fit} of the parts that are valid, of one pair."""
    source, target = _Person(source, source_visible), _Person(target, target_visible)
    both = [n for n in skeleton.JOINTS if source.sees[n] and target.sees[n]]
    points = {"torso": TORSO if set(TORSO) <= set(both) else ()}
    head = [n for n in HEAD if n in both]
    points["head"] = (*head, *SHOULDERS) if head and set(SHOULDERS) <= set(both) else ()
    result = {}
    for part, names in points.items():
        if names:
            result[part] = _slow_fit(
                *(np.array([p.xy[n] for n in names]) for p in (target, source))
            )
    for part in BONES:
        corners = target.polygon(part, 0.3), source.polygon(part, 0.3, mirrored=True)
        if corners[0] is not None and corners[1] is not None:
            result[part] = _slow_fit(*corners)
    return result


def _assert_fits_equal_slow_ones(source, source_visible, target, target_visible):
    matrix, offset, valid = _fits(source, source_visible, target, target_visible)
    for b in range(2):
        wanted = _slow_fits(source[b], source_visible[b], target[b], target_visible[b])
        assert {name for name, i in PART.items() if valid[b, i]} == set(wanted)
        for part, (wanted_matrix, wanted_offset) in wanted.items():
            i = PART[part]
            np.testing.assert_allclose(matrix[b, i], wanted_matrix, rtol=1e-3, atol=1e-3)
            np.testing.assert_allclose(offset[b, i], wanted_offset, rtol=1e-3, atol=0.05)
    return np.asarray(valid)


# --- masks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(64, 64), (16, 16), (12, 20), (4, 4)])
@pytest.mark.parametrize("hidden", [(), ("right_knee", "head_top"), ("left_hip", *HEAD)])
def test_masks_equal_polygons(shape, hidden):
    joints, visible = _poses(1), _hidden(*hidden)
    got = np.asarray(_masks(joints, visible, shape, SIDE))
    for b in range(2):
        np.testing.assert_array_equal(got[b], _slow_masks(joints[b], visible[b], shape))
    if shape[0] >= 12:
        assert got.any(axis=(2, 3)).sum() == (18 if set(HEAD) < set(hidden) else 20)
        assert not np.delete(got, PART["torso"], axis=1).all(axis=(2, 3)).any()


def test_depth_and_gradients_do_not_matter():
    source, target = _poses(1), _poses(2)
    deeper = source + np.array([0, 0, 9], np.float32)
    for a, b in zip(
        _fits(source, VISIBLE, target, VISIBLE), _fits(deeper, VISIBLE, target, VISIBLE)
    ):
        np.testing.assert_array_equal(a, b)
    flat = _masks(source, VISIBLE, (9, 9), SIDE)
    np.testing.assert_array_equal(_masks(deeper, VISIBLE, (9, 9), SIDE), flat)

    def total(source, target):
        return sum(jnp.sum(v) for v in _fits(source, VISIBLE, target, VISIBLE))

    assert not any(np.any(g) for g in jax.grad(total, argnums=(0, 1))(source, target))


def test_without_shoulders_or_hips_only_the_torso_has_a_mask():
    got = np.asarray(_masks(_poses(), _hidden("right_hip", "left_shoulder"), (16, 16), SIDE))
    assert got[:, PART["torso"]].all()
    assert not np.delete(got, PART["torso"], axis=1).any()


# --- fits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 3, 5])
@pytest.mark.parametrize("spread", [0.03, 0.1])
def test_fits_equal_least_squares(seed, spread):
    source, target = _poses(seed, spread), _poses(seed + 1, spread)
    assert _assert_fits_equal_slow_ones(source, VISIBLE, target, VISIBLE).all()


@pytest.mark.parametrize(
    ("missing_in_source", "missing_in_target", "lost"),
    [
        # Missing in the target: lost. Missing in the source alone: taken from the other side.
        ((), ("left_knee",), {"left_upper_leg", "left_lower_leg"}),
        (("left_knee",), (), set()),
        (("left_knee",), ("left_knee",), {"left_upper_leg", "left_lower_leg"}),
        (("left_wrist", "right_wrist"), (), {"left_lower_arm", "right_lower_arm"}),
        # The other side is that of the source: the target's own does not help.
        (("left_wrist",), ("right_wrist",), {"right_lower_arm"}),
        # One joint of the head is enough, as long as both poses have it.
        (("head_top", "head"), (), set()),
        (("head_top",), ("neck",), set()),
        (("head_top",), ("head", "neck"), {"head"}),
        (HEAD, (), {"head"}),
        # A shoulder takes head and torso with it; the arm is there on the other side.
        (("left_shoulder",), (), {"head", "torso"}),
        ((), ("right_hip",), {"torso", "right_upper_leg"}),
    ],
)
def test_joints_that_are_missing(missing_in_source, missing_in_target, lost):
    source_visible, target_visible = _hidden(*missing_in_source), _hidden(*missing_in_target)
    source, target = _poses(1), _poses(2)
    # What stands in the place of such a joint must not matter.
    source[~source_visible], target[~target_visible] = np.nan, -1e9
    valid = _assert_fits_equal_slow_ones(source, source_visible, target, target_visible)
    for row in valid:
        assert {name for name, i in PART.items() if not row[i]} == lost
    fits = _fits(source, source_visible, target, target_visible)
    assert all(np.all(np.isfinite(v)) for v in fits)
    masks = _masks(source, source_visible, (32, 32), SIDE)
    assert np.asarray(masks)[valid].any(axis=(1, 2)).all()


def test_a_missing_limb_has_the_mask_of_the_other_side():
    joints = _poses()
    whole = _masks(joints, VISIBLE, (32, 32), SIDE)
    got = _masks(joints, _hidden("right_elbow"), (32, 32), SIDE)
    for which in ("upper", "lower"):
        np.testing.assert_array_equal(
            got[:, PART[f"right_{which}_arm"]], whole[:, PART[f"left_{which}_arm"]]
        )


def test_equal_poses_do_not_move():
    joints = _poses()
    matrix, offset, valid = _fits(joints, VISIBLE, joints, VISIBLE)
    assert np.all(valid)
    np.testing.assert_allclose(matrix, np.broadcast_to(np.eye(2), matrix.shape), atol=1e-4)
    np.testing.assert_allclose(offset, 0, atol=5e-3)


def test_both_poses_turned_and_scaled():
    """The fit of target' = A target and source' = B source is B fit A^-1: A, B similarities."""
    source, target = _poses(1), _poses(2)
    angles, scales = (0.7, -2.1), (0.6, 1.3)
    moves = [
        s * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
        for a, s in zip(angles, scales)
    ]
    shift = np.array([3.0, -5.0])
    moved = []
    for joints, move in zip((target, source), moves):
        joints = joints.astype(np.float64)
        joints[..., :2] = joints[..., :2] @ move.T + shift
        moved.append(joints.astype(np.float32))
    before, after = (
        [np.asarray(v, np.float64) for v in _fits(s, VISIBLE, t, VISIBLE)]
        for s, t in ((source, target), reversed(moved))
    )
    assert before[2].all()
    assert after[2].all()
    a, b = moves
    matrix = b @ before[0] @ np.linalg.inv(a)
    np.testing.assert_allclose(after[0], matrix, rtol=1e-3, atol=1e-3)
    offset = before[1] @ b.T + shift - matrix @ shift
    np.testing.assert_allclose(after[1], offset, rtol=1e-3, atol=0.1)


# --- what has no fit -----------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["source", "target"])
@pytest.mark.parametrize("kind", ["coinciding", "collinear", "no length"])
def test_points_on_a_line_and_in_a_point_are_finite_and_not_valid(which, kind):
    poses = {"source": _poses(1), "target": _poses(2)}
    joints = poses[which]
    if kind == "coinciding":
        joints[:] = 30.0
    if kind == "collinear":
        joints[:] = 2 + np.outer(np.arange(15), (3.0, 2.0, 0.5))
    if kind == "no length":
        joints[:, INDEX["right_wrist"]] = joints[:, INDEX["right_elbow"]]
    matrix, offset, valid = _fits(poses["source"], VISIBLE, poses["target"], VISIBLE)
    masks = np.asarray(_masks(joints, VISIBLE, (32, 32), SIDE))
    lost = {
        "coinciding": set(PART),
        "collinear": {"head", "torso"},
        "no length": {"right_lower_arm"},
    }[kind]
    for b in range(2):
        assert {name for name, i in PART.items() if not valid[b, i]} == lost
        for name in lost:
            i = PART[name]
            np.testing.assert_array_equal(matrix[b, i], np.eye(2))
            np.testing.assert_array_equal(offset[b, i], np.zeros(2))
    assert np.all(np.isfinite(matrix))
    assert np.all(np.isfinite(offset))
    if kind == "coinciding":
        assert not np.delete(masks, PART["torso"], axis=1).any()
    if kind == "no length":
        assert not masks[:, PART["right_lower_arm"]].any()


def test_a_fit_that_folds_the_torso_is_not_valid():
    """Two corners of a square change places: the best affine map loses one direction."""
    source, target = _poses(), _poses()
    square = np.array([(20, 20), (40, 20), (40, 40), (20, 40)], np.float32)
    names = ("right_shoulder", "left_shoulder", "left_hip", "right_hip")
    for corner, name in enumerate(names):
        target[:, INDEX[name], :2] = square[corner]
        source[:, INDEX[name], :2] = square[(0, 2, 1, 3)[corner]]
    _, _, valid = _fits(source, VISIBLE, target, VISIBLE)
    assert not np.any(valid[:, PART["torso"]])
    assert np.all(np.asarray(valid)[:, PART["right_lower_leg"]])


def test_under_vmap_and_in_full_precision():
    poses = np.stack([_poses(i) for i in range(4)])
    source, target = poses[:2], poses[2:]
    both = np.stack([VISIBLE] * 2)
    got = jax.vmap(_fits)(source, both, target, both)
    for i in range(2):
        for a, b in zip(got, _fits(source[i], VISIBLE, target[i], VISIBLE)):
            np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-3)
    program = _fits.lower(source[0], VISIBLE, target[0], VISIBLE).as_text()
    products = [line for line in program.splitlines() if "stablehlo.dot_general" in line]
    assert products
    assert all("HIGHEST" in line for line in products)


# --- together with the warp ----------------------------------------------------------------------


def test_what_is_at_a_joint_of_the_source_is_carried_to_that_of_the_target():
    """Dots at the ankles of the source are bright at those of the target; none of it is blurred."""
    source, target = _poses(1), _poses(2)
    ankles = [INDEX["left_ankle"], INDEX["right_ankle"]]
    heatmaps = jax.jit(pose_volumes.heatmaps, static_argnums=(2, 3, 4, 5))
    dots = heatmaps(source, VISIBLE, (64, 64, 1), SIDE, 1.5, True)[:, :, :, 0, np.array(ankles)]
    poses = (source, VISIBLE, target, VISIBLE)
    moved = jax.jit(rectangles.move, static_argnums=(5, 6))(dots, *poses, SIDE, "nearest")
    assert set(np.ravel(moved)) <= {0.0, *np.ravel(dots)}
    for b in range(2):
        for channel, ankle in enumerate(ankles):
            column, row = np.floor(target[b, ankle, :2]).astype(int)
            assert moved[b, row, column, channel] > 0.7
            assert dots[b, row, column, channel] < 0.5
