"""Makers of the fields of a batch from the fields of records, one for each kind of field.

A new field of a batch needs an entry in `volsynth.fields` and one in the table here.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from volsynth.ops import geometry

Values = dict[str, np.ndarray]
"""Fields of N pictures by kind, each [N, ...]; see `fields.OF_A_PICTURE`."""


class Maker(NamedTuple):
    """The recipe of one kind of field.

    Attributes:
      record_fields: names of the fields of a record that are needed, see `schema.FIELDS`.
      make: function from these fields of N records, decoded, and the side of the images in pixels,
        to the field, [N, ...].
    """

    record_fields: tuple[str, ...]
    make: Callable[[Mapping[str, np.ndarray], int], np.ndarray]


def _image(record, side):
    # 0 and 255 become -1 and 1 exactly.
    return record["image"].astype(np.float32) / 127.5 - 1


def _mask(record, side):
    return record["mask"][..., 0] > 0


def _joints(record, side):
    return geometry.image_pose(
        record["joints_px"],
        record["joints_mm"],
        record["visible"],
        record["camera_intrinsics"],
        side,
    )


MAKERS: Mapping[str, Maker] = {
    "image": Maker(("image",), _image),
    "mask": Maker(("mask",), _mask),
    "joints": Maker(("joints_px", "joints_mm", "visible", "camera_intrinsics"), _joints),
    # From the pelvis, since one picture does not say how far away the person is.
    "joints_mm": Maker(
        ("joints_mm",), lambda record, side: geometry.from_pelvis(record["joints_mm"])
    ),
    "visible": Maker(("visible",), lambda record, side: record["visible"]),
    # A PNG has an axis of channels, also where there is but one.
    "parts": Maker(("parts",), lambda record, side: record["parts"][..., 0]),
    "depth": Maker(("depth",), lambda record, side: record["depth"][..., 0]),
}
"""The maker of each kind of field of a batch, by the names of `fields.OF_A_PICTURE`."""


def record_fields(kinds: Iterable[str]) -> tuple[str, ...]:
    """Names of the fields of a record that fields of these kinds are made of, each once."""
    return tuple(dict.fromkeys(name for kind in kinds for name in MAKERS[kind].record_fields))


def make(kinds: Iterable[str], record: Mapping[str, np.ndarray], side: int) -> Values:
    """Makes fields of these kinds from N decoded records.

    Args:
      kinds: names in `MAKERS`.
      record: the fields that `record_fields(kinds)` names, each [N, ...].
      side: side of the square images, pixels.
    """
    return {kind: MAKERS[kind].make(record, side) for kind in kinds}
