"""The schema of a record, which is one image of one person: the fields with shape, unit and range.

Builders under `data_prep/` write records, `data.pipeline` reads them, and both check them here.
Coordinates are those of the whole package: x right, y down, z away from the camera, and the centre
of the pixel in row i and column j lies at (j + 0.5, i + 0.5).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from volsynth import skeleton
from volsynth.errors import UserError, did_you_mean
from volsynth.poses import joint_orders


class RecordError(UserError):
    """A record does not follow the schema."""


class Field(NamedTuple):
    """The description of one entry of a record.

    Attributes:
      kind: "image" (stored as PNG), "array", "text" or "integer".
      shape: axis lengths; "S" stands for the side of the square image, "J" for the number of joints
        in the data set's own order. Empty for text and integers.
      dtype: NumPy dtype name; "str" for text.
      unit: what one unit of a value is.
      low: smallest allowed value, where there is one.
      high: largest allowed value, where there is one.
      required: whether every data set has the field.
      doc: meaning of the field in one line.
    """

    kind: str
    shape: tuple[int | str, ...]
    dtype: str
    unit: str
    low: float | None
    high: float | None
    required: bool
    doc: str


_J = skeleton.NUM_JOINTS
_P = skeleton.NUM_PARTS

FIELDS: Mapping[str, Field] = {
    "image": Field(
        "image", ("S", "S", 3), "uint8", "RGB", 0, 255, True, "the person on magenta, cropped"
    ),
    # As a byte, since a PNG has no booleans.
    "mask": Field(
        "image", ("S", "S", 1), "uint8", "1", 0, 1, True, "1 where the person is, 0 elsewhere"
    ),
    "joints_px": Field(
        "array", (_J, 2), "float32", "pixel of image", None, None, True, "projected joints (x, y)"
    ),
    "joints_mm": Field(
        "array", (_J, 3), "float32", "mm", None, None, True, "joints in camera coordinates"
    ),
    "visible": Field(
        "array", (_J,), "bool", "-", None, None, True, "whether the joint's position is known"
    ),
    # Entries of a rotation are in [-1, 1]; in float32 they may be rounded beyond.
    "camera_rotation": Field(
        "array", (3, 3), "float32", "-", -1.001, 1.001, True, "R in X_cam = R (X_world - t)"
    ),
    "camera_position": Field(
        "array", (3,), "float32", "mm", None, None, True, "t in X_cam = R (X_world - t)"
    ),
    "camera_intrinsics": Field(
        "array", (3, 3), "float32", "pixel of image", None, None, True, "K of the cropped image"
    ),
    "camera_distortion": Field(
        "array", (5,), "float32", "-", None, None, True, "k1, k2, k3, p1, p2; zero without lens"
    ),
    "person": Field("text", (), "str", "-", None, None, True, "id of the person"),
    "outfit": Field("text", (), "str", "-", None, None, True, "id of the clothes, per person"),
    "action": Field("text", (), "str", "-", None, None, True, "what the person does"),
    "camera": Field("text", (), "str", "-", None, None, True, "id of the camera"),
    "frame": Field("integer", (), "int64", "frame", 0, None, True, "position in its sequence"),
    "parts": Field(
        "image",
        ("S", "S", 1),
        "uint8",
        "part",
        0,
        _P,
        False,
        "0 background, else 1 + index in skeleton.PARTS of the part one sees",
    ),
    "depth": Field(
        "image", ("S", "S", 1), "uint16", "mm", 0, 65535, False, "along z; 0 is background"
    ),
    "order": Field(
        "text",
        (),
        "str",
        "-",
        None,
        None,
        False,
        "of the joints as they were, see volsynth.poses.joint_orders",
    ),
    "original_px": Field(
        "array", ("J", 2), "float32", "pixel of image", None, None, False, "joints as they were"
    ),
    "original_mm": Field(
        "array", ("J", 3), "float32", "mm", None, None, False, "the same in camera coordinates"
    ),
    "original_visible": Field(
        "array", ("J",), "bool", "-", None, None, False, "which of them are known"
    ),
    "camera_model": Field(
        "text",
        (),
        "str",
        "-",
        None,
        None,
        False,
        "of the lens: none, human36m or brown, see geometry.project; human36m where it is missing",
    ),
}

# Fields that a record has all or none of: joints in the data set's own order.
_ORIGINAL = ("order", "original_px", "original_mm", "original_visible")

CAMERA_MODELS = {"none": 0.0, "human36m": 1.0, "brown": 2.0}
"""The factors of the tangential cross terms by model of the lens, see `geometry.project`.

