"""Augmented pictures: fields that change together, zero draws, and the same bits every time."""

import dataclasses

import augmented
import numpy as np
import pytest
from augmented import COLOURS, EVERYTHING, MAGENTA, MOVES

from volsynth.data import augment, augment_images


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


def test_zero_draws_change_no_bit(people):
    settings = dataclasses.replace(EVERYTHING, occlude=0.5)
    changed = augment_images.apply(settings, people, augmented.still(8), 32)
    for key, value in people.items():
        assert changed[key].dtype == value.dtype
        np.testing.assert_array_equal(changed[key], value)
    assert not augment.NONE.changes
    unchanged = augment_images.change_pictures(augment.NONE, people, augmented.still(8))
    for key, value in people.items():
        assert unchanged[key] is value


@pytest.mark.parametrize(
    "settings",
    [augment.Augment(**MOVES), augment.Augment(**MOVES, **COLOURS)],
)
def test_background_is_magenta_to_the_bit_and_people_are_not(people, settings):
    changed = augment_images.apply(
        settings, people, augmented.random_draws(people, **dataclasses.asdict(settings)), 32
    )
    background = changed["image"][~changed["mask"]]
    np.testing.assert_array_equal(background, np.broadcast_to(MAGENTA, background.shape))
    person = changed["image"][changed["mask"]]
    assert np.mean(np.all(person == MAGENTA, axis=-1)) < 0.01
    assert np.abs(changed["image"]).max() <= 1


def test_no_magenta_gets_into_the_edge(people):
    """People who are all of one colour show nothing but that colour."""
    images = np.where(people["mask"][..., None], np.float32([0.25, 0.5, -0.75]), MAGENTA)
    found, masks = augmented.pixels(
        augment.Augment(**MOVES),
        images,
        people["mask"],
        augmented.random_draws(people, **MOVES),
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
    whole = augmented.pixels(EVERYTHING, images, masks, draws)
    for rows in (slice(0, 1), slice(3, 5), slice(5, 8)):
        some = augment.AugmentParams(*(values[rows] for values in draws))
        alone = augmented.pixels(EVERYTHING, images[rows], masks[rows], some)
        in_graph = augment_images._graph(EVERYTHING, ("image", "mask"))(
            {"image": images[rows], "mask": masks[rows]}, some
        )
        for found in (alone, (in_graph["image"], in_graph["mask"])):
            for value, wanted in zip(found, whole):
                np.testing.assert_array_equal(value, wanted[rows])


def test_the_same_images_come_every_time(people):
    """The order in which a graph works must not show: sums of three would, once in 500 times."""
    draws = augment.draw(EVERYTHING, 1, 0, range(4))
    first = augment_images.apply(EVERYTHING, people, draws, 32)["image"]
    for _ in range(300):
        np.testing.assert_array_equal(
            augment_images.apply(EVERYTHING, people, draws, 32)["image"], first
        )
