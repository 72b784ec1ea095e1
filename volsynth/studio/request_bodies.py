"""Bodies of the studio's requests: the sizes and types allowed, and the form of JSON."""

from typing import Annotated

import pydantic

from volsynth.images import clips
from volsynth.poses.parsing import MOST_COORDINATE
from volsynth.skeleton import NUM_JOINTS
from volsynth.studio import page_poses
from volsynth.web import guard

# The page sends an octet-stream where the browser does not know the type of a file.
PICTURE_LIMITS = guard.BodyLimits(32 << 20, ("image/*", "application/octet-stream"), seconds=120.0)
"""Limits of the body of a picture or mask."""

POSES_LIMITS = guard.BodyLimits(16 << 20, ("application/json", "text/csv"), seconds=120.0)
"""Limits of the body of a file of poses."""

_MOTION_LIMITS = guard.BodyLimits(2 << 20, seconds=60.0)
_OTHER_LIMITS = guard.BodyLimits(256 << 10)


def limits_of(path: str) -> guard.BodyLimits:
    """The limits of bodies that are sent to a path."""
    if path == "/picture" or (path.startswith("/picture/") and path.endswith("/mask")):
        return PICTURE_LIMITS
    return {"/poses": POSES_LIMITS, "/motion": _MOTION_LIMITS}.get(path, _OTHER_LIMITS)


# Python's JSON reads NaN and infinity as numbers, which the model would turn into pictures.
Number = Annotated[
    float, pydantic.Field(ge=-MOST_COORDINATE, le=MOST_COORDINATE, allow_inf_nan=False)
]
"""A finite coordinate in pixels or in mm, or an angle in degrees."""

Pixel = Annotated[list[Number], pydantic.Field(min_length=2, max_length=2)]
"""A point x, y in a picture, in pixels."""

Point = Annotated[list[Number], pydantic.Field(min_length=3, max_length=3)]
"""A point x, y, z in mm."""

_every_joint = pydantic.Field(min_length=NUM_JOINTS, max_length=NUM_JOINTS)
Joints = Annotated[list[Point], _every_joint]
"""The fifteen joints in mm, all of them known."""

Name = Annotated[str, pydantic.Field(max_length=64)]
"""A name of a picture, person or motion in the cache, or of a motion of the library."""


class _Body(pydantic.BaseModel):
    # Strict, so that a misspelt key or a number in quotes is an error and not silently another
    # request.
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)


class PersonRequest(_Body):
    """The body of POST /person: where the person of a picture is.

    Attributes:
      picture: Name of the picture.
      joints_px: Joints in pixels of the picture; None where unknown.
      joints_mm: The same joints in mm, for their depth; None where no depth is known.
    """

    picture: Name
    joints_px: Annotated[list[Pixel | None], _every_joint]
    joints_mm: Joints | None = None


class RenderRequest(_Body):
    """The body of POST /render: a pose to render.

    Attributes:
      person: Name of the person.
      joints_mm: The pose in mm, from any origin.
      turn: Degrees by which it is turned to the person's left.
    """

    person: Name
    joints_mm: Joints
    turn: Number = 0.0


class MotionRequest(_Body):
    """The body of POST /motion: a motion to render, either by its name or by its poses.

    Attributes:
      person: Name of the person.
      name: Name of a motion of `pose_library`.
      poses: Poses of all frames in mm.
      fps: Frames per second; None for the motion's own.
      turn: Degrees by which it is turned to the person's left.
    """

    person: Name
    name: Name | None = None
    poses: (
        Annotated[list[Joints], pydantic.Field(min_length=1, max_length=page_poses.MOST_FRAMES)]
        | None
    ) = None
    fps: Annotated[float, pydantic.Field(ge=clips.LEAST_FPS, le=clips.MOST_FPS)] | None = None
    turn: Number = 0.0
