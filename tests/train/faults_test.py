"""Damaged files, saves that fail, full disks, kills: found before use, and nothing else is lost."""

import errno
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from saved import abstract_of, array_file, awkward_state, bits, flip, save_three

from volsynth.errors import UserError
from volsynth.train import checkpoint, manifest

# --- damage --------------------------------------------------------------------------------------


def test_damaged_steps_are_passed_over_loudly_and_moved_aside(tmp_path):
    folder = save_three(tmp_path)
    damaged = array_file(folder / "6").relative_to(folder / "6")
    flip(folder / "6" / damaged)
    (folder / "4" / "manifest.json").unlink()
    lines = []
    with checkpoint.Checkpoints(tmp_path, keep=3, say=lines.append) as checkpoints:
        assert checkpoints.step_to_resume() == 2
        assert checkpoints.restore(2, abstract_of(awkward_state())).step == 2
        assert [line.partition("; moved")[0] for line in lines] == [
            f"checkpoint 6 is damaged (the SHA-256 of {damaged} is another)",
            "checkpoint 4 is damaged (manifest.json is missing)",
        ]
        assert all("Going on from checkpoint 2 instead." in line for line in lines)
        # The same numbers again, and damaged again: nothing is lost.
        for step in (4, 6):
            checkpoints.save(step, awkward_state(step))
        checkpoints.wait()
        assert checkpoints.steps == [2, 4, 6]
    (folder / "6" / "state" / "more").touch()
    with checkpoint.Checkpoints(tmp_path, say=lines.append) as checkpoints:
        assert checkpoints.step_to_resume() == 4
    assert sorted(path.name for path in (folder / "damaged").iterdir()) == ["4", "6", "6-2"]


def test_without_a_good_step_nothing_begins_and_nothing_moves(tmp_path):
    folder = save_three(tmp_path)
    for step in (2, 4, 6):
        (folder / str(step) / "manifest.json").write_text("")
    lines = []
    with checkpoint.Checkpoints(tmp_path, say=lines.append) as checkpoints:
        for ask in (checkpoints.step_to_resume, lambda: checkpoints.restore_averages(None, None)):
            with pytest.raises(UserError, match=r"no checkpoint in .* is good \(6: manifest\.json"):
                ask()
        assert checkpoints.steps == [2, 4, 6]
    assert lines == []


def test_without_any_step_there_is_none_to_use(tmp_path):
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.step_to_resume() is None
        assert checkpoints.best is None


def test_what_an_unfinished_save_leaves_is_no_checkpoint(tmp_path, monkeypatch):
    """Killed after Orbax was done and before the manifest was: as if it had not been saved."""
    folder = save_three(tmp_path)
    (folder / "6" / "manifest.json").unlink()
    (folder / "6").rename(folder / "6.saving")
    (folder / "8.saving.orbax-checkpoint-tmp").mkdir()
    (folder / "0.deleted").mkdir()
    with checkpoint.Checkpoints(tmp_path, keep=3) as checkpoints:
        assert checkpoints.steps[-1] == 4
        checkpoints.restore_averages(None, abstract_of(awkward_state().averages))
        assert (folder / "6.saving").exists(), "whoever reads leaves a running save alone"
        assert checkpoints.step_to_resume() == 4
        assert sorted(path.name for path in folder.iterdir()) == ["2", "4"]
        checkpoints.save(6, awkward_state(6))
        checkpoints.wait()
        assert checkpoints.step_to_resume() == 6


def test_earlier_steps_go_only_when_the_new_one_is_complete(tmp_path, monkeypatch):
    def stopped(folder, about):
        raise OSError(errno.ENOSPC, "No space left on device")

    with checkpoint.Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(2, awkward_state(2))
        checkpoints.wait()
        with monkeypatch.context() as patch:
            patch.setattr(manifest, "write", stopped)
            checkpoints.save(4, awkward_state(4))
            with pytest.raises(UserError, match=r"checkpoint 4 could not be saved in .* no space"):
                checkpoints.wait()
        assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["2"]
        checkpoints.save(4, awkward_state(4))
        checkpoints.wait()
        assert checkpoints.steps == [4]


def _check_for_ten_seconds(checkpoints):
    for _ in range(1000):
        checkpoints.check()
        time.sleep(0.01)


def test_a_failed_save_is_found_without_waiting(tmp_path, monkeypatch):
    gate, failed = threading.Event(), threading.Event()

    def stopped(folder, about):
        gate.wait(20)
        failed.set()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(manifest, "write", stopped)
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, awkward_state(2))
        checkpoints.check()
        gate.set()
        assert failed.wait(20)
        with pytest.raises(UserError, match="could not be saved"):
            _check_for_ten_seconds(checkpoints)


