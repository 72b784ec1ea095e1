"""Settings, records and draws that the tests of augmentation share."""

import numpy as np

from volsynth import conventions
from volsynth.data import augment, augment_images, decoding, makers
from volsynth.fields import OF_A_PICTURE

MOVES = {"rotate": 30.0, "translate": 0.1, "scale": 0.3}
COLOURS = {"hue": 0.2, "brightness": 0.2, "contrast": 0.3, "saturation": 0.4}
EVERYTHING = augment.Augment(**MOVES, **COLOURS, occlude=0.6)
MAGENTA = np.array(conventions.BACKGROUND, np.float32)


def people(data):
    """Eight records as `pipeline` gives them to be changed, with the optional fields."""
    split = data.split("train")
    numbers = range(0, 48, 6)
    record = decoding.read_fields(split, numbers, makers.record_fields(OF_A_PICTURE))
    return makers.make(OF_A_PICTURE, record, data.image_size)


def still(count, **others):
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


def random_draws(people, **settings):
    """Draws for records of pairs, from one seed and step."""
    return augment.draw(augment.Augment(**settings), 3, 5, range(len(people["image"]) // 2))


def pixels(settings, images, masks, draws):
    """Images and masks, changed."""
    pictures = {"image": images, "mask": masks}
    found = augment_images.change_pictures(settings, pictures, draws)
    return tuple(np.asarray(found[kind]) for kind in pictures)
