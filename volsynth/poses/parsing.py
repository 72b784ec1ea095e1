"""Checks of numbers and parts of messages that the readers of all formats of poses share."""

import json
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Bool, Float

from volsynth.poses.pose import KeypointError

MOST_COORDINATE = 1e6
"""The largest absolute coordinate of a joint, in pixels or mm; no pose has joints further away."""

HALF_PIXEL = 0.5
"""The offset from coordinates whose (0, 0) is the centre of the top left pixel to ours, whose
(0, 0) is the outer corner of that pixel."""


def refuse_constant(constant: str) -> NoReturn:
    """Raises ValueError for NaN and infinities, which Python's `json` would take for numbers."""
    raise ValueError(f"{constant} is no number")


def check_order(path: object, wanted: str | None, found: str) -> str:
    """The order of joints that a file has, if it is the one that is wanted or none is.

    Raises:
      KeypointError: the file has another order than is wanted.
    """
    if wanted is not None and wanted != found:
        raise KeypointError(f"{path} has joints in the order {found}, not {wanted}.")
    return found


def are_coordinates(value: object, count: int) -> bool:
    """Whether a value is a list of so many numbers that can be coordinates."""
    return (
        isinstance(value, list)
        and len(value) == count
        # True and False are ints in Python, but no numbers in a file.
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
        and all(abs(v) <= MOST_COORDINATE for v in value)
    )


def split_triples(
    values: list[Any], where: str
) -> tuple[Float[np.ndarray, "J 2"], Bool[np.ndarray, "J"]]:
    """Joints in pixels, and which are known, of numbers x, y, confidence, x, y, ....

    A joint of confidence 0 was not found.

    Raises:
      KeypointError: the values are not all numbers that can be coordinates.
    """
    if not are_coordinates(values, len(values)):
        raise KeypointError(f"{where}: joints must be numbers within {MOST_COORDINATE:g}.")
    table = np.array(values, float).reshape(-1, 3)
    visible = table[:, 2] > 0
    return np.where(visible[:, None], table[:, :2] + HALF_PIXEL, 0), visible


def shorten(value: Any) -> str:
    """A value as JSON, cut to 60 characters, for messages."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
