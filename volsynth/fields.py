"""The fields of batches and of the outputs of systems: the only description of each.

All code that handles batches reads these tables: the pipeline decodes what a system declares in
`System.inputs`, augmentation changes each field as the table says, the mesh splits it, and exported
models check it. A system that needs another field adds an entry here, and its maker in
`volsynth.data.makers`.

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
"""The ways in which augmentation treats a field.

Images are moved and recoloured, interpolating among pixels of the person; masks and labels take the
nearest pixel; points, in pixels, are moved; directions, in a unit of length, are turned and keep
their lengths.
"""


class Field(NamedTuple):
    """The description of one array in a batch, or among the outputs of a system.

    Attributes:
      axes: lengths of the axes after the axis of the batch.
      dtype: name of the NumPy dtype.
      unit: unit of the values; "-" for none.
      low: smallest value that the field takes, where there is one.
      high: largest value that the field takes, where there is one.
      augmented: how augmentation treats the field.
      doc: meaning of the field in a few words.
      optional: whether the field is only in batches for which it was asked, as not every data set
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
        """Whether the field has the rows and columns of an image, which devices may share."""
        # Channels come last, where there are any.
        return self.axes[-3:-1] == ("S", "S") or self.axes[-2:] == ("S", "S")

    @property
    def is_clip(self) -> bool:
        """Whether the field has a value for every frame of a clip."""
        return "T" in self.axes

    @property
    def rows_axis(self) -> int:
        """The axis of a picture's rows, where axis 0 is that of the batch."""
        return 1 + self.axes.index("S")

    def shape(self, batch_size: int, image_size: int, frames: int = 1) -> tuple[int, ...]:
        """The shape of the array in a batch, for images of this side and clips of this length."""
        lengths = {"S": image_size, "T": frames}
        return (
            batch_size,
            *(axis if isinstance(axis, int) else lengths[axis] for axis in self.axes),
        )

    def describe(self) -> str:
        """The dtype, axes, meaning and unit in a line, such as "bool [B, 15], which joints ..."."""
        axes = ", ".join(map(str, ("B", *self.axes)))
        unit = "" if self.unit == "-" else f" ({self.unit})"
        return f"{self.dtype} [{axes}], {self.doc}{unit}"


ROLES = ("source", "target")
"""The roles of the two pictures of a pair: the person as given, and the same person as wanted."""

ALSO = "also"
"""The role of a further picture of the person as given, for systems that look at two."""

# Adding a kind of field here needs a maker of it in `data.makers`, and no other change.
_J = skeleton.NUM_JOINTS
_P = skeleton.NUM_PARTS

OF_A_PICTURE: Mapping[str, Field] = {
    "image": Field(
        ("S", "S", 3), "float32", "RGB", -1, 1, "image", "the person on a magenta background"
    ),
    "mask": Field(("S", "S"), "bool", "-", None, None, "mask", "which pixels show the person"),
    # Depth has the unit of x and y, so that a pose turns and scales alike along all axes.
    "joints": Field(
        (_J, 3), "float32", "pixel", None, None, "points", "joints x, y, z; mean depth is S / 2"
    ),
    "joints_mm": Field(
        (_J, 3), "float32", "mm", None, None, "directions", "joints from the pelvis, camera's axes"
    ),
    # Unchanged also where augmentation moves a joint out of the picture: its position is known.
    "visible": Field(
        (_J,), "bool", "-", None, None, "unchanged", "which joints have a known position"
    ),
    # Labels are never mixed: between part 2 and part 4 there is no part 3.
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
"""The kinds of fields that a batch holds of each picture of a pair; their names in the batch are
`ROLE_KIND`, such as `source_image`."""

BATCH: Mapping[str, Field] = {
    f"{role}_{kind}": field for role in (*ROLES, ALSO) for kind, field in OF_A_PICTURE.items()
}
"""All fields that a batch may have, by their names in the batch."""

EVALUATION: Mapping[str, Field] = {
    "valid": Field(
        (), "bool", "-", None, None, "unchanged", "False for rows that fill up the last batch"
    ),
    # By these numbers scores name the pictures that they are of.
    "records": Field(
        (2,), "int32", "record", 0, None, "unchanged", "numbers of source and target in their split"
    ),
}
"""The fields that batches of evaluation hold besides those that were asked for."""

PAIR = tuple(
    f"{role}_{kind}" for role in ROLES for kind, field in OF_A_PICTURE.items() if not field.optional
)
"""Names of the fields that every data set has, for both pictures of a pair."""

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
"""All outputs of forward passes that some task scores, by name."""

TASK_OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "image": ("image",),
    "image_and_pose": ("image", "pose_joints"),
    "pose": ("joints_mm", "joints_px"),
}
"""Names of the outputs that a system of each task has at least; scores and exported models read it.

image: the target's picture, from the source's picture and the target's pose. image_and_pose: also
the source's joints. pose: the pose in the target's picture.
"""


def role_and_kind(name: str) -> tuple[str, str]:
    """The role and the kind in the name of a field of a batch.

    The name "source_joints_mm" has the role "source" and the kind "joints_mm".

    Raises:
      UserError: a batch has no such field.
    """
    if name not in BATCH:
        raise UserError(f"a batch has no field {name!r}; {did_you_mean(name, BATCH)}")
    role, _, kind = name.partition("_")
    return role, kind


def find(name: str) -> Field:
    """The field with this name in a batch, of training or of evaluation.

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
    """The shape and the dtype of each field of a batch.

    Args:
      names: names of the fields, see `BATCH`.
      batch_size: number of examples in the batch, B.
      image_size: side of the images in pixels, S.
      frames: number of frames of a clip, T.

    Raises:
      UserError: no batch has such a field.
    """
    fields = {name: find(name) for name in names}
    return {
        name: (field.shape(batch_size, image_size, frames), field.dtype)
        for name, field in fields.items()
    }
