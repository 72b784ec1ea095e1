"""A workdir belongs to one run."""

import json
import re

import pytest

from volsynth import systems
from volsynth.config import config_from_dict, config_to_dict, load_config
from volsynth.errors import UserError
from volsynth.train import run_record

CONFIG = {
    "seed": 0,
    "data": {"dir": "data", "name": "posed_people"},
    "model": {"depth": 4, "widths": [4, 8]},
    "train": {
        "steps": 6,
        "log_every": 1,
        "sample_every": 3,
        "checkpoint_every": 2,
        "keep_checkpoints": 3,
    },
    "mesh": {"data": -1},
    "evaluate": {"batch_size": 4},
}


def _edited(**changes):
    """CONFIG with other values, each named SECTION__KEY."""
    config = json.loads(json.dumps(CONFIG))
    for name, value in changes.items():
        section, _, key = name.rpartition("__")
        (config.setdefault(section, {}) if section else config)[key] = value
    return config


def test_a_new_workdir_is_claimed_and_read_back(tmp_path):
    workdir = tmp_path / "a" / "b"
    run_record.claim_workdir(workdir, CONFIG, "identity")
    record = {"config": CONFIG, "data": "identity", "notes": {}}
    assert run_record.read_run(workdir) == record
    assert [path.name for path in workdir.iterdir()] == ["run.json"]
    run_record.claim_workdir(workdir, CONFIG, "identity")
    assert run_record.read_run(workdir) == record, "nothing new, nothing written"


@pytest.mark.parametrize(
    "change",
    [
        {"data__dir": "/elsewhere"},
        {"train__log_every": 7},
        {"train__sample_every": 7},
        {"train__checkpoint_every": 7},
        {"train__keep_checkpoints": 7},
        {"mesh__data": 1},
        {"evaluate__batch_size": 1},
    ],
)
def test_keys_that_do_not_change_the_result_are_free(tmp_path, change):
    run_record.claim_workdir(tmp_path, CONFIG, "identity")
    run_record.claim_workdir(tmp_path, _edited(**change), "identity")
    # What stands there is what the run began with.
    assert run_record.read_run(tmp_path)["config"] == CONFIG


def test_a_run_from_before_images_were_changed_goes_on_without_changes(tmp_path):
    run_record.claim_workdir(tmp_path, CONFIG, "identity")
    augment = {"rotate": 0.0, "hue": 0.0}
    run_record.claim_workdir(tmp_path, _edited(data__augment=augment), "identity")
    message = "(data.augment.hue: 'absent' there, 0.1 here)"
    changed = _edited(data__augment={**augment, "hue": 0.1})
    with pytest.raises(UserError, match=re.escape(message)):
        run_record.claim_workdir(tmp_path, changed, "identity")


def test_a_run_from_before_there_were_other_games_and_ablations_goes_on(tmp_path):
    settings = load_config("configs/volumetric.py:demo")
    today = config_to_dict(settings)
    old = json.loads(json.dumps(today))
    del old["data"]["augment"]
    for section, keys in {
        "discriminator": ("norm", "whole"),
        "model": ("transform", "pose", "offcut"),
        "loss": ("game", "gradient_penalty", "perceptual", "perceptual_layers", "features", "pose"),
    }.items():
        for key in keys:
            del old[section][key]
    (tmp_path / "run.json").write_text(json.dumps({"config": old, "data": "identity"}))
    run_record.claim_workdir(tmp_path, today, "identity", {"features": "builtin"})
    for section, key, value in (
        ("model", "transform", "2d"),
        ("loss", "perceptual", 0.5),
        ("discriminator", "whole", True),
    ):
        changed = json.loads(json.dumps(today))
        changed[section][key] = value
        with pytest.raises(UserError, match=rf"{section}\.{key}: 'absent' there, {value!r} here"):
            run_record.claim_workdir(tmp_path, changed, "identity")
    # A system can be made of it, too.
    systems.make(config_from_dict(old))


def test_features_count_by_what_is_in_their_file(tmp_path):
    run_record.claim_workdir(tmp_path, CONFIG, "identity", {"features": "vgg19 0123"})
    elsewhere = _edited(loss__features="elsewhere.safetensors")
    run_record.claim_workdir(tmp_path, elsewhere, "identity", {"features": "vgg19 0123"})
    with pytest.raises(UserError, match=re.escape("(features: vgg19 0123 there, vgg19 4567 here)")):
        run_record.claim_workdir(tmp_path, CONFIG, "identity", {"features": "vgg19 4567"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "(seed: 0 there, 1 here)"),
        ({"train__steps": 7}, "(train.steps: 6 there, 7 here)"),
        ({"model__widths": [4, 9]}, "(model.widths: [4, 8] there, [4, 9] here)"),
        ({"data__name": "other"}, "(data.name: 'posed_people' there, 'other' here)"),
        ({"model__norm": "layer"}, "(model.norm: 'absent' there, 'layer' here)"),
        ({"seed": 1, "model__depth": 8}, "(model.depth: 4 there, 8 here; seed: 0 there, 1 here)"),
    ],
)
def test_another_config_is_refused(tmp_path, change, message):
    run_record.claim_workdir(tmp_path, CONFIG, "identity")
    with pytest.raises(UserError, match=re.escape(f"holds a run of another config {message}")):
        run_record.claim_workdir(tmp_path, _edited(**change), "identity")
    assert run_record.read_run(tmp_path)["config"] == CONFIG


def test_other_data_is_refused(tmp_path):
    run_record.claim_workdir(tmp_path, CONFIG, "one")
    run_record.claim_workdir(tmp_path, CONFIG, "another name of it", formerly="one")
    with pytest.raises(UserError, match="data set: one there, two here"):
        run_record.claim_workdir(tmp_path, CONFIG, "two")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", '{"config": {}}', '{"config": 3, "data": "x"}', "\xff"]
)
def test_a_damaged_run_file_is_one_error_for_everyone(tmp_path, text):
    (tmp_path / "run.json").write_bytes(text.encode("latin-1"))
    for use in (
        lambda: run_record.read_run(tmp_path),
        lambda: run_record.claim_workdir(tmp_path, CONFIG, "identity"),
    ):
        with pytest.raises(UserError, match=r"run\.json is damaged \(.*Choose another workdir"):
            use()
    assert (tmp_path / "run.json").read_bytes() == text.encode("latin-1")


def test_a_folder_without_a_run(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match=r"holds no run \(no run\.json\)\. Train one"):
            run_record.read_run(folder)


def test_a_file_in_place_of_the_workdir(tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(UserError, match="holds no run"):
        run_record.read_run(path)
    with pytest.raises(UserError, match=r"cannot use .*file as workdir: File exists\."):
        run_record.claim_workdir(path, CONFIG, "identity")
    assert path.read_text() == "mine"


def test_a_folder_in_place_of_the_run_file(tmp_path):
    (tmp_path / "run.json").mkdir()
    for use in (
        lambda: run_record.read_run(tmp_path),
        lambda: run_record.claim_workdir(tmp_path, CONFIG, "identity"),
    ):
        with pytest.raises(UserError, match=r"run\.json cannot be read: Is a directory\."):
            use()
