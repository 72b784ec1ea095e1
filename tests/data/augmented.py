"""Settings, and records to be changed, which the tests of augmentation share."""

from volsynth.data import augment, decoding, makers
from volsynth.fields import OF_A_PICTURE

MOVES = {"rotate": 30.0, "translate": 0.1, "scale": 0.3}
COLOURS = {"hue": 0.2, "brightness": 0.2, "contrast": 0.3, "saturation": 0.4}
EVERYTHING = augment.Augment(**MOVES, **COLOURS, occlude=0.6)


def people(data):
    """Eight records as `pipeline` gives them to be changed, with the optional fields."""
    split = data.split("train")
    numbers = range(0, 48, 6)
    record = decoding.read_fields(split, numbers, makers.record_fields(OF_A_PICTURE))
    return makers.make(OF_A_PICTURE, record, data.image_size)
