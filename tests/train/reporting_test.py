"""What a run writes: lines that a resumed run does not double, and JSON whatever the numbers."""

import json
import os
import types

import numpy as np
import pytest
import toy
from ml_collections import ConfigDict
from PIL import Image

from volsynth.train import loop, reporting
from volsynth.train.reporting import Reporter


def _lines(workdir):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    text = (workdir / "metrics.jsonl").read_text()
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def _set_clock(monkeypatch, *readings):
    """Only the reporter's clock: threads of others go on reading the true one."""
    clock = types.SimpleNamespace(monotonic=iter(readings).__next__)
    monkeypatch.setattr(reporting, "time", clock)


def _report(workdir, start, steps):
    with Reporter(workdir, start, 10, batch_size=4) as reporter:
        for step in steps:
            reporter.log(step, {"generator/loss": step / 2})


def test_a_line_has_the_step_its_metrics_and_rates(tmp_path):
    with Reporter(tmp_path, 0, 10, batch_size=4) as reporter:
        reporter.waited(1e-6)
        reporter.log(2, {"generator/loss": 0.5})
    (line,) = _lines(tmp_path)
    assert set(line) == {"step", "generator/loss", "images_per_second", "share_waiting_for_data"}
    assert (line["step"], line["generator/loss"]) == (2, 0.5)
    assert line["images_per_second"] > 0
    assert line["share_waiting_for_data"] > 0


def test_rates_are_means_since_the_last_line(tmp_path, monkeypatch):
    _set_clock(monkeypatch, 100.0, 102.0, 112.0)
    with Reporter(tmp_path, 6, 10, batch_size=4) as reporter:
        reporter.waited(0.25)
        reporter.waited(0.25)
        reporter.log(7, {})
        reporter.log(10, {})
    rates = [(x["images_per_second"], x["share_waiting_for_data"]) for x in _lines(tmp_path)]
    assert rates == [(2.0, 0.25), (1.2, 0.0)]


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
    adam = {"learning_rate": 0.1, "b1": 0.5, "b2": 0.9, "decay_from": 1.0, "l2": 0.0}
    train = {
        "steps": 5,
        "batch_size": 2,
        "log_every": 100,
        "sample_every": 100,
        "checkpoint_every": 100,
        "keep_checkpoints": 1,
        "best_by": "",
        "average_decay": 0.9,
        "max_skipped": 2,
        "loss_scale": dict(toy.LOSS_SCALE),
    }
    config = ConfigDict(
        {
            "seed": 0,
            "precision": "float32",
            "train": train,
            "optim": {"generator": adam, "critic": adam},
            "mesh": {"data": -1},
        }
    )

    def batches(start, stop):
        for step in range(start, stop):
            value = np.nan if step >= 1 else 2.0
            yield {key: np.asarray(v) for key, v in toy.batch(value).items()}

    with pytest.raises(loop.Diverged, match="step 3: 2 updates in a row were not finite"):
        loop.train(toy.system(), config, batches, tmp_path, lambda averages: None)
    # Steps that were skipped are logged though it is not their turn.
    lines = _lines(tmp_path)
    assert [line["step"] for line in lines] == [2, 3]
    assert lines[0]["generator/loss"] is None
    assert lines[1]["generator/skipped_in_a_row"] == 2
