"""The pose estimator: positions from heatmaps, its loss, its strides, and what cannot be."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy

from volsynth import systems
from volsynth.config import load_config
from volsynth.data import fake
from volsynth.errors import UserError
from volsynth.ops import pose_volumes
from volsynth.skeleton import HIPS
from volsynth.system import evaluation_context
from volsynth.systems import pose_estimator
from volsynth.train import program

KEY = jax.random.key(0)
SMOKE = "configs/pose_estimator.py:smoke"


def _smoke(*overrides):
    return load_config(SMOKE, [f"--config.{override}" for override in overrides])


def _variables(system, batch, spread=0.3):
    shapes = jax.eval_shape(system.init, KEY, batch)
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: (spread * rng.standard_normal(leaf.shape)).astype(np.float32), shapes
    )


def _batch(count=2):
    return {key: jnp.asarray(value) for key, value in fake.batch(count, 32).items()}


def _loss_of(system):
    """(variables, outputs, batch) -> terms of the estimator."""

    def terms(variables, outputs, batch):
        found, states = system.phases["main"]["estimator"].loss(
            variables, outputs, batch, toy.context()
        )
        assert states == {}
        return found

    return terms


# --- positions -----------------------------------------------------------------------------------


def _slow_soft_argmax(logits, side):
    """Loops over the voxels, in float64."""
    batch, height, width, depth, joints = logits.shape
    found = np.zeros((batch, joints, 3))
    for b in range(batch):
        for j in range(joints):
            total, place = 0.0, np.zeros(3)
            for h, w, d in np.ndindex(height, width, depth):
                weight = np.exp(float(logits[b, h, w, d, j]))
                total += weight
                centre = ((w + 0.5) / width, (h + 0.5) / height, (d + 0.5) / depth)
                place += weight * np.array(centre) * side
            found[b, j] = place / total
    return found


def test_soft_argmax_equals_loops():
    logits = np.random.default_rng(0).normal(0, 2, (2, 3, 5, 4, 2)).astype(np.float32)
    got = pose_volumes.soft_argmax(jnp.asarray(logits), 2200.0)
    np.testing.assert_allclose(got, _slow_soft_argmax(logits, 2200.0), rtol=1e-5)


def test_a_planted_peak_reads_back_its_place_in_mm():
    logits = np.zeros((1, 16, 16, 8, 2), np.float32)
    logits[0, 3, 12, 5, 0] = 60
    logits[0, 15, 0, 0, 1] = 60
    got = pose_volumes.soft_argmax(jnp.asarray(logits), 2200.0)[0]
    np.testing.assert_allclose(
        got, [[12.5 * 137.5, 3.5 * 137.5, 5.5 * 275], [0.5 * 137.5, 15.5 * 137.5, 0.5 * 275]],
        rtol=1e-5,
    )  # fmt: skip
    # Between two equal peaks.
    logits[0, 5, 12, 5, 0] = 60
    got = pose_volumes.soft_argmax(jnp.asarray(logits), 2200.0)[0, 0]
    np.testing.assert_allclose(got, [12.5 * 137.5, 4.5 * 137.5, 5.5 * 275], rtol=1e-5)


def test_soft_argmax_is_float32_and_survives_large_logits():
    # A sum of the exponentials would overflow; float16 would round places to whole millimetres.
    logits = np.random.default_rng(0).normal(0, 2, (1, 4, 4, 2, 3)).astype(np.float16)
    got = pose_volumes.soft_argmax(jnp.asarray(logits), 2200.0)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, _slow_soft_argmax(logits, 2200.0), rtol=1e-5)
    huge = pose_volumes.soft_argmax(jnp.asarray(logits, jnp.float32) + 1e4, 2200.0)
    np.testing.assert_allclose(huge, got, rtol=1e-3)


def test_the_gradient_of_soft_argmax_is_that_of_finite_differences():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(1, 2, 3, 2, 2)).astype(np.float32)
    weight = rng.normal(size=(1, 2, 3)).astype(np.float32)
    gradient = np.asarray(
        jax.grad(lambda x: jnp.sum(pose_volumes.soft_argmax(x, 2.0) * weight))(jnp.asarray(logits))
    )
    for index in np.ndindex(logits.shape):
        ends = []
        for sign in (-1, 1):
            moved = logits.astype(float)
            moved[index] += sign * 1e-5
            ends.append(np.sum(_slow_soft_argmax(moved, 2.0) * weight))
        np.testing.assert_allclose(gradient[index], (ends[1] - ends[0]) / 2e-5, atol=1e-4)


# --- the system ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smoke():
    system, batch = systems.make(_smoke()), _batch()
    variables = _variables(system, batch)
    forward = jax.jit(system.forward)
    found = {t: forward(variables, batch, toy.context(train=t))[0] for t in (False, True)}
    return system, batch, variables, forward, found


def test_poses_are_relative_to_the_pelvis_and_within_the_picture(smoke):
    *_, found = smoke
    for train in (False, True):
        joints = np.asarray(found[train]["joints_mm"])
        np.testing.assert_allclose(joints[:, list(HIPS)].mean(axis=1), 0, atol=1e-3)
        assert np.abs(joints).max() < 2200
        assert joints.std() > 1
        assert 0 < found[train]["joints_px"].min() <= found[train]["joints_px"].max() < 32


def test_both_pictures_teach_and_the_target_is_scored(smoke):
    _, batch, variables, forward, found = smoke
    assert set(found[False]) == {"joints_mm", "joints_px"}
    assert set(found[True]) - set(found[False]) == {"source_joints_mm", "source_joints_px"}
    swapped = {
        f"{b}_{key.split('_', 1)[1]}": batch[key]
        for a, b in (("source", "target"), ("target", "source"))
        for key in batch
        if key.startswith(a)
    }
    other = forward(variables, swapped, toy.context())[0]
    for key in ("joints_mm", "joints_px"):
        np.testing.assert_allclose(other[key], found[True][f"source_{key}"], rtol=1e-4, atol=1e-2)
        assert np.abs(other[key] - found[True][key]).max() > 0.05


def test_the_strides_of_training_and_of_evaluation_differ(smoke):
    _, batch, variables, _, found = smoke
    alike = systems.make(_smoke("model.stride_test=8"))
    coarse = jax.jit(alike.forward)(variables, batch, evaluation_context())[0]
    np.testing.assert_allclose(coarse["joints_mm"], found[True]["joints_mm"], rtol=1e-4, atol=1e-2)
    assert np.abs(coarse["joints_mm"] - found[False]["joints_mm"]).max() > 1


def test_the_loss_of_the_truth_is_zero_and_errors_are_weighed(smoke):
    system, batch, *_ = smoke
    loss = _loss_of(system)
    truth = {
        out + key: batch[f"{role}_{name}"][..., :axes]
        for role, out in (("target", ""), ("source", "source_"))
        for key, name, axes in (("joints_mm", "joints_mm", 3), ("joints_px", "joints", 2))
    }
    assert {key: float(v) for key, v in loss({}, truth, batch).items()} == {"metric": 0, "plane": 0}
    away = {key: value + 16.0 for key, value in truth.items() if not key.startswith("source")}
    terms = loss({}, away, batch)
    np.testing.assert_allclose(terms["metric"], 0.016, rtol=1e-4)
    np.testing.assert_allclose(terms["plane"], 0.1 * 16 / 32, rtol=1e-4)
    # The source's counts as much.
    terms = loss({}, {**truth, **away}, batch)
    np.testing.assert_allclose(terms["metric"], 0.008, rtol=1e-4)


def test_invisible_joints_teach_nothing(smoke):
    system, batch, *_, found = smoke
    loss = _loss_of(system)
    visible = np.ones((2, 15), bool)
    visible[0, 5] = False
    visible[1, HIPS[0]] = False
    hidden = {**batch, "target_visible": jnp.asarray(visible)}

    def gradients(key):
        return jax.grad(lambda o: sum(loss({}, {**found[False], key: o}, hidden).values()))(
            found[False][key]
        )

    moved = np.any(np.asarray(gradients("joints_px")) != 0, axis=-1)
    np.testing.assert_array_equal(moved, visible)
    # Without a hip there is no pelvis.
    visible[1] = False
    moved = np.any(np.asarray(gradients("joints_mm")) != 0, axis=-1)
    np.testing.assert_array_equal(moved, visible)


def test_every_parameter_receives_a_gradient(smoke):
    system, batch, variables, *_ = smoke

    @jax.jit
    @jax.grad
    def gradient(variables):
        outputs, _ = system.forward(variables, batch, toy.context())
        return sum(_loss_of(system)(variables, outputs, batch).values())

    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient(variables)):
        assert np.all(np.isfinite(leaf)), path
        assert np.any(np.asarray(leaf) != 0), path


def test_without_the_plane_there_is_one_term():
    system = systems.make(_smoke("loss.plane=0"))
    outputs = {"joints_mm": _batch()["target_joints_mm"]}
    assert set(_loss_of(system)({}, outputs, _batch())) == {"metric"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss.plane=-1"], "config.loss: weights must not be negative, got Loss(metric=1.0, "),
        (["loss.metric=0"], "config.loss.metric is zero: nothing would teach the pose in 3D."),
        (["precision=float3"], "config.precision: unknown precision 'float3'; did you mean"),
        (["model.blocks=(1,)"], "config.model.blocks and config.model.widths must have one entry"),
        (
            ["model.stride_test=16"],
            "config.model.stride_test must be one of (4, 8) with 2 stages, got 16.",
        ),
        (["model.stride_train=2"], "config.model.stride_train must be one of (4, 8)"),
        (
            ["data.image_size=36"],
            "config.data.image_size must be a multiple of config.model.stride_train, 8; got 36.",
        ),
        (["model.box_mm=0"], "config.model.box_mm must be positive, got 0.0."),
        (["model.depth=0"], "config.model.depth must be at least 1, got 0."),
    ],
)
def test_values_that_cannot_be(overrides, message):
    with pytest.raises(UserError, match=re.escape(message)):
        systems.make(_smoke(*overrides))


def test_the_sections_of_the_config_are_the_arguments_of_the_classes():
    settings = _smoke().unlock()
    settings.model.dpeth = 3
    with pytest.raises(UserError, match="has no key 'dpeth'"):
        systems.make(settings)
    assert set(_smoke().loss) == set(pose_estimator.Loss.__dataclass_fields__)


@pytest.mark.slow
def test_two_pictures_are_learnt_by_heart():
    settings = _smoke("optim.estimator.learning_rate=1e-2", "optim.estimator.weight_decay=0.0",
                      "model.widths=(8, 16)", "model.stride_train=4")  # fmt: skip
    system, batch = systems.make(settings), _batch(1)
    with settings.unlocked():
        settings.train.update(steps=600, average_decay=0.9)
    trained = program.make(system, settings)
    current = jax.jit(trained.init)(KEY, batch)
    move = jax.jit(trained.steps["main"], donate_argnums=0)
    for _ in range(600):
        current, metrics = move(current, batch)
    assert metrics["estimator/metric"] < 0.02
    found = system.forward(current.variables, batch, evaluation_context())[0]
    error = np.linalg.norm(found["joints_mm"] - batch["target_joints_mm"], axis=-1).mean()
    spread = np.linalg.norm(batch["target_joints_mm"], axis=-1).mean()
    assert error < 0.1 * spread
