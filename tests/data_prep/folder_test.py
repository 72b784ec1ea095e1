"""Anyone's own pictures, whole and broken, through the command: records, lines and exit status."""

import io
import json
import pathlib
import sys
import zipfile

import numpy as np
import pytest
import small_sets
from images_test import huge_png
from rich.console import Console
from seen_people import check_records, see

from data_prep import errors
from data_prep.building import command as commands
from data_prep.building import manifest
from data_prep.folder import __main__ as command
from data_prep.folder.folder_dataset_builder import Builder
from data_prep.reading import pictures
from volsynth import conventions
from volsynth.data import decoding, pipeline, prepared
from volsynth.ops import geometry

FIELDS = [
    "image", "mask", "joints_px", "joints_mm", "visible", "camera_intrinsics", "original_px",
    "original_visible", "order", "person",
]  # fmt: skip


def _build(source, data_dir, *more):
    arguments = ["--source", str(source), "--data-dir", str(data_dir), "--config", "64"]
    return command.main([*arguments, "--processes", "1", *more])


def _report(data_dir, name="folder"):
    return json.loads((data_dir / name / "64" / "1.0.0" / "report.json").read_text())


def _records(data_dir, name="folder"):
    """All records of all splits."""
    data = prepared.open_prepared(str(data_dir), name, "64")
    found = [
        decoding.read_fields(split, range(split.records), FIELDS)
        for split in map(data.split, data.manifest["splits"])
    ]
    return {key: np.concatenate([part[key] for part in found]) for key in FIELDS}


# What is done to one image or pose, and what is said of it.
BROKEN = {
    "corrupt.png": "cannot be read as a picture (PNG",
    "huge.png": "pixels are too many to be read",
    "missing.png": "is missing",
    "../outside.png": "leads out of its folder",
    "bare.png": "has no mask: give one in masks/",
    "short.png": "'joints_px' must have 15 joints (volsynth_15), got 14",
    "empty.png": "the mask is empty",
    "behind.png": "has a pose without 'joints_px'",
}


