"""A picture of a rendered person in a room, as a user's camera takes it, to try things with.

    python -m data_prep.posed_people.portrait --out anna.jpg

writes `anna.jpg`, `anna-mask.png` with the person in white, and `anna.json`, the pose. Camera,
frame and background are none of the data set's.
"""

import argparse
import dataclasses
import pathlib
import sys
from typing import NamedTuple

import numpy as np
from PIL import Image

from data_prep.errors import reported
from data_prep.posed_people import library, plan
from data_prep.posed_people.body import figure
from data_prep.posed_people.motion import actions
from data_prep.posed_people.rendering import records, scene
from volsynth.errors import UserError, did_you_mean, os_errors_explained
from volsynth.poses import joint_orders, keypoint_files

DISTANCE, EYE = 3600.0, 1350.0
"""The distance of the camera from the person, and its height above the floor, mm."""

MIDDLE = 900.0
"""The height of what is in the picture's middle, mm: the lens is shifted, so that walls are
upright."""

WALL = 1300.0
"""The distance of the wall behind the person, mm."""

FIELD = 2350.0
"""The height of what is seen at the person's distance, mm."""

SIDES = (64, 2048)
"""The smallest and the largest side of a picture, pixels."""

_PERSON = plan.FIRST_PERSON["test"] + 10
"""The person of the picture, where the user names none: one that no model was trained on."""

_ACTION = "hands_on_hips"
"""The action of the person, where the user names none."""

_SHADOW = 330.0
"""The radius of the shadow on the floor, mm."""


class Portrait(NamedTuple):
    """A picture, and what is known of it.

    Attributes:
      image: uint8 [H, W, 3].
      mask: bool [H, W], where the person is.
      pose: the pose in pixels of the picture, in mm along the camera's axes, and with its
        intrinsics.
    """

    image: np.ndarray
    mask: np.ndarray
    pose: keypoint_files.Pose


def shoot(
    person: int = _PERSON,
    action: str = _ACTION,
    seconds: float = 0.0,
    turn: float = 15.0,
    width: int = 480,
    height: int = 640,
) -> Portrait:
    """Takes a picture of a person.

    Args:
      person: the number of the person; `plan.FIRST_PERSON` says which numbers belong to which
        split.
      action: the name of an action of `actions.ACTIONS`.
      seconds: the time since the start of the action.
      turn: degrees by which the person is turned to its left, away from the camera.
      width: the width of the picture, pixels.
      height: the height of the picture, pixels.

    Raises:
      UserError: there is no such person or action, or the picture is too small or too large.
    """
    _check(person, action, width, height)
    dressed = records.dressed(plan.Group(person, 0))
    pose = actions.pose_at(action, seconds, library.STYLE)
    points, joints = figure.place(dressed, pose)
    # The camera stands at negative y, and a turn of 0 faces it.
    spot = scene.Placement(np.zeros(2), -np.pi / 2 + np.radians(turn))
    camera = _camera()
    points = scene.to_camera(scene.to_world(points, spot), camera)
    joints = scene.to_camera(scene.to_world(joints, spot), camera).astype(float)
    # Drawn at twice the size and scaled down, so that the person's edges are soft.
    side = 2 * max(width, height)
    intrinsics = _intrinsics(side, 2 * height)
    drawn = scene.render(dressed, points, camera.rotation[:, 2], intrinsics, side)
    feet = scene.to_world(np.zeros((1, 3)), spot)[0]
    inside = drawn.mask[..., 0] > 0
    image = np.where(inside[..., None], drawn.image, _room(camera, intrinsics, side, feet))
    # The square is cut to the picture, and the intrinsics follow below.
    left, top = (side - 2 * width) // 2, (side - 2 * height) // 2
    box = (left, top, left + 2 * width, top + 2 * height)
    # Box filter: exactly the mean of the four samples of each pixel.
    resized = [
        Image.fromarray(each).resize((width, height), Image.Resampling.BOX, box)
        for each in (image, inside.astype(np.uint8) * 255)
    ]
    to_picture = np.array([[0.5, 0, -left / 2], [0, 0.5, -top / 2], [0, 0, 1.0]])
    intrinsics = to_picture @ intrinsics
    projected = joints @ intrinsics.T
    return Portrait(
        np.asarray(resized[0]),
        np.asarray(resized[1]) >= 128,
        keypoint_files.Pose(
            joint_orders.VOLSYNTH_15,
            np.ones(len(joints), bool),
            projected[:, :2] / projected[:, 2:],
            joints,
            action=action,
            intrinsics=intrinsics,
        ),
    )


