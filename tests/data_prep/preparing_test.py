"""Sightings to records: the crop, the background, the joints, and all that cannot be prepared."""

import dataclasses
import pickle

import numpy as np
import pytest
from seen_people import on_own_part, see

from data_prep.building import cameras, preparing
from data_prep.building.sighting import Camera
from data_prep.errors import SightingError
from volsynth import conventions
from volsynth.data import schema
from volsynth.images import cropping
from volsynth.ops import geometry
from volsynth.poses import joint_orders

SIDE = 64
MAGENTA = np.array(conventions.MAGENTA, np.uint8)


@pytest.fixture(scope="module")
def seen():
    return see(shot=1)


def _changed(seen, **changes):
    return dataclasses.replace(seen.sighting, **changes)


# --- joints --------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", joint_orders.ORDERS)
def test_joints_of_every_order_project_to_where_they_are_said_to_be(order):
    sighting = see(shot=2, order=order).sighting
    record = preparing.prepare(sighting, SIDE)
    assert record["visible"].all()
    got = geometry.project(record["joints_mm"], record["camera_intrinsics"])
    np.testing.assert_allclose(got, record["joints_px"], atol=0.01)
    original = geometry.project(record["original_mm"], record["camera_intrinsics"])
    np.testing.assert_allclose(original, record["original_px"], atol=0.01)
    assert record["order"] == order
    np.testing.assert_allclose(record["original_mm"], sighting.joints_mm, rtol=1e-6)


@pytest.mark.parametrize("order", ["volsynth_15", "human36m_32", "mpi_inf_3dhp_28", "coco_17"])
def test_joints_lie_on_the_parts_they_belong_to_right_on_right(order):
    shares, mirrored = [], []
    for shot in range(6):
        seen = see(shot=shot, order=order)
        record = preparing.prepare(seen.sighting, SIDE)
        shares.append(on_own_part(record, seen))
        mirrored.append(on_own_part(record, seen, mirrored=True))
    # A limb behind another shows the other's label.
    assert np.mean(shares) > 0.7
    assert np.mean(mirrored) < 0.3


def test_a_joint_that_is_not_known_is_zero_and_may_be_anything(seen):
    visible = np.ones(15, bool)
    visible[5] = False
    px, mm = seen.sighting.joints_px.copy(), seen.sighting.joints_mm.copy()
    px[5], mm[5] = np.nan, np.inf
    record = preparing.prepare(_changed(seen, visible=visible, joints_px=px, joints_mm=mm), SIDE)
    assert np.flatnonzero(~record["visible"]).tolist() == [5]
    for key in ("joints_px", "joints_mm", "original_px", "original_mm"):
        assert not record[key][5].any()
    whole = preparing.prepare(seen.sighting, SIDE)
    np.testing.assert_array_equal(record["joints_px"][6:], whole["joints_px"][6:])


# --- the picture ---------------------------------------------------------------------------------


def test_the_person_stands_in_a_square_with_a_margin_on_magenta(seen):
    record = preparing.prepare(seen.sighting, SIDE)
    mask = record["mask"][..., 0] > 0
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    lengths = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    free = max(SIDE * cropping.MARGIN, 1)
    assert max(lengths) == pytest.approx(SIDE - 2 * free, abs=2)
    assert rows[0] + rows[-1] + 1 == pytest.approx(SIDE, abs=2)
    assert columns[0] + columns[-1] + 1 == pytest.approx(SIDE, abs=2)
    assert (record["image"][~mask] == MAGENTA).all()
    assert record["image"].shape == (SIDE, SIDE, 3)


def test_nothing_of_any_background_gets_into_the_person():
    records = [
        preparing.prepare(see(shot=1, background=colour).sighting, SIDE)
        for colour in ((0, 255, 0), (255, 0, 255), (255, 255, 255))
    ]
    for other in records[1:]:
        np.testing.assert_array_equal(other["image"], records[0]["image"])


