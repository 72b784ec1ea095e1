"""volsynth.images.draw: colours mean sides, near covers far, pictures stay what they are."""

import os

import numpy as np
import pytest
from PIL import Image

from volsynth import conventions
from volsynth.errors import UserError
from volsynth.images import draw
from volsynth.skeleton import INDEX, MIRROR, NUM_PARTS

# Facing the viewer, so that the person's right is on the left of the picture; side 1.
STANDING = np.array(
    [
        [0.50, 0.06],
        [0.50, 0.14],
        [0.50, 0.24],
        [0.40, 0.26],
        [0.34, 0.40],
        [0.31, 0.53],
        [0.60, 0.26],
        [0.66, 0.40],
        [0.69, 0.53],
        [0.44, 0.53],
        [0.43, 0.73],
        [0.42, 0.93],
        [0.56, 0.53],
        [0.57, 0.73],
        [0.58, 0.93],
    ]
)
ALL = np.ones(15, bool)
SIDE = 160
RED_SQUARE = np.full((8, 8, 3), (200, 0, 0), np.uint8)


def _sides(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the clearly warm, and of the clearly cool colours."""
    red, blue = picture[..., 0].astype(int), picture[..., 2].astype(int)
    return red - blue > 60, blue - red > 60


def _only(*names: str) -> np.ndarray:
    visible = np.zeros(15, bool)
    visible[[INDEX[name] for name in names]] = True
    return visible


# --- to_uint8 ------------------------------------------------------------------------------------


def test_to_uint8_maps_ends_middle_outside_and_nan():
    values = np.array([-1.0, 1.0, 0.0, -7.0, 7.0, np.nan, np.inf, -np.inf, 0.5], np.float32)
    got = conventions.to_uint8(values.reshape(3, 1, 3))
    assert got.dtype == np.uint8
    assert got.ravel().tolist() == [0, 255, 128, 0, 255, 0, 255, 0, 191]


def test_to_uint8_inverts_the_decoding_of_every_level():
    levels = np.arange(256, dtype=np.uint8)
    image = np.repeat((levels / 127.5 - 1).astype(np.float32)[:, None], 3, axis=1)
    assert np.array_equal(conventions.to_uint8(image)[:, 1], levels)


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("image", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4)), np.zeros(())])
def test_to_uint8_refuses_what_is_not_float_rgb(image):
    with pytest.raises(UserError, match=r"must be float RGB \[\.\.\., 3\] in \[-1, 1\], got"):
        conventions.to_uint8(image)


# --- heat and parts ------------------------------------------------------------------------------


def test_heat_is_brighter_the_more_there_is():
    picture = draw.heat_image(np.linspace(0, 1, 101).reshape(1, 101))
    assert (picture.dtype, picture.shape) == (np.uint8, (1, 101, 3))
    luminance = picture[0].astype(float) @ (0.299, 0.587, 0.114)
    assert (np.diff(luminance) > 0).all()
    assert luminance[0] < 20
    assert luminance[-1] > 235


def test_heat_outside_of_its_range_is_clipped_and_nan_is_nothing():
    picture = draw.heat_image(np.array([[0, -3, np.nan, -np.inf], [1, 7, np.inf, 1]]))
    assert (picture[0] == picture[0, 0]).all()
    assert (picture[1] == picture[1, 0]).all()
    assert (picture[0, 0] != picture[1, 0]).all()


def test_parts_background_and_offcut_are_told_apart():
    colours = draw.PART_COLOURS.astype(int)
    assert colours.shape == (NUM_PARTS + 2, 3)
    apart = np.abs(colours[:, None] - colours[None]).max(axis=-1)
    assert apart[~np.eye(len(colours), dtype=bool)].min() >= 40


# --- skeletons -----------------------------------------------------------------------------------


def test_right_is_warm_and_left_is_cool():
    warm, cool = _sides(draw.skeleton_image(STANDING * SIDE, ALL, SIDE))
    assert warm.sum() > 300
    assert cool.sum() > 300
    # Facing the viewer, all that is warm lies left of all that is cool.
    assert np.nonzero(warm)[1].max() < np.nonzero(cool)[1].min()


def test_exchanging_the_joints_of_both_sides_exchanges_the_colours():
    warm, cool = _sides(draw.skeleton_image(STANDING[list(MIRROR)] * SIDE, ALL, SIDE))
    assert np.nonzero(cool)[1].max() < np.nonzero(warm)[1].min()


def test_head_and_torso_are_neutral():
    central = _only("head_top", "head", "neck")
    picture = draw.skeleton_image(STANDING * SIDE, central, SIDE)
    drawn = (picture != 255).any(axis=-1)
    assert drawn.sum() > 200
    assert np.ptp(picture[drawn].astype(int), axis=-1).max() < 10


@pytest.mark.parametrize(("near", "expected"), [("right", "warm"), ("left", "cool")])
def test_the_nearer_limb_covers_the_farther_one(near, expected):
    joints = np.zeros((15, 3))
    visible = _only("right_elbow", "right_wrist", "left_elbow", "left_wrist")
    joints[INDEX["right_elbow"], :2], joints[INDEX["right_wrist"], :2] = (30, 30), (130, 130)
    joints[INDEX["left_elbow"], :2], joints[INDEX["left_wrist"], :2] = (30, 130), (130, 30)
    for name, index in INDEX.items():
        joints[index, 2] = -50.0 if name.startswith(near) else 50.0
    warm, cool = _sides(draw.skeleton_image(joints, visible, SIDE))
    at_crossing = {"warm": warm[80, 80], "cool": cool[80, 80]}
    assert at_crossing == {"warm": expected == "warm", "cool": expected == "cool"}


def test_a_point_is_drawn_where_the_convention_says():
    joints = np.zeros((15, 2))
    joints[INDEX["neck"]] = (20.5, 40.5)  # the centre of the pixel in row 40, column 20
    picture = draw.skeleton_image(joints, _only("neck"), 64)
    darkness = 255.0 - picture.mean(axis=-1)
    rows, columns = np.mgrid[:64, :64]
    assert (darkness * rows).sum() / darkness.sum() == pytest.approx(40, abs=0.1)
    assert (darkness * columns).sum() / darkness.sum() == pytest.approx(20, abs=0.1)


def test_edges_are_smooth():
    picture = draw.skeleton_image(STANDING * SIDE, _only("right_knee", "right_ankle"), SIDE)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10


def test_lines_grow_with_the_figure_and_not_with_the_picture():
    def area(scale: float, side: int) -> int:
        return int((draw.skeleton_image(STANDING * scale, ALL, side) != 255).any(axis=-1).sum())

    small, large = area(150, 512), area(300, 512)
    assert 3.2 < large / small < 4.4
    assert area(150, 160) == pytest.approx(small, rel=0.02)


def test_limbs_of_unknown_joints_are_left_out():
    visible = ALL.copy()
    visible[[INDEX["right_elbow"], INDEX["right_knee"]]] = False
    visible[[INDEX["right_shoulder"], INDEX["right_hip"]]] = False
    warm, cool = _sides(draw.skeleton_image(STANDING * SIDE, visible, SIDE))
    # What is left of the right side are the dots of wrist and ankle.
    assert 0 < warm.sum() < 60 < cool.sum()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30, -1e6])
def test_a_joint_that_is_nowhere_counts_as_not_visible(bad):
    joints = STANDING * SIDE
    joints[INDEX["left_wrist"]] = bad
    visible = ALL.copy()
    visible[INDEX["left_wrist"]] = False
    assert np.array_equal(
        draw.skeleton_image(joints, ALL, SIDE),
        draw.skeleton_image(STANDING * SIDE, visible, SIDE),
    )


def test_a_joint_of_unknown_depth_counts_as_not_visible():
    joints = np.concatenate([STANDING * SIDE, np.zeros((15, 1))], axis=1)
    visible = ALL.copy()
    visible[INDEX["left_wrist"]] = False
    known = draw.skeleton_image(joints, visible, SIDE)
    joints[INDEX["left_wrist"], 2] = np.nan
    assert np.array_equal(draw.skeleton_image(joints, ALL, SIDE), known)


def test_a_dot_is_not_hidden_by_its_own_limb():
    joints = np.zeros((15, 3))
    joints[INDEX["right_elbow"]] = (160, 320, -30)
    joints[INDEX["right_wrist"]] = (480, 320, 30)
    picture = draw.skeleton_image(joints, _only("right_elbow", "right_wrist"), 640)
    ink = (picture.sum(axis=-1) < 200) & (np.ptp(picture.astype(int), axis=-1) < 15)
    # A dot has a ring of ink, which a limb has not.
    assert ink[:, :240].sum() == pytest.approx(ink[:, 400:].sum(), rel=0.2)
    assert ink[:, 400:].sum() > 40


def test_nobody_visible_leaves_the_background():
    picture = draw.skeleton_image(STANDING * 8, np.zeros(15, bool), 8, (1, 2, 3))
    assert picture.shape == (8, 8, 3)
    assert (picture == (1, 2, 3)).all()


def test_overlay_keeps_the_picture_elsewhere_and_does_not_write_into_it():
    image = np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    before = image.copy()
    got = draw.overlay_skeleton(image, STANDING * 100, ALL)
    assert np.array_equal(image, before)
    changed = (got != image).any(axis=-1)
    assert changed.any()
    assert not changed[:, 100:].any()
    nobody = draw.overlay_skeleton(image, STANDING, ~ALL)
    assert np.array_equal(nobody, before)
    nobody[:] = 0
    assert np.array_equal(image, before)


def test_overlay_works_on_photographs_too_large_to_oversample():
    image = np.full((40, 5000, 3), 255, np.uint8)
    warm, _ = _sides(draw.overlay_skeleton(image, STANDING * 40, ALL))
    assert warm.any()


@pytest.mark.usefixtures("_unchecked")
def test_skeletons_refuse_wrong_arguments():
    with pytest.raises(UserError, match="side must be at least 1 pixel, got 0"):
        draw.skeleton_image(STANDING, ALL, 0)
    with pytest.raises(UserError, match=r"joints must have shape \[15, 2 or 3\], got \(14, 2\)"):
        draw.skeleton_image(STANDING[:14], ALL, 8)
    with pytest.raises(UserError, match=r"visible must have shape \[15\], got \(14,\)"):
        draw.skeleton_image(STANDING, ALL[:14], 8)
    with pytest.raises(UserError, match=r"uint8 \[H, W, 3\], got float64 .*to_uint8"):
        draw.overlay_skeleton(np.zeros((8, 8, 3)), STANDING, ALL)


# --- save_png ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["array", "pillow"])
def test_a_saved_picture_reads_back_exactly(tmp_path, kind):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    path = tmp_path / "new folder" / "picture.png"
    draw.save_png(path, picture if kind == "array" else Image.fromarray(picture))
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image), picture)
    assert [entry.name for entry in path.parent.iterdir()] == ["picture.png"]


@pytest.mark.parametrize("step", ["save", "replace"])
def test_a_failed_save_leaves_the_old_file_and_no_rubbish(tmp_path, monkeypatch, step):
    path = tmp_path / "picture.png"
    draw.save_png(path, RED_SQUARE)
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError("No space left on device")

    if step == "save":
        monkeypatch.setattr(Image.Image, "save", full)
    else:
        monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        draw.save_png(path, RED_SQUARE[..., ::-1])
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["picture.png"]


@pytest.mark.usefixtures("_unchecked")
def test_save_png_refuses_other_names_and_other_arrays(tmp_path):
    with pytest.raises(UserError, match=r"must end in \.png, got .*picture\.jpg"):
        draw.save_png(tmp_path / "picture.jpg", RED_SQUARE)
    with pytest.raises(UserError, match=r"save_png: a picture must be uint8"):
        draw.save_png(tmp_path / "picture.png", np.zeros((4, 4, 3), np.float32))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("point", [(30.0, 40.0), (-50.0, -50.0), (200.0, 200.0)])
def test_labels_are_above_a_point_and_in_the_picture(point):
    page = np.full((80, 60, 3), 200, np.uint8)
    made = draw.overlay_label(page, "12", np.array(point))
    rows, columns = np.nonzero((made == draw.INK).all(axis=-1))
    assert (page == 200).all()
    assert len(rows) > 30
    # All of it is there, wherever the point is.
    assert np.ptp(columns) > 10
    assert np.ptp(rows) > 10
    if point == (30.0, 40.0):
        assert rows.max() <= 40
        assert columns.mean() == pytest.approx(30, abs=1.5)
