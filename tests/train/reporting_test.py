"""The files of a run: lines that a resumed run does not double, and JSON whatever the numbers."""

import json
import os
import time
import types

import jax
import numpy as np
import pytest
import toy
from PIL import Image

import volsynth
from volsynth.train import loop, reporting
from volsynth.train.reporting import Reporter


def _lines(workdir):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    text = (workdir / "metrics.jsonl").read_text()
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def _set_clock(monkeypatch, *readings):
    """Only the reporter's clock: threads of others go on reading the true one."""
    clock = types.SimpleNamespace(monotonic=iter(readings).__next__, time=lambda: 1e9)
    monkeypatch.setattr(reporting, "time", clock)


def _report(workdir, start, steps):
    with Reporter(workdir, start, 10, batch_size=4) as reporter:
        for step in steps:
            reporter.log(step, {"generator/loss": step / 2})


def test_a_line_has_the_step_its_metrics_and_rates(tmp_path):
    with Reporter(tmp_path, 0, 10, batch_size=4) as reporter:
        reporter.add_waiting(1e-6)
        reporter.log(2, {"generator/loss": 0.5})
    (line,) = _lines(tmp_path)
    assert set(line) == {
        *("step", "time", "generator/loss"),
        *("images_per_second", "seconds_per_step", "share_waiting_for_data"),
        *("process_bytes", "process_peak_bytes"),
    }
    assert (line["step"], line["generator/loss"]) == (2, 0.5)
    assert abs(line["time"] - time.time()) < 60
    assert 1e7 < line["process_bytes"] <= line["process_peak_bytes"]
    assert line["images_per_second"] > 0
    assert line["share_waiting_for_data"] > 0


def test_rates_are_means_since_the_last_line(tmp_path, monkeypatch):
    _set_clock(monkeypatch, 100.0, 102.0, 112.0)
    with Reporter(tmp_path, 6, 10, batch_size=4) as reporter:
        reporter.add_waiting(0.25)
        reporter.add_waiting(0.25)
        reporter.log(7, {})
        reporter.log(10, {})
    names = ("images_per_second", "seconds_per_step", "share_waiting_for_data")
    rates = [tuple(line[name] for name in names) for line in _lines(tmp_path)]
    assert rates == [(2.0, 2.0, 0.25), (1.2, pytest.approx(10 / 3), 0.0)]


def test_a_resumed_run_drops_the_lines_that_it_will_write_again(tmp_path):
    _report(tmp_path, 0, [1, 2, 3, 4, 5])
    before = _lines(tmp_path)
    _report(tmp_path, 3, [4, 5])
    assert [line["step"] for line in _lines(tmp_path)] == [1, 2, 3, 4, 5]
    assert _lines(tmp_path)[:3] == before[:3]


@pytest.mark.parametrize(
    "rest", ['{"step": 4, "generator/l', '{"st', "", "\n", "null\n", '{"loss": 1}\n', "4\n", "\0\0"]
)
def test_a_last_line_that_was_cut_off_is_dropped(tmp_path, rest):
    _report(tmp_path, 0, [1, 2, 3])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(rest)
    _report(tmp_path, 3, [4])
    assert [line["step"] for line in _lines(tmp_path)] == [1, 2, 3, 4]


def test_what_is_not_finite_is_null(tmp_path, capsys):
    with Reporter(tmp_path, 0, 10, batch_size=4) as reporter:
        reporter.log(1, {"generator/loss": None, "generator/gradient_norm": None})
    assert _lines(tmp_path)[0]["generator/loss"] is None
    shown = capsys.readouterr().err
    assert "generator/loss not finite" in shown
    assert "gradient_norm" not in shown


def test_the_progress_line_has_step_eta_and_rate(tmp_path, capsys, monkeypatch):
    _set_clock(monkeypatch, 0.0, 2.0)
    with Reporter(tmp_path, 0, 4000, batch_size=4) as reporter:
        reporter.log(1, {"generator/loss": 0.123456, "generator/skipped": 0.0})
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "step 1/4000  ETA 2:13:18  2.0 images/s  generator/loss 0.1235\n"


