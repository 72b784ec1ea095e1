"""Persons found in pictures of rendered people, whose joints and masks are known."""

import numpy as np
import pytest
import skimage.data

from data_prep.posed_people import portrait
from volsynth import skeleton
from volsynth.photographs import persons
from volsynth.poses import joint_orders

HEIGHT, WIDTH = 320, 240


@pytest.fixture(scope="module")
def shot():
    return portrait.shoot(width=WIDTH, height=HEIGHT)


@pytest.fixture(scope="module")
def other():
    return portrait.shoot(8020, turn=-20, width=WIDTH, height=HEIGHT)


def _error(found, px):
    """The mean distance of joints, in % of the person's height."""
    return 100 * np.linalg.norm(found - px, axis=1).mean() / np.ptp(px, axis=0).max()


def _overlap(found, mask):
    return (found & mask).sum() / (found | mask).sum()


def test_joints_and_mask_of_a_person_are_found(shot):
    found = persons.find_person(shot.image)
    assert _error(found.joints_px, shot.pose.joints_px) < 2.5
    assert found.mask.shape == (HEIGHT, WIDTH)
    assert found.mask.min() >= 0
    assert found.mask.max() <= 1
    assert _overlap(found.mask >= 0.5, shot.mask) > 0.95
    assert found.score > 0.9
    assert found.known.all()


def test_right_is_the_persons_right(shot):
    """Who faces the camera has the right hand on the left of the picture."""
    x = persons.find_person(shot.image).joints_px[:, 0]
    for name in ("shoulder", "wrist", "hip", "ankle"):
        assert x[skeleton.INDEX[f"right_{name}"]] < x[skeleton.INDEX[f"left_{name}"]]


def test_millimetres_are_along_the_cameras_axes_where_they_are_known(shot):
    wanted = shot.pose.joints_mm - shot.pose.joints_mm[list(skeleton.HIPS)].mean(axis=0)
    errors = [
        np.linalg.norm(persons.find_person(shot.image, k).joints_mm - wanted, axis=1).mean()
        for k in (shot.pose.intrinsics, None)
    ]
    assert errors[0] < 110
    # The camera is above the hips, which makes the person lean without its matrix.
    assert errors[0] < errors[1]


def test_the_view_turns_the_axis_to_the_point():
    k = np.array([[500.0, 0, 120], [0, 500, 160], [0, 0, 1]])
    np.testing.assert_allclose(persons._view(np.array([120.0, 160.0]), k), np.eye(3), atol=1e-9)
    view = persons._view(np.array([620.0, 160.0]), k)
    np.testing.assert_allclose(view @ [0, 0, 1], [0.5**0.5, 0, 0.5**0.5], atol=1e-9)
    # The smallest rotation leaves the axis of the turn alone.
    np.testing.assert_allclose(view @ [0, 1, 0], [0, 1, 0], atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(view), 1)


@pytest.mark.slow
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_pictures_give_turned_persons(shot, quarters):
    upright = persons.find_person(shot.image)
    found = persons.find_person(np.rot90(shot.image, quarters))
    px, (height, width) = shot.pose.joints_px, (HEIGHT, WIDTH)
    for _ in range(quarters):
        # Counterclockwise: the right edge becomes the top.
        px, (height, width) = np.stack([px[:, 1], width - px[:, 0]], axis=1), (width, height)
    assert _error(found.joints_px, px) < 2.5
    assert _overlap(found.mask >= 0.5, np.rot90(upright.mask >= 0.5, quarters)) > 0.97
    # Millimetres turn with the picture; z does not.
    mm = upright.joints_mm.copy()
    for _ in range(quarters):
        mm = np.stack([mm[:, 1], -mm[:, 0], mm[:, 2]], axis=1)
    assert np.linalg.norm(found.joints_mm - mm, axis=1).mean() < 25


def test_small_and_large_pictures(shot):
    small = shot.image[::4, ::4]
    found = persons.find_person(small)
    assert found.mask.shape == small.shape[:2]
    assert _error(4 * found.joints_px, shot.pose.joints_px) < 5
    large = np.kron(shot.image, np.ones((6, 6, 1), np.uint8))
    found = persons.find_person(large)
    assert found.mask.shape == large.shape[:2]
    assert _error(found.joints_px / 6, shot.pose.joints_px) < 2.5


@pytest.mark.slow
def test_all_persons_are_found_and_the_largest_is_the_most_prominent(shot, other):
    half = other.image[::2, ::2]
    page = np.full((HEIGHT, 2 * WIDTH, 3), half[0, 0], np.uint8)
    page[:, :WIDTH], page[-len(half) :, WIDTH + 60 : WIDTH + 60 + half.shape[1]] = shot.image, half
    found = persons.find_persons(page)
    assert len(found) == 2
    wanted = shot.pose.joints_px, other.pose.joints_px / 2 + (WIDTH + 60, HEIGHT - len(half))
    for person, px in zip(found, wanted):
        assert _error(person.joints_px, px) < 4
    assert not np.any((found[0].mask > 0.5) & (found[1].mask > 0.5))
    one = persons.find_person(page)
    assert _error(one.joints_px, wanted[0]) < 2.5


def test_a_person_who_is_small_in_the_picture_is_found(shot):
    page = np.full((4 * HEIGHT, 4 * WIDTH, 3), 120, np.uint8)
    page[500 : 500 + HEIGHT, 300 : 300 + WIDTH] = shot.image
    found = persons.find_person(page)
    assert _error(found.joints_px - (300, 500), shot.pose.joints_px) < 3


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (320, 60)])
def test_nobody_is_found_where_nobody_is(size):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (*size, 3), np.uint8)
    assert persons.find_person(picture) is None
    assert persons.find_persons(picture) == []


def test_joints_beyond_the_picture_are_not_known():
    """A real photograph that ends at the waist."""
    found = persons.find_person(skimage.data.astronaut())
    pose = found.pose("astronaut.png")
    hidden = ("hip", "knee", "ankle")
    for i, name in enumerate(skeleton.JOINTS):
        assert found.known[i] == (name.partition("_")[2] not in hidden), name
    assert pose.order == joint_orders.VOLSYNTH_15
    assert pose.image == "astronaut.png"
    np.testing.assert_array_equal(pose.visible, found.known)
    # The face is between the head's top and the neck, and in the mask.
    x, y = found.joints_px[skeleton.INDEX["head"]]
    assert 200 < x < 250
    assert 90 < y < 140
    assert found.mask[int(y), int(x)] > 0.9
    assert found.mask[40, 40] < 0.1


def test_joints_that_are_hardly_visible_are_not_known(shot, monkeypatch):
    monkeypatch.setattr(persons, "LEAST_VISIBILITY", 1.01)
    assert not persons.find_person(shot.image).known.any()
