"""The pose of a picture's person: estimators, and what they see."""

import numpy as np
import own_pictures
import pytest

from volsynth.errors import UserError
from volsynth.export import exported_model
from volsynth.generation import estimation, pictures, render
from volsynth.generation.source import Source


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


def test_what_an_estimator_puts_outside_of_a_picture_is_not_known(brought):
    source, mask = brought
    model = own_pictures.finder(
        np.full((15, 2), 16.0), np.random.default_rng(0).normal(size=(15, 3))
    )
    picture = pictures.read_picture(source.image, source.mask)
    pose = estimation.estimate_pose(model, picture.image, picture.mask, "x")
    pose.joints_px[3] = (-5, 20)
    inside = estimation.hide_joints_outside(pose, mask.shape)
    np.testing.assert_array_equal(inside.visible, np.arange(15) != 3)
