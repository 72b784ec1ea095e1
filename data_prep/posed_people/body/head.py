"""Faces and hair in template coordinates: colours of the head, thickness of the hair on it."""

import numpy as np

from data_prep.posed_people.body.arithmetic import smoothstep
from data_prep.posed_people.body.person import Person

THICKNESS = {
    "buzz": 0.004, "short": 0.015, "swept": 0.024, "afro": 0.055,
    "bob": 0.016, "long": 0.016, "ponytail": 0.009, "bun": 0.009,
}  # fmt: skip
"""The distance (m) of hair from the skull, by hair style."""

_LINE_Z = (-0.11, -0.06, -0.03, 0.000, 0.020, 0.055, 0.085, 0.11)
"""The depths (m) at which the height of the hairline is given, from the back of the head to the
forehead."""

_LINE_Y = (1.565, 1.572, 1.595, 1.650, 1.672, 1.698, 1.714, 1.724)
"""The heights of the hairline (m), at the depths `_LINE_Z`."""


def hair_field(points: np.ndarray) -> np.ndarray:
    """The height (m) [N] of points [N, 3] above the hairline; hair grows where it is positive."""
    line = np.interp(points[:, 2], _LINE_Z, _LINE_Y)
    # The line is highest in the middle of the forehead and dips at the temples.
    temple = smoothstep(np.abs(points[:, 0]), 0.015, 0.065) * smoothstep(points[:, 2], 0.015, 0.070)
    return points[:, 1] - line + 0.014 * temple


def hair_offsets(person: Person, points: np.ndarray) -> np.ndarray:
    """The thickness (m) [N] of the hair at points [N, 3] of the head."""
    field = hair_field(points)
    amount = THICKNESS[person.hair_style] * smoothstep(
        field, -0.004, 0.030 if THICKNESS[person.hair_style] < 0.03 else 0.060
    )
    if person.hair_style == "swept":
        # More on top and in front: a quiff.
        amount *= 0.45 + 1.1 * smoothstep(points[:, 1], 1.66, 1.75)
    if person.hair_style == "short":
        amount *= 0.55 + 0.7 * smoothstep(points[:, 1], 1.64, 1.74)
    return amount


def hair_colours(person: Person, points: np.ndarray) -> np.ndarray:
    """Colours [N, 3] of hair at points [N, 3], with strands."""
    angle = np.arctan2(points[:, 0], -points[:, 2] - 0.01)
    strands = np.sin(angle * 31 + 3 * np.sin(points[:, 1] * 40)) + 0.6 * np.sin(angle * 73)
    return person.hair * (1.0 + 0.10 * strands)[:, None]


def head_colours(person: Person, points: np.ndarray) -> np.ndarray:
    """Colours [N, 3] of the head at points [N, 3]: skin, eyes, brows, mouth, beard and hair."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    skin = person.skin
    colour = np.broadcast_to(skin, points.shape).copy()
    face = z > 0.03
    ruddy = skin * [0.96, 0.80, 0.78]
    cheek = np.exp(-(((x - 0.042) / 0.018) ** 2) - ((y - 1.607) / 0.018) ** 2) * face * 0.45
    colour += cheek[:, None] * (ruddy - skin)
    if person.beard > 0:
        _beard(person, colour, x, y, z)
    smile = y - 1.569 - 5.0 * x * x
    lips = face & ((x / 0.026) ** 2 + (smile / 0.0090) ** 2 < 1)
    colour[lips] = skin * ([0.78, 0.42, 0.42] if person.female else [0.80, 0.56, 0.54])
    colour[lips & (np.abs(smile - 0.0005) < 0.0015)] = skin * 0.38
    colour[face & ((x - 0.008) ** 2 + (y - 1.597) ** 2 < 0.0045**2)] = skin * 0.45
    _eyes(person, colour, x, y, face)
    # Last, because hair covers whatever is under it.
    hair = hair_field(points) > 0.0
    ear = (x > 0.0745) & (z > -0.03) & (z < 0.02) & (y < 1.66)
    # These styles cover the ears.
    if person.hair_style not in ("bob", "long", "afro"):
        hair &= ~ear
    colour[hair] = hair_colours(person, points[hair])
    return colour


def _eyes(
    person: Person, colour: np.ndarray, x: np.ndarray, y: np.ndarray, face: np.ndarray
) -> None:
    """Paints eyes and brows into the colours."""
    u, v = (x - 0.033) / 0.0185, (y - 1.645) / 0.0100
    eye = face & (u * u + v * v < 1)
    # The lids first: a darker rim, of which the eye then covers the middle.
    colour[face & (u * u + ((y - 1.6475) / 0.0125) ** 2 < 1)] = person.skin * 0.42
    colour[eye] = (244, 242, 238)
    iris = eye & ((x - 0.032) ** 2 + (y - 1.646) ** 2 < 0.0088**2)
    colour[iris] = person.eyes
    colour[eye & ((x - 0.032) ** 2 + (y - 1.646) ** 2 < 0.0042**2)] = (16, 14, 14)
    arch = 1.669 - 3.0 * (x - 0.030) ** 2 + (0.0015 if person.female else 0.0)
    brow = (
        face
        & (x > 0.012)
        & (x < 0.056)
        & (np.abs(y - arch) < (0.0030 if person.female else 0.0048))
    )
    colour[brow] = np.minimum(person.hair * 0.72, person.skin * 0.62)


def _beard(person: Person, colour: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> None:
    """Mixes the beard into the colours."""
    line = np.interp(z, (-0.01, 0.03, 0.06, 0.09), (1.62, 1.600, 1.575, 1.562))
    chin = smoothstep(line - y, -0.004, 0.012)
    lip = (z > 0.05) & (np.abs(y - 1.584 + 0.15 * x) < 0.0055) & (x < 0.034)
    area = np.maximum(chin * (z > -0.01), lip) * min(0.92, 0.25 + person.beard)
    colour += area[:, None] * (0.5 * (person.hair + person.skin * 0.35) - colour)