def test_the_progress_line_says_what_is_wrong_and_sums_before_terms(tmp_path, capsys, monkeypatch):
    _set_clock(monkeypatch, 0.0, 1.0, 2.0)
    metrics = {"a/gan": 2.0, "a/loss": 3.0, "a/skipped": 1.0, "b/loss": 4.0, "b/skipped": 2.0}
    with Reporter(tmp_path, 0, 10, batch_size=4) as reporter:
        reporter.add_waiting(0.25)
        reporter.log(1, metrics)
        reporter.add_waiting(0.019)
        reporter.log(2, {**metrics, "a/skipped": 0.0, "b/skipped": 0.0})
    shown = capsys.readouterr().err.splitlines()
    losses = "a/loss 3  b/loss 4  a/gan 2"
    start = "step 1/10  ETA 0:09  4.0 images/s"
    assert shown[0] == f"{start}  waiting for data 25%  3 skipped  {losses}"
    assert shown[1] == f"step 2/10  ETA 0:08  4.0 images/s  {losses}"


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (50, "step 1/10  ETA 0:09  4.0 images/s  a/loss 1"),
        (45, "step 1/10  ETA 0:09  4.0 images/s  a/loss 1"),
        (43, "step 1/10  ETA 0:09  4.0 images/s"),
        (6, "step "),
        (0, "step 1/10  ETA 0:09  4.0 images/s  a/loss 1  b/loss 2  c/loss 3"),
    ],
)
def test_what_does_not_fit_into_the_terminal_is_left_out(tmp_path, monkeypatch, columns, shown):
    _set_clock(monkeypatch, 0.0, 1.0)
    master, slave = os.openpty()
    size = os.terminal_size((columns, 24))
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: size)
        with Reporter(tmp_path, 0, 10, batch_size=4) as reporter:
            reporter.log(1, {"a/loss": 1.0, "b/loss": 2.0, "c/loss": 3.0})
        terminal.flush()
        seen = os.read(master, 4096).decode()
    os.close(master)
    assert seen == f"\r\x1b[K{shown}\r\n"


def test_every_start_is_recorded(tmp_path):
    _report(tmp_path, 0, [1, 2])
    _report(tmp_path, 2, [3])
    starts = [json.loads(line) for line in (tmp_path / "starts.jsonl").read_text().splitlines()]
    assert [start["step"] for start in starts] == [0, 2]
    assert starts[1]["devices"] == len(jax.devices())
    assert starts[1]["device"] == "cpu"
    assert starts[1]["jax"] == jax.__version__
    assert starts[1]["version"] == volsynth.__version__
    assert abs(starts[1]["time"] - time.time()) < 60


def test_on_a_terminal_the_progress_line_is_overwritten_and_ended(tmp_path, monkeypatch):
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        _report(tmp_path, 0, [1, 2])
        terminal.flush()
        shown = os.read(master, 4096).decode()
    os.close(master)
    assert [part.partition("  ")[0] for part in shown.split("\r\x1b[K")] == [
        "",
        "step 1/10",
        "step 2/10",
    ]
    assert shown.endswith("generator/loss 1\r\n")


def test_samples_are_files_and_go_to_tensorboard(tmp_path):
    with Reporter(tmp_path, 0, 10, batch_size=4) as reporter:
        reporter.samples(3, Image.new("RGB", (40, 20), (255, 0, 255)))
    with Image.open(tmp_path / "samples" / "step_0000003.png") as picture:
        assert picture.size == (40, 20)
    assert any((tmp_path / "tensorboard").iterdir())


def test_a_run_that_diverges_logs_null_and_names_the_step(tmp_path):
    config = toy.config(5, devices=-1, max_skipped=2)

    def batches(start, stop):
        for step in range(start, stop):
            value = np.nan if step >= 1 else 2.0
            yield {key: np.asarray(v) for key, v in toy.batch(value).items()}

    with pytest.raises(loop.Diverged, match="step 3: 2 updates in a row were not finite"):
        toy.train(toy.system(), config, batches, tmp_path, lambda averages: None)
    # Steps that were skipped are logged though it is not their turn.
    lines = _lines(tmp_path)
    assert [line["step"] for line in lines] == [2, 3]
    assert lines[0]["generator/loss"] is None
    assert lines[1]["generator/skipped_in_a_row"] == 2
