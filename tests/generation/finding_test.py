"""The person whom a photograph shows: found by networks, chosen among several, and not found."""

import dataclasses

import numpy as np
import own_pictures
import pytest
import skimage.data
from PIL import Image

from data_prep.posed_people import portrait
from volsynth.errors import UserError
from volsynth.generation import finding
from volsynth.generation.source import Source, read_person, read_source
from volsynth.images import reader
from volsynth.poses import keypoint_files


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    """A portrait with its mask and its joints in files beside it."""
    path = tmp_path_factory.mktemp("photograph") / "anna.jpg"
    image, mask, pose = portrait.write(path, portrait.shoot(width=240, height=320))
    return Source(image, mask, pose)


@pytest.fixture
def two(tmp_path, monkeypatch):
    """Two persons whom every picture shows, and the source of each."""
    sources = []
    for shot in (1, 2):
        (tmp_path / str(shot)).mkdir()
        found, _ = own_pictures.bring(tmp_path / str(shot), shot=shot)
        sources.append(Source(found["image"], found["mask"], found["pose"]))
    return sources, own_pictures.photograph(monkeypatch, *sources)


def _apart(pose, other):
    """The mean distance of joints, in % of the person's height."""
    distance = np.linalg.norm(pose.joints_px - other.joints_px, axis=1).mean()
    return 100 * distance / np.ptp(other.joints_px, axis=0).max()


def test_a_photograph_is_enough(photograph):
    picture, pose = read_source(Source(photograph.image))
    (truth,) = keypoint_files.read(photograph.pose)
    mask = reader.read_rgb(photograph.mask)[..., 0] > 128
    assert _apart(pose, truth) < 2.5
    assert (picture.mask & mask).sum() / (picture.mask | mask).sum() > 0.95
    assert picture.background == "scene"
    assert pose.image == "anna.jpg"


def test_what_is_given_is_not_looked_for(photograph):
    picture, pose = read_source(dataclasses.replace(photograph, mask=None))
    (truth,) = keypoint_files.read(photograph.pose)
    np.testing.assert_array_equal(pose.joints_px, truth.joints_px)
    mask = reader.read_rgb(photograph.mask)[..., 0] > 128
    assert (picture.mask & mask).sum() / (picture.mask | mask).sum() > 0.95
    picture, pose = read_source(dataclasses.replace(photograph, pose=None))
    np.testing.assert_array_equal(picture.mask, mask)
    assert _apart(pose, truth) < 2.5


def test_the_mask_says_who_is_meant(photograph, tmp_path):
    image, mask = (reader.read_rgb(path) for path in (photograph.image, photograph.mask))
    half = image[::2, ::2]
    page = np.full((320, 360, 3), half[0, 0], np.uint8)
    page[:, :240], page[160:, 240:] = image, half
    small = np.zeros((320, 360, 3), np.uint8)
    small[160:, 240:] = mask[::2, ::2]
    for name, pixels in (("page", page), ("small", small)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    _, pose = read_source(Source(tmp_path / "page.png", tmp_path / "small.png"))
    assert pose.joints_px[:, 0].min() > 240


def test_a_picture_that_ends_above_the_hips_is_refused(tmp_path):
    Image.fromarray(skimage.data.astronaut()).save(tmp_path / "astronaut.png")
    with pytest.raises(UserError, match=r"astronaut\.png: neither hip is known, .* from the head"):
        read_person(Source(tmp_path / "astronaut.png"), 32)


def test_nobody_is_found_in_a_picture_of_nobody(tmp_path, photograph):
    Image.fromarray(np.full((90, 80, 3), 99, np.uint8)).save(tmp_path / "grey.png")
    grey = Source(tmp_path / "grey.png")
    with pytest.raises(UserError, match=r"grey\.png: nobody was found; give a picture .* --mask"):
        read_source(grey)
    with pytest.raises(UserError, match=r"nobody was found where the joints are; .*, --mask, too"):
        read_source(dataclasses.replace(grey, pose=photograph.pose))
    masked = np.zeros((90, 80), np.uint8)
    masked[20:70, 20:50] = 255
    Image.fromarray(masked).save(tmp_path / "mask.png")
    with pytest.raises(UserError, match=r"where the mask is white; .*, --source-pose, too"):
        read_source(dataclasses.replace(grey, mask=tmp_path / "mask.png"))


def test_a_number_chooses_among_several_persons(two):
    (source, _), found = two
    image = reader.read_rgb(source.image)
    assert finding.find_person(image, "x") is found[0]
    assert finding.find_person(image, "x", 2) is found[1]
    with pytest.raises(UserError, match=r"x: 2 persons were found, .* from 1 to 2, got 3"):
        finding.find_person(image, "x", 3)


def test_joints_choose_the_person_who_is_nearest(two):
    sources, found = two
    image = reader.read_rgb(sources[0].image)
    for source, person in zip(sources, found):
        (pose,) = keypoint_files.read(source.pose)
        assert finding.find_person(image, "x", pose=pose) is person
    far = dataclasses.replace(pose, joints_px=pose.joints_px + 1000)
    with pytest.raises(UserError, match="nobody was found where the joints are"):
        finding.find_person(image, "x", pose=far)
    # Two joints are too few to tell persons apart.
    few = dataclasses.replace(pose, visible=np.arange(15) < 2)
    with pytest.raises(UserError, match="nobody was found where the joints are"):
        finding.find_person(image, "x", pose=few)
    # Without pixels there is nothing to compare; whoever crops the person says so.
    assert finding.find_person(image, "x", pose=dataclasses.replace(pose, joints_px=None))
