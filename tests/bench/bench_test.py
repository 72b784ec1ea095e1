"""Benchmarks at toy sizes: naive forms and PyTorch twin give our numbers, and reports add up."""

import functools
import importlib.util
import math
import re
import time

import jax
import numpy as np
import pytest

from volsynth import cli, systems
from volsynth.bench import conv3d, naive, requirements, timing, training_step, warps
from volsynth.config import load_config
from volsynth.data import fake
from volsynth.errors import UserError
from volsynth.ops import convolution, pose_volumes
from volsynth.ops.warp import warp
from volsynth.system import evaluation_context

SIDE = 32.0
SHAPE = (8, 8, 4)
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed"
)


def _quiet(line):
    del line


@pytest.fixture(scope="module")
def smoke():
    settings = load_config("configs/volumetric.py:smoke")
    with settings.unlocked():
        # Two of everything that can be several, and what only `full` has otherwise.
        settings.model.update(blocks_before=2, blocks_pose=2, encoder_widths=(4, 6))
    return settings


@pytest.fixture(scope="module")
def moved():
    """Volume, masks and transforms of people whose joints are moved."""

    @jax.jit
    def parts(batch):
        source = (batch["source_joints"], batch["source_visible"])
        target = (batch["target_joints"], batch["target_visible"])
        masks = pose_volumes.part_masks(*source, SHAPE, SIDE, 0.2)
        return masks, pose_volumes.part_transforms(*source, *target, SIDE)

    return jax.random.normal(jax.random.key(0), (2, *SHAPE, 3)), *parts(fake.batch(2, int(SIDE)))


def _value_and_gradient(function, volume, masks, transforms):
    weight = jax.random.normal(jax.random.key(1), volume.shape)

    @jax.jit
    def both(volume):
        result, pullback = jax.vjp(lambda v: function(v, masks, transforms, SIDE), volume)
        return result, pullback(weight)[0]

    return both(volume)


# --- timing --------------------------------------------------------------------------------------


def test_candidates_take_turns_and_the_median_counts(monkeypatch):
    order, now = [], [0.0]
    lasts = {"a": 0.0625, "b": 0.03125, "S": 2.0}
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def run(name):
        order.append(name)
        now[0] += lasts[name]

    runs = {name: functools.partial(run, name) for name in "aSb"}
    assert timing.median_seconds(runs, 2) == lasts
    # Quick ones are among themselves; the first time after the slow ones must not count.
    assert "".join(order) == "aSb" + 2 * ("S" + "ab" + timing.ROUNDS * "ab")


def test_a_first_time_after_slow_ones_is_not_in_the_median(monkeypatch):
    now, before = [0.0], [""]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def run(name):
        now[0] += 2.0 if name == "S" else 0.03 + 0.05 * (before[0] == "S")
        before[0] = name

    found = timing.median_seconds({name: functools.partial(run, name) for name in "Sa"}, 1)
    assert found["a"] == pytest.approx(0.03)


def test_what_takes_too_long_runs_once(monkeypatch):
    clock = iter([0, 30, 30, 31, 31, 33, 33, 35])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    said = []
    found = timing.median_seconds({"slow": lambda: 0, "fast": lambda: 0}, 2, said.append)
    assert found == {"slow": 30, "fast": 2}
    assert said == ["slow: 30 s the first time", "fast: 1 s the first time"]


# --- the same numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in warps.FORMS if name != "naive"])
def test_the_naive_warp_is_ours(moved, name):
    ours = _value_and_gradient(warps.FORMS[name], *moved)
    theirs = _value_and_gradient(naive.multi_part_warp, *moved)
    assert np.abs(ours[0]).max() > 1
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_halved_parts_are_all_of_the_parts(moved):
    _, masks, transforms = moved
    twice, repeated = warps._halved(masks, transforms)
    assert twice.shape[1] == repeated.matrix.shape[1] == 20
    np.testing.assert_array_equal(twice[:, :10] ^ twice[:, 10:], masks)
    np.testing.assert_array_equal(repeated.offset[:, 10:], transforms.offset)


@needs_torch
def test_the_warp_of_the_twin_is_ours(moved):
    from volsynth.bench import torch_twin

    volume, masks, transforms = moved
    parts, grids = torch_twin.part_tensors(masks, transforms, SHAPE, SIDE)
    leaf = torch_twin.channels_first(volume).requires_grad_()
    result = torch_twin.multi_part_warp(leaf, parts, grids)
    result.backward(torch_twin.channels_first(jax.random.normal(jax.random.key(1), volume.shape)))
    ours = _value_and_gradient(warp.warp, *moved)
    for a, b in zip(ours, (result.detach(), leaf.grad)):
        np.testing.assert_allclose(a, np.moveaxis(b.numpy(), 1, -1), atol=1e-4)


