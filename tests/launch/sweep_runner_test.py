"""Sweeps run what is not finished, and go on where runs are, with a stand-in for training."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from launch_children import TRAIN, steps_of

from launch import __main__ as launch
from launch.sweeps import runner, state

SMOKE = "config: configs/volumetric.py:smoke\n"


@pytest.fixture
def three(write, tmp_path):
    """The arguments of a sweep of three seeds."""
    return ["sweep", str(write(SMOKE + "seeds: [1, 2, 3]\n")), "--root", str(tmp_path / "runs")]


@pytest.fixture
def log(tmp_path, monkeypatch):
    """The names of the runs that were trained, in order."""
    path = tmp_path / "log"
    path.touch()
    monkeypatch.setenv("FAKE_LOG", str(path))
    return lambda: path.read_text().split()


def _states(capsys, arguments):
    capsys.readouterr()
    assert launch.main([*arguments, "--status", "--json"]) == 0
    return json.loads(capsys.readouterr().out)["runs"]


def test_all_are_run_once_and_then_left_alone(three, log, capsys):
    assert [row["state"] for row in _states(capsys, three)] == ["waiting"] * 3
    assert launch.main([*three, "--", *TRAIN]) == 0
    assert log() == ["seed-1", "seed-2", "seed-3"]
    assert {(row["state"], row["step"], row["steps"]) for row in _states(capsys, three)} == {
        ("finished", 6, 6)
    }
    assert launch.main([*three, "--", *TRAIN]) == 0
    assert len(log()) == 3
    assert "seed-2: finished already" in capsys.readouterr().err


def test_it_goes_on_after_a_failure_and_says_so(three, log, capsys, monkeypatch):
    monkeypatch.setenv("FAKE_FAULT", "seed-2")
    monkeypatch.setenv("FAKE_STATUS", "1")
    assert launch.main([*three, "--parallel", "2", "--", *TRAIN]) == 1
    out, err = capsys.readouterr()
    assert sorted(log()) == ["seed-1", "seed-2", "seed-3"]
    assert "failed: seed-2" in err
    assert "seed-2  failed at step 2 of 6: volsynth: error: the disk is full." in out
    assert [row["state"] for row in _states(capsys, three)] == ["finished", "failed", "finished"]
    monkeypatch.delenv("FAKE_FAULT")
    assert launch.main([*three, "--", *TRAIN]) == 0
    assert log()[3:] == ["seed-2"]
    assert _states(capsys, three)[1]["reason"] is None


def test_ending_well_without_the_last_checkpoint_is_a_failure(three, log, capsys):
    assert launch.main([*three, "--", sys.executable, "-c", "pass"]) == 1
    assert "its newest checkpoint is None, not 6" in capsys.readouterr().err


def test_a_run_that_was_stopped_is_not_a_failure(three, log, capsys, monkeypatch):
    monkeypatch.setenv("FAKE_FAULT", "seed-2")
    monkeypatch.setenv("FAKE_STATUS", "3")
    assert launch.main([*three, "--", *TRAIN]) == 3
    assert [row["state"] for row in _states(capsys, three)] == ["finished", "stopped", "finished"]


def test_a_running_sweep_is_seen_and_a_signal_stops_it(three, log, capsys, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "launch", *three, "--", *TRAIN],
        env={**os.environ, "FAKE_HANG": "1"},
        stderr=subprocess.PIPE,
    )
    first, end = tmp_path / "runs" / "seed-1", time.monotonic() + 20
    while not (first / "checkpoints" / "3").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    states = _states(capsys, three)
    assert [row["state"] for row in states] == ["running", "waiting", "waiting"]
    assert states[0]["step"] == 3
    # Another sweep leaves it alone.
    with state.hold(first) as held:
        assert held is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 3
    assert steps_of(first) == [3, 4]
    assert log() == ["seed-1"]
    states = _states(capsys, three)
    assert [(row["state"], row["step"]) for row in states] == [
        ("stopped", 4), ("waiting", 0), ("waiting", 0)
    ]  # fmt: skip


def test_a_run_whose_sweep_was_killed_is_still_held(three, log, capsys, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "launch", *three, "--", *TRAIN],
        env={**os.environ, "FAKE_HANG": "1"},
    )
    first, end = tmp_path / "runs" / "seed-1", time.monotonic() + 20
    while not (first / "checkpoints" / "3").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert _states(capsys, three)[0]["state"] == "running"
    os.kill(int((first / "pid").read_text()), signal.SIGKILL)
    while _states(capsys, three)[0]["state"] == "running":
        assert time.monotonic() < end
    assert _states(capsys, three)[0]["state"] == "stopped"


def test_a_dry_run_prints_the_commands_and_touches_nothing(three, capsys, tmp_path):
    assert launch.main([*three, "--dry-run", "--evaluate", "--", "train"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    workdir = tmp_path / "runs" / "seed-1"
    start = f"train --config configs/volumetric.py:smoke --workdir {workdir} --config.seed=1"
    assert lines[0] == start
    assert lines[1].endswith(f"evaluate --workdir {workdir}  # evaluate")
    assert not workdir.parent.exists()


def test_finished_runs_are_scored_once(three, log, capsys, monkeypatch, tmp_path):
    (tmp_path / "fake.py").write_text(
        "import json, pathlib, sys\nassert sys.argv[1] == 'evaluate'\n"
        "w = pathlib.Path(sys.argv[3])\nif w.name == 'seed-3': sys.exit('no data')\n"
        "(w / 'evaluate-test').mkdir()\n"
        "(w / 'evaluate-test' / 'results.json').write_text(json.dumps({'step': 6}))\n"
        "(w / 'evaluate-test' / 'images.csv').write_text('')\n"
    )
    monkeypatch.setattr(runner.command, "HERE", (sys.executable, str(tmp_path / "fake.py")))
    for _ in range(2):
        assert launch.main([*three, "--evaluate", "--", *TRAIN]) == 1
        rows = _states(capsys, three)
        assert [row["scored"] for row in rows] == [6, 6, None]
        assert (rows[2]["state"], rows[2]["reason"]) == ("failed", "no data")
    assert len(log()) == 3


def test_overrides_belong_into_the_table(three, capsys):
    assert launch.main([*three, "--config.seed=1"]) == 2
    assert "a sweep has its overrides in its table" in capsys.readouterr().err
