"""Folders of exported models: files, parameters, the card, and no path of this machine."""

import hashlib
import json
import shutil

import exported_runs
import jax
import numpy as np
import safetensors.numpy
from exported_runs import ROOT

import volsynth
from volsynth import systems
from volsynth.config import config_from_dict, config_to_dict, load_config
from volsynth.export import card, write
from volsynth.runs import restoring


def test_the_folder_has_these_files_and_their_digests(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("README.md", "card.json", "config.json", "manifest.json"),
        *("parameters.safetensors", "program.stablehlo"),
    }
    listed = json.loads((folder / "manifest.json").read_text().rsplit("\n", 2)[0])["files"]
    assert listed == {
        name: [len(contents), hashlib.sha256(contents).hexdigest()]
        for name in names - {"manifest.json"}
        for contents in [(folder / name).read_bytes()]
    }


def test_parameters_are_the_averages_under_their_paths(run, folder):
    config = load_config(exported_runs.POSE)
    _, averages = restoring.restore_averages(systems.make(config), config, run)
    found = safetensors.numpy.load_file(folder / "parameters.safetensors")
    assert "estimator/backbone/stem/kernel" in found
    assert len(found) == len(jax.tree.leaves(averages))
    for name, value in found.items():
        network, *keys = name.split("/")
        there = averages[network]["params"]
        for key in keys:
            there = there[key]
        np.testing.assert_array_equal(value, there)


def test_the_card_says_where_the_model_comes_from(folder):
    about = volsynth.load(folder).card
    assert about["system"] == "pose_estimator"
    assert about["step"] == about["trained_on"]["steps"] == 3
    assert about["trained_on"]["identity"] == "tiny:0123"
    assert about["keypoints"]["joints"][0] == "head_top"
    assert len(about["keypoints"]["joints"]) == 15
    assert about["inputs"]["target_image"]["shape"] == ["B", 32, 32, 3]
    assert list(about["outputs"]) == ["joints_mm", "joints_px"]
    assert about["parameters"]["total"] == 2371
    assert about["platforms"] == ["cpu", "cuda", "tpu"]
    assert about["licence"] == "Apache-2.0"
    assert about["notes"] == {"features": "none"}
    assert about["exported_with"]["volsynth"] == volsynth.__version__
    assert about["evaluation"] is None
    text = (folder / "README.md").read_text()
    assert "# pose_estimator, step 3\n" in text
    assert "None were computed" in text
    assert "2,371 averaged parameters" in text


def test_nothing_names_a_path_of_this_machine(tmp_path):
    run = exported_runs.write(
        tmp_path / "run", exported_runs.POSE, "data.dir=/secret/data", "data.name=deepfashion"
    )
    write.export(run, tmp_path / "model")
    for path in (tmp_path / "model").iterdir():
        contents = path.read_bytes()
        for secret in (b"secret", bytes(ROOT), bytes(tmp_path)):
            assert secret not in contents, path
    model = volsynth.load(tmp_path / "model")
    assert model.config.data.dir == "data"
    assert model.card["licence"].startswith("not stated")


def test_a_file_of_features_is_neither_needed_nor_named():
    values = config_to_dict(load_config("configs/volumetric.py:smoke"))
    values["loss"] |= {"features": "/secret/vgg19.safetensors", "nearest_neighbour": 1.0}
    system = systems.make(config_from_dict(values))
    assert "/secret" in str(system.notes)
    found = config_from_dict(write.portable(values, system.file_keys))
    assert "/secret" not in f"{found} {systems.make(found).notes}"
    assert values["loss"]["features"] == "/secret/vgg19.safetensors"


def test_a_licence_is_written_as_given(run, tmp_path):
    write.export(run, tmp_path / "model", licence="CC-BY-4.0")
    assert volsynth.load(tmp_path / "model").card["licence"] == "CC-BY-4.0"
    assert "## Licence\n\nCC-BY-4.0\n" in (tmp_path / "model" / "README.md").read_text()


def test_scores_of_that_step_are_in_the_card_and_others_are_not(run, tmp_path, capsys):
    copy = shutil.copytree(run, tmp_path / "run")
    scores = {
        "label": "estimated",
        "metrics": {"mpjpe": 55.5},
        "baselines": {"mean_pose": {"mpjpe": 99.0}},
        "protocol": {"data": "posed_people/tiny 1.0.0", "split": "test", "images": 16},
        "step": 3,
        "gallery": "/secret/gallery.png",
    }
    (copy / "evaluate-test").mkdir()
    (copy / "evaluate-test" / "results.json").write_text(json.dumps(scores))
    report = write.export(copy, tmp_path / "model")
    assert report["scores"] == {"mpjpe": 55.5}
    del scores["gallery"]
    assert volsynth.load(tmp_path / "model").card["evaluation"] == scores
    text = (tmp_path / "model" / "README.md").read_text()
    assert "16 images of the split test of posed_people/tiny 1.0.0" in text
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert ["mpjpe", "55.50", "99.00"] in lines
    assert capsys.readouterr().err == ""
    (copy / "evaluate-test" / "results.json").write_text(json.dumps({**scores, "step": 2}))
    assert write.export(copy, tmp_path / "model")["scores"] is None
    assert "the scores on test are of step 2, not 3" in capsys.readouterr().err
    assert write.export(copy, tmp_path / "model", split="validation")["scores"] is None
    error = capsys.readouterr().err
    assert f"{copy} has no scores on validation: the card says none." in error
    assert f"volsynth evaluate --workdir {copy} --split validation\n" in error


def test_a_card_of_several_data_sets_names_them(run):
    record = json.loads((run / "run.json").read_text())
    record["config"]["data"]["also"] = {"deepfashion/64": 0.25}
    config = config_from_dict(record["config"])
    system = systems.make(config)
    about = card.make_card(run, record, config, system, 3, "test", None, ("target_image",), {})
    assert about["licence"].startswith("not stated")
    text = card.readme(about)
    assert "posed_people/tiny, deepfashion/64 (0.25 of the samples), identity" in text
