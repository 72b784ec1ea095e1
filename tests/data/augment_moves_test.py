"""Pictures that turn, shift and grow: skeletons stay on their people, and oracles agree."""

import functools

import augmented
import numpy as np
import pytest
import scipy.ndimage
from augmented import EVERYTHING, MAGENTA, MOVES

from volsynth import skeleton
from volsynth.data import augment, augment_images


def _poses(joints, joints_mm, draws, side):
    return augment.move_points(joints, draws, side), augment.turn_directions(joints_mm, draws)


def _backward(draws, i, side):
    """Matrix and offset by which scipy's index (row, column) finds where a pixel is from."""
    angle, factor = draws.angle[i], draws.factor[i]
    forward = factor * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = np.full(2, side / 2 - 0.5)
    inverse = np.linalg.inv(forward)
    return inverse, middle - inverse @ (middle + side * draws.shift[i][::-1])


def test_joints_stay_on_their_parts(people):
    """The body part that one sees at a joint is there after it, too."""
    draws, side, kept = augmented.random_draws(people, **MOVES), people["image"].shape[1], 0
    joints, _ = _poses(people["joints"], people["joints_mm"], draws, side)
    layers = []
    for label in range(skeleton.NUM_PARTS + 1):
        mask = people["parts"] == label
        layers.append(augmented.pixels(augment.Augment(**MOVES), people["image"], mask, draws)[1])
    for i, (before, after) in enumerate(zip(people["joints"], joints)):
        for j in np.flatnonzero(people["visible"][i]):
            (x, y), (u, v) = (np.floor(p[j, :2]).astype(int) for p in (before, after))
            if not (1 <= x < side - 1 and 1 <= y < side - 1):
                continue
            label = people["parts"][i, y, x]
            # Where parts meet, a pixel decides.
            if len(np.unique(people["parts"][i, y - 1 : y + 2, x - 1 : x + 2])) > 2:
                continue
            if not (0 <= u < side and 0 <= v < side):
                continue
            near = layers[label][i, max(v - 1, 0) : v + 2, max(u - 1, 0) : u + 2]
            assert near.any(), (i, skeleton.JOINTS[j])
            kept += 1
    assert kept > 40
    moved = np.linalg.norm(joints - people["joints"], axis=-1)
    assert np.median(moved) > 2, "where nothing moves, nothing is tested"


def _moved(matrix, offset, order, values):
    values = np.float64(values)
    return scipy.ndimage.affine_transform(values, matrix, offset, order=order, mode="grid-constant")


def test_pictures_move_as_scipy_moves_them(people):
    draws, side = augmented.random_draws(people, **MOVES), people["image"].shape[1]
    found, masks = augmented.pixels(
        augment.Augment(**MOVES), people["image"], people["mask"], draws
    )
    for i, mask in enumerate(people["mask"]):
        moved = functools.partial(_moved, *_backward(draws, i, side))
        # Bilinear among the pixels of the person: colours and their shares apart.
        share = moved(1, mask)
        wanted = np.stack([moved(1, people["image"][i, ..., c] * mask) for c in range(3)], -1)
        wanted /= np.maximum(share, 1e-9)[..., None]
        np.testing.assert_allclose(found[i][masks[i]], wanted[masks[i]], atol=2e-4)
        # A place between two pixels may be rounded to either.
        assert np.mean(masks[i] != (moved(0, mask) > 0.5)) < 2e-3
        assert masks[i].any()


def test_joints_move_as_the_formula_says(people):
    draws, side = augmented.random_draws(people, **MOVES), people["image"].shape[1]
    joints, joints_mm = _poses(people["joints"], people["joints_mm"], draws, side)
    assert joints.dtype == joints_mm.dtype == np.float32
    for i in range(len(joints)):
        z = np.exp(1j * draws.angle[i])  # In the complex plane, x + iy.
        x, y, depth = np.float64(people["joints"][i]).T - side / 2
        plane = draws.factor[i] * z * (x + 1j * y) + side * (draws.shift[i] @ [1, 1j])
        wanted = [plane.real, plane.imag, draws.factor[i] * depth]
        np.testing.assert_allclose(joints[i].T - side / 2, wanted, atol=1e-4)
        x, y, depth = np.float64(people["joints_mm"][i]).T
        plane = z * (x + 1j * y)
        np.testing.assert_allclose(joints_mm[i].T, [plane.real, plane.imag, depth], atol=1e-3)


def _distances(joints):
    return np.linalg.norm(joints[:, None] - joints[:, :, None], axis=-1)


