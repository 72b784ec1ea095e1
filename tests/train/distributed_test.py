"""Several processes on loopback: the same steps as one, stopped together, ended together."""

import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time

import jax
import pytest

from volsynth.errors import UserError
from volsynth.train import distributed, mesh

# --- the group -----------------------------------------------------------------------------------

ADDRESS, COUNT, INDEX = distributed.VARIABLES


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({ADDRESS: "localhost:1"}, "VOLSYNTH_PROCESSES, VOLSYNTH_PROCESS not set; set all of VOL"),
        ({ADDRESS: "localhost:1", COUNT: "2"}, "--distributed: VOLSYNTH_PROCESS not set"),
        ({ADDRESS: "localhost:1", COUNT: "2", INDEX: "2"}, "process 2 of 2 cannot be; VOLSYNTH_PR"),
        ({ADDRESS: "localhost:1", COUNT: "two", INDEX: "0"}, "process 0 of two cannot be"),
    ],
)
def test_variables_that_cannot_be(environment, message):
    with pytest.raises(UserError, match=message):
        distributed.join(environment)


def test_variables_are_passed_on(monkeypatch):
    given = {}
    monkeypatch.setattr(jax.distributed, "initialize", lambda **kwargs: given.update(kwargs))
    distributed.join({ADDRESS: "host:12", COUNT: "3", INDEX: "1"})
    assert given.pop("heartbeat_timeout_seconds") == distributed.HEARTBEAT_TIMEOUT
    assert given.pop("initialization_timeout") == distributed.START_TIMEOUT
    assert given == {"coordinator_address": "host:12", "num_processes": 3, "process_id": 1}


def test_no_group_to_join(monkeypatch):
    def refuse(**_):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", refuse)
    with pytest.raises(UserError, match=r"no group of processes to join \(coordinator_address sho"):
        distributed.join({})


def test_a_process_alone_is_answered_at_once():
    from ml_collections import ConfigDict

    devices = mesh.make(ConfigDict({"data": -1, "space": 1}), 2, 32)
    agreed = distributed.Agreement(devices)
    assert [agreed(wish, None) for wish in (False, True, False)] == [False, True, False]
    assert distributed.is_first()


# --- real processes ------------------------------------------------------------------------------


def _free_port():
    """One of those that JAX takes from the number of a job of Slurm."""
    for port in random.sample(range(61440, 65536), 100):
        with contextlib.closing(socket.socket()) as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def _variables(index, count, port):
    return {ADDRESS: f"127.0.0.1:{port}", COUNT: str(count), INDEX: str(index)}


def _slurm(index, count, port):
    """The variables that a job step of Slurm finds in its environment."""
    return {
        "SLURM_JOB_ID": str(port),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": str(count),
        "SLURM_PROCID": str(index),
        "SLURM_LOCALID": str(index),
        "SLURM_STEP_NUM_NODES": "1",
    }


def _start(workdir, count, *arguments, devices=1, group=_variables):
    port = _free_port()
    command = [sys.executable, "tests/train/peers.py", str(workdir), *map(str, arguments)]
    common = {**os.environ, "JAX_NUM_CPU_DEVICES": str(devices), "PYTHONPATH": os.getcwd()}
    return [
        subprocess.Popen(
            command,
            env={**common, **(group(index, count, port) if count > 1 else {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]


def _finish(processes, seconds=120):
    outputs = _end(processes, seconds)
    for process, (_, errors) in zip(processes, outputs):
        assert process.returncode == 0, errors[-2000:]
    # Libraries print there, too.
    return json.loads(outputs[0][0].splitlines()[-1])


def _end(processes, seconds):
    """Waits for all; those that are late are killed, and their status shows it."""
    deadline, outputs = time.monotonic() + seconds, []
    for process in processes:
        try:
            outputs.append(process.communicate(timeout=max(deadline - time.monotonic(), 0.1)))
        except subprocess.TimeoutExpired:
            process.kill()
            outputs.append(process.communicate())
    return outputs


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The result of one process with two devices, and its losses by step."""
    workdir = tmp_path_factory.mktemp("alone")
    return _finish(_start(workdir, 1, 8, devices=2)), _losses(workdir)


def _losses(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return {row["step"]: row["generator/loss"] for row in map(json.loads, lines)}


@pytest.mark.parametrize("group", [_variables, pytest.param(_slurm, marks=pytest.mark.slow)])
def test_two_processes_make_the_steps_of_one(alone, tmp_path, group):
    final = _finish(_start(tmp_path, 2, 8, group=group))
    assert final == pytest.approx(alone[0], rel=1e-6)
    assert final[0] == 8
    assert _losses(tmp_path) == pytest.approx(alone[1], rel=1e-6)
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == [
        "step_0000005.png",
        "step_0000008.png",
    ]


@pytest.mark.slow
def test_a_run_of_two_processes_goes_on_in_one(alone, tmp_path):
    _finish(_start(tmp_path, 2, 3))
    assert _finish(_start(tmp_path, 1, 8, devices=1)) == pytest.approx(alone[0], rel=1e-6)


def _wait_for(path: pathlib.Path, seconds=90):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both_at_the_same_step(alone, tmp_path):
    processes = _start(tmp_path, 2, 8, 0.4)
    _wait_for(tmp_path / "checkpoints" / "3")
    processes[1].send_signal(signal.SIGTERM)
    outputs = _end(processes, 60)
    assert [process.returncode for process in processes] == [3, 3], outputs
    assert 3 < max(_losses(tmp_path)) < 8
    assert _finish(_start(tmp_path, 2, 8)) == pytest.approx(alone[0], rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_dead_process_ends_the_other_and_nothing_is_lost(alone, tmp_path, killed):
    processes = _start(tmp_path, 2, 8, 0.4)
    _wait_for(tmp_path / "checkpoints" / "3")
    processes[killed].send_signal(signal.SIGKILL)
    _end(processes, distributed.HEARTBEAT_TIMEOUT + 20)
    # Ended by itself, in time, with a status that launchers answer with a restart.
    assert processes[1 - killed].returncode not in (0, 2, 3, -signal.SIGKILL)
    assert _finish(_start(tmp_path, 2, 8)) == alone[0]


@pytest.mark.slow
def test_the_launcher_brings_back_what_was_killed(tmp_path):
    """The same state, to the bit, as of a group that nobody touched."""
    whole = _finish(_start(tmp_path / "whole", 2, 8))
    workdir = tmp_path / "killed"
    command = [sys.executable, "-m", "launch", "local", "--processes=2", "--platform=cpu", "--"]
    command += [sys.executable, "tests/train/peers.py", str(workdir), "8", "0.4"]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    launcher = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    _wait_for(workdir / "checkpoints" / "3")
    children = pathlib.Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text()
    before = time.monotonic()
    os.kill(int(children.split()[-1]), signal.SIGKILL)
    ((output, errors),) = _end([launcher], 120)
    assert launcher.returncode == 0, errors[-2000:]
    assert "starting again" in output + errors
    assert time.monotonic() - before < 120
    final = next(line for line in output.splitlines() if line.startswith("[0] [8, "))
    assert json.loads(final.removeprefix("[0] ")) == whole
