"""Folders of anyone's own pictures, and the masks, backgrounds, poses and archives in them."""

import zipfile

import numpy as np
import pytest
import small_sets
from PIL import Image
from seen_people import see

from data_prep.folder import reader
from volsynth import conventions
from volsynth.poses import joint_orders, keypoint_files


def _sightings(root, **options):
    found = reader.find(root, reader.Options(**options))
    return found, [s for piece in found.pieces for s in piece.sightings()]


def _written(root, poses, name="poses.json"):
    keypoint_files.write(root / name, poses)


def test_masks_lie_in_a_folder_under_the_images_names(tmp_path):
    sighting = see(0, 0, size=small_sets.SIZE).sighting
    small_sets.save(tmp_path / "a" / "b.jpg", sighting.image)
    small_sets.save(tmp_path / "masks" / "a" / "b.png", 255 * sighting.mask.astype(np.uint8))
    _written(tmp_path, [small_sets.pose_of(sighting, "a/b")])
    found, (got,) = _sightings(tmp_path)
    np.testing.assert_array_equal(got.mask, sighting.mask)
    assert (got.person, got.outfit, found.notes) == ("a", "a", [])
    small_sets.save(tmp_path / "masks" / "a" / "b.png", np.zeros((5, 4), np.uint8))
    _, (got,) = _sightings(tmp_path)
    assert str(got).endswith("masks/a/b.png: has 4 x 5 pixels, its image 96 x 96")


@pytest.mark.parametrize(
    ("background", "plain"), [(conventions.MAGENTA, False), ((240, 240, 240), True)]
)
def test_a_background_of_one_colour_can_do_without_a_mask(tmp_path, background, plain):
    sighting = see(0, 1, size=small_sets.SIZE, background=background).sighting
    small_sets.save(tmp_path / "a.png", sighting.image)
    _written(tmp_path, [small_sets.pose_of(sighting, "a.png")])
    _, (got,) = _sightings(tmp_path, plain=plain)
    # White shoes and shirts may be lost.
    assert np.mean(got.mask != sighting.mask) < 0.02


def test_poses_without_depth_are_noted_and_so_are_images_without_poses(tmp_path):
    seen = small_sets.write_folder(tmp_path, persons=2, shots=1)
    first, other = seen
    _written(tmp_path, [small_sets.pose_of(seen[first], first, joints_mm=None, intrinsics=None)])
    found, (got,) = _sightings(tmp_path)
    assert found.notes == [
        "1 of 1 poses have no depth: all of their joints lie at one",
        f"1 images of {tmp_path} have no pose, such as {other}",
    ]
    assert np.ptp(got.joints_mm[:, 2]) < 1e-6


def test_poses_may_be_in_a_csv_file_in_another_order_and_in_space_alone(tmp_path):
    sighting = see(0, 0, size=small_sets.SIZE, order="coco_17").sighting
    small_sets.save(tmp_path / "a.png", sighting.image, sighting.mask)
    _written(tmp_path, [small_sets.pose_of(sighting, "a.png", joints_px=None)], "other.json")
    _, (got,) = _sightings(tmp_path, poses=tmp_path / "other.json")
    assert got.order == "coco_17"
    np.testing.assert_allclose(got.joints_px, sighting.joints_px, atol=1e-3)
    names = [f"{j}_{a}_px" for j in joint_orders.find_order("coco_17").joints for a in "xy"]
    numbers = ",".join(f"{v:.3f}" for v in sighting.joints_px.ravel())
    (tmp_path / "poses.csv").write_text(f"image,person,{','.join(names)}\na.png,me,{numbers}\n")
    _, (got,) = _sightings(tmp_path)
    assert (got.order, got.person) == ("coco_17", "me")
    np.testing.assert_allclose(got.joints_px, sighting.joints_px, atol=1e-3)


def test_images_may_lie_in_an_archive(tmp_path):
    small_sets.write_folder(tmp_path / "photos", persons=1, shots=1)
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.write(tmp_path / "photos" / "p0" / "0.png", "p0/0.png")
        archive.writestr("../evil.png", b"x")
    found, (got,) = _sightings(tmp_path / "photos.zip", poses=tmp_path / "photos" / "poses.json")
    assert got.image.shape == (96, 96, 3)
    assert found.left_out == [f"{tmp_path}/photos.zip: '../evil.png' leads out of its folder"]


def test_pieces_know_their_files(tmp_path):
    small_sets.write_folder(tmp_path, persons=1, shots=1)
    (before,) = reader.find(tmp_path, reader.Options()).pieces
    assert repr(before) == repr(reader.find(tmp_path, reader.Options()).pieces[0])
    Image.new("RGB", (9, 9)).save(tmp_path / "p0" / "0.png")
    (after,) = reader.find(tmp_path, reader.Options()).pieces
    assert repr(before) != repr(after)
