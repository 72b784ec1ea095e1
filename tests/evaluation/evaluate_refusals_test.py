"""Runs, steps and options that `volsynth evaluate` refuses."""

import pytest

from volsynth import cli
from volsynth.config import config_to_dict
from volsynth.errors import UserError
from volsynth.evaluation import evaluate
from volsynth.train import run_record


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sorted_by": "sharpness"}, "no score 'sharpness' to sort by"),
        (
            {"sorted_by": "frechet_builtin", "builtin_features": True},
            "no score 'frechet_builtin' to sort by",
        ),
        ({"detector_options": {"person": 1}}, "--detector-option is for --detector; give both"),
        ({"detector": "nowhere.onnx", "detector_options": {"person": 1}}, "nowhere.onnx"),
        ({"sorted_by": "sism"}, "no score 'sism' to sort by: did you mean 'ssim'"),
        ({"lpips": {"alex": "nowhere"}}, "LPIPS: no file 'nowhere'"),
        ({"inception": "nowhere"}, "nowhere"),
        ({"detector": "x"}, "--detector needs the class of persons"),
        (
            {"detector": "x", "detector_options": {"persn": 1}},
            "--detector-option 'persn': did you mean 'person'",
        ),
        (
            {"detector": "x", "detector_options": {"person": "a"}},
            "--detector-option: person=a: values of wrong kinds",
        ),
        ({"estimator": "TRAINED"}, "is of volumetric, which finds no poses"),
        ({"save_images": "FILE"}, "cannot write pictures to"),
    ],
)
def test_options_that_cannot_be_met(trained, tmp_path, options, message):
    (tmp_path / "file").write_text("")
    places = {"TRAINED": str(trained), "FILE": tmp_path / "file" / "x"}
    values = {k: places.get(v, v) if isinstance(v, str) else v for k, v in options.items()}
    with pytest.raises(UserError, match=message):
        evaluate.evaluate_run(
            trained, "test", out=tmp_path / "out", options=evaluate.Options(gallery=0, **values)
        )


def test_evaluation_of_a_step_that_is_not_there(trained):
    with pytest.raises(UserError, match=r"no checkpoint 5; there are \[2, 4, 6\]"):
        evaluate.evaluate_run(trained, "test", step=5)


def test_evaluation_of_the_best_where_none_was_asked_for(trained):
    with pytest.raises(
        UserError, match=r"no checkpoint has a score \(config\.train\.best_by is ''"
    ):
        evaluate.evaluate_run(trained, "test", step="best")


def test_evaluation_of_no_run(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        evaluate.evaluate_run(tmp_path, "test")


def test_evaluation_without_a_checkpoint(smoke_config, tiny, tmp_path):
    run_record.claim_workdir(tmp_path, config_to_dict(smoke_config), tiny.identity)
    with pytest.raises(UserError, match="has no checkpoint yet"):
        evaluate.evaluate_run(tmp_path, "test")


def test_evaluation_on_other_data(trained, other_data):
    with pytest.raises(UserError, match="not the data set that"):
        evaluate.evaluate_run(trained, "test", data_dir=str(other_data))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images", "x", "--step", "3"], "--step is for --workdir"),
        (["--model", "x", "--step", "3"], "--step is for --workdir"),
        (["--images", "x", "--save-images", "y"], "--save-images is for --workdir and --model"),
        (["--workdir", "x", "--name", "y"], "--name and --config-name are for --images"),
        (["--workdir", "x", "--gallery", "-1"], "--gallery must be at least 0, got -1"),
    ],
)
def test_options_that_do_not_go_together(arguments, message, capsys):
    assert cli.main(["evaluate", *arguments]) == 2
    assert message in capsys.readouterr().err
