"""The pose of a picture's person: estimators, guesses, files that are written, and mistakes."""

import json

import numpy as np
import own_pictures
import pytest

from volsynth import cli, skeleton
from volsynth.errors import UserError
from volsynth.export import exported_model
from volsynth.generation import estimation, pictures, render
from volsynth.generation.source import Source
from volsynth.images import reader
from volsynth.poses import keypoint_files


@pytest.fixture
def brought(tmp_path):
    """A photograph with mask and pose: source, and the person's mask."""
    found, mask = own_pictures.bring(tmp_path)
    return Source(found["image"], found["mask"], found["pose"]), mask


def test_models_of_the_other_kind_are_refused(monkeypatch):
    joints = np.zeros((15, 3))
    kinds = {"dots": own_pictures.dots(), "finder": own_pictures.finder(joints[:, :2], joints)}
    monkeypatch.setattr(exported_model, "load", lambda path, program=None: kinds[path])
    with pytest.raises(UserError, match="finder finds poses and makes no pictures"):
        render.load_generator("finder")
    with pytest.raises(UserError, match="dots makes pictures and finds no poses"):
        estimation.load_estimator("dots")
    kinds["lifter"] = own_pictures.finder(joints[:, :2], joints)
    kinds["lifter"].inputs = ("target_image", "target_joints")
    with pytest.raises(UserError, match="looking at a picture alone: it reads target_image, targ"):
        estimation.load_estimator("lifter")
    assert render.load_generator("dots") is kinds["dots"]
    assert estimation.load_estimator("finder") is kinds["finder"]


def test_an_estimator_looks_again_without_what_of_a_mask_is_far_from_the_person(tmp_path):
    found, mask = own_pictures.bring(tmp_path)
    image = pictures.read_picture(found["image"], found["mask"]).image
    looks = []

    class Model:
        """Finds fifteen joints around the middle of what is shown."""

        image_size = 64

        def __call__(self, images):
            seen = np.abs(images[0] - (1, -1, 1)).max(axis=-1) > 0.5
            looks.append(seen.mean())
            rows, columns = np.nonzero(seen)
            middle = np.median(np.stack([columns, rows]), axis=1) + 0.5
            spread = 0.5 * np.ptp(np.quantile(rows, (0.05, 0.95)))
            px = middle + spread * np.linspace((-0.2, -1), (0.2, 1), 15)
            return {"joints_px": px[None], "joints_mm": np.zeros((1, 15, 3))}

    clean = estimation.estimate_pose(Model(), image, mask)
    assert len(looks) == 1
    dirty = mask.copy()
    dirty[:3, :3] = dirty[157:, 117:] = True
    looks.clear()
    again = estimation.estimate_pose(Model(), image, dirty)
    assert 1 < len(looks) <= estimation.MOST_LOOKS
    assert looks[-1] > 1.3 * looks[0]
    np.testing.assert_array_equal(again.joints_px, clean.joints_px)


def test_what_an_estimator_puts_outside_of_a_picture_is_not_known(monkeypatch, brought, tmp_path):
    source, mask = brought
    model = own_pictures.finder(
        np.full((15, 2), 16.0), np.random.default_rng(0).normal(size=(15, 3))
    )
    monkeypatch.setattr(estimation, "load_estimator", lambda path: model)
    picture = pictures.read_picture(source.image, source.mask)
    pose = estimation.estimate_pose(model, picture.image, picture.mask, "x")
    pose.joints_px[3] = (-5, 20)
    inside = estimation.hide_joints_outside(pose, mask.shape)
    np.testing.assert_array_equal(inside.visible, np.arange(15) != 3)
    # What is written can be given back.
    monkeypatch.setattr(estimation, "estimate_pose", lambda *_: pose)
    out = tmp_path / "found.json"
    estimation.find_pose("e", source.image, out, source.mask)
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
    estimation.find_pose("e", found["image"], tmp_path / "a.json", picture=tmp_path / "a.png")
    drawn = reader.read_rgb(tmp_path / "a.png")
    np.testing.assert_array_equal(drawn[:20], np.full((20, 120, 3), (255, 0, 255)))
    assert not mask[:20].any()
