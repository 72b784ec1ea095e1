"""The loop with a system small enough to compile in no time."""

import errno
import json

import jax
import numpy as np
import pytest
import toy
from PIL import Image

from volsynth.errors import UserError
from volsynth.system import System
from volsynth.train import checkpoint, distributed, loop, manifest, phases
from volsynth.train.reporting import Reporter


def two_phases():
    """The critic's phase first, then the generator's."""
    players = toy.system().phases["main"]
    split = {"first": {"critic": players["critic"]}, "second": {"generator": players["generator"]}}
    return System("toy", "-", toy.init, toy.forward, split)


@pytest.fixture
def config():
    return toy.config({"first": 2, "second": 3}, log_every=1)


def batches(start, stop):
    for _ in range(start, stop):
        yield {key: np.asarray(value) for key, value in toy.batch().items()}


def run(config, workdir):
    workdir.mkdir(exist_ok=True)
    picture = Image.new("RGB", (4, 4))
    return toy.train(two_phases(), config, batches, workdir, lambda averages: picture)


def test_each_phase_moves_its_own_players(config, tmp_path):
    state = run(config, tmp_path / "both")
    assert int(state.step) == 5
    config.train.steps = {"first": 2, "second": 0}
    first = run(config, tmp_path / "first")
    assert first.variables["generator"]["params"]["w"] == 3.0
    assert (
        first.variables["critic"]["params"]["v"] == state.variables["critic"]["params"]["v"] != 0.5
    )
    assert state.variables["generator"]["params"]["w"] != 3.0


def test_a_run_resumes_in_its_second_phase(config, tmp_path, monkeypatch):
    config.precision = "float16"
    whole = run(config, tmp_path / "whole")
    config.train.checkpoint_every = 3
    real = batches

    def cut(start, stop):
        for step, batch in enumerate(real(start, stop), start):
            if step == 4:
                raise KeyboardInterrupt
            yield batch

    with monkeypatch.context() as patch:
        patch.setitem(globals(), "batches", cut)
        with pytest.raises(KeyboardInterrupt):
            run(config, tmp_path / "cut")
    resumed = run(config, tmp_path / "cut")
    for part in ("variables", "averages", "optimisers", "scales", "skipped"):
        jax.tree.map(np.testing.assert_array_equal, getattr(resumed, part), getattr(whole, part))
    assert all(scale > config.train.loss_scale.initial for scale in whole.scales.values())


def test_steps_of_phases():
    system = two_phases()
    spans = phases.spans(system, {"second": 3, "first": 2})
    assert list(spans.items()) == [("first", range(2)), ("second", range(2, 5))]
    assert [phases.phase_of(spans, step) for step in range(5)] == ["first"] * 2 + ["second"] * 3
    assert phases.last_step(spans) == 5
    assert phases.spans(toy.system(), 7) == {"main": range(7)}
    with pytest.raises(UserError, match="several phases; give the steps of each: first, sec"):
        phases.spans(system, 7)
    with pytest.raises(UserError, match="no phase 'frist'; did you mean 'first'"):
        phases.spans(system, {"frist": 1, "second": 1})
    with pytest.raises(UserError, match="lacks the phase 'second'"):
        phases.spans(system, {"first": 1})


# --- the best checkpoint -------------------------------------------------------------------------


def _best(workdir, name):
    with checkpoint.Checkpoints(workdir, best_by=name) as checkpoints:
        return checkpoints.best, checkpoints.steps