def test_pixels_are_means_of_the_persons_own_in_a_crop_of_whole_pixels():
    """A square of 4 x 4 colours, each 8 pixels large, halves to itself."""
    colours = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    image = np.kron(colours, np.ones((8, 8, 1), np.uint8))
    mask = np.ones((32, 32), bool)
    mask[:, 24:] = False
    cut, covered = cropping.cut_out(image, mask, np.array([0.0, -8.0]), 32.0, 16)
    np.testing.assert_array_equal(covered[4:, :12], True)
    np.testing.assert_array_equal(covered[:4], False)
    np.testing.assert_array_equal(covered[:, 12:], False)
    # Away from borders between colours.
    np.testing.assert_array_equal(cut[5::4, 1:12:4], colours[:3, :3])
    np.testing.assert_array_equal(cut[5::4, 2:12:4], colours[:3, :3])
    # The last column is next to magenta, in the image as in the record.
    np.testing.assert_array_equal(cut[6::4, 11], colours[:3, 2])


def test_a_person_at_the_frames_border_stands_in_the_middle_all_the_same():
    seen = see(shot=1, place=(0.31, 0.5), fill=0.6)
    record = preparing.prepare(seen.sighting, SIDE)
    middle = see(shot=1, fill=0.6)
    np.testing.assert_allclose(
        record["joints_px"], preparing.prepare(middle.sighting, SIDE)["joints_px"], atol=1.5
    )


def test_without_a_mask_the_person_is_what_is_not_magenta():
    seen = see(shot=1, background=conventions.MAGENTA)
    bare = preparing.prepare(_changed(seen, mask=None), SIDE)
    masked = preparing.prepare(seen.sighting, SIDE)
    assert np.mean(bare["mask"] != masked["mask"]) < 0.01


def test_what_of_the_mask_is_far_from_all_joints_does_not_count(seen):
    mask = seen.sighting.mask.copy()
    far = see(shot=1, fill=0.3)
    mask = far.sighting.mask.copy()
    mask[:4, :4] = True
    record = preparing.prepare(_changed(far, mask=mask), SIDE)
    np.testing.assert_array_equal(record["mask"], preparing.prepare(far.sighting, SIDE)["mask"])


# --- cameras -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "cross"), [("human36m", 1), ("brown", 2)])
def test_projection_has_the_cross_terms_of_its_model(model, cross):
    k1, k2, k3, p1, p2 = lens = np.array([-0.2, 0.24, -0.002, -0.001, -0.0014])
    matrix = np.array([[1145.0, 0, 512.5], [0, 1143.8, 515.5], [0, 0, 1]])
    points = np.random.default_rng(0).uniform((-900, -900, 3000), (900, 900, 5000), (9, 3))
    camera = Camera(matrix, np.eye(3), np.zeros(3), lens, model)
    x, y = points[:, 0] / points[:, 2], points[:, 1] / points[:, 2]
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    if model == "brown":  # As OpenCV's documentation has it.
        u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    else:
        u = x * (radial + p1 * y + p2 * x) + p2 * r2
        v = y * (radial + p1 * y + p2 * x) + p1 * r2
    expected = np.stack([1145 * u + 512.5, 1143.8 * v + 515.5], axis=1)
    np.testing.assert_allclose(cameras.project(points, camera), expected, atol=1e-9)
    other = dataclasses.replace(camera, model="brown" if cross == 1 else "human36m")
    assert np.abs(cameras.project(points, other) - expected).max() > 0.01


def test_without_a_lens_its_numbers_do_not_matter():
    points = np.array([[100.0, 50, 1000]])
    camera = Camera(np.diag([500.0, 500, 1]), np.eye(3), np.zeros(3), np.ones(5), "none")
    np.testing.assert_allclose(cameras.project(points, camera), [[50, 25]])


