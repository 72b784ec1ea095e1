"""Pose estimators that `volsynth evaluate` scores, and that score pictures of others."""

import dataclasses
import json
import types

import pytest

from volsynth import cli, systems
from volsynth.config import load_config
from volsynth.errors import UserError
from volsynth.evaluation import evaluate, scorer_options
from volsynth.export import model_folder, write
from volsynth.runs import training


@pytest.fixture(scope="module")
def estimator(data_dir, tmp_path_factory):
    """A workdir in which the pose estimator's smoke config was trained."""
    workdir = tmp_path_factory.mktemp("runs") / "pose"
    overrides = [f"--config.data.dir={data_dir}", "--config.train.steps=2"]
    training.train(load_config("configs/pose_estimator.py:smoke", overrides), workdir)
    return workdir


def test_pose_est_by_the_projects_estimator(trained, estimator, tmp_path):
    options = evaluate.Options(gallery=0, estimator=str(estimator), sorted_by="pose_mpjpe")
    found = evaluate.evaluate_run(trained, "test", out=tmp_path, options=options)
    entry = found["protocol"]["scores"]["pose_auc_200"]
    assert (entry["estimator"]["system"], entry["highest_mm"]) == ("pose_estimator", 200)
    assert len(entry["estimator"]["weights_sha256"]) == 64
    own = evaluate.evaluate_run(
        estimator, "test", out=tmp_path / "own", options=evaluate.Options(gallery=0)
    )
    for name, plain in (("pose_mpjpe", "mpjpe"), ("pose_auc_200", "auc_200")):
        # Of the true pictures, the scorer gives the estimator's own evaluation.
        assert found["baselines"]["truth"][name] == pytest.approx(own["metrics"][plain], rel=1e-5)
    assert found["metrics"]["pose_mpjpe"] != found["baselines"]["truth"]["pose_mpjpe"]


def test_an_exported_model_is_scored_as_its_run_and_estimates_as_it(
    estimator, tiny, data_dir, other_data, tmp_path, capsys
):
    write.export(estimator, tmp_path / "model")
    model = tmp_path / "model"
    by_model, by_run = (
        scorer_options.pose_estimator(str(path), tiny) for path in (model, estimator)
    )
    assert by_model.protocol == by_run.protocol, "the weights are the same, so is their SHA-256"
    arguments = ["--model", str(model), "--data-dir", str(data_dir), "--gallery", "2", "--json"]
    assert cli.main(["evaluate", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    own = evaluate.evaluate_run(
        estimator, "test", out=tmp_path / "own", options=evaluate.Options(gallery=0)
    )
    assert found["protocol"] == own["protocol"]
    assert found["metrics"] == pytest.approx(own["metrics"], rel=1e-4)
    assert (found["step"], found["of"]["kind"]) == (2, "model")
    # The model's folder may hold nothing else.
    assert (tmp_path / "model-evaluate-test" / "results.json").exists()
    model_folder.check(model)
    with pytest.raises(UserError, match=r"not the data set that .*model was trained on"):
        evaluate.evaluate_model(model, "test", str(other_data))


def test_a_pose_system_that_is_told_the_joints_is_no_estimator(estimator, tiny, monkeypatch):
    """A network that lifts joints would find every picture perfect."""
    make = systems.SYSTEMS["pose_estimator"]

    def lifter(config):
        system = make(config)

        def forward(variables, batch, context):
            outputs, states = system.forward(variables, batch, context)
            told = batch["target_joints"][..., :1]
            return {**outputs, "joints_mm": outputs["joints_mm"] + told}, states

        return dataclasses.replace(system, forward=forward)

    monkeypatch.setitem(systems.SYSTEMS, "pose_estimator", lifter)
    with pytest.raises(
        UserError,
        match=r"reads target_image, target_joints: it would be told the true joints\. Give",
    ):
        scorer_options.pose_estimator(str(estimator), tiny)


def test_scorers_of_pictures_are_refused_where_there_are_none(estimator, tmp_path):
    options = evaluate.Options(gallery=0, estimator=str(estimator))
    with pytest.raises(UserError, match="--estimator is for systems that make pictures"):
        evaluate.evaluate_run(estimator, "test", out=tmp_path, options=options)


def test_an_estimator_of_another_size_is_refused(estimator):
    larger = types.SimpleNamespace(image_size=64)
    with pytest.raises(UserError, match="trained on images of 32 pixels; those to score have 64"):
        scorer_options.pose_estimator(str(estimator), larger)
