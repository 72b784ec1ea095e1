"""The local launcher, run for real on small children."""

import os
import signal
import subprocess
import sys
import time

import pytest
from launch_children import child

from launch import __main__ as launch
from launch import devices, local, process_group
from volsynth.errors import UserError

QUICK = ("--backoff", "0.05", "--grace", "0.5")


def _start(folder, body, *options, processes=2):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "launch", "local", "--platform", "cpu"),
            *("--processes", str(processes), *QUICK, *options, "--", *child(body)),
        ],
        env={**os.environ, "CHILD_FOLDER": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(folder, body, *options, **kwargs):
    process = _start(folder, body, *options, **kwargs)
    out, err = process.communicate(timeout=50)
    return process.returncode, out, err


def _starts(folder, index=0):
    return (folder / f"notes{index}").read_text().count("start")


def _until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_processes_know_their_place_and_their_lines_are_numbered(tmp_path):
    body = (
        "e = os.environ\n"
        "print(e['VOLSYNTH_PROCESS'], e['VOLSYNTH_PROCESSES'], e['JAX_NUM_CPU_DEVICES'])\n"
        "print(e['VOLSYNTH_COORDINATOR'], file=sys.stderr)\n"
    )
    status, out, _ = _run(tmp_path, body, "--devices-per-process", "3")
    assert status == 0
    lines = out.splitlines()
    assert {"[0] 0 2 3", "[1] 1 2 3"} < set(lines)
    places = {line.split()[1] for line in lines if "127.0.0.1" in line}
    assert len(places) == 1
    assert len(lines) == 4
    assert _starts(tmp_path) == _starts(tmp_path, 1) == 1


def test_all_start_again_when_one_has_crashed(tmp_path):
    body = (
        "if attempt == 1 and index == 1: os.kill(os.getpid(), signal.SIGKILL)\n"
        "if attempt == 1: time.sleep(0.2); os.abort()\n"
    )
    status, _, err = _run(tmp_path, body)
    assert status == 0
    assert _starts(tmp_path) == _starts(tmp_path, 1) == 2
    assert "process 1 died of SIGKILL" in err
    assert "(restart 1 of 10)" in err


def test_a_peer_that_hangs_is_killed_in_bounded_time(tmp_path, monkeypatch):
    body = (
        "if index == 1: time.sleep(0.5); sys.exit(1)\n"
        "signal.signal(signal.SIGTERM, lambda *_: note('asked'))\n"
        "while True: time.sleep(0.1)\n"
    )
    start = time.monotonic()
    status, _, err = _run(tmp_path, body, "--max-restarts", "0")
    seconds = time.monotonic() - start
    assert status == 1
    assert "asked" in (tmp_path / "notes0").read_text()
    assert "SIGTERM to process 0" in err
    assert "SIGKILL to process 0" in err
    assert 0.5 + process_group.KILL_AFTER < seconds < 0.5 + process_group.KILL_AFTER + 10


def test_a_mistake_is_not_tried_again(tmp_path):
    status, _, err = _run(tmp_path, "sys.exit(2) if index else os.abort()")
    assert status == 2
    assert _starts(tmp_path, 1) == 1
    assert "again" not in err


def test_it_gives_up_with_the_status_of_the_first_that_died(tmp_path):
    status, _, err = _run(tmp_path, "sys.exit(7) if index else time.sleep(30)", "--max-restarts=1")
    assert status == 7
    assert _starts(tmp_path) == 2
    assert "giving up after 1 restart(s)" in err


def test_a_stretch_of_health_forgets_restarts(tmp_path):
    body = "sys.exit(0 if attempt == 4 else 1)"
    options = ("--max-restarts", "1", "--healthy-after", "0")
    assert _run(tmp_path, body, *options, processes=1)[0] == 0
    assert _starts(tmp_path) == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_the_status_with_it(tmp_path, number):
    body = (
        f"signal.signal({int(number)}, lambda *_: (note('saved'), sys.exit(3)))\n"
        "note('ready')\ntime.sleep(60)\n"
    )
    process = _start(tmp_path, body)
    for index in range(2):
        notes = tmp_path / f"notes{index}"
        _until(lambda notes=notes: notes.exists() and "ready" in notes.read_text())
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == 3
    assert all("saved" in (tmp_path / f"notes{i}").read_text() for i in range(2))
    assert _starts(tmp_path) == 1


def test_a_signal_during_the_wait_ends_it(tmp_path):
    process = _start(tmp_path, "sys.exit(1)", "--backoff", "60", processes=1)
    for line in process.stderr:
        if "starting again in 60 s" in line:
            break
    process.terminate()
    process.communicate(timeout=10)
    assert process.returncode == 3
    assert _starts(tmp_path) == 1


def test_a_second_signal_means_it(tmp_path):
    body = "signal.signal(signal.SIGTERM, lambda *_: note('no'))\nnote('ready')\n"
    process = _start(tmp_path, body + "while True: time.sleep(0.1)\n", processes=1)
    notes = tmp_path / "notes0"
    _until(lambda: notes.exists() and "ready" in notes.read_text())
    process.terminate()
    _until(lambda: "no\n" in notes.read_text())
    process.terminate()
    process.communicate(timeout=process_group.KILL_AFTER + 10)
    assert process.returncode == 128 + signal.SIGKILL


def test_waits_double_up_to_a_bound():
    policy = local.Policy(backoff=1, max_backoff=10)
    assert [policy.wait(i) for i in (1, 2, 3, 4, 5, 10_000)] == [1, 2, 4, 8, 10, 10]


def test_a_program_that_is_not_there(capfd):
    assert launch.main(["local", "--platform", "cpu", "--", "/nowhere/train"]) == 2
    assert "cannot start /nowhere/train: No such file" in capfd.readouterr().err


# --- devices -------------------------------------------------------------------------------------


def test_gpus_are_split():
    split = devices.shares(["4", "5", "6", "7"], 2, "auto")
    assert split == [{"CUDA_VISIBLE_DEVICES": "4,5"}, {"CUDA_VISIBLE_DEVICES": "6,7"}]
    assert devices.shares(["4", "5"], 2, "cuda", 1)[1] == {"CUDA_VISIBLE_DEVICES": "5"}


def test_without_gpus_or_with_cpu_asked_for_it_is_cpu_devices():
    expected = [{"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"}] * 2
    assert devices.shares([], 2, "auto") == devices.shares(["0", "1"], 2, "cpu") == expected


@pytest.mark.parametrize(
    ("names", "processes", "each"), [([], 1, None), (["0"], 2, None), (["0"], 1, 2)]
)
def test_too_few_gpus(names, processes, each):
    with pytest.raises(UserError, match=f"there are {len(names)}"):
        devices.shares(names, processes, "cuda", each)


def test_gpus_are_those_visible_or_those_of_the_driver(tmp_path):
    assert devices.gpus({"CUDA_VISIBLE_DEVICES": "2, 3"}) == ["2", "3"]
    assert devices.gpus({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == []
    assert devices.gpus({}, tmp_path / "none") == []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert devices.gpus({}, tmp_path) == ["0", "1"]