def test_distances_between_joints_scale_and_millimetres_do_not(people):
    draws = augmented.random_draws(people, **MOVES)
    joints, joints_mm = _poses(people["joints"], people["joints_mm"], draws, 32)
    factor = draws.factor[:, None, None]
    np.testing.assert_allclose(
        _distances(joints), factor * _distances(people["joints"]), rtol=1e-4, atol=1e-3
    )
    np.testing.assert_allclose(
        _distances(joints_mm), _distances(people["joints_mm"]), rtol=1e-4, atol=1e-2
    )
    assert np.ptp(draws.factor) > 0.1


def test_the_mean_depth_stays_in_the_middle(people):
    joints, _ = _poses(
        people["joints"], people["joints_mm"], augmented.random_draws(people, **MOVES), 32
    )
    for pose, visible in zip(joints, people["visible"]):
        np.testing.assert_allclose(pose[visible, 2].mean(), 16, atol=1e-3)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_exact(people, turns):
    draws = augmented.still(8, angle=np.full(8, turns * np.pi / 2))
    images, masks = augmented.pixels(
        augment.Augment(rotate=90), people["image"], people["mask"], draws
    )
    # Clockwise to the eye, where NumPy turns counterclockwise.
    np.testing.assert_array_equal(masks, np.rot90(people["mask"], -turns, axes=(1, 2)))
    np.testing.assert_allclose(images, np.rot90(people["image"], -turns, axes=(1, 2)), atol=1e-4)


def test_a_shift_by_whole_pixels_is_exact_and_what_comes_in_is_magenta(people):
    shift = np.tile([3 / 32, -5 / 32], (8, 1))
    draws = augmented.still(8, shift=shift)
    images, masks = augmented.pixels(
        augment.Augment(translate=0.2), people["image"], people["mask"], draws
    )
    np.testing.assert_array_equal(masks[:, :-5, 3:], people["mask"][:, 5:, :-3])
    np.testing.assert_array_equal(images[:, :-5, 3:], people["image"][:, 5:, :-3])
    for edge in (images[:, -5:], images[:, :, :3]):
        np.testing.assert_array_equal(edge, np.broadcast_to(MAGENTA, edge.shape))
    assert not masks[:, -5:].any()
    assert not masks[:, :, :3].any()


def test_a_turn_and_the_turn_back_are_none(people):
    angle = np.linspace(0.2, 3, 8)
    there, back = augmented.still(8, angle=angle), augmented.still(8, angle=-angle)
    joints, joints_mm = _poses(people["joints"], people["joints_mm"], there, 32)
    assert np.abs(joints - people["joints"]).max() > 2
    joints, joints_mm = _poses(joints, joints_mm, back, 32)
    np.testing.assert_allclose(joints, people["joints"], atol=1e-4)
    np.testing.assert_allclose(joints_mm, people["joints_mm"], atol=1e-3)
    # A smooth picture with everything inside, so that interpolation loses little.
    y, x = np.mgrid[:48, :48] / 48 - 0.49
    disc = np.tile(x**2 + y**2 < 0.16, (8, 1, 1))
    smooth = np.stack([np.sin(4 * x), np.cos(3 * y), x * y], axis=-1).astype(np.float32)
    images = np.where(disc[..., None], smooth, MAGENTA)
    settings = augment.Augment(rotate=180)
    found, masks = augmented.pixels(
        settings, *augmented.pixels(settings, images, disc, there), back
    )
    inner = np.tile(x**2 + y**2 < 0.14, (8, 1, 1))
    assert masks[inner].all()
    np.testing.assert_allclose(found[inner], images[inner], atol=0.02)
    once, _ = augmented.pixels(settings, images, disc, there)
    assert np.abs(once[inner] - images[inner]).max() > 0.2


def test_what_a_pose_names_as_visible_stays_so(people):
    changed = augment_images.apply(EVERYTHING, people, augmented.random_draws(people, **MOVES), 32)
    assert changed["visible"] is people["visible"]


def test_labels_move_with_their_pixels_and_keep_their_values(people):
    draws = augmented.still(8, shift=np.tile([3 / 32, -5 / 32], (8, 1)))
    changed = augment_images.apply(augment.Augment(translate=0.2), people, draws, 32)
    for kind in ("parts", "depth"):
        assert changed[kind].dtype == people[kind].dtype
        np.testing.assert_array_equal(changed[kind][:, :-5, 3:], people[kind][:, 5:, :-3])
        assert not changed[kind][:, -5:].any()
        assert not changed[kind][:, :, :3].any()
    changed = augment_images.apply(EVERYTHING, people, augmented.random_draws(people, **MOVES), 32)
    for kind in ("parts", "depth"):
        np.testing.assert_array_equal(changed[kind] > 0, changed["mask"])
        assert np.isin(changed[kind], people[kind]).all()
    assert people["depth"].max() > 255, "no value that a byte could not hold"
