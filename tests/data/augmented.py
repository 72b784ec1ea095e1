"""What the tests of augmentation share: settings, and records to be changed."""

from volsynth.data import augment, pipeline

MOVES = {"rotate": 30.0, "translate": 0.1, "scale": 0.3}
COLOURS = {"hue": 0.2, "brightness": 0.2, "contrast": 0.3, "saturation": 0.4}
EVERYTHING = augment.Augment(**MOVES, **COLOURS, occlude=0.6)


def people(data):
    """Eight records as `pipeline` gives them to be changed, with their part labels."""
    split = data.split("train")
    numbers = range(0, 48, 6)
    values = pipeline._values(pipeline.read_fields(split, numbers, pipeline._READ))
    parts = pipeline.read_fields(split, numbers, ["parts"])["parts"][..., 0]
    return {**values, "parts": parts}
