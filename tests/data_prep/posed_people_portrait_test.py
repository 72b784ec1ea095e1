"""Pictures to try things with: what is written beside them is true of them."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from data_prep.posed_people import portrait
from volsynth.generation import persons, pictures
from volsynth.images import masks
from volsynth.poses import keypoint_files
from volsynth.skeleton import INDEX, PARTS


@pytest.fixture(scope="module")
def shot():
    return portrait.shoot(width=240, height=320)


def test_joints_lie_on_the_person(shot):
    assert shot.image.shape == (320, 240, 3)
    for part in PARTS[1:]:
        x, y = shot.pose.joints_px[list(part.joints)].mean(axis=0)
        assert shot.mask[int(y), int(x)], part.name
    camera = shot.pose.joints_mm @ shot.pose.intrinsics.T
    np.testing.assert_allclose(shot.pose.joints_px, camera[:, :2] / camera[:, 2:], atol=1e-6)
    right, left = (shot.pose.joints_px[INDEX[f"{side}_shoulder"], 0] for side in ("right", "left"))
    assert right < left  # Facing us.


def test_the_person_turns_to_its_left(shot):
    def nearer_shoulder(turn):
        seen = portrait.shoot(turn=turn, width=64, height=64).pose.joints_mm
        return seen[INDEX["right_shoulder"], 2] < seen[INDEX["left_shoulder"], 2]

    assert nearer_shoulder(40)
    assert not nearer_shoulder(-40)


def test_only_the_person_changes_with_the_action(shot):
    other = portrait.shoot(action="wave", width=240, height=320)
    both = ~(shot.mask | other.mask)
    border = np.zeros_like(both)
    border[:100] = True  # Above the floor, where there is no shadow.
    away = both & border
    # An edge of the mask is soft: pixels beside it are mixed.
    away = ndimage.binary_erosion(away, iterations=2, border_value=1)
    np.testing.assert_array_equal(shot.image[away], other.image[away])
    assert (shot.mask ^ other.mask).sum() > 100


def test_what_is_written_is_a_person_to_generate(tmp_path, capsys):
    path = tmp_path / "new" / "anna.jpg"
    assert portrait.main(["--out", str(path), "--width", "120", "--height", "160"]) == 0
    files = [path, tmp_path / "new/anna-mask.png", tmp_path / "new/anna.json"]
    assert capsys.readouterr().out.split() == [str(file) for file in files]
    picture = pictures.read_picture(files[0], files[1])
    (pose,) = keypoint_files.read(files[2])
    assert pose.image == "anna.jpg"
    who = persons.crop_person(picture.image, picture.mask, pose, 32)
    found = masks.not_magenta(who.image)
    joints = who.joints[4, :2]  # An elbow: away from the middle.
    assert found[tuple(np.clip(joints[::-1].astype(int), 0, 31))]
    with Image.open(files[1]) as opened:
        assert opened.size == (120, 160)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--action", "wawe"], "there is no action 'wawe'; did you mean 'wave'"),
        (["--person", "-1"], "a person's number is at least 0, got -1"),
        (["--width", "63"], "sides of 64 to 2048 pixels, got 63 x 640"),
        (["--height", "2049"], "sides of 64 to 2048 pixels, got 480 x 2049"),
        (["--out", "x.gif"], r"--out must end in .jpg or .png, got x.gif"),
    ],
)
def test_what_cannot_be_taken(arguments, message, capsys, tmp_path):
    given = arguments if arguments[0] == "--out" else [*arguments, "--out", str(tmp_path / "a.jpg")]
    assert portrait.main(given) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert portrait.main(["--out", str(tmp_path / "file" / "a.jpg"), "--width", "64"]) == 2
    assert "error: cannot write" in capsys.readouterr().err
