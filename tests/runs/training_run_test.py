"""The shipped config, shrunk, through training and resuming."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from PIL import Image

from volsynth.config import load_config
from volsynth.data import augment, augment_images, pipeline
from volsynth.errors import UserError
from volsynth.evaluation import evaluate
from volsynth.runs import restoring, training
from volsynth.train import loop, run_record


def variables_of(workdir, config):
    """Averaged weights of the newest checkpoint, as NumPy arrays."""
    from volsynth import systems

    step, averages = restoring.restore_averages(systems.make(config), config, workdir, None)
    return step, jax.tree.map(np.asarray, averages)


def metrics_of(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def steps_logged(workdir):
    return [line["step"] for line in metrics_of(workdir)]


def width_of(path):
    with Image.open(path) as image:
        return image.width


def test_a_run_leaves_metrics_samples_and_checkpoints(trained, smoke_config):
    lines = metrics_of(trained)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert all(np.isfinite(line["generator/loss"]) for line in lines)
    assert lines[-1]["images_per_second"] > 0
    assert 0 <= lines[-1]["share_waiting_for_data"] <= 1
    assert lines[-1]["generator/l1"] < lines[0]["generator/l1"]
    assert [p.name for p in sorted((trained / "samples").iterdir())] == [
        "step_0000003.png",
        "step_0000006.png",
    ]
    assert width_of(trained / "samples" / "step_0000006.png") > 4 * 128
    assert any((trained / "tensorboard").iterdir())
    assert variables_of(trained, smoke_config)[0] == 6


class Killed(Exception):
    """The exception that a test throws to end a run in the middle."""


def test_a_run_cut_off_and_resumed_ends_bit_for_bit_where_an_uncut_one_does(
    trained, smoke_config, tmp_path, monkeypatch
):
    real = pipeline.training_batches

    def cut(split, seed, batch_size, start, stop, *rest, **others):
        stream = real(split, seed, batch_size, start, stop, *rest, **others)
        for step, batch in enumerate(stream, start):
            if step == 5:
                raise Killed
            yield batch

    workdir = tmp_path / "cut"
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "training_batches", cut)
        with pytest.raises(Killed):
            training.train(smoke_config, workdir)
    assert variables_of(workdir, smoke_config)[0] == 4
    training.train(smoke_config, workdir)
    assert steps_logged(workdir) == [1, 2, 3, 4, 5, 6]
    jax.tree.map(
        np.testing.assert_array_equal,
        variables_of(workdir, smoke_config)[1],
        variables_of(trained, smoke_config)[1],
    )


def test_training_a_finished_run_again_changes_nothing(trained, smoke_config):
    before = variables_of(trained, smoke_config)
    training.train(smoke_config, trained)
    after = variables_of(trained, smoke_config)
    assert before[0] == after[0]
    jax.tree.map(np.testing.assert_array_equal, before[1], after[1])
    assert steps_logged(trained) == [1, 2, 3, 4, 5, 6]


def test_one_device_and_two_take_the_same_step(trained, smoke_config, tmp_path):
    config = smoke_config.copy_and_resolve_references()
    config.mesh.data = 1
    training.train(config, tmp_path)
    records = [
        [line["generator/loss"] for line in metrics_of(folder)] for folder in (trained, tmp_path)
    ]
    # The first step is the same to rounding; later ones amplify it.
    np.testing.assert_allclose(records[0][0], records[1][0], rtol=1e-5)
    np.testing.assert_allclose(records[0], records[1], rtol=1e-2)


def test_updates_that_are_not_finite_stop_the_run_with_its_step(
    smoke_config, tmp_path, monkeypatch
):
    real = pipeline.training_batches

    def poisoned(*args, **kwargs):
        for batch in real(*args, **kwargs):
            yield {**batch, "source_image": batch["source_image"] * np.nan}

    monkeypatch.setattr(pipeline, "training_batches", poisoned)
    config = smoke_config.copy_and_resolve_references()
    config.train.max_skipped = 2
    with pytest.raises(loop.Diverged, match="step 2: 2 updates in a row were not finite"):
        training.train(config, tmp_path)


def test_a_workdir_of_another_config_is_refused_and_left_alone(trained, smoke_config):
    config = smoke_config.copy_and_resolve_references()
    config.model.depth = 8
    before = (trained / "run.json").read_bytes()
    with pytest.raises(UserError, match=r"another config \(model.depth: 4 there, 8 here\)"):
        training.train(config, trained)
    assert (trained / "run.json").read_bytes() == before


def test_training_images_are_changed_and_no_others(trained, smoke_config, tmp_path, monkeypatch):
    given = []
    one = evaluate.Options(gallery=1)
    before = evaluate.evaluate_run(trained, "validation", out=tmp_path / "before", options=one)

    def seen(*args, augmentation, **others):
        given.append(augmentation)
        raise Killed

    def refused(*args):
        raise AssertionError("images are changed outside of training")

    monkeypatch.setattr(pipeline, "training_batches", seen)
    monkeypatch.setattr(augment_images, "apply", refused)
    # Samples are read from the validation split before the first step.
    with pytest.raises(Killed):
        training.train(smoke_config, tmp_path / "run")
    assert given == [augment.Augment(**smoke_config.data.augment)]
    assert given[0].changes
    after = evaluate.evaluate_run(trained, "validation", out=tmp_path / "after", options=one)
    assert after["metrics"] == before["metrics"]


def test_images_of_another_size_are_refused(smoke_config, tmp_path):
    config = smoke_config.copy_and_resolve_references()
    config.data.image_size = 64
    with pytest.raises(UserError, match=r"images of 32 pixels, config\.data\.image_size is 64"):
        training.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train.log_every", 0, r"config\.train\.log_every must be at least 1, got 0"),
        ("evaluate.batch_size", 0, r"config\.evaluate\.batch_size must be at least 1, got 0"),
        ("data.threads", 0, r"config\.data\.threads must be at least 1, or -1 .*, got 0"),
        ("data.augment.scale", -1.0, r"config\.data\.augment\.scale must lie in \[0, 1\], .*-1\.0"),
        ("data.single", 1.5, r"config\.data\.single must lie in \[0, 1\], got 1\.5"),
    ],
)
def test_values_that_cannot_be_leave_no_workdir(smoke_config, tmp_path, key, value, message):
    config = smoke_config.copy_and_resolve_references()
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=message):
        training.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_flipped_bit_is_found_before_the_workdir_is_claimed(
    smoke_config, data_dir, tmp_path, split
):
    shutil.copytree(data_dir, tmp_path / "data")
    (shard,) = (tmp_path / "data").rglob(f"*{split}.array_record-00001*")
    content = bytearray(shard.read_bytes())
    content[2000] ^= 1
    shard.write_bytes(content)
    config = smoke_config.copy_and_resolve_references()
    config.data.dir = str(tmp_path / "data")
    with pytest.raises(UserError, match=f"{shard.name} is not the file that the manifest lists"):
        training.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    # Whoever does not want to know gets as far as the claim, with a workdir that is a file.
    (tmp_path / "file").touch()
    config.data.verify = False
    with pytest.raises(UserError, match=r"cannot use .*file as workdir"):
        training.train(config, tmp_path / "file")


@pytest.mark.slow
def test_a_run_on_two_data_sets_has_the_identity_of_both(smoke_config, data_dir, tmp_path):
    shutil.copytree(data_dir, tmp_path / "data")
    shutil.copytree(tmp_path / "data/posed_people/tiny", tmp_path / "data/others/tiny")
    (manifest,) = (tmp_path / "data/others").rglob("manifest.json")
    changed = json.loads(manifest.read_text())
    changed["name"] = "others"
    manifest.write_text(json.dumps(changed))
    config = smoke_config.copy_and_resolve_references()
    config.data.dir = str(tmp_path / "data")
    config.train.steps = 2
    with config.unlocked():
        config.data.also = {"others/tiny": 0.5}
    training.train(config, tmp_path / "run")
    identity = run_record.read_run(tmp_path / "run")["data"]
    assert re.fullmatch(r"\w{16}\+others/tiny:\w{16}", identity)
    # Scoring takes the main data set alone, wherever it is.
    found = evaluate.evaluate_run(tmp_path / "run", "test", data_dir=str(data_dir))
    assert found["step"] == 2
    training.train(config, tmp_path / "run")
    changed["note"] = "prepared again"
    manifest.write_text(json.dumps(changed))
    with pytest.raises(UserError, match="data set: "):
        training.train(config, tmp_path / "run")


def test_results_that_cannot_be_written(trained, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write results to"):
        evaluate.evaluate_run(trained, "test", out=tmp_path / "file" / "out")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 3), (signal.SIGKILL, -9)])
def test_a_real_signal_loses_at_most_what_came_after_the_last_checkpoint(
    data_dir, tmp_path, number, status
):
    command = [sys.executable, "-m", "volsynth.cli", "train", f"--workdir={tmp_path}"]
    command += ["--config=configs/volumetric.py:smoke", f"--config.data.dir={data_dir}"]
    command += ["--config.train.steps=2000", "--config.train.checkpoint_every=20"]
    command += ["--config.train.sample_every=2000"]
    process = subprocess.Popen(command, env=dict(os.environ))
    checkpoints = tmp_path / "checkpoints"
    for _ in range(1200):
        if (checkpoints / "40").exists():
            break
        time.sleep(0.1)
    process.send_signal(number)
    assert process.wait(60) == status
    config = load_config("configs/volumetric.py:smoke", [f"--config.data.dir={data_dir}"])
    step, _ = variables_of(tmp_path, config)
    if number == signal.SIGTERM:
        assert step == steps_logged(tmp_path)[-1] + 1 or step == steps_logged(tmp_path)[-1]
    assert step >= 40