def _break(root):
    """Adds broken images and poses to a folder."""
    sighting = see(0, 0, size=small_sets.SIZE).sighting
    (root / "corrupt.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    (root / "huge.png").write_bytes(huge_png())
    (root.parent / "outside.png").write_bytes((root / "p0" / "0.png").read_bytes())
    small_sets.save(root / "bare.png", sighting.image)
    small_sets.save(root / "behind.png", sighting.image, sighting.mask)
    small_sets.save(root / "empty.png", sighting.image, np.zeros_like(sighting.mask))

    def change(poses):
        good = poses[0]
        poses += [{**good, "image": name, "person": "p0"} for name in BROKEN]
        poses[-3]["joints_px"] = good["joints_px"][:14]
        del poses[-1]["joints_px"], poses[-1]["intrinsics"]

    small_sets.edit_poses(root, change)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """A folder with good and broken pictures, prepared: sightings, data folder, status, text."""
    root = tmp_path_factory.mktemp("source") / "photos"
    seen = small_sets.write_folder(root)
    _break(root)
    data_dir = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        said = io.StringIO()
        patch.setattr("sys.stderr", said)
        status = _build(root, data_dir)
    return seen, data_dir, status, said.getvalue()


def test_what_is_broken_is_named_and_the_rest_prepared(broken):
    seen, data_dir, status, said = broken
    assert status == 1
    report = _report(data_dir)
    assert report["records"] == {"train": 2, "validation": 2, "test": 2}
    assert sum(report["records"].values()) == len(seen)
    assert len(report["left_out"]) == len(BROKEN)
    for name, reason in BROKEN.items():
        (line,) = [line for line in report["left_out"] if name in line]
        assert reason in line
        assert f"left out: {line}\n" in said
    assert "6 images (2 train, 2 validation, 2 test) in " in said


def test_joints_project_onto_the_persons_within_a_pixel(broken):
    seen, data_dir, *_ = broken
    records = _records(data_dir)
    assert len(records["image"]) == len(seen)
    for i in range(len(seen)):
        projected = geometry.project(records["joints_mm"][i], records["camera_intrinsics"][i])
        np.testing.assert_allclose(projected, records["joints_px"][i], atol=0.05)
        at = np.floor(projected).astype(int)
        assert records["mask"][i, at[:, 1], at[:, 0], 0].mean() > 0.85
        outside = records["mask"][i, ..., 0] == 0
        assert (records["image"][i][outside] == conventions.MAGENTA).all()
    assert records["visible"].all()
    assert set(records["person"]) == {b"p0", b"p1", b"p2"}


def test_joints_lie_on_the_right_parts_of_the_persons(broken):
    _, data_dir, *_ = broken
    shown = [see(p, shot, size=small_sets.SIZE) for p in range(3) for shot in range(2)]
    check_records(_records(data_dir), shown)


def test_joints_as_they_were_are_read_back(broken):
    _, data_dir, *_ = broken
    records = _records(data_dir)
    np.testing.assert_array_equal(records["original_px"], records["joints_px"])
    assert records["original_visible"].dtype == bool
    assert set(records["order"]) == {b"volsynth_15"}


def test_a_data_set_that_is_complete_is_left_alone_and_its_faults_told_again(broken, capsys):
    _, data_dir, _, before = broken
    assert _build("nowhere", data_dir) == 1
    first, rest = capsys.readouterr().err.split("\n", 1)
    assert first.startswith("folder/64 is complete in ")
    assert rest.count("left out: ") == len(BROKEN)
    assert before.endswith(rest)


def test_a_report_that_cannot_be_read_is_an_error(tmp_path, capsys):
    folder = tmp_path / "folder" / "64" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    for content in (None, "{", '{"other": 1}'):
        if content is not None:
            (folder / "report.json").write_text(content)
        assert _build("nowhere", tmp_path) == 2
        assert "report.json cannot be read (" in capsys.readouterr().err


def test_training_batches_are_made_of_it(broken):
    _, data_dir, *_ = broken
    split = prepared.open_prepared(str(data_dir), "folder", "64").split("train")
    (batch,) = pipeline.training_batches(split, 0, 4, 0, 1)
    assert batch["source_image"].shape == (4, 64, 64, 3)
    assert np.isfinite(batch["target_joints"]).all()


def test_a_build_that_was_killed_goes_on_under_a_name_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pictures, "PICTURES_PER_PIECE", 1)
    small_sets.write_folder(tmp_path / "photos", persons=1, shots=3)
    read, calls = pictures.sources.read, []

    def killed(source, name):
        calls.append(name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return read(source, name)

    monkeypatch.setattr(pictures.sources, "read", killed)
    with pytest.raises(KeyboardInterrupt):
        _build(tmp_path / "photos", tmp_path / "data", "--name", "mine")
    assert _build(tmp_path / "photos", tmp_path / "data", "--name", "mine") == 0
    # The first two were kept.
    assert calls == ["p0/0.png", "p0/1.png", "p0/2.png", "p0/2.png"]
    # One person can only be in one split.
    assert _report(tmp_path / "data", "mine")["records"] == {"train": 3}
    assert not list((tmp_path / "data").rglob(".pieces*"))
    assert "3 images (3 train) in" in capsys.readouterr().err


def test_a_build_that_was_killed_at_its_very_end_forgets_no_fault(tmp_path, monkeypatch, capsys):
    small_sets.write_folder(tmp_path / "photos", persons=1, shots=2)
    (tmp_path / "photos" / "p0" / "1.png").unlink()

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            _build(tmp_path / "photos", tmp_path / "data")
    capsys.readouterr()
    assert _build(tmp_path / "photos", tmp_path / "data") == 1
    assert capsys.readouterr().err.count("p0/1.png: is missing") == 1
    assert len(_report(tmp_path / "data")["left_out"]) == 1
    assert not list((tmp_path / "data").rglob(".pieces*"))
    assert _build(tmp_path / "photos", tmp_path / "data") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "65"], "folder has no config '65'; did you mean '64'? Allowed: 128, 256, 64"),
        (["--name", "My set"], "a data set's name has small letters, digits and _"),
        (["--test", "0.95"], "must lie in [0, 1] together, got 0.1 and 0.95"),
        (["--source", "nowhere"], "there is no source nowhere"),
        ([], "has none of poses.json, poses.csv, poses. Give the file of poses with --poses"),
    ],
)
def test_an_error_of_the_user_is_one_line(tmp_path, capsys, arguments, message):
    (tmp_path / "photos").mkdir()
    assert _build(tmp_path / "photos", tmp_path / "data", *arguments) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ")
    assert message in said


def test_a_source_without_one_good_picture_is_an_error(tmp_path, capsys):
    small_sets.write_folder(tmp_path / "photos", persons=1, shots=1)
    (tmp_path / "photos" / "p0" / "0.png").unlink()
    assert _build(tmp_path / "photos", tmp_path / "data") == 2
    assert "has nothing that can be prepared: " in capsys.readouterr().err
    assert not list((tmp_path / "data").rglob("manifest.json"))