With the model "none" the numbers of the distortion mean nothing.
"""


def validate(record: Mapping[str, Any], name: str = "record") -> None:
    """Checks a decoded record (images as arrays, text as str) against the schema.

    Args:
      record: values by the name of the field.
      name: name of the record for error messages.

    Raises:
      RecordError: a field is missing, unknown, of the wrong shape or dtype, not finite, or out of
        range; or fewer than two joints are visible; or the mask is empty; or the joints in the data
        set's own order are not those of any order.
    """
    unknown = sorted(set(record) - set(FIELDS))
    if unknown:
        raise RecordError(f"{name}: unknown field {unknown[0]!r}. Allowed: {', '.join(FIELDS)}.")
    for key, field in FIELDS.items():
        if key not in record:
            if field.required:
                raise RecordError(
                    f"{name}: field {key!r} is missing ({field.doc}). Prepare the data set again "
                    f"with a builder that writes it."
                )
            continue
        _validate_field(name, key, field, record[key])
    sides = {
        np.shape(record[key])[0] for key, f in FIELDS.items() if f.kind == "image" and key in record
    }
    if len(sides) > 1:
        raise RecordError(f"{name}: its images have different sides, {sorted(sides)}.")
    if np.sum(record["visible"]) < 2:
        raise RecordError(f"{name}: field 'visible' has fewer than 2 visible joints of {_J}.")
    if not np.any(record["mask"]):
        raise RecordError(f"{name}: field 'mask' is empty: no pixel belongs to the person.")
    _validate_originals(name, record)
    if record.get("camera_model", "none") not in CAMERA_MODELS:
        raise RecordError(
            f"{name}: field 'camera_model' must be one of {', '.join(CAMERA_MODELS)}, got "
            f"{record['camera_model']!r}."
        )


def _validate_originals(name: str, record: Mapping[str, Any]) -> None:
    """Checks the joints in the data set's own order: all of their fields, and as many as it has."""
    there = [key for key in _ORIGINAL if key in record]
    if not there:
        return
    if len(there) < len(_ORIGINAL):
        missing = next(key for key in _ORIGINAL if key not in record)
        raise RecordError(f"{name}: it has field {there[0]!r}, and no field {missing!r}.")
    if record["order"] not in joint_orders.ORDERS:
        raise RecordError(
            f"{name}: field 'order': {did_you_mean(record['order'], joint_orders.ORDERS)}"
        )
    count = len(joint_orders.find_order(record["order"]).joints)
    for key in _ORIGINAL[1:]:
        if len(record[key]) != count:
            raise RecordError(
                f"{name}: field {key!r} must have {count} joints ({record['order']}), got "
                f"{len(record[key])}."
            )


def _validate_field(name: str, key: str, field: Field, value: Any) -> None:
    if field.kind == "text":
        if not isinstance(value, str) or not value:
            raise RecordError(
                f"{name}: field {key!r} must be text that is not empty, got {value!r}."
            )
        return
    array = np.asarray(value)
    if array.dtype != np.dtype(field.dtype):
        raise RecordError(f"{name}: field {key!r} must be {field.dtype}, got {array.dtype}.")
    side = array.shape[0] if array.ndim else 0
    # The length of an axis "J" depends on another field and is checked with that; here it only has
    # to be there.
    wanted = tuple(side if axis in ("S", "J") else axis for axis in field.shape)
    if array.shape != wanted or (field.kind == "image" and side == 0):
        raise RecordError(
            f"{name}: field {key!r} must have shape {field.shape}, got {array.shape}."
        )
    # Compared with the bounds below, NaN would pass.
    if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        raise RecordError(f"{name}: field {key!r} holds values that are not finite.")
    if (field.low is not None and np.min(array) < field.low) or (
        field.high is not None and np.max(array) > field.high
    ):
        raise RecordError(
            f"{name}: field {key!r} must lie in [{field.low}, {field.high}] {field.unit}, "
            f"got [{np.min(array)}, {np.max(array)}]."
        )
