"""Augmented pictures: skeletons stay on their people, and oracles agree."""

import colorsys
import dataclasses
import functools

import augmented
import numpy as np
import pytest
import scipy.ndimage
from augmented import COLOURS, EVERYTHING, MOVES

from volsynth import conventions, skeleton
from volsynth.data import augment, augment_images

MAGENTA = np.array(conventions.BACKGROUND, np.float32)


@pytest.fixture(scope="module")
def people(tiny):
    """Eight records as `pipeline` gives them to be changed, with their part labels."""
    return augmented.people(tiny)


def _still(count, **others):
    """Draws that change nothing, but for the others."""
    zero, one = np.zeros(count), np.ones(count)
    no = zero > 0
    pairs = np.full((count, 2), 0.5)
    still = augment.AugmentParams(
        *(zero, np.zeros((count, 2)), one),
        *(zero, one, one, zero),
        *(no, pairs, pairs / 4, no, no, np.zeros((count, 3)), np.zeros((count, 2), np.int32)),
    )
    return still._replace(**others)


def _pixels(settings, images, masks, draws):
    pictures = {"image": images, "mask": masks}
    found = augment_images.change_pictures(settings, pictures, draws)
    return tuple(np.asarray(found[kind]) for kind in pictures)


def _poses(joints, joints_mm, draws, side):
    return augment.move_points(joints, draws, side), augment.turn_directions(joints_mm, draws)


def _backward(draws, i, side):
    """Matrix and offset by which scipy's index (row, column) finds where a pixel is from."""
    angle, factor = draws.angle[i], draws.factor[i]
    forward = factor * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = np.full(2, side / 2 - 0.5)
    inverse = np.linalg.inv(forward)
    return inverse, middle - inverse @ (middle + side * draws.shift[i][::-1])


