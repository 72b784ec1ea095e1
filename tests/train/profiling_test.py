"""A profile on request: the steps asked for and no others, and bad requests that hurt nobody."""

import gzip
import json

import jax
import jax.numpy as jnp
import pytest
import toy
from PIL import Image

from volsynth.train import profiling


@pytest.fixture(autouse=True)
def _look_always(monkeypatch):
    monkeypatch.setattr(profiling, "_LOOK_EVERY", 0.0)


class _Traces:
    """Stands for jax's profiler: says what happened, in order."""

    def __init__(self, monkeypatch, error=None):
        self.events, self._error = [], error
        monkeypatch.setattr(jax.profiler, "start_trace", self._start)
        monkeypatch.setattr(jax.profiler, "stop_trace", lambda: self.events.append("stop"))

    def _start(self, folder):
        if self._error:
            raise self._error
        self.events.append(folder.name)


def _steps(workdir, traces, numbers, request_before=None, text="2"):
    said = []
    with profiling.Profiler(workdir, said.append) as profiler:
        for number in numbers:
            if number == request_before:
                (workdir / "profile_steps").write_text(text)
            with profiler.step(number, jnp.zeros(())):
                traces.events.append(number)
    return said


def test_the_steps_asked_for_are_traced_and_the_request_is_taken_away(tmp_path, monkeypatch):
    traces = _Traces(monkeypatch)
    said = _steps(tmp_path, traces, range(5, 11), request_before=7)
    assert traces.events == [5, 6, "step_0000007", 7, 8, "stop", 9, 10]
    assert not (tmp_path / "profile_steps").exists()
    (line,) = said
    assert line.startswith(f"profile of steps 7 to 8: {tmp_path}/profile/step_0000007; open it")


def test_the_first_step_is_never_traced_as_it_compiles(tmp_path, monkeypatch):
    traces = _Traces(monkeypatch)
    _steps(tmp_path, traces, range(5, 9), request_before=5, text="1\n")
    assert traces.events == [5, "step_0000006", 6, "stop", 7, 8]


def test_a_run_that_ends_first_ends_the_trace(tmp_path, monkeypatch):
    traces = _Traces(monkeypatch)
    assert len(_steps(tmp_path, traces, range(1, 4), request_before=2, text="100")) == 1
    assert traces.events == [1, "step_0000002", 2, 3, "stop"]


@pytest.mark.parametrize("text", ["0", "101", "-1", "2.5", "five", "9" * 5000, "\udcff"])
def test_a_request_that_makes_no_sense_is_said_once_and_dropped(tmp_path, monkeypatch, text):
    traces = _Traces(monkeypatch)
    (tmp_path / "profile_steps").write_bytes(text.encode(errors="surrogateescape"))
    said = _steps(tmp_path, traces, range(1, 5))
    assert traces.events == [1, 2, 3, 4]
    (line,) = said
    assert line.startswith("profile_steps must hold a number from 1 to 100, got ")
    assert len(line) < 200
    assert not (tmp_path / "profile_steps").exists()


def test_a_request_that_is_still_being_written_is_left_alone(tmp_path, monkeypatch):
    traces = _Traces(monkeypatch)
    (tmp_path / "profile_steps").touch()
    assert _steps(tmp_path, traces, range(1, 4)) == []
    assert (tmp_path / "profile_steps").exists()


def test_a_request_that_cannot_be_read_is_said(tmp_path, monkeypatch):
    traces = _Traces(monkeypatch)
    (tmp_path / "profile_steps").mkdir()
    said = _steps(tmp_path, traces, range(1, 3))
    assert traces.events == [1, 2]
    assert "profile_steps cannot be read and removed: Is a directory." in said[0]


def test_a_profiler_that_fails_does_not_end_the_run(tmp_path, monkeypatch):
    traces = _Traces(monkeypatch, RuntimeError("only one\nat a time"))
    said = _steps(tmp_path, traces, range(1, 5), request_before=2)
    assert traces.events == [1, 2, 3, 4]
    assert said == ["no profile: only one at a time"]


def test_a_look_costs_nothing_most_of_the_time(tmp_path, monkeypatch):
    traces = _Traces(monkeypatch)
    monkeypatch.setattr(profiling, "_LOOK_EVERY", 3600.0)
    _steps(tmp_path, traces, range(1, 6), request_before=3)
    assert traces.events == [1, 2, 3, 4, 5], "it looked at step 2, and not again within the hour"


def test_a_training_leaves_a_trace_of_exactly_these_steps(tmp_path, capsys):
    config = toy.config(8)

    def batches(start, stop):
        for step in range(start, stop):
            if step == 4:
                (tmp_path / "profile_steps").write_text("3")
            yield toy.batch()

    picture = Image.new("RGB", (4, 4))
    toy.train(toy.system(), config, batches, tmp_path, lambda averages: picture)
    (folder,) = (tmp_path / "profile").iterdir()
    assert f"{folder}; open it with `xprof --logdir {folder}`" in capsys.readouterr().err
    (trace,) = folder.rglob("*.trace.json.gz")
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    steps = {int(e["args"]["step_num"]) for e in events if e.get("name") == "train"}
    # The batch of step 5 is fetched while step 4 runs.
    assert steps == {5, 6, 7}
    assert folder.name == "step_0000005"