@pytest.mark.parametrize("model", ["human36m", "brown"])
def test_the_lens_stays_in_the_record_with_its_model(seen, model):
    lens = np.array([-0.2, 0.2, 0.0, 0.001, 0.002])
    camera = dataclasses.replace(seen.sighting.camera, distortion=lens, model=model)
    px = cameras.project(seen.sighting.joints_mm, camera)
    record = preparing.prepare(_changed(seen, camera=camera, joints_px=px), SIDE)
    assert record["camera_model"] == model
    got = geometry.project(
        record["joints_mm"],
        record["camera_intrinsics"],
        record["camera_distortion"],
        schema.CAMERA_MODELS[record["camera_model"]],
    )
    np.testing.assert_allclose(got, record["joints_px"], atol=0.01)


# --- what cannot be prepared ---------------------------------------------------------------------


def _with(values, index, value):
    changed = values.copy()
    changed[index] = value
    return changed


def _broken(sighting):
    px, mm, camera = sighting.joints_px, sighting.joints_mm, sighting.camera
    nan = dataclasses.replace(camera, intrinsics=_with(camera.intrinsics, (0, 0), np.nan))
    return {
        "the mask is empty": {"mask": np.zeros_like(sighting.mask)},
        "the mask is \\(3, 3\\)": {"mask": np.ones((3, 3), bool)},
        "1 joints lie outside of the frame of 160 x 160 pixels, such as the left_ankle at \\(": {
            "joints_px": _with(px, (14, 1), 160.5)
        },
        "a joint that is visible has no finite position": {"joints_px": _with(px, (3, 0), np.nan)},
        "has no finite position": {"joints_mm": _with(mm, (3, 0), np.inf)},
        "the camera's intrinsics are not finite": {"camera": nan},
        "joints lie behind the camera": {"joints_mm": -mm},
        "joints lie \\d+ pixels from where their positions": {"joints_px": px[::-1]},
        "1 joints are visible, 2 are needed": {"visible": np.arange(15) == 3},
        "the order volsynth_15 has 15 joints": {"joints_px": px[:14]},
        "there is no order of joints 'x'": {"order": "x"},
        "the image is float64 \\(160, 160, 3\\)": {"image": sighting.image.astype(float)},
        "the image is uint8 \\(160, 160, 4\\)": {"image": np.zeros((160, 160, 4), np.uint8)},
        "field 'person' must be text": {"person": ""},
    }


@pytest.mark.parametrize("reason", _broken(see(shot=1).sighting))
@pytest.mark.usefixtures("_unchecked")
def test_what_cannot_be_prepared_is_named_with_its_reason(seen, reason):
    broken = dataclasses.replace(seen.sighting, **_broken(seen.sighting)[reason])
    with pytest.raises(SightingError, match=f"^person 0 shot 1: .*{reason}") as caught:
        preparing.prepare(broken, SIDE)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.where, again.reason) == ("person 0 shot 1", caught.value.reason)


def test_a_mask_of_somebody_else_is_refused():
    far = see(shot=1, fill=0.2, place=(0.85, 0.85))
    mask = np.zeros_like(far.sighting.mask)
    mask[:20, :20] = True
    with pytest.raises(SightingError, match="the mask holds nothing near the joints"):
        preparing.prepare(_changed(far, mask=mask), SIDE)


def test_a_person_of_a_few_pixels_is_refused():
    with pytest.raises(SightingError, match=r"the person is 1\d pixels large, 16 are needed"):
        preparing.prepare(see(shot=1, fill=0.08).sighting, SIDE)


# --- frames --------------------------------------------------------------------------------------


def test_a_frame_is_kept_if_a_joint_moved_far_enough_since_the_last_one_kept():
    poses = np.zeros((7, 15, 3))
    poses[:, 4, 0] = [0, 60, 99.9, 100, 150, 199.9, 205]
    assert preparing.select_by_movement(poses).tolist() == [0, 3, 6]
    assert preparing.select_by_movement(poses, 50).tolist() == [0, 1, 4, 6]
    assert preparing.select_by_movement(poses, 0).tolist() == list(range(7))
    assert preparing.select_by_movement(poses[:0]).tolist() == []
