"""Named poses and motions of the rendered people, as files of poses.

    python -m data_prep.posed_people.library --out volsynth/poses.json
    python -m data_prep.posed_people.library --loops --out volsynth/motions.json
    python -m data_prep.posed_people.library --motion walk --seconds 3 --out walk.json

Joints are those of the average body, mm, along the axes of a camera that it faces: x to the
person's left, y down, z away from the camera. Their origin is the point of the floor below the
pelvis at the start.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from data_prep.errors import reported
from data_prep.posed_people.body import kinematics, skinning
from data_prep.posed_people.body.kinematics import Pose
from data_prep.posed_people.motion import actions, primitives
from volsynth import files
from volsynth.errors import UserError, did_you_mean
from volsynth.poses import joint_orders, keypoint_files, retargeting

STYLE = primitives.Style(tempo=1.0, size=1.0, phase=0.0, side=1, lean=0.0, wiggle=np.zeros(4))
"""The style of an average person, without anything random."""

FOOT_MM = 85.0
"""The height of an ankle above the floor, mm."""

MAX_FRAMES = 10_000
"""The largest number of frames of a motion."""

MADE_BY = "python -m data_prep.posed_people.library"
"""The command, as files say that were made by it."""

_T_POSE = primitives.stand(
    wrists=primitives.pair((1.0, 0.0, 0.0)),
    elbows=primitives.pair((0.0, 0.0, -1.0)),
    palms=primitives.pair((0.0, -1.0, 0.0)),
    ankles=primitives.pair((0.06, -0.985, -0.015)),
)
"""The pose with both arms stretched out to the sides."""

NAMED: Mapping[str, tuple[str, float] | Pose] = {
    "standing": primitives.stand(),
    "t_pose": _T_POSE,
    "walking": ("walk", 0.28),
    "running": ("run", 0.2),
    "waving": ("wave", 0.2),
    "arms_crossed": ("arms_crossed", 0.0),
    "hands_on_hips": ("hands_on_hips", 0.0),
    "reaching_up": ("reach_up", 0.0),
    "star": ("jumping_jack", 1.07),
    "kicking": ("kick", 0.55),
    "lunging": ("lunge", 0.0),
    "squatting": ("squat", 1.43),
    "sitting": ("sit", 0.0),
    "kneeling": ("kneel", 0.0),
}
"""The named poses: an action and its time in seconds, or the pose itself."""

LOOP_FPS = 25.0
"""Frames a second of the named motions."""


class Loop(NamedTuple):
    """A motion whose last frame leads to its first.

    Attributes:
      action: an action that repeats itself; None to stand.
      hertz: the frequency of the action.
      cycles: how often the action repeats itself in the loop; the tempo follows from it.
      frames: how many frames the loop has.
      start: where in the action the loop begins, seconds.
      turns: how many turns about the vertical axis it makes, to the left of the person.
    """

    action: str | None
    hertz: float
    cycles: int
    frames: int
    start: float = 0.0
    turns: int = 0


LOOPS: Mapping[str, Loop] = {
    "walking": Loop("walk", 0.9, 1, 28),
    "running": Loop("run", 1.3, 2, 38),
    # Weight shifts from leg to leg at 0.12 Hz, and half way through is where it turns back.
    "waving": Loop("wave", 1.2, 2, 42, start=1.26),
    "jumping": Loop("jumping_jack", 0.7, 1, 36),
    "dancing": Loop("dance", 0.6, 1, 42),
    "kicking": Loop("kick", 0.45, 1, 56),
    "squatting": Loop("squat", 0.35, 1, 63),
    "turning": Loop(None, 0.0, 0, 50, turns=1),
}
"""The named motions. Breathing and looking around are left out of them, because they have other
periods."""


def joints_of(pose: Pose) -> np.ndarray:
    """The joints [15, 3] of a pose, mm, facing the camera.

    The lower ankle is above the floor, which is y = 0.
    """
    body = kinematics.solve(pose, np.ones((skinning.NUM_BONES, 3))).joints
    # The body's x is to its left, which a camera in front of it sees on the right.
    joints = 1000.0 * body * (1.0, -1.0, -1.0)
    return joints - (0.0, joints[:, 1].max() + FOOT_MM, 0.0)


def named_poses() -> list[keypoint_files.Pose]:
    """All named poses; `action` is the name."""
    return [
        # Without breathing and looking around: a named pose is the same every time.
        _entry(name, pose if isinstance(pose, Pose) else actions.ACTIONS[pose[0]](pose[1], STYLE))
        for name, pose in NAMED.items()
    ]


def motion_poses(action: str, seconds: float, fps: float) -> list[keypoint_files.Pose]:
    """The poses of an action, one for each frame.

    Args:
      action: the name of the action.
      seconds: how long the motion is.
      fps: frames a second.

    Raises:
      UserError: there is no such action, or the number of frames is not allowed.
    """
    if action not in actions.ACTIONS:
        raise UserError(f"there is no action {action!r}; {did_you_mean(action, actions.ACTIONS)}")
    # Written as what is allowed, so that a value that is not a number fails, too.
    if not (seconds > 0 and fps > 0 and 1 <= round(seconds * fps) <= MAX_FRAMES):
        raise UserError(f"--seconds times --fps must be from 1 to {MAX_FRAMES:,} frames.")
    return [
        _entry(action, actions.pose_at(action, number / fps, STYLE), number)
        for number in range(round(seconds * fps))
    ]


def loop_pose(name: str, number: int) -> keypoint_files.Pose:
    """A frame of a named motion, in whole mm; after its last frame a motion begins anew."""
    loop = LOOPS[name]
    if loop.action is None:
        pose = primitives.stand()
    else:
        # The tempo that fits whole cycles into whole frames, near 1 for all of them.
        tempo = loop.cycles * LOOP_FPS / (loop.frames * loop.hertz)
        time = loop.start + number / LOOP_FPS
        pose = actions.ACTIONS[loop.action](time, STYLE._replace(tempo=tempo))
    body = retargeting.Body(joints_of(pose), np.ones(15, bool), False)
    turned = retargeting.turn_body(body, 360.0 * loop.turns * number / loop.frames)
    return keypoint_files.Pose(
        joint_orders.VOLSYNTH_15,
        turned.visible,
        joints_mm=turned.joints.round(),
        action=name,
        frame=number,
    )


def loop_poses() -> list[keypoint_files.Pose]:
    """All frames of all named motions; `action` is the name."""
    return [loop_pose(name, n) for name, loop in LOOPS.items() for n in range(loop.frames)]


def _entry(name: str, pose: Pose, frame: int = 0) -> keypoint_files.Pose:
    return keypoint_files.Pose(
        joint_orders.VOLSYNTH_15,
        np.ones(15, bool),
        joints_mm=joints_of(pose).round(1),
        action=name,
        frame=frame,
    )


def write_named(path: pathlib.Path) -> None:
    """Writes the named poses as a file that says what made it."""
    _write(path, named_poses(), MADE_BY)


def write_loops(path: pathlib.Path) -> None:
    """Writes the named motions as a file that says what made it."""
    _write(path, loop_poses(), f"{MADE_BY} --loops")


def _write(path: pathlib.Path, poses: list[keypoint_files.Pose], made_by: str) -> None:
    keypoint_files.write(path, poses)
    # Added to the text: the writer of poses knows only the keys of its own format.
    head, _, rest = path.read_text().partition("{")
    files.write_text(path, head + '{"made_by": ' + json.dumps(made_by) + ", " + rest)


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog=MADE_BY, description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="FILE.json")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--motion", metavar="ACTION", help="such as walk; default: the named poses")
    what.add_argument("--loops", action="store_true", help="the named motions")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a motion; default: 3")
    parser.add_argument("--fps", type=float, default=25.0, help="of a motion; default: 25")
    options = parser.parse_args(argv)

    def run() -> int:
        if options.motion:
            poses = motion_poses(options.motion, options.seconds, options.fps)
            # Without the note: it is a file of the user, not of the package.
            keypoint_files.write(options.out, poses)
        elif options.loops:
            write_loops(options.out)
        else:
            write_named(options.out)
        return 0

    return reported(run)


if __name__ == "__main__":
    sys.exit(main())
