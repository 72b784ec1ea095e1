"""A workdir belongs to one run."""

import json
import re

import pytest

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
    record = {"config": CONFIG, "data": "identity", "notes": {}, "file_keys": []}
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


def test_files_count_by_what_is_in_them(tmp_path):
    def claim(config, digest, file_keys=("loss.features",)):
        notes = {"features": f"vgg19 {digest}"}
        run_record.claim_workdir(tmp_path, config, "identity", notes, file_keys)

    claim(CONFIG, "0123")
    elsewhere = _edited(loss__features="elsewhere.safetensors")
    claim(elsewhere, "0123")
    with pytest.raises(UserError, match=re.escape("(features: vgg19 0123 there, vgg19 4567 here)")):
        claim(CONFIG, "4567")
    # Of a system that names no files, the key is one like any other.
    with pytest.raises(UserError, match=r"loss\.features: .* there, 'elsewhere\.safetensors' here"):
        claim(elsewhere, "0123", ())


def test_a_run_of_an_earlier_version_goes_on_where_what_it_lacks_means_what_it_did(tmp_path):
    run_record.claim_workdir(tmp_path, CONFIG, "identity")

    def claim(value):
        config = _edited(model__guided=value)
        later = {"model.guided": False}
        run_record.claim_workdir(tmp_path, config, "identity", later_keys=later)

    claim(False)
    assert run_record.read_run(tmp_path)["config"] == CONFIG
    with pytest.raises(UserError, match=re.escape("(model.guided: False there, True here)")):
        claim(True)


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