def test_the_score_is_the_mean_since_the_last_checkpoint(config, tmp_path):
    config.train.steps = {"first": 0, "second": 6}
    config.train.update(checkpoint_every=2, keep_checkpoints=3, best_by="generator/loss")
    run(config, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [line["generator/loss"] for line in lines]
    for step in (2, 4, 6):
        about = manifest.read(tmp_path / "checkpoints" / str(step))
        assert about["metric"] == {
            "generator/loss": pytest.approx(np.mean(losses[step - 2 : step]))
        }
    assert _best(tmp_path, "generator/loss") == (6, [2, 4, 6])


def test_a_metric_that_a_phase_has_not_is_none(config, tmp_path):
    config.train.update(checkpoint_every=2, keep_checkpoints=3, best_by="generator/loss")
    run(config, tmp_path)
    about = manifest.read(tmp_path / "checkpoints" / "2")
    assert about["metric"] == {"generator/loss": None}
    assert _best(tmp_path, "generator/loss")[0] in (4, 5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("loss", r"must be PLAYER/METRIC such as \w+/loss, or empty; got 'loss'"),
        ("generator", "must be PLAYER/METRIC"),
        ("generater/loss", "got 'generater/loss'; did you mean 'generator'"),
        ("critic/lost", "no metric 'critic/lost'; did you mean 'critic/loss'"),
    ],
)
def test_a_metric_that_is_not_there(config, tmp_path, name, message):
    config.train.best_by = name
    with pytest.raises(UserError, match=message):
        run(config, tmp_path)


# --- faults --------------------------------------------------------------------------------------


def test_a_run_that_diverges_leaves_the_batch_that_did_it(config, tmp_path, monkeypatch):
    config.train.update(steps={"first": 2, "second": 8}, max_skipped=2, checkpoint_every=4)

    def poisoned(start, stop):
        for step in range(start, stop):
            value = np.inf if step >= 5 else float(step)
            yield {key: np.asarray(v) for key, v in toy.batch(value).items()}

    monkeypatch.setitem(globals(), "batches", poisoned)
    with pytest.raises(loop.Diverged, match=r"step 7: 2 updates .* are in .*diverged-7\. Lower"):
        run(config, tmp_path)
    folder = tmp_path / "diverged-7"
    assert sorted(path.name for path in folder.iterdir()) == [
        "batch-0.npz",
        "config.json",
        "metrics.json",
    ]
    with np.load(folder / "batch-0.npz") as batch:
        np.testing.assert_array_equal(batch["target_image"], toy.batch(np.inf)["target_image"])
        assert set(batch) == set(toy.batch())
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["generator/l2"] == "inf"
    assert metrics["generator/skipped_in_a_row"] == 2
    assert json.loads((folder / "config.json").read_text())["train"]["max_skipped"] == 2
    # The checkpoint before is as it was, and its parameters are good.
    assert _best(tmp_path, "")[1] == [4]


@pytest.mark.parametrize("late", [1, 2, 3])
def test_the_batch_is_that_of_the_step_whenever_it_is_examined(config, tmp_path, monkeypatch, late):
    """Metrics are read one step late, or at once before a checkpoint."""
    config.train.update(steps={"first": 0, "second": 4}, max_skipped=1, checkpoint_every=late)

    def poisoned(start, stop):
        for step in range(start, stop):
            value = np.nan if step == 1 else float(step)
            yield {key: np.asarray(v) for key, v in toy.batch(value).items()}

    monkeypatch.setitem(globals(), "batches", poisoned)
    with pytest.raises(loop.Diverged, match="step 2: 1 updates"):
        run(config, tmp_path)
    with np.load(tmp_path / "diverged-2" / "batch-0.npz") as batch:
        assert np.isnan(batch["target_image"]).all()


def test_a_full_disk_is_an_error_of_the_user(config, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Reporter, "log", full)
    with pytest.raises(UserError, match=r"No space left on device\. Checkpoints are intact; make"):
        run(config, tmp_path)

    def other(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Reporter, "log", other)
    with pytest.raises(OSError, match="Input/output error"):
        run(config, tmp_path / "other")


def test_a_process_that_says_nothing_dumps_its_batch_too(config, tmp_path, monkeypatch):
    """The second of several processes: no metrics, but its share of the dump."""
    monkeypatch.setattr(distributed, "is_first", lambda: False)
    config.train.max_skipped = 2

    def poisoned(start, stop):
        for batch in batches(start, stop):
            yield {key: value * np.nan for key, value in batch.items()}

    picture = Image.new("RGB", (4, 4))
    with pytest.raises(loop.Diverged, match="step 2: 2 updates in a row were not finite"):
        toy.train(two_phases(), config, poisoned, tmp_path, lambda averages: picture)
    assert (tmp_path / "diverged-2" / "batch-0.npz").exists()
    assert not (tmp_path / "metrics.jsonl").exists()
