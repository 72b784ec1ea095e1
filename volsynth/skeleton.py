"""The skeleton every system shares: fifteen joints, ten parts, limbs to draw, mirror pairs.

Right and left are the person's own. The joints and parts are those of Knoche, *Volumetric Feature
Transformation for Pose-Conditioned Human Image Synthesis* (2019), sections 4.3.2 and 6.1.
"""

from typing import NamedTuple

# Records of prepared data and trained weights depend on this order.
JOINTS = (
    "head_top",
    "head",
    "neck",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
)
"""The names of the joints, in the order of all arrays."""

NUM_JOINTS = len(JOINTS)

INDEX = {name: index for index, name in enumerate(JOINTS)}
"""The index of each joint by its name."""

HIPS = (INDEX["right_hip"], INDEX["left_hip"])
"""The indices of the hips, whose mean is the pelvis."""

SHOULDERS = (INDEX["right_shoulder"], INDEX["left_shoulder"])
"""The indices of the shoulders."""


class Part(NamedTuple):
    """A rigid part of the body.

    Attributes:
      name: what it is called in labels, logs and pictures.
      joints: indices of the joints that the mask connects, each with each, by straight lines.
      roll: for a part whose joints lie (nearly) on a line, the joints that fix its roll around that
        line: one joint `z` (the direction is `z` minus `joints[1]`, equation 4.1), or two joints
        (the direction from the second to the first). Empty where the joints suffice by themselves.
    """

    name: str
    joints: tuple[int, ...]
    roll: tuple[int, ...] = ()


def _limb(name: str, first: str, middle: str, third: str) -> Part:
    return Part(name, (INDEX[first], INDEX[middle]), (INDEX[third],))


# In each limb the joint shared with the neighbouring segment (elbow, knee) is the second one: the
# cross product of equation 4.1 is taken there.
PARTS = (
    Part("head", (INDEX["head_top"], INDEX["head"], INDEX["neck"]), SHOULDERS),
    Part("torso", (*SHOULDERS, *HIPS)),
    _limb("right_upper_arm", "right_shoulder", "right_elbow", "right_wrist"),
    _limb("right_lower_arm", "right_wrist", "right_elbow", "right_shoulder"),
    _limb("left_upper_arm", "left_shoulder", "left_elbow", "left_wrist"),
    _limb("left_lower_arm", "left_wrist", "left_elbow", "left_shoulder"),
    _limb("right_upper_leg", "right_hip", "right_knee", "right_ankle"),
    _limb("right_lower_leg", "right_ankle", "right_knee", "right_hip"),
    _limb("left_upper_leg", "left_hip", "left_knee", "left_ankle"),
    _limb("left_lower_leg", "left_ankle", "left_knee", "left_hip"),
)
"""The ten rigid parts, in the order of masks and transforms."""

NUM_PARTS = len(PARTS)
PART_NAMES = tuple(part.name for part in PARTS)


def _other_side(name: str) -> str:
    """The name of the counterpart on the other side of the body; a middle one is its own."""
    side, _, rest = name.partition("_")
    other = {"right": "left", "left": "right"}.get(side)
    return f"{other}_{rest}" if other else name


MIRROR = tuple(INDEX[_other_side(name)] for name in JOINTS)
"""The index of each joint's counterpart: `joints[list(MIRROR)]` exchanges the body's two sides."""

PART_MIRROR = tuple(PART_NAMES.index(_other_side(name)) for name in PART_NAMES)
"""The index of each part's counterpart."""

LIMBS = tuple(
    (INDEX[a], INDEX[b])
    for a, b in (
        ("head_top", "head"),
        ("head", "neck"),
        ("neck", "right_shoulder"),
        ("right_shoulder", "right_elbow"),
        ("right_elbow", "right_wrist"),
        ("neck", "left_shoulder"),
        ("left_shoulder", "left_elbow"),
        ("left_elbow", "left_wrist"),
        ("right_shoulder", "right_hip"),
        ("left_shoulder", "left_hip"),
        ("right_hip", "left_hip"),
        ("right_hip", "right_knee"),
        ("right_knee", "right_ankle"),
        ("left_hip", "left_knee"),
        ("left_knee", "left_ankle"),
    )
)
"""The pairs of joints that a picture of the skeleton connects."""


def side_of(a: int, b: int) -> str:
    """The person's own side that the limb between two joints belongs to.

    Returns:
      "left", "right", or "middle" for a limb of both sides or neither.
    """
    sides = {JOINTS[joint].split("_")[0] for joint in (a, b)} & {"left", "right"}
    (side,) = sides if len(sides) == 1 else ("middle",)
    return side