def test_an_entry_that_leads_out_of_its_archive_is_named_and_the_rest_prepared(tmp_path, capsys):
    small_sets.write_folder(tmp_path / "photos", persons=1, shots=1)
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in" / "photos.zip", "w") as archive:
        archive.write(tmp_path / "photos" / "p0" / "0.png", "p0/0.png")
        archive.writestr("../evil.png", b"x")
    poses = tmp_path / "photos" / "poses.json"
    zipped = tmp_path / "in" / "photos.zip"
    assert _build(zipped, tmp_path / "data", "--poses", str(poses)) == 1
    said = capsys.readouterr().err
    assert "1 images (1 train) in " in said
    assert f"left out: {zipped}: '../evil.png' leads out of its folder\n" in said
    assert not list(tmp_path.rglob("evil.png"))


def test_persons_are_shared_out_by_their_names():
    persons = {f"p{n}" for n in range(50)}
    shares = {"validation": 0.1, "test": 0.3}
    found = pictures.split_persons(persons, shares)
    counts = {split: list(found.values()).count(split) for split in ("train", *shares)}
    assert counts == {"train": 30, "validation": 5, "test": 15}
    assert found == pictures.split_persons(set(sorted(persons, reverse=True)), shares)
    few = pictures.split_persons({"a", "b", "c"}, {"validation": 0.1, "test": 0.0})
    assert sorted(few.values()) == ["train", "train", "validation"]
    assert set(pictures.split_persons({"a", "b"}, shares).values()) <= {
        "train",
        "validation",
        "test",
    }


def test_tfds_finds_the_builder_and_its_source(tmp_path):
    import tensorflow_datasets as tfds

    small_sets.write_folder(tmp_path / "photos", persons=1, shots=1)
    builder = Builder(config="64", data_dir=tmp_path / "data")
    assert set(builder.info.features) >= {"order", "original_px", "camera_model"}
    with pytest.raises(errors.BuildError, match="there is no source None"):
        builder.download_and_prepare()
    config = tfds.download.DownloadConfig(manual_dir=tmp_path / "photos")
    builder.download_and_prepare(download_config=config)
    assert builder.info.splits["train"].num_examples == 1
    report = commands.prepare(builder, Console(file=io.StringIO()))
    assert (report.records, report.seconds) == ({"train": 1}, None)
    assert pathlib.Path(report.folder) == tmp_path / "data" / "folder" / "64" / "1.0.0"


def test_without_beam_one_is_told_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    monkeypatch.setitem(sys.modules, "apache_beam.options.pipeline_options", None)
    small_sets.write_folder(tmp_path / "photos", persons=1, shots=1)
    assert _build(tmp_path / "photos", tmp_path / "data", "--beam") == 2
    said = capsys.readouterr().err
    assert "error: --beam needs Apache Beam (" in said
    assert "pip install -e '.[beam]'" in said


def test_a_runner_of_beam_that_is_none_is_named(tmp_path, capsys):
    pytest.importorskip("apache_beam")
    small_sets.write_folder(tmp_path / "photos", persons=1, shots=1)
    assert _build(tmp_path / "photos", tmp_path / "data", "--beam", "runner=Nonsense") == 2
    assert "error: --beam: Unexpected pipeline runner: Nonsense" in capsys.readouterr().err


def test_a_pipeline_of_beam_makes_the_same_records(tmp_path):
    pytest.importorskip("apache_beam")
    small_sets.write_folder(tmp_path / "photos")
    assert _build(tmp_path / "photos", tmp_path / "plain") == 0
    assert _build(tmp_path / "photos", tmp_path / "beam", "--beam") == 0
    manifests = [
        (tmp_path / kind / "folder" / "64" / "1.0.0" / "manifest.json").read_text()
        for kind in ("plain", "beam")
    ]
    shards = [json.loads(text)["splits"] for text in manifests]
    assert shards[0] == shards[1]


@pytest.mark.slow
def test_more_processes_make_the_same_records(tmp_path):
    small_sets.write_folder(tmp_path / "photos")
    for count in ("1", "2"):
        assert _build(tmp_path / "photos", tmp_path / count, "--processes", count) == 0
    manifests = [
        (tmp_path / count / "folder" / "64" / "1.0.0" / "manifest.json").read_text()
        for count in ("1", "2")
    ]
    assert manifests[0] == manifests[1]
