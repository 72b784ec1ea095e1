"""One model on many devices: the same steps, less memory."""

import json
import os
import subprocess
import sys

import pytest
import spread


def _assert_same(found):
    assert found["start"] == 0
    assert found["moved"] > 1e-3, "otherwise the test says nothing"
    assert found["parameters"] < 1e-5
    assert found["losses"] < 1e-5


@pytest.mark.slow
def test_two_devices_make_the_first_step_of_one():
    """The step runs in this process, compiled as tests are: more steps would amplify rounding."""
    alone, shared = (spread.train(shape, steps=1) for shape in ((1, 1, False), (1, 2, True)))
    found = spread.compare(shared, alone)
    assert found["start"] == 0
    assert found["moved"] > 1e-4, "otherwise the test says nothing"
    assert found["parameters"] < 1e-5
    assert found["losses"] < 1e-5


@pytest.mark.slow
def test_two_devices_make_the_steps_of_one():
    (row,) = _on_devices(2, [[(1, 2, True)]])
    _assert_same(row)


def _on_devices(count, runs):
    # Compiled as for users: without XLA's optimiser, ten steps amplify rounding beyond 1e-5.
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": str(count), "XLA_FLAGS": ""}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "tests/train/spread.py", json.dumps(runs)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["meshes"] for row in rows] == json.loads(json.dumps(runs))
    return rows


@pytest.mark.slow
def test_two_four_and_eight_devices_make_the_steps_of_one():
    shapes = [(2, 1), (4, 1), (8, 1), (1, 2), (1, 4), (1, 8), (2, 4), (4, 2)]
    runs = [[(*shape, shard)] for shape in shapes for shard in (False, True)]
    for row in _on_devices(8, runs):
        _assert_same(row)


@pytest.mark.slow
def test_a_run_goes_from_four_devices_to_two_to_one():
    runs = [
        [(4, 1, False), (2, 1, False), (1, 1, False)],
        [(1, 4, True), (2, 1, True), (1, 1, False)],
        [(1, 1, False), (2, 2, True)],
    ]
    for row in _on_devices(8, runs):
        _assert_same(row)


@pytest.mark.slow
def test_four_devices_that_share_the_height_need_two_fifths_of_the_memory_each():
    def peak(space):
        command = [sys.executable, "-m", "volsynth.cli", "describe", "--step", "--json"]
        command += ["--config=configs/volumetric.py:full", "--config.train.batch_size=1"]
        command += [f"--config.mesh.space={space}", f"--config.mesh.shard_state={space > 1}"]
        environment = {**os.environ, "JAX_NUM_CPU_DEVICES": str(space)}
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        )
        return json.loads(result.stdout)["step_bytes"]["peak"]

    assert peak(4) <= 0.4 * peak(1)
