"""The fields of a batch and of what systems make of it: each described once, for everyone.

Whoever handles batches reads these tables: the pipeline decodes what a system declares in
`System.inputs`, augmentation moves each field as it says here, the mesh splits it, exported models
check it, and docs/api.md prints it. A system that needs another field adds an entry, and a maker of
it in `volsynth.data`.

Coordinates are those of the whole package: x right, y down, z away from the camera, and the centre
of the pixel in row i and column j lies at (j + 0.5, i + 0.5).
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from volsynth import skeleton
from volsynth.errors import UserError, did_you_mean

Axis = int | Literal["S", "T"]
"""The length of an axis: a number, "S" for the side of the square image in pixels, or "T" for the
frames of a clip."""

Augmented = Literal["image", "mask", "labels", "points", "directions", "unchanged"]
"""How augmentation treats a field. Images are moved and recoloured, interpolating among pixels of
the person; masks and labels are moved to the nearest pixel; points, in pixels, are moved;
directions, in a unit of length, are turned and keep their lengths."""


class Field(NamedTuple):
    """One entry of a batch, or of what a system makes of it.

    Attributes:
      axes: lengths of the axes after the batch's.
      dtype: name of the NumPy dtype.
      unit: what one unit of a value is.
      low: smallest value that it takes, where there is one.
      high: largest value that it takes, where there is one.
      augmented: how augmentation treats it.
      doc: what it is, in a few words.
      optional: whether it is only in batches for which it was asked, and only where the data set
        stores it.
    """

    axes: tuple[Axis, ...]
    dtype: str
    unit: str
    low: float | None
    high: float | None
    augmented: Augmented
    doc: str
    optional: bool = False

    @property
    def is_picture(self) -> bool:
        """Whether it has the rows and columns of an image, which devices may share by height."""
        return self.axes[-3:-1] == ("S", "S") or self.axes[-2:] == ("S", "S")

    @property
    def is_clip(self) -> bool:
        """Whether it has a value for every frame of a clip."""
        return "T" in self.axes

    @property
    def rows_axis(self) -> int:
        """The axis of a picture's rows, counted with the batch's as axis 0."""
        return 1 + self.axes.index("S")

    def shape(self, batch_size: int, image_size: int, frames: int = 1) -> tuple[int, ...]:
        """The shape of the whole array, the batch's axis first."""
        lengths = {"S": image_size, "T": frames}
        return (
            batch_size,
            *(axis if isinstance(axis, int) else lengths[axis] for axis in self.axes),
        )

    def describe(self) -> str:
        """Dtype, axes, meaning and unit in a line, such as "bool [B, 15], whether ..."."""
        axes = ", ".join(map(str, ("B", *self.axes)))
        unit = "" if self.unit == "-" else f" ({self.unit})"
        return f"{self.dtype} [{axes}], {self.doc}{unit}"


ROLES = ("source", "target")
"""The two pictures of a pair: the person as given, and the same person as wanted."""

_J = skeleton.NUM_JOINTS
_P = skeleton.NUM_PARTS

OF_A_PICTURE: Mapping[str, Field] = {
    "image": Field(
        ("S", "S", 3), "float32", "RGB", -1, 1, "image", "the person on a magenta background"
    ),
    "mask": Field(("S", "S"), "bool", "-", None, None, "mask", "which pixels show the person"),
    "joints": Field(
        (_J, 3), "float32", "pixel", None, None, "points", "joints x, y, z; mean depth is S / 2"
    ),
    "joints_mm": Field(
        (_J, 3), "float32", "mm", None, None, "directions", "joints from the pelvis, camera's axes"
    ),
    "visible": Field(
        (_J,), "bool", "-", None, None, "unchanged", "which joints have a known position"
    ),
    "parts": Field(
        ("S", "S"),
        "uint8",
        "part",
        0,
        _P,
        "labels",
        "0 for background, else 1 + index in skeleton.PARTS of the part that is seen",
        optional=True,
    ),
    "depth": Field(
        ("S", "S"), "uint16", "mm", 0, 65535, "labels", "along z; 0 for background", optional=True
    ),
}
"""What a batch holds of each picture of a pair, by kind; `ROLE_KIND` is the name in the batch."""

BATCH: Mapping[str, Field] = {
    f"{role}_{kind}": field for role in ROLES for kind, field in OF_A_PICTURE.items()
}
"""Every field that a batch may have, by its name in the batch, such as `source_image`."""

EVALUATION: Mapping[str, Field] = {
    "valid": Field(
        (), "bool", "-", None, None, "unchanged", "False for rows that fill up the last batch"
    ),
    "records": Field(
        (2,), "int32", "record", 0, None, "unchanged", "numbers of source and target in their split"
    ),
}
"""What batches of evaluation hold besides."""

PAIR = tuple(name for name, field in BATCH.items() if not field.optional)
"""The fields of a pair of pictures that every data set has."""

OUTPUTS: Mapping[str, Field] = {
    "image": Field(
        ("S", "S", 3), "float32", "RGB", -1, 1, "unchanged", "the target's picture, as generated"
    ),
    "pose_joints": Field(
        (_J, 3), "float32", "pixel", None, None, "unchanged", "the source's joints, as found"
    ),
    "joints_mm": Field(
        (_J, 3), "float32", "mm", None, None, "unchanged", "joints as found, from the pelvis"
    ),
    "joints_px": Field(
        (_J, 2), "float32", "pixel", None, None, "unchanged", "joints as found, in the picture"
    ),
}
"""Every output of a forward pass that some task scores, by name."""

TASK_OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "image": ("image",),
    "image_and_pose": ("image", "pose_joints"),
    "pose": ("joints_mm", "joints_px"),
}
"""The outputs that a system of each task has at least; scores, exported models and tests go by it.

image: the target's picture from the source's and the target's pose. image_and_pose: that, and the
source's joints. pose: the pose in the target's picture.
"""


def role_and_kind(name: str) -> tuple[str, str]:
    """The role and the kind that a field's name is made of: "source_joints_mm" has "source" and
    "joints_mm".

    Raises:
      UserError: a batch has no such field.
    """
    if name not in BATCH:
        raise UserError(f"a batch has no field {name!r}; {did_you_mean(name, BATCH)}")
    role, _, kind = name.partition("_")
    return role, kind


def find(name: str) -> Field:
    """The field of that name in a batch.

    Raises:
      UserError: no batch has such a field.
    """
    known = {**BATCH, **EVALUATION}
    if name not in known:
        raise UserError(f"a batch has no field {name!r}; {did_you_mean(name, known)}")
    return known[name]


def shapes(
    names: Iterable[str], batch_size: int, image_size: int, frames: int = 1
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of each field of a batch.

    Args:
      names: of the fields, see `BATCH`.
      batch_size: examples in the batch, B.
      image_size: side of the images, S pixels.
      frames: length of clips, T.

    Raises:
      UserError: no batch has such a field.
    """
    fields = {name: find(name) for name in names}
    return {
        name: (field.shape(batch_size, image_size, frames), field.dtype)
        for name, field in fields.items()
    }
