"""The record's schema: what passes, and the message of everything that does not."""

import re

import numpy as np
import pytest

from volsynth import skeleton
from volsynth.data import schema
from volsynth.errors import UserError

SIDE = 8
ORIGINAL = {
    "order": "coco_17",
    "original_px": np.ones((17, 2), np.float32),
    "original_mm": np.ones((17, 3), np.float32),
    "original_visible": np.ones(17, bool),
}


def _record(**changes):
    rng = np.random.default_rng(0)
    mask = np.zeros((SIDE, SIDE, 1), np.uint8)
    mask[2:6, 3:5] = 1
    record = {
        "image": rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8),
        "mask": mask,
        "joints_px": rng.uniform(0, SIDE, (15, 2)).astype(np.float32),
        "joints_mm": rng.uniform(-900, 900, (15, 3)).astype(np.float32),
        "visible": np.ones(15, bool),
        "camera_rotation": np.eye(3, dtype=np.float32),
        "camera_position": np.array([0, 0, -3000], np.float32),
        "camera_intrinsics": np.diag([80, 80, 1]).astype(np.float32),
        "camera_distortion": np.zeros(5, np.float32),
        "person": "p1",
        "outfit": "o1",
        "action": "walking",
        "camera": "c0",
        "frame": np.int64(3),
    }
    return {**record, **changes}


def _without(name):
    record = _record()
    del record[name]
    return record


def _refused(record, message):
    with pytest.raises(schema.RecordError, match=re.escape(message)) as caught:
        schema.validate(record, "record 7")
    assert str(caught.value).startswith("record 7: ")
    assert isinstance(caught.value, UserError)


def test_a_valid_record_passes_with_and_without_the_optional_fields():
    schema.validate(_record())
    parts = np.full((SIDE, SIDE, 1), skeleton.NUM_PARTS, np.uint8)
    depth = np.full((SIDE, SIDE, 1), 65535, np.uint16)
    schema.validate(_record(parts=parts, depth=depth))
    schema.validate(_record(camera_model="brown", **ORIGINAL))
    optional = {name for name, field in schema.FIELDS.items() if not field.required}
    assert optional == {"parts", "depth", "camera_model", *ORIGINAL}
    assert set(_record()) == set(schema.FIELDS) - optional


@pytest.mark.parametrize("name", [n for n, f in schema.FIELDS.items() if f.required])
def test_a_missing_field_is_named_and_explained(name):
    doc = schema.FIELDS[name].doc
    _refused(_without(name), f"field {name!r} is missing ({doc}). Prepare the data set again")


def test_an_unknown_field_is_named_with_those_allowed():
    _refused(_record(joints=0), "unknown field 'joints'. Allowed: image, mask, joints_px,")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("image", np.zeros((SIDE, SIDE, 3)), "field 'image' must be uint8, got float64."),
        ("visible", np.ones(15), "field 'visible' must be bool, got float64."),
        ("frame", np.int32(3), "field 'frame' must be int64, got int32."),
        ("frame", 3.0, "field 'frame' must be int64, got float64."),
    ],
)
def test_a_dtype_that_differs(name, value, message):
    _refused(_record(**{name: value}), message)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("image", (SIDE, SIDE + 1, 3)),
        ("image", (SIDE, SIDE, 4)),
        ("image", (0, 0, 3)),
        ("mask", (SIDE, SIDE)),
        ("joints_px", (14, 2)),
        ("joints_px", (15, 3)),
        ("joints_mm", (45,)),
        ("visible", ()),
        ("frame", (1,)),
    ],
)
def test_a_shape_that_differs(name, shape):
    field = schema.FIELDS[name]
    value = np.ones(shape, field.dtype)
    _refused(
        _record(**{name: value}), f"field {name!r} must have shape {field.shape}, got {shape}."
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["joints_px", "joints_mm", "camera_intrinsics"])
def test_values_that_are_not_finite(name, bad):
    value = _record()[name].copy()
    value[-1, -1] = bad
    _refused(_record(**{name: value}), f"field {name!r} holds values that are not finite.")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mask", 255, "field 'mask' must lie in [0, 1] 1, got [255, 255]."),
        ("parts", 11, "field 'parts' must lie in [0, 10] part, got [11, 11]."),
        ("camera_rotation", 1.5, "field 'camera_rotation' must lie in [-1.001, 1.001] -, got"),
        ("camera_rotation", -1.5, "field 'camera_rotation' must lie in"),
        ("frame", -1, "field 'frame' must lie in [0, None] frame, got [-1, -1]."),
    ],
)
def test_values_out_of_range(name, value, message):
    field = schema.FIELDS[name]
    shape = tuple(SIDE if axis == "S" else axis for axis in field.shape)
    _refused(_record(**{name: np.full(shape, value, field.dtype)}), message)


def test_images_of_differing_sides():
    mask = np.ones((4, 4, 1), np.uint8)
    _refused(_record(mask=mask), "its images have different sides, [4, 8].")


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_visible_joints(count):
    _refused(_record(visible=np.arange(15) < count), "fewer than 2 visible joints of 15.")


def test_two_visible_joints_are_enough():
    schema.validate(_record(visible=np.arange(15) < 2))


def test_an_empty_mask():
    empty = np.zeros((SIDE, SIDE, 1), np.uint8)
    _refused(_record(mask=empty), "field 'mask' is empty: no pixel belongs to the person.")


@pytest.mark.parametrize("value", ["", b"p1", 3, None])
def test_text_that_is_none(value):
    _refused(_record(person=value), f"field 'person' must be text that is not empty, got {value!r}")


def test_joints_as_they_were_come_all_or_none_and_as_many_as_their_order_has():
    some = {key: value for key, value in ORIGINAL.items() if key != "original_mm"}
    _refused(_record(**some), "it has field 'order', and no field 'original_mm'.")
    _refused(_record(**{**ORIGINAL, "order": "coco_16"}), "field 'order': did you mean 'coco_17'?")
    _refused(
        _record(**{**ORIGINAL, "original_visible": np.ones(15, bool)}),
        "field 'original_visible' must have 17 joints (coco_17), got 15.",
    )
    _refused(
        _record(**{**ORIGINAL, "original_px": np.ones((17, 3), np.float32)}),
        "field 'original_px' must have shape ('J', 2), got (17, 3).",
    )


def test_a_model_of_a_lens_that_is_not_known():
    _refused(_record(camera_model="fisheye"), "must be one of none, human36m, brown, got 'fisheye'")
