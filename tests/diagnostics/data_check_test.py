"""`volsynth data check` and `stats`: a sound data set, and one with everything wrong."""

import json

import numpy as np
import pytest
import shards

from volsynth import cli, skeleton
from volsynth.data import prepared
from volsynth.diagnostics import data_check


def _run(capsys, *arguments):
    status = cli.main(["data", *arguments])
    return status, capsys.readouterr().out


def test_a_sound_data_set_has_no_problems(data_dir, capsys):
    arguments = ["--data-dir", str(data_dir), "--config-name", "tiny"]
    status, out = _run(capsys, "check", *arguments, "--split", "test", "--json")
    assert status == 0
    report = json.loads(out)
    assert report["problems"] == []
    assert set(report["splits"]) == {"test"}
    status, out = _run(capsys, "stats", *arguments, "--json")
    assert status == 0
    found = json.loads(out)["splits"]
    assert set(found) == {"train", "validation", "test"}
    # Of the plan of the data set: 6 persons in 2 outfits with 4 images each.
    train = found["train"]
    assert (train["records"], train["persons"], train["outfits"]) == (48, 6, 12)
    assert (train["alone"], train["pairs"]) == (0, 12 * 4 * 3)
    assert train["images_per_outfit"] == [4, 4, 4]
    assert sum(train["actions"].values()) == 48
    assert set(train["cameras"]) == {"c0", "c1", "c2", "c3"}
    assert set(train["visible"].values()) == {1.0}
    assert list(train["visible"]) == list(skeleton.JOINTS)
    assert train["reprojection_px"][1] < 0.01
    assert 2000 < train["distance_mm"][0] < train["distance_mm"][2] < 8000
    status, out = _run(capsys, "stats", *arguments)
    assert "train: 48 images of 6 persons in 12 outfits, 4 to 4 images an outfit" in out


def _floats(example, key, change):
    values = np.array(example.features.feature[key].float_list.value)
    change(values)
    example.features.feature[key].float_list.value[:] = values


def test_everything_that_is_wrong_is_named(tmp_path, tiny, capsys):
    """The first and the last of the eight records are sound."""
    records = shards.examples(tiny.split("train"), range(8))
    _floats(records[1], "joints_px", lambda v: v.__setitem__(3, 40))
    _floats(records[2], "joints_mm", lambda v: v.__setitem__(2, -1))
    records[3].features.feature["mask"].bytes_list.value[0] = (
        shards.examples(tiny.split("train"), [3])[0].features.feature["image"].bytes_list.value[0]
    )
    _floats(records[4], "camera_rotation", lambda v: v.__setitem__(0, 7))
    records[5].features.feature["person"].bytes_list.value[0] = b"somebody"
    data = shards.write(tmp_path, {"train": [*records[:6], b"rubbish", records[7]]})
    index = data.folder / "index-train.npz"
    with np.load(index) as arrays:
        columns = dict(arrays)
    columns["person_names"] = np.array(
        ["nobody" if name == "somebody" else name for name in columns["person_names"]]
    )
    np.savez(index, **columns)
    data = prepared.open_prepared(str(tmp_path), "small", "32")
    report = data_check.check_records(data, ["train", "none"])
    said = "\n".join(report["problems"])
    for line in (
        "1 joints lie outside of the image, such as the head.",
        "joints lie behind the camera.",
        "its person is 'somebody', the index says 'nobody'",
        "field 'camera_rotation' must lie in",
        "is not a tf.train.Example",
        "no split 'none'",
        *(f"record {number} of split 'train'" for number in range(1, 7)),
    ):
        assert line in said
    assert "record 0 " not in said
    assert "record 7 " not in said
    assert report["problem_count"] == len(report["problems"])
    status, out = _run(
        capsys, "check", "--data-dir", str(tmp_path), "--name", "small", "--config-name", "32"
    )
    assert status == 1
    assert out.rstrip().endswith("problems")


def test_no_more_lines_than_a_page_are_kept(tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(data_check, "MOST_PROBLEMS", 2)
    data = shards.write(
        tmp_path, {"train": [*shards.examples(tiny.split("train"), [0]), *[b"rubbish"] * 4]}
    )
    report = data_check.check_records(data, ["train"])
    assert (len(report["problems"]), report["problem_count"]) == (2, 4)
    assert data_check.format_report(report).endswith("2 more problems")


def test_a_split_that_is_missing_is_a_users_error(data_dir, capsys):
    arguments = ["--data-dir", str(data_dir), "--config-name", "tiny", "--split", "tset"]
    assert cli.main(["data", "stats", *arguments]) == 2
    assert "no split 'tset'; did you mean 'test'?" in capsys.readouterr().err


@pytest.mark.parametrize("model", [None, b"none", b"brown"])
def test_lenses_are_those_of_the_record(tmp_path, tiny, model):
    record = shards.examples(tiny.split("train"), [0])[0]
    _floats(record, "camera_distortion", lambda v: v.__setitem__(slice(None), [0, 0, 0, 0.5, 0.5]))
    if model:
        record.features.feature["camera_model"].bytes_list.value.append(model)
    data = shards.write(tmp_path, {"train": [record]})
    far = data_check.split_statistics(data.split("train"))["reprojection_px"][1]
    assert (far < 0.01) == (model == b"none")