def _check(person: int, action: str, width: int, height: int) -> None:
    """Raises UserError where there can be no such picture."""
    if action not in actions.ACTIONS:
        raise UserError(f"there is no action {action!r}; {did_you_mean(action, actions.ACTIONS)}")
    if person < 0:
        raise UserError(f"a person's number is at least 0, got {person}.")
    if not (SIDES[0] <= min(width, height) and max(width, height) <= SIDES[1]):
        low, high = SIDES
        raise UserError(f"a picture has sides of {low} to {high} pixels, got {width} x {height}.")


def _intrinsics(side: int, height: int) -> np.ndarray:
    """Intrinsics of the square that is drawn, of which `height` rows become the picture."""
    focal = height * DISTANCE / FIELD
    # A shifted lens: the camera looks level, although the picture's middle is below its height.
    low = focal * (EYE - MIDDLE) / DISTANCE
    return np.array([[focal, 0, side / 2], [0, focal, side / 2 - low], [0, 0, 1.0]])


def _camera() -> scene.Camera:
    """The camera: level, in front of the room's middle; x_cam right, y_cam down, z_cam forward."""
    rotation = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
    return scene.Camera("own", rotation, np.array([0, -DISTANCE, EYE]), 1.0, np.zeros(2))


def _room(camera: scene.Camera, intrinsics: np.ndarray, side: int, feet: np.ndarray) -> np.ndarray:
    """A plain wall and a floor of boards, with the person's shadow; uint8 [side, side, 3]."""
    x, y = np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5)
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(intrinsics).T @ camera.rotation
    to_wall = (WALL - camera.position[1]) / rays[..., 1]
    # Rays that do not go down never meet the floor; the bound only keeps the division finite.
    down = np.maximum(-rays[..., 2], 1e-9)
    to_floor = np.where(rays[..., 2] < 0, camera.position[2] / down, np.inf)
    on_floor = to_floor < to_wall
    at = camera.position + np.minimum(to_floor, to_wall)[..., None] * rays
    wall = np.array([196, 204, 206]) - 26 * np.clip(at[..., 2:] / 2600, -0.2, 1.2)
    # Boards of 14 cm, along the view, each with a grain of its own.
    board = np.floor(at[..., 0] / 140)
    grain = np.sin(2.4 * board) + 0.35 * np.sin(at[..., 1] / 45 + 3.1 * board)
    gap = np.abs(at[..., 0] / 140 - board - 0.5) > 0.47
    floor = np.array([158, 122, 88]) * (1 + 0.05 * grain - 0.25 * gap)[..., None]
    away = np.hypot(at[..., 0] - feet[0], at[..., 1] - feet[1])
    # A soft dark disc: without any shadow a person floats.
    floor *= 1 - 0.45 * np.exp(-((away / _SHADOW) ** 2))[..., None]
    skirting = (at[..., 2] < 90) & ~on_floor
    wall = np.where(skirting[..., None], [232, 230, 224], wall)
    return np.clip(np.where(on_floor[..., None], floor, wall), 0, 255).astype(np.uint8)


def write(path: pathlib.Path, portrait: Portrait) -> list[pathlib.Path]:
    """Writes picture, mask and pose beside one another, and returns their paths.

    Args:
      path: the path of the picture.
      portrait: what is written.

    Raises:
      UserError: they cannot be written.
    """
    mask, pose = path.with_name(f"{path.stem}-mask.png"), path.with_suffix(".json")
    with os_errors_explained("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # JPEG only: PNG takes no quality.
        options = {} if path.suffix.lower() == ".png" else {"quality": 92}
        Image.fromarray(portrait.image).save(path, **options)
        Image.fromarray(portrait.mask.astype(np.uint8) * 255).save(mask)
        keypoint_files.write(pose, [dataclasses.replace(portrait.pose, image=path.name)])
    return [path, mask, pose]


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.posed_people.portrait", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="FILE.jpg")
    first = plan.FIRST_PERSON["test"]
    parser.add_argument(
        "--person", type=int, default=_PERSON, help=f"number; from {first} on none is trained on"
    )
    parser.add_argument("--action", default=_ACTION, help=f"default: {_ACTION}")
    parser.add_argument("--seconds", type=float, default=0.0, help="since the action's start")
    parser.add_argument("--turn", type=float, default=15.0, help="degrees; default: 15")
    parser.add_argument("--width", type=int, default=480, help="pixels; default: 480")
    parser.add_argument("--height", type=int, default=640, help="pixels; default: 640")
    options = vars(parser.parse_args(argv))
    path = options.pop("out")

    def run() -> int:
        if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
            raise UserError(f"--out must end in .jpg or .png, got {path}.")
        print("\n".join(map(str, write(path, shoot(**options)))))
        return 0

    return reported(run)


if __name__ == "__main__":
    sys.exit(main())