def test_what_ends_a_run_is_not_hidden_by_a_failed_save(tmp_path, monkeypatch):
    def stopped(folder, about):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(manifest, "write", stopped)

    def end(error):
        with checkpoint.Checkpoints(tmp_path, say=lines.append) as checkpoints:
            checkpoints.save(2, awkward_state(2))
            if error:
                raise error

    lines = []
    with pytest.raises(KeyboardInterrupt):
        end(KeyboardInterrupt())
    assert [line.partition(" in ")[0] for line in lines] == ["checkpoint 2 could not be saved"]
    with pytest.raises(UserError, match="could not be saved"):
        end(None)


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for one checkpoint of `_wide` and some more, not for two."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    try:
        subprocess.run(options, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a file system is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _wide(seed):
    numbers = np.random.default_rng(seed).normal(size=(1024, 1024)).astype(np.float32)
    made = awkward_state(seed)
    return made.replace(variables={**made.variables, "odd": jnp.asarray(numbers)})


def _save_and_wait(checkpoints, step, state):
    checkpoints.save(step, state)
    checkpoints.wait()


def test_a_full_disk_is_one_error_and_costs_no_earlier_step(small_disk):
    # In a process of its own: threads of TensorStore may still complain when all is over.
    code = "import pathlib, sys, faults_test as t; t.fill(pathlib.Path(sys.argv[1]))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", code, str(small_disk)]
    subprocess.run(command, env=environment, check=True, timeout=120)


def fill(small_disk):
    """Saves more than there is room for."""
    with checkpoint.Checkpoints(small_disk) as checkpoints:
        checkpoints.save(2, _wide(2))
        checkpoints.wait()
        # The error comes with the save itself or with the wait for it.
        with pytest.raises(
            UserError,
            match=r"checkpoint 4 could not be saved in .*: no space left on the disk\. Those",
        ):
            _save_and_wait(checkpoints, 4, _wide(4))
    with checkpoint.Checkpoints(small_disk) as checkpoints:
        assert checkpoints.step_to_resume() == 2
        restored = checkpoints.restore(2, abstract_of(_wide(2)))
        assert bits(restored.variables["odd"]) == bits(_wide(2).variables["odd"])
        checkpoints.save(4, awkward_state(4))
        checkpoints.wait()
        assert checkpoints.steps == [4]


# --- many faults ---------------------------------------------------------------------------------


def _fault(chance, step):
    """Does something to one file of a step; says what."""
    path = chance.choice(sorted(path for path in step.rglob("*") if path.is_file()))
    size = path.stat().st_size
    kind = chance.choice(["flip", "cut", "missing"])
    if kind == "missing" or not size:
        path.unlink()
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[: chance.randrange(size)])
    else:
        flip(path, chance.randrange(size), chance.randrange(8))
    return f"{kind} {path.relative_to(step)}"


def _random_faults(tmp_path, count):
    folder = save_three(tmp_path / "good")
    wanted = [bits(leaf) for leaf in jax.tree.leaves(awkward_state(4))]
    chance = random.Random(0)
    for number in range(count):
        workdir = tmp_path / f"fault-{number}"
        shutil.copytree(folder, workdir / "checkpoints")
        what = _fault(chance, workdir / "checkpoints" / "6")
        lines = []
        with checkpoint.Checkpoints(workdir, say=lines.append) as checkpoints:
            assert checkpoints.step_to_resume() == 4, what
            restored = checkpoints.restore(4, abstract_of(awkward_state()))
        assert [bits(leaf) for leaf in jax.tree.leaves(restored)] == wanted, what
        assert len(lines) == 1, what
        shutil.rmtree(workdir)


def test_random_faults_are_found_before_use(tmp_path):
    _random_faults(tmp_path, 10)


@pytest.mark.slow
def test_two_hundred_random_faults_are_found_before_use(tmp_path):
    _random_faults(tmp_path, 200)


@pytest.mark.slow
def test_a_run_killed_at_a_hundred_moments_ends_where_an_uncut_one_does(tmp_path):
    """Ten to twenty minutes on two cores."""
    script = pathlib.Path(__file__).with_name("killed.py")
    path = os.pathsep.join([".", str(script.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, tmp_path / "runs", "100"],
        env={**os.environ, "PYTHONPATH": path, "JAX_NUM_CPU_DEVICES": "1"},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    found = json.loads(done.stdout)
    assert found["resumptions"] >= 100
    assert found["while_saving"] > 0
    assert found["wrong"] == []
