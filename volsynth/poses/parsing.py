"""What the readers of all formats share: numbers that can be coordinates, and how to say others."""

import json

import numpy as np

from volsynth.poses.pose import KeypointError

MOST_COORDINATE = 1e6
"""Of pixels and mm; what is further away is no pose."""

HALF = 0.5
"""From where others have (0, 0), the centre of the top left pixel, to where we have it."""


def refuse(constant):
    """Raises ValueError for NaN and infinities, which `json` would take for numbers."""
    raise ValueError(f"{constant} is no number")


def agree(path, wanted, found):
    """`found`, unless it is not the order that is wanted, which is a KeypointError."""
    if wanted is not None and wanted != found:
        raise KeypointError(f"{path} has joints in the order {found}, not {wanted}.")
    return found


def numbers(value, count):
    """Whether it is a list of so many numbers that can be coordinates."""
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
        and all(abs(v) <= MOST_COORDINATE for v in value)
    )


def triples(values, where):
    """Joints and visibility of x, y, confidence, ...; a joint of confidence 0 was not found."""
    if not numbers(values, len(values)):
        raise KeypointError(f"{where}: joints must be numbers within {MOST_COORDINATE:g}.")
    table = np.array(values, float).reshape(-1, 3)
    visible = table[:, 2] > 0
    return np.where(visible[:, None], table[:, :2] + HALF, 0), visible


def short(value):
    """A value as JSON, cut to 60 characters, for messages."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
