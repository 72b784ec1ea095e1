"""Scores on pictures of another size than those of the training."""

import shutil

import pytest

from data_prep.posed_people import build, plan
from volsynth.config import load_config
from volsynth.data import prepared
from volsynth.errors import UserError
from volsynth.evaluation import evaluate, sizes
from volsynth.export import write
from volsynth.runs import training


@pytest.fixture(scope="module")
def large(data_dir, tmp_path_factory):
    """A folder with `posed_people/tiny`, and the same persons with pictures of 64 pixels."""
    folder = tmp_path_factory.mktemp("sizes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(plan.SIZES, "tiny", plan.SIZES["tiny"]._replace(side=64))
        build(folder, "tiny", processes=1)
    shutil.move(folder / "posed_people" / "tiny", folder / "posed_people" / "64")
    shutil.copytree(data_dir / "posed_people" / "tiny", folder / "posed_people" / "tiny")
    # A folder that is named by a size which its pictures do not have.
    shutil.copytree(data_dir / "posed_people" / "tiny", folder / "posed_people" / "80")
    return folder


@pytest.fixture(scope="module")
def run(data_dir, tmp_path_factory):
    """A workdir in which the reprojection system's smoke config was trained."""
    workdir = tmp_path_factory.mktemp("runs") / "reprojection"
    overrides = [f"--config.data.dir={data_dir}", "--config.train.steps=2"]
    training.train(load_config("configs/reprojection.py:smoke", overrides), workdir)
    return workdir


@pytest.fixture(scope="module")
def scored(run, large):
    options = evaluate.Options(gallery=2)
    return evaluate.evaluate_run(run, "test", data_dir=str(large), options=options, size=64)


@pytest.mark.slow
def test_a_run_is_scored_on_larger_pictures(scored, run, large):
    shared = scored["protocol"]
    data = prepared.open_prepared(large, "posed_people", "64")
    assert (shared["image_size"], shared["data_identity"]) == (64, data.identity)
    assert (run / "evaluate-test-64" / "gallery.png").is_file()
    assert not (run / "evaluate-test").exists()


@pytest.mark.slow
def test_an_exported_model_has_the_scores_of_its_run(scored, run, large, tmp_path):
    write.export(run, tmp_path / "model")
    found = evaluate.evaluate_model(
        tmp_path / "model", "test", str(large), options=evaluate.Options(gallery=0), size=64
    )
    assert (tmp_path / "model-evaluate-test-64").is_dir()
    for name, score in scored["metrics"].items():
        assert found["metrics"][name] == pytest.approx(score, rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize(
    ("size", "step", "message"),
    [
        (64, 0, "--size must be 32, got 64: this system makes pictures of one size"),
        (40, 16, "--size must be a multiple of 16 from 32 on, got 40"),
        (16, 16, "--size must be a multiple of 16 from 32 on, got 16"),
        (96, 16, "no prepared data set in .*96"),
        (80, 16, "has pictures of 32 pixels; --size 80 asks for a configuration of that name"),
    ],
)
def test_a_size_that_cannot_be_scored(large, size, step, message):
    config = load_config("configs/reprojection.py:smoke").data
    with pytest.raises(UserError, match=message):
        sizes.open_size(config, str(large), size, step, "test")