def _random(people, **settings):
    return augment.draw(augment.Augment(**settings), 3, 5, range(len(people["image"]) // 2))


# --- geometry ------------------------------------------------------------------------------------


def test_joints_stay_on_their_parts(people):
    """The body part that one sees at a joint is there after it, too."""
    draws, side, kept = _random(people, **MOVES), people["image"].shape[1], 0
    joints, _ = _poses(people["joints"], people["joints_mm"], draws, side)
    layers = []
    for label in range(skeleton.NUM_PARTS + 1):
        mask = people["parts"] == label
        layers.append(_pixels(augment.Augment(**MOVES), people["image"], mask, draws)[1])
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
    draws, side = _random(people, **MOVES), people["image"].shape[1]
    found, masks = _pixels(augment.Augment(**MOVES), people["image"], people["mask"], draws)
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
    draws, side = _random(people, **MOVES), people["image"].shape[1]
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
    draws = _random(people, **MOVES)
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
    joints, _ = _poses(people["joints"], people["joints_mm"], _random(people, **MOVES), 32)
    for pose, visible in zip(joints, people["visible"]):
        np.testing.assert_allclose(pose[visible, 2].mean(), 16, atol=1e-3)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_exact(people, turns):
    draws = _still(8, angle=np.full(8, turns * np.pi / 2))
    images, masks = _pixels(augment.Augment(rotate=90), people["image"], people["mask"], draws)
    # Clockwise to the eye, where NumPy turns counterclockwise.
    np.testing.assert_array_equal(masks, np.rot90(people["mask"], -turns, axes=(1, 2)))
    np.testing.assert_allclose(images, np.rot90(people["image"], -turns, axes=(1, 2)), atol=1e-4)


def test_a_shift_by_whole_pixels_is_exact_and_what_comes_in_is_magenta(people):
    shift = np.tile([3 / 32, -5 / 32], (8, 1))
    draws = _still(8, shift=shift)
    images, masks = _pixels(augment.Augment(translate=0.2), people["image"], people["mask"], draws)
    np.testing.assert_array_equal(masks[:, :-5, 3:], people["mask"][:, 5:, :-3])
    np.testing.assert_array_equal(images[:, :-5, 3:], people["image"][:, 5:, :-3])
    for edge in (images[:, -5:], images[:, :, :3]):
        np.testing.assert_array_equal(edge, np.broadcast_to(MAGENTA, edge.shape))
    assert not masks[:, -5:].any()
    assert not masks[:, :, :3].any()


def test_a_turn_and_the_turn_back_are_none(people):
    angle = np.linspace(0.2, 3, 8)
    there, back = _still(8, angle=angle), _still(8, angle=-angle)
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
    found, masks = _pixels(settings, *_pixels(settings, images, disc, there), back)
    inner = np.tile(x**2 + y**2 < 0.14, (8, 1, 1))
    assert masks[inner].all()
    np.testing.assert_allclose(found[inner], images[inner], atol=0.02)
    once, _ = _pixels(settings, images, disc, there)
    assert np.abs(once[inner] - images[inner]).max() > 0.2


def test_what_a_pose_names_as_visible_stays_so(people):
    changed = augment_images.apply(EVERYTHING, people, _random(people, **MOVES), 32)
    assert changed["visible"] is people["visible"]


def test_labels_move_with_their_pixels_and_keep_their_values(people):
    draws = _still(8, shift=np.tile([3 / 32, -5 / 32], (8, 1)))
    changed = augment_images.apply(augment.Augment(translate=0.2), people, draws, 32)
    for kind in ("parts", "depth"):
        assert changed[kind].dtype == people[kind].dtype
        np.testing.assert_array_equal(changed[kind][:, :-5, 3:], people[kind][:, 5:, :-3])
        assert not changed[kind][:, -5:].any()
        assert not changed[kind][:, :, :3].any()
    changed = augment_images.apply(EVERYTHING, people, _random(people, **MOVES), 32)
    for kind in ("parts", "depth"):
        np.testing.assert_array_equal(changed[kind] > 0, changed["mask"])
        assert np.isin(changed[kind], people[kind]).all()
    assert people["depth"].max() > 255, "no value that a byte could not hold"


@pytest.mark.parametrize("kinds", [("mask",), ("depth",), ("joints",), ("image", "mask")])
def test_a_field_changes_alike_whichever_others_are_there(people, kinds):
    draws = augment.draw(EVERYTHING, 1, 0, range(4))
    everything = augment_images.apply(EVERYTHING, people, draws, 32)
    some = augment_images.apply(EVERYTHING, {kind: people[kind] for kind in kinds}, draws, 32)
    assert tuple(some) == kinds
    for kind, value in some.items():
        np.testing.assert_array_equal(value, everything[kind])


def test_images_need_their_mask_where_pixels_of_the_person_change():
    for settings, needs in ((MOVES, True), (COLOURS, True), ({"occlude": 1.0}, False), ({}, False)):
        settings = augment.Augment(**settings)
        found = augment_images.with_needed(settings, ("joints", "image"))
        assert found == (("joints", "image", "mask") if needs else ("joints", "image"))
        assert augment_images.with_needed(settings, ("mask", "image")) == ("mask", "image")
        assert augment_images.with_needed(settings, ("joints", "depth")) == ("joints", "depth")


# --- colours -------------------------------------------------------------------------------------


def test_hue_and_saturation_are_those_of_hsv(people):
    settings = augment.Augment(hue=0.5, saturation=1.0)
    draws = augment.draw(settings, 0, 0, range(4))
    found, _ = _pixels(settings, people["image"], people["mask"], draws)
    rng = np.random.default_rng(0)
    for i, mask in enumerate(people["mask"]):
        places = np.argwhere(mask)
        for row, column in places[rng.integers(len(places), size=30)]:
            colour = np.float64(people["image"][i, row, column] + 1) / 2
            hue, saturation, value = colorsys.rgb_to_hsv(*colour)
            wanted = colorsys.hsv_to_rgb(
                (hue + draws.hue[i]) % 1, min(saturation * draws.saturation[i], 1), value
            )
            np.testing.assert_allclose((found[i, row, column] + 1) / 2, wanted, atol=1e-5)


@pytest.mark.parametrize("colour", [(0, 0, 0), (1, 1, 1), (0.5,) * 3, (1, 0, 0), (0, 1, 1)])
@pytest.mark.parametrize("hue", [-1 / 3, 0.1, 0.5])
def test_hue_of_plain_colours(colour, hue):
    images = np.full((1, 2, 2, 3), colour, np.float32) * 2 - 1
    found, _ = _pixels(
        augment.Augment(hue=0.5), images, np.ones((1, 2, 2), bool), _still(1, hue=np.array([hue]))
    )
    h, s, v = colorsys.rgb_to_hsv(*colour)
    wanted = np.array(colorsys.hsv_to_rgb((h + hue) % 1, s, v)) * 2 - 1
    np.testing.assert_allclose(found[0, 0, 0], wanted, atol=1e-6)


def test_brightness_adds_and_contrast_stretches_about_middle_grey(people):
    contrast, brightness = np.linspace(0.5, 1.8, 8), np.linspace(-0.4, 0.6, 8)
    draws = _still(8, contrast=contrast, brightness=brightness)
    settings = augment.Augment(contrast=0.9, brightness=0.9)
    found, masks = _pixels(settings, people["image"], people["mask"], draws)
    levels = (np.float64(people["image"]) + 1) / 2
    wanted = 0.5 + (levels - 0.5) * contrast[:, None, None, None] + brightness[:, None, None, None]
    wanted = np.clip(wanted, 0, 1) * 2 - 1
    np.testing.assert_allclose(found[masks], wanted[masks], atol=1e-6)
    assert np.abs(found).max() <= 1
    assert np.mean(np.abs(wanted[masks]) == 1) > 0.02, "nothing was clipped"


def test_colours_change_on_the_person_and_alike_in_both_images(people):
    values = {key: np.concatenate([value[:4]] * 2) for key, value in people.items()}
    settings = augment.Augment(**COLOURS)
    draws = augment.draw(settings, 7, 1, range(4))
    changed = augment_images.apply(settings, values, draws, 32)
    np.testing.assert_array_equal(changed["image"][:4], changed["image"][4:])
    background = changed["image"][~values["mask"]]
    np.testing.assert_array_equal(background, np.broadcast_to(MAGENTA, background.shape))
    differing = np.abs(changed["image"] - values["image"]).max(axis=-1)
    assert np.mean(differing[values["mask"]] > 0.02) > 0.9
    for name in ("hue", "saturation", "contrast", "brightness"):
        drawn = getattr(draws, name)
        np.testing.assert_array_equal(drawn[:4], drawn[4:])
        assert len(set(drawn)) == 4, "samples differ from one another"
    for key in ("mask", "joints", "joints_mm", "visible"):
        assert changed[key] is values[key] or np.array_equal(changed[key], values[key])


# --- occluders -----------------------------------------------------------------------------------


def _covering(people, draws):
    settings = augment.Augment(occlude=1.0)
    images, masks = _pixels(settings, people["image"], people["mask"], draws)
    np.testing.assert_array_equal(masks, people["mask"])
    return images, np.any(images != people["image"], axis=-1)


@pytest.mark.parametrize("is_round", [False, True])
@pytest.mark.parametrize("noisy", [False, True])
def test_an_occluder_covers_its_pixels_and_no_others(people, is_round, noisy):
    rng = np.random.default_rng(1)
    yes = np.ones(8, bool)
    draws = _still(
        8,
        covered=yes & (np.arange(8) != 2),
        round=yes & is_round,
        noisy=yes & noisy,
        centre=rng.uniform(0.3, 0.7, (8, 2)),
        extent=rng.uniform(0.1, 0.3, (8, 2)),
        colour=rng.uniform(-1, 1, (8, 3)),
        noise=rng.integers(2**31, size=(8, 2)).astype(np.int32),
    )
    images, covered = _covering(people, draws)
    for i in range(8):
        wanted = np.zeros((32, 32), bool)
        for row in range(32):
            for column in range(32):
                place = np.array([column + 0.5, row + 0.5]) / 32
                u, v = (place - draws.centre[i]) / draws.extent[i]
                inside = u * u + v * v < 1 if is_round else max(abs(u), abs(v)) < 1
                wanted[row, column] = inside and i != 2
        np.testing.assert_array_equal(covered[i], wanted)
        if not wanted.any():
            continue
        filling = images[i][wanted]
        assert np.abs(filling).max() <= 1
        if noisy:
            # Of a uniform distribution on [-1, 1].
            assert np.all(np.abs(filling.mean(axis=0)) < 0.35)
            assert np.all(np.abs(filling.std(axis=0) - 3**-0.5) < 0.2)
            assert len(np.unique(filling)) > 0.99 * filling.size
        else:
            np.testing.assert_array_equal(filling, np.float32([draws.colour[i]] * len(filling)))
    if noisy:
        assert np.any(images[0, 16] != images[1, 16])


def test_occluders_are_as_large_as_they_should_be_and_inside():
    draws = augment.draw(augment.Augment(occlude=0.7), 0, 0, range(1000))
    assert np.all(draws.centre - draws.extent >= -1e-9)
    assert np.all(draws.centre + draws.extent <= 1 + 1e-9)
    area = 4 * np.prod(draws.extent, axis=1) * np.where(draws.round, np.pi / 4, 1)
    assert area.min() > 0
    assert area.max() <= 1 / 3 + 1e-9
    np.testing.assert_allclose(np.quantile(area, [0.25, 0.5]), [1 / 12, 1 / 6], atol=0.015)
    aspect = draws.extent[:, 0] / draws.extent[:, 1]
    assert 0.3 - 1e-9 <= aspect.min() < 0.35
    assert 2.9 < aspect.max() <= 1 / 0.3 + 1e-9
    # Four standard errors of a share of 2000.
    for share, wanted in ((draws.covered, 0.7), (draws.round, 0.5), (draws.noisy, 0.5)):
        assert abs(share.mean() - wanted) < 0.045
    halves = np.split(draws.covered, 2)
    assert abs(np.mean(halves[0] & halves[1]) - 0.49) < 0.065, "sources and targets by themselves"


# --- nothing, and everything ---------------------------------------------------------------------


def test_zero_draws_change_no_bit(people):
    settings = dataclasses.replace(EVERYTHING, occlude=0.5)
    changed = augment_images.apply(settings, people, _still(8), 32)
    for key, value in people.items():
        assert changed[key].dtype == value.dtype
        np.testing.assert_array_equal(changed[key], value)
    assert not augment.NONE.changes
    unchanged = augment_images.change_pictures(augment.NONE, people, _still(8))
    for key, value in people.items():
        assert unchanged[key] is value


@pytest.mark.parametrize(
    "settings",
    [augment.Augment(**MOVES), augment.Augment(**MOVES, **COLOURS)],
)
def test_background_is_magenta_to_the_bit_and_people_are_not(people, settings):
    changed = augment_images.apply(
        settings, people, _random(people, **dataclasses.asdict(settings)), 32
    )
    background = changed["image"][~changed["mask"]]
    np.testing.assert_array_equal(background, np.broadcast_to(MAGENTA, background.shape))
    person = changed["image"][changed["mask"]]
    assert np.mean(np.all(person == MAGENTA, axis=-1)) < 0.01
    assert np.abs(changed["image"]).max() <= 1


def test_no_magenta_gets_into_the_edge(people):
    """Of people who are all of one colour nothing but that colour is seen."""
    images = np.where(people["mask"][..., None], np.float32([0.25, 0.5, -0.75]), MAGENTA)
    found, masks = _pixels(
        augment.Augment(**MOVES),
        images,
        people["mask"],
        _random(people, **MOVES),
    )
    wanted = np.broadcast_to(np.float32([0.25, 0.5, -0.75]), found[masks].shape)
    np.testing.assert_allclose(found[masks], wanted, atol=1e-6)


@pytest.mark.parametrize(
    "names",
    [("rotate", "translate", "scale"), tuple(COLOURS), ("occlude",), None],
    ids=str,
)
def test_eagerly_in_a_graph_and_in_tf_data_the_same(people, names):
    import tensorflow as tf

    every = dataclasses.asdict(EVERYTHING)
    settings = augment.Augment(**{name: every[name] for name in names or every})
    draws = augment.draw(settings, 2, 0, range(4))
    pictures = {kind: people[kind] for kind in ("image", "mask", "parts", "depth")}
    arguments = (pictures, draws)
    eager = augment_images.change_pictures(settings, *arguments)
    graph = tf.function(lambda *given: augment_images.change_pictures(settings, *given))(*arguments)
    batched = tf.data.Dataset.from_tensors(arguments).map(
        lambda values, drawn: augment_images.change_pictures(
            settings, values, augment.AugmentParams(*drawn)
        )
    )
    (mapped,) = batched
    changed = augment_images.apply(settings, people, draws, 32)
    for found in (graph, mapped, changed):
        for kind, wanted in eager.items():
            np.testing.assert_array_equal(found[kind], wanted)
    assert np.any(eager["image"] != people["image"])


@pytest.mark.parametrize("side", [31, 32])
def test_images_do_not_depend_on_those_beside_them(people, side):
    images, masks = people["image"][:, :side, :side], people["mask"][:, :side, :side]
    draws = augment.draw(EVERYTHING, 1, 0, range(4))
    whole = _pixels(EVERYTHING, images, masks, draws)
    for rows in (slice(0, 1), slice(3, 5), slice(5, 8)):
        some = augment.AugmentParams(*(values[rows] for values in draws))
        alone = _pixels(EVERYTHING, images[rows], masks[rows], some)
        in_graph = augment_images._graph(EVERYTHING, ("image", "mask"))(
            {"image": images[rows], "mask": masks[rows]}, some
        )
        for found in (alone, (in_graph["image"], in_graph["mask"])):
            for value, wanted in zip(found, whole):
                np.testing.assert_array_equal(value, wanted[rows])


def test_the_same_images_come_every_time(people):
    """What a graph may do in any order must not show: sums of three would, once in 500 times."""
    draws = augment.draw(EVERYTHING, 1, 0, range(4))
    first = augment_images.apply(EVERYTHING, people, draws, 32)["image"]
    for _ in range(300):
        np.testing.assert_array_equal(
            augment_images.apply(EVERYTHING, people, draws, 32)["image"], first
        )


def test_every_image_has_noise_of_its_own(people):
    noise = np.array([[1, i] for i in range(8)], np.int32)
    yes = np.ones(8, bool)
    draws = _still(8, covered=yes, noisy=yes, extent=np.full((8, 2), 0.5), noise=noise)
    images, covered = _covering(people, draws)
    assert covered.all()
    assert len({image.tobytes() for image in images}) == 8
