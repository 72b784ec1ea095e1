"""`volsynth pose`: files of poses and pictures of skeletons that are written, and mistakes."""

import dataclasses
import json

import numpy as np
import own_pictures
import pytest

from volsynth import cli, skeleton
from volsynth.generation import estimation, find_pose, pictures
from volsynth.generation.source import Source
from volsynth.images import reader
from volsynth.poses import keypoint_files


@pytest.fixture
def brought(tmp_path):
    """A photograph with mask and pose: source, and the person's mask."""
    found, mask = own_pictures.bring(tmp_path)
    return Source(found["image"], found["mask"], found["pose"]), mask


def test_joints_outside_of_the_picture_are_null_in_the_file(monkeypatch, brought, tmp_path):
    source, mask = brought
    pose = own_pictures.estimator(monkeypatch, source, mask)
    pose.joints_px[3] = (-5, 20)
    monkeypatch.setattr(estimation, "estimate_pose", lambda *_: pose)
    out = tmp_path / "found.json"
    find_pose.find_pose(dataclasses.replace(source, pose=None, estimator="e"), out)
    # What is written can be given back.
    (found,) = keypoint_files.read(out)
    np.testing.assert_array_equal(found.visible, np.arange(15) != 3)


def test_the_pose_of_a_picture_is_written_and_drawn(tmp_path, monkeypatch, brought, capsys):
    source, mask = brought
    truth = own_pictures.estimator(monkeypatch, source, mask)
    out, picture = tmp_path / "found.json", tmp_path / "found.png"
    arguments = ["pose", "--model", "e", "--image", str(source.image), "--mask", str(source.mask)]
    assert cli.main([*arguments, "--out", str(out), "--picture", str(picture), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["poses"] == str(out)
    (found,) = keypoint_files.read(out)
    assert found.image == "picture.jpg"
    np.testing.assert_allclose(found.joints_px, truth.joints_px, atol=0.01)
    pelvis = truth.joints_mm[list(skeleton.HIPS)].mean(axis=0)
    np.testing.assert_allclose(found.joints_mm, truth.joints_mm - pelvis, atol=0.01)
    drawn = reader.read_rgb(picture) != pictures.read_picture(source.image, source.mask).image
    for x, y in truth.joints_px.astype(int):
        assert drawn[y, x].any()
    for option, message in (
        (["--out", "o.txt"], "--out must end in .json, got o.txt"),
        (["--out", "o.json", "--picture", "o.jpg"], "a picture's name must end in .png"),
        (["--out", str(source.image / "o.json")], "o.json: Not a directory"),
        (["--out", "o.json", "--picture", str(source.image / "p.png")], "p.png: Not a directory"),
    ):
        assert cli.main([*arguments, *option]) == 2
        assert message in capsys.readouterr().err


def test_a_pose_is_drawn_over_what_one_sees_of_a_picture(tmp_path, monkeypatch):
    found, mask = own_pictures.bring(tmp_path, "alpha")
    own_pictures.estimator(monkeypatch, Source(found["image"], pose=found["pose"]), mask)
    source = Source(found["image"], estimator="e")
    find_pose.find_pose(source, tmp_path / "a.json", tmp_path / "a.png")
    drawn = reader.read_rgb(tmp_path / "a.png")
    np.testing.assert_array_equal(drawn[:20], np.full((20, 120, 3), (255, 0, 255)))
    assert not mask[:20].any()


def test_all_persons_are_listed_and_numbered(tmp_path, monkeypatch, capsys):
    sources = []
    for shot in (1, 2):
        (tmp_path / str(shot)).mkdir()
        files, _ = own_pictures.bring(tmp_path / str(shot), shot=shot)
        sources.append(Source(files["image"], files["mask"], files["pose"]))
    persons = own_pictures.photograph(monkeypatch, *sources)
    image, out, picture = sources[0].image, tmp_path / "all.json", tmp_path / "all.png"
    arguments = ["pose", "--image", str(image), "--all", "--out", str(out)]
    assert cli.main([*arguments, "--picture", str(picture)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [str(out), str(picture)]
    assert lines[2:] == [f"person {n}: 15 of 15 joints, 100% sure" for n in (1, 2)]
    found = keypoint_files.read(out)
    assert [(pose.person, pose.image) for pose in found] == [("1", image.name), ("2", image.name)]
    drawn = np.abs(reader.read_rgb(picture).astype(int) - reader.read_rgb(image)).max(axis=-1)
    for pose, person in zip(found, persons):
        np.testing.assert_allclose(pose.joints_px, person.joints_px, atol=0.01)
        for x, y in person.joints_px.astype(int):
            assert drawn[y, x] > 0
    assert cli.main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["picture"] is None
    assert [person["person"] for person in report["persons"]] == [1, 2]
    assert cli.main([*arguments, "--person", "1"]) == 2
    assert "--all is of all persons; leave out --mask, --person" in capsys.readouterr().err
    own_pictures.photograph(monkeypatch)
    assert cli.main(arguments) == 2
    assert "picture.jpg: nobody was found." in capsys.readouterr().err
