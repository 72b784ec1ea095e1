"""Poses without a camera or without depth: they project to where they are seen."""

import numpy as np
import pytest

from data_prep.reading import placing
from volsynth.ops import geometry

SIZE = (300, 200)
CAMERA = np.array([[400.0, 0, 90], [0, 400, 160], [0, 0, 1]])


@pytest.fixture
def pose():
    rng = np.random.default_rng(0)
    mm = rng.uniform((-400, -800, 3500), (400, 800, 4300), (15, 3))
    return mm, geometry.project(mm, CAMERA), np.ones(15, bool)


def test_a_pose_with_its_camera_stays(pose):
    mm, px, visible = pose
    placed = placing.place(px, mm, visible, SIZE, CAMERA)
    np.testing.assert_array_equal(placed.joints_mm, mm)
    np.testing.assert_array_equal(placed.intrinsics, CAMERA)
    assert not placed.flat


def test_a_camera_that_is_missing_is_found(pose):
    mm, px, visible = pose
    px, mm = px.copy(), mm.copy()
    visible[3] = False
    px[3], mm[3] = 1e5, 7
    placed = placing.place(px, mm, visible, SIZE)
    np.testing.assert_allclose(placed.intrinsics, CAMERA, rtol=1e-9)


def test_where_no_camera_fits_the_usual_one_stands_in(pose):
    mm, px, visible = pose
    placed = placing.place(-px, mm, visible, SIZE)
    np.testing.assert_array_equal(placed.intrinsics, [[360, 0, 100], [0, 360, 150], [0, 0, 1]])


def test_a_pose_around_its_pelvis_is_moved_in_front_of_the_camera(pose):
    mm, px, visible = pose
    placed = placing.place(px, mm - mm.mean(axis=0), visible, SIZE, CAMERA)
    np.testing.assert_allclose(placed.joints_mm, mm, rtol=1e-9)
    usual = placing.place(px, mm - mm.mean(axis=0), visible, SIZE)
    # Another focal length is another distance; what one sees stays nearly the same.
    apart = geometry.project(usual.joints_mm, usual.intrinsics) - px
    assert np.abs(apart).max() < 8
    np.testing.assert_allclose(usual.joints_mm - usual.joints_mm[0], mm - mm[0], atol=1e-6)


@pytest.mark.parametrize("camera", [CAMERA, None])
def test_a_pose_without_depth_lies_flat_and_projects_to_itself(pose, camera):
    _, px, visible = pose
    placed = placing.place(px, None, visible, SIZE, camera)
    assert placed.flat
    assert np.ptp(placed.joints_mm[:, 2]) < 1e-6
    np.testing.assert_allclose(geometry.project(placed.joints_mm, placed.intrinsics), px)
    extent = np.max(np.ptp(placed.joints_mm[:, :2], axis=0))
    assert extent == pytest.approx(placing.PERSON_MM)
