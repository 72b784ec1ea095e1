"""Scores of poses against slow references: loops, scipy's rotations, closed forms."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize
from scipy.spatial import transform

from volsynth import metrics
from volsynth.metrics import POSE_PROTOCOL
from volsynth.skeleton import HIPS, MIRROR

EVERY = np.ones((4, 15), bool)


def _poses(seed, spread=300.0):
    return np.random.default_rng(seed).normal(0, spread, (4, 15, 3)).astype(np.float32)


class _Scores:
    """The scores, taking NumPy arrays."""

    def __getattr__(self, name):
        def score(*arguments):
            return getattr(metrics, name)(
                *(jnp.asarray(a) if isinstance(a, np.ndarray) else a for a in arguments)
            )

        return score


scores = _Scores()


def _near(seed=1, spread=80.0):
    """True poses and estimates some centimetres away; not every joint is visible."""
    true = _poses(0)
    visible = np.random.default_rng(seed + 9).uniform(size=(4, 15)) < 0.7
    return true + _poses(seed, spread), true, visible


def _slow_errors(estimated, true):
    """Loops over images and joints, in float64."""
    errors = np.zeros(true.shape[:2])
    for i in range(len(true)):
        roots = [(p[i, HIPS[0]].astype(float) + p[i, HIPS[1]]) / 2 for p in (estimated, true)]
        for j in range(true.shape[1]):
            difference = (estimated[i, j] - roots[0]) - (true[i, j] - roots[1])
            errors[i, j] = np.sqrt(np.sum(difference**2))
    return errors


def _mean_of(values, visible):
    return [float(np.mean(v[seen])) for v, seen in zip(values, visible)]


def test_mpjpe_equals_loops():
    estimated, true, visible = _near()
    errors = _slow_errors(estimated, true)
    np.testing.assert_allclose(scores.joint_errors(estimated, true), errors, rtol=1e-4)
    got = scores.mpjpe(estimated, true, visible)
    np.testing.assert_allclose(got, _mean_of(errors, visible), rtol=1e-5)
    assert got.dtype == jnp.float32


def test_the_truth_has_no_error_wherever_it_stands():
    true = _poses(0)
    moved = true + np.float32([[[3000, -200, 5000]]])
    np.testing.assert_allclose(scores.mpjpe(moved, true, EVERY), np.zeros(4), atol=2e-3)
    np.testing.assert_allclose(scores.pa_mpjpe(moved, true, EVERY), np.zeros(4), atol=5e-3)
    np.testing.assert_array_equal(scores.pck(moved, true, EVERY), np.ones(4))
    np.testing.assert_allclose(scores.auc(moved, true, EVERY, 150.0), 30 / 31, rtol=1e-6)
    np.testing.assert_allclose(scores.auc(moved, true, EVERY, 200.0), 40 / 41, rtol=1e-6)


def test_one_joint_that_is_away():
    true = _poses(0)
    estimated = true.copy()
    estimated[:, 0, 2] += 30.0
    np.testing.assert_allclose(scores.mpjpe(estimated, true, EVERY), np.full(4, 2.0), rtol=1e-4)
    # A hip that moves takes the pelvis half the way along.
    estimated = true.copy()
    estimated[:, HIPS[0], 0] += 30.0
    np.testing.assert_allclose(scores.mpjpe(estimated, true, EVERY), np.full(4, 15.0), rtol=1e-4)


def test_a_pose_turned_moved_and_scaled_is_aligned():
    true = _poses(0)
    turns = transform.Rotation.random(4, rng=np.random.default_rng(3)).as_matrix()
    moved = np.float32(0.6 * true @ turns.swapaxes(1, 2) + 100.0)
    assert np.min(scores.mpjpe(moved, true, EVERY)) > 100
    np.testing.assert_allclose(scores.pa_mpjpe(moved, true, EVERY), np.zeros(4), atol=5e-3)


def test_a_reflection_is_not_aligned():
    true = _poses(0)
    mirrored = true * np.float32([[[-1, 1, 1]]])
    assert np.min(scores.pa_mpjpe(mirrored, true, EVERY)) > 100
    # Nor is a person whose left and right are exchanged.
    assert np.min(scores.pa_mpjpe(true[:, list(MIRROR)], true, EVERY)) > 50


def test_the_alignment_is_the_best_there_is():
    """A general optimiser over turn, scale and place finds no smaller sum of squares."""
    estimated, true, visible = _near(spread=150.0)
    got = scores.pa_mpjpe(estimated, true, visible)
    for i in range(4):
        a, b = (p[i][visible[i]].astype(float) for p in (estimated, true))

        def moved(v, a=a):
            turned = transform.Rotation.from_rotvec(v[:3]).apply(a - a.mean(0))
            return np.exp(v[3]) * turned + v[4:]

        start = np.concatenate([np.zeros(4), b.mean(0)])
        found = optimize.least_squares(lambda v, b=b: (moved(v) - b).ravel(), start)
        wanted = np.mean(np.linalg.norm(moved(found.x) - b, axis=1))
        np.testing.assert_allclose(got[i], wanted, rtol=1e-3)


@pytest.mark.parametrize("threshold", [60.0, 150.0])
def test_pck_equals_a_count(threshold):
    estimated, true, visible = _near()
    below = _slow_errors(estimated, true) < threshold
    wanted = _mean_of(below, visible)
    assert 0.05 < np.mean(wanted) < 0.95
    got = scores.pck(estimated, true, visible, threshold)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def _away(distances):
    """Poses whose joint 0 is at whole-number distances from the truth, exactly."""
    true = np.zeros((len(distances), 15, 3), np.float32)
    estimated = true.copy()
    estimated[:, 0, 1] = distances
    only = np.zeros((len(distances), 15), bool)
    only[:, 0] = True
    return estimated, true, only


def test_the_threshold_itself_is_too_far():
    poses = _away([149.0, 150.0, 151.0])
    np.testing.assert_array_equal(scores.pck(*poses), [1.0, 0.0, 0.0])
    np.testing.assert_allclose(
        scores.auc(*_away([0.0, 4.0, 5.0, 145.0, 149.0, 150.0]), 150.0),
        np.array([30, 30, 29, 1, 1, 0]) / 31,
        rtol=1e-6,
    )


@pytest.mark.parametrize("highest", [150.0, 200.0])
def test_auc_is_the_mean_of_pck_over_its_thresholds(highest):
    estimated, true, visible = _near()
    curve = [scores.pck(estimated, true, visible, float(t)) for t in np.arange(0, highest + 1, 5)]
    assert len(curve) == highest / 5 + 1
    got = scores.auc(estimated, true, visible, highest)
    np.testing.assert_allclose(got, np.mean(curve, axis=0), rtol=1e-5)


def test_poses_that_are_not_numbers_have_no_share_in_any_curve():
    true = jnp.zeros((2, 15, 3))
    found = jnp.full_like(true, jnp.nan)
    visible = jnp.ones((2, 15), bool)
    for highest in (150.0, 200.0):
        np.testing.assert_allclose(metrics.auc(found, true, visible, highest), 0, atol=1e-6)
    np.testing.assert_allclose(metrics.pck(found, true, visible), 0, atol=1e-6)


def test_auc_150_has_the_closed_form_of_mpi_inf_3dhp():
    estimated, true, _ = _near(spread=100.0)
    distance = _slow_errors(estimated, true)
    closed = np.maximum(0, 1 - np.floor(distance / 150 * 30 + 1) / 31)
    got = scores.auc(estimated, true, EVERY, 150.0)
    np.testing.assert_allclose(got, closed.mean(axis=1), rtol=1e-5)


def test_what_is_invisible_is_never_read():
    estimated, true, visible = _near()
    visible[:, list(HIPS)] = True
    for name, score in _scores().items():
        clean = score(estimated, true, visible)
        dirty = [np.where(visible[..., None], p, np.nan) for p in (estimated, true)]
        np.testing.assert_array_equal(score(*dirty, visible), clean, err_msg=name)
        assert np.all(np.isfinite(score(estimated, true, np.zeros((4, 15), bool))))


def _scores():
    return {
        "mpjpe": scores.mpjpe,
        "pa_mpjpe": scores.pa_mpjpe,
        "pck_150": scores.pck,
        "auc_150": lambda *poses: scores.auc(*poses, 150.0),
        "auc_200": lambda *poses: scores.auc(*poses, 200.0),
    }


def test_every_score_is_the_same_under_jit_and_for_callers_who_forbid_promotion():
    poses = [jnp.asarray(value) for value in _near()]
    for name, score in _scores().items():
        plain = score(*poses)
        assert plain.shape == (4,)
        with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
            strict = jax.jit(score)(*poses)
        np.testing.assert_allclose(strict, plain, rtol=1e-4, err_msg=name)


def test_every_score_has_its_protocol():
    assert set(_scores()) == set(POSE_PROTOCOL) - {"all"}
    assert json.loads(json.dumps(POSE_PROTOCOL)) == POSE_PROTOCOL
    assert POSE_PROTOCOL["pck_150"]["threshold_mm"] == 150


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("name", ["joint_errors", "mpjpe", "pa_mpjpe", "pck", "auc"])
def test_shapes_that_would_broadcast_are_refused(name):
    rest = {"joint_errors": (), "auc": (150.0,)}.get(name, ())
    visible = () if name == "joint_errors" else (jnp.ones((4, 15), bool),)
    score, poses = getattr(metrics, name), jnp.zeros((4, 15, 3))
    with pytest.raises(ValueError, match=rf"{name}: both batches must have the same shape"):
        score(poses, poses[:1], *visible, *rest)
    with pytest.raises(ValueError, match=rf"{name}: poses must have shape \[B, J, 3\], got"):
        score(poses[..., :2], poses[..., :2], *visible, *rest)
    if visible:
        with pytest.raises(ValueError, match=rf"{name}: visible must have shape \(4, 15\), got"):
            score(poses, poses, visible[0][:1], *rest)


@pytest.mark.parametrize("highest", [0.0, -150.0, 152.0])
def test_auc_refuses_thresholds_that_are_no_steps(highest):
    with pytest.raises(ValueError, match=r"positive multiple of 5 mm, got"):
        scores.auc(*(jnp.zeros((4, 15, 3)),) * 2, jnp.asarray(EVERY), highest)