@needs_torch
@pytest.mark.parametrize("dilation_block", [True, False])
def test_the_twin_makes_our_image_from_our_weights(smoke, dilation_block):
    from volsynth.bench import torch_twin

    settings = smoke.copy_and_resolve_references()
    settings.model.dilation_block = dilation_block
    system, batch = systems.make(settings), fake.batch(2, 32)
    shapes = jax.eval_shape(system.init, jax.random.key(0), batch)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: (0.3 * rng.standard_normal(leaf.shape)).astype(np.float32), shapes
    )
    forward = jax.jit(lambda v, b: system.forward(v, b, evaluation_context())[0])
    ours = forward(variables, batch)["image"]
    model = settings.model
    theirs = torch_twin.generate(
        variables["generator"]["params"], batch, model.depth, model.mask_width, model.heatmap_sigma
    )
    assert np.std(ours) > 0.1
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


# --- reports -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("with_torch", [False, pytest.param(True, marks=needs_torch)])
def test_the_report_of_the_warp(smoke, with_torch):
    poses = {k: v for k, v in fake.batch(2, 32).items() if k.endswith(("joints", "visible"))}
    report = warps.bench_warp(smoke, poses, 1, with_torch, _quiet)
    assert report["volume"] == [2, 8, 8, 4, 2]
    assert report["parts"] == 10
    assert report["mask_voxels"] > 20
    for differences in report["largest_difference"].values():
        assert max(differences.values()) < 1e-4
    assert set(report["largest_difference"]) == set(warps.FORMS)
    assert 1 < report["twice_the_parts_reached"] < 2
    seconds = report["seconds"]
    naive_seconds, ours = seconds["naive: with gradient"], seconds["ours: with gradient"]
    assert report["speedup_over_naive"] == pytest.approx(naive_seconds / ours)
    assert ("speedup_over_torch" in report) == with_torch
    memory = report["temporary_bytes"]
    assert 0 < report["memory_of_naive"] == memory["ours"] / memory["naive"]


@pytest.mark.parametrize("with_torch", [False, pytest.param(True, marks=needs_torch)])
def test_the_report_of_the_convolution(with_torch):
    report = conv3d.bench_conv3d([(1, 4, 4, 3, 2), (1, 4, 3, 2, 3)], 1, with_torch, _quiet)
    assert [row["shape"] for row in report["shapes"]] == [[1, 4, 4, 3, 2], [1, 4, 3, 2, 3]]
    ratios = []
    for row in report["shapes"]:
        assert row["largest_relative_difference"] < 1e-4
        ratios.append(row["seconds"]["xla"] / row["seconds"]["ours"])
        work = 3 * 2 * 27 * math.prod(row["shape"]) * row["shape"][-1]
        assert row["gflops"]["ours"] == pytest.approx(work / row["seconds"]["ours"] / 1e9)
    assert report["speedup_over_xla"] == pytest.approx(math.sqrt(math.prod(ratios)))
    assert ("speedup_over_torch" in report) == with_torch


@pytest.mark.slow
@pytest.mark.parametrize("with_torch", [False, pytest.param(True, marks=needs_torch)])
def test_the_report_of_the_step(smoke, with_torch):
    report = training_step.bench_step(smoke, 1, with_torch, _quiet)
    assert set(report["seconds"]) == ({"ours", "torch"} if with_torch else {"ours"})
    memory = report["memory"]
    # The state is donated: what comes out takes the place of what went in.
    assert 0.9 * memory["results"] < memory["donated"] <= memory["results"]
    wanted = memory["arguments"] + memory["temporary"] + memory["results"] - memory["donated"]
    assert memory["peak"] == wanted
    if with_torch:
        assert report["largest_difference_of_images"] < 1e-4


def test_shapes_are_those_of_the_volumes_of_a_config():
    settings = load_config("configs/volumetric.py:full")
    assert conv3d.conv3d_shapes(settings) == [(2, 64, 64, 24, c) for c in (48, 16, 64)]


def test_poses_of_a_data_set_are_scaled_to_the_image(data_dir, tiny):
    poses = warps.prepared_poses(str(data_dir), "posed_people", "tiny", 2, 256)
    assert set(poses) == {
        f"{role}_{key}" for role in ("source", "target") for key in ("joints", "visible")
    }
    small = warps.prepared_poses(str(data_dir), "posed_people", "tiny", 2, tiny.image_size)
    scale = 256 / tiny.image_size
    np.testing.assert_allclose(poses["source_joints"], scale * small["source_joints"], rtol=1e-5)
    np.testing.assert_array_equal(poses["target_visible"], small["target_visible"])


def test_without_torch_the_comparison_says_what_to_do(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=re.escape("pip install -e '.[bench]', or --no-torch")):
        requirements.torch_found()


def test_the_naive_convolution_is_ours():
    x = jax.random.normal(jax.random.key(0), (2, 4, 5, 3, 2))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 3, 2, 4))
    np.testing.assert_allclose(naive.conv3d(x, kernel), convolution.conv3d(x, kernel), atol=1e-5)


@pytest.mark.parametrize("command", ["warp", "step", "conv3d"])
def test_other_systems_are_not_what_is_compared(command, capsys):
    arguments = ["bench", command, "--config", "configs/resnet2d.py:smoke", "--no-torch"]
    assert cli.main(arguments) == 2
    message = f"bench {command} measures the volumetric system, not resnet2d; give --config"
    assert message in capsys.readouterr().err
