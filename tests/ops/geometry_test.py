"""Cameras and fits: hand calculations, an implementation written from the paper, group laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import oracles
from volsynth.ops import geometry

KINDS = pytest.mark.parametrize("asarray", [np.float32, jnp.float32], ids=["numpy", "jax"])


def _pairs(kind, count=20, points=4, seed=0):
    """Pairs of point sets [count, points, 3] that are related in a way."""
    rng = np.random.default_rng(seed)
    source = rng.uniform(-50, 50, (count, points, 3))
    target = np.empty_like(source)
    for i in range(count):
        scale, rotation = rng.uniform(0.3, 3), oracles.random_rotation(rng)
        target[i] = scale * source[i] @ rotation.T + rng.uniform(-100, 100, 3)
    if kind == "noisy":
        target += rng.normal(0, 5, target.shape)
    if kind == "reflected":
        target[..., 0] *= -1
    if kind == "unrelated":
        target = rng.uniform(-50, 50, target.shape)
    return source.astype(np.float32), target.astype(np.float32)


# --- fits ----------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("points", [3, 4, 9])
@pytest.mark.parametrize("kind", ["similar", "noisy", "reflected", "unrelated"])
def test_the_fit_is_that_of_umeyama(kind, points, asarray):
    source, target = _pairs(kind, points=points)
    scale, rotation, translation = geometry.similarity_fit(asarray(source), asarray(target))
    for i in range(len(source)):
        wanted = oracles.similarity_fit(source[i], target[i])
        np.testing.assert_allclose(scale[i], wanted[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(rotation[i], wanted[1], atol=1e-3)
        np.testing.assert_allclose(translation[i], wanted[2], rtol=1e-3, atol=0.05)


@KINDS
def test_fitting_a_transform_returns_it(asarray):
    rng = np.random.default_rng(3)
    for _ in range(10):
        scale, rotation = rng.uniform(0.3, 3), oracles.random_rotation(rng)
        shift, source = rng.uniform(-9, 9, 3), rng.uniform(-5, 5, (5, 3))
        target = scale * source @ rotation.T + shift
        got = geometry.similarity_fit(asarray(source), asarray(target))
        for value, wanted in zip(got, (scale, rotation, shift)):
            np.testing.assert_allclose(value, wanted, atol=2e-5)


def test_the_identity_and_the_inverse():
    source, target = _pairs("similar")
    scale, rotation, shift = geometry.similarity_fit(source, source)
    np.testing.assert_allclose(scale, np.ones(20), rtol=1e-5)
    np.testing.assert_allclose(rotation, np.tile(np.eye(3), (20, 1, 1)), atol=1e-5)
    np.testing.assert_allclose(shift, np.zeros((20, 3)), atol=1e-3)
    s, r, t = geometry.similarity_fit(source, target)
    s2, r2, t2 = geometry.similarity_fit(target, source)
    np.testing.assert_allclose(s * s2, np.ones(20), rtol=1e-5)
    np.testing.assert_allclose(r2 @ r, np.tile(np.eye(3), (20, 1, 1)), atol=1e-5)
    back = s2[:, None] * np.einsum("bij,bj->bi", r2, t) + t2
    np.testing.assert_allclose(back, np.zeros((20, 3)), atol=1e-3)


@KINDS
@pytest.mark.parametrize("kind", ["similar", "noisy", "reflected", "unrelated"])
def test_the_fit_never_reflects(kind, asarray):
    source, target = _pairs(kind)
    _, rotation, _ = geometry.similarity_fit(asarray(source), asarray(target))
    np.testing.assert_allclose(np.linalg.det(rotation), np.ones(20), atol=1e-4)
    identity = np.asarray(rotation) @ np.swapaxes(rotation, -1, -2)
    np.testing.assert_allclose(identity, np.tile(np.eye(3), (20, 1, 1)), atol=1e-4)


@KINDS
def test_no_other_similarity_is_closer(asarray):
    """Least squares by definition: any small change makes the residual larger."""
    source, target = _pairs("noisy", count=1)
    scale, rotation, shift = geometry.similarity_fit(asarray(source[0]), asarray(target[0]))

    def residual(s, r, t):
        return np.sum((s * source[0] @ np.asarray(r, np.float64).T + t - target[0]) ** 2)

    best = residual(float(scale), rotation, np.asarray(shift))
    rng = np.random.default_rng(1)
    for _ in range(50):
        turn = oracles.rotation_about(rng.standard_normal(3), 0.02)
        assert residual(float(scale), turn @ rotation, np.asarray(shift)) > best
        other_scale = float(scale) * (1 + rng.choice([-0.02, 0.02]))
        assert residual(other_scale, rotation, np.asarray(shift)) > best
        moved = np.asarray(shift) + rng.normal(0, 0.5, 3)
        assert residual(float(scale), rotation, moved) > best


@KINDS
@pytest.mark.parametrize("kind", ["coinciding", "collinear", "zero"])
def test_degenerate_points_stay_finite(kind, asarray):
    line = np.outer(np.arange(4.0), (1.0, 2.0, -1.0))
    degenerate = {"coinciding": np.full((4, 3), 7.0), "collinear": line, "zero": 0 * line}[kind]
    ordinary = _pairs("similar", count=1)[0][0]
    for source, target in (
        (degenerate, ordinary),
        (ordinary, degenerate),
        (degenerate, degenerate),
    ):
        result = geometry.similarity_fit(asarray(source), asarray(target))
        assert all(np.all(np.isfinite(value)) for value in result)
        assert np.linalg.det(result[1]) == pytest.approx(1, abs=1e-4)


def test_a_fit_keeps_the_callers_kind_and_precision():
    source, target = _pairs("similar", count=1)
    values = geometry.similarity_fit(source, target)
    assert all(isinstance(v, np.ndarray | np.generic) for v in values)
    assert all(v.dtype == np.float32 for v in values)
    assert isinstance(geometry.similarity_fit(jnp.asarray(source), target)[0], jax.Array)


# --- rotations between directions ----------------------------------------------------------------


@KINDS
def test_a_minimal_rotation_turns_one_direction_into_the_other(asarray):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 50, 3))
    rotation = np.asarray(geometry.minimal_rotation(asarray(3 * a), asarray(0.1 * b)))
    unit_a, unit_b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
    np.testing.assert_allclose(np.einsum("bij,bj->bi", rotation, unit_a), unit_b, atol=1e-4)
    np.testing.assert_allclose(np.linalg.det(rotation), np.ones(50), atol=1e-5)
    transposed = np.swapaxes(rotation, -1, -2)
    np.testing.assert_allclose(rotation @ transposed, np.tile(np.eye(3), (50, 1, 1)), atol=1e-5)
    angle = np.arccos(np.sum(unit_a * unit_b, axis=1))
    trace = np.trace(rotation, axis1=1, axis2=2)
    np.testing.assert_allclose(trace, 1 + 2 * np.cos(angle), atol=1e-4)  # No larger than needed.
    inverse = geometry.minimal_rotation(asarray(b), asarray(a))
    np.testing.assert_allclose(inverse, transposed, atol=1e-4)


@KINDS
def test_equal_directions_are_left_alone(asarray):
    directions = asarray([[1, 0, 0], [0, -2, 0], [1, 2, 3], [1e-3, 0, 5]])
    got = geometry.minimal_rotation(directions, 2 * directions)
    np.testing.assert_allclose(got, np.tile(np.eye(3), (4, 1, 1)), atol=1e-6)


@KINDS
@pytest.mark.parametrize("tilt", [1e-8, 1e-7, 1e-6, 1e-5])
def test_nearly_equal_directions_turn_as_little(tilt, asarray):
    """The difference of the two directions is mostly rounding, and may lie along them."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((500, 3))
    b = a * (1 + tilt * rng.standard_normal(a.shape))
    got = geometry.minimal_rotation(asarray(a), asarray(b))
    np.testing.assert_allclose(got, np.tile(np.eye(3), (500, 1, 1)), atol=10 * tilt + 1e-6)


@KINDS
@pytest.mark.parametrize("tilt", [0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2])
def test_opposite_directions_get_a_half_turn(tilt, asarray):
    rng = np.random.default_rng(0)
    a = np.concatenate([np.eye(3), -np.eye(3), rng.standard_normal((30, 3))])
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b = -a + tilt * rng.standard_normal(a.shape)
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    rotation = np.asarray(geometry.minimal_rotation(asarray(a), asarray(b)))
    np.testing.assert_allclose(np.einsum("bij,bj->bi", rotation, a), b, atol=2e-5)
    np.testing.assert_allclose(np.linalg.det(rotation), np.ones(len(a)), atol=1e-5)


@KINDS
def test_zero_vectors_stay_finite(asarray):
    zero, one = asarray(np.zeros((1, 3))), asarray(np.ones((1, 3)))
    for pair in ((zero, one), (one, zero), (zero, zero)):
        assert np.all(np.isfinite(geometry.minimal_rotation(*pair)))


# --- cameras -------------------------------------------------------------------------------------

INTRINSICS = np.array([[1100.0, 0.0, 500.0], [0.0, 1200.0, 520.0], [0.0, 0.0, 1.0]])


@KINDS
def test_projection_without_distortion(asarray):
    points = asarray([[[0, 0, 2000], [100, -200, 1000]]])
    got = geometry.project(points, asarray(INTRINSICS[None]))
    np.testing.assert_allclose(got, [[[500, 520], [610, 280]]], rtol=1e-6)


@KINDS
def test_projection_with_distortion_by_hand(asarray):
    k1, k2, k3, p1, p2 = -0.2, 0.25, -0.03, 0.01, -0.02
    x, y = 0.3, -0.2
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    # Expanded, the tangential terms are p1 xy + p2 (r2 + x2) and p1 (r2 + y2) + p2 xy: a single
    # cross term, where OpenCV has two.
    distorted_x = x * radial + p1 * x * y + p2 * (r2 + x * x)
    distorted_y = y * radial + p1 * (r2 + y * y) + p2 * x * y
    wanted = [1100 * distorted_x + 500, 1200 * distorted_y + 520]
    points = asarray([[[300, -200, 1000]]])
    got = geometry.project(points, asarray(INTRINSICS[None]), asarray([[k1, k2, k3, p1, p2]]))
    np.testing.assert_allclose(got, [[wanted]], rtol=1e-6)


@KINDS
def test_a_zero_distortion_changes_nothing_and_skew_counts(asarray):
    rng = np.random.default_rng(0)
    points = asarray(rng.uniform((-1, -1, 3), (1, 1, 6), (2, 7, 3)))
    skewed = INTRINSICS.copy()
    skewed[0, 1] = 30
    skewed = asarray(np.tile(skewed, (2, 1, 1)))
    plain = geometry.project(points, skewed)
    zero = geometry.project(points, skewed, asarray(np.zeros((2, 5))))
    np.testing.assert_allclose(plain, zero, rtol=1e-6)
    homogeneous = np.einsum("bij,bnj->bni", skewed, points)
    np.testing.assert_allclose(plain, homogeneous[..., :2] / homogeneous[..., 2:], rtol=1e-5)


@KINDS
def test_image_pose_has_one_scale_and_its_mean_in_the_middle(asarray):
    joints_mm = np.array([[[0.0, 0, 4000], [0, 0, 5000], [0, 0, 6000], [0, 0, 90000]]])
    joints_px = np.arange(8.0).reshape(1, 4, 2)
    visible = np.array([[True, True, True, False]])
    got = geometry.image_pose(
        asarray(joints_px), asarray(joints_mm), visible, asarray(INTRINSICS[None]), 256.0
    )
    np.testing.assert_allclose(got[..., :2], joints_px)
    # 1150 / 5000 pixels per millimetre at the mean depth of the three that are visible.
    np.testing.assert_allclose(got[0, :, 2], [-230 + 128, 128, 230 + 128, 19550 + 128], rtol=1e-5)


@KINDS
def test_image_pose_is_isotropic_at_the_mean_depth(asarray):
    """A small cube far away is a cube again."""
    cube = np.array([[x, y, 8000 + z] for x in (-9, 9) for y in (-9, 9) for z in (-9, 9)], float)
    square = np.array([[1000.0, 0, 128], [0, 1000, 128], [0, 0, 1]])
    pixels = geometry.project(asarray(cube[None]), asarray(square[None]))
    got = geometry.image_pose(
        pixels, asarray(cube[None]), np.ones((1, 8), bool), asarray(square[None]), 256.0
    )
    np.testing.assert_allclose(np.ptp(got[0], axis=0), [2.25, 2.25, 2.25], rtol=5e-3)
    np.testing.assert_allclose(np.mean(got[0], axis=0), [128, 128, 128], rtol=1e-4)
    nobody = geometry.image_pose(
        pixels, asarray(cube[None]), np.zeros((1, 8), bool), asarray(square[None]), 256.0
    )
    np.testing.assert_allclose(nobody, got, atol=1e-3)
