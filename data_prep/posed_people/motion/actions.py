"""All actions of the rendered people by name, and the pose of an action at a time."""

from collections.abc import Callable, Mapping

from data_prep.posed_people.body.kinematics import Pose
from data_prep.posed_people.motion import low_actions, upright_actions
from data_prep.posed_people.motion.primitives import Style, mirrored, with_idle_motion

Action = Callable[[float, Style], Pose]
"""An action: the pose at a time (s) after its start, in a style."""

ACTIONS: Mapping[str, Action] = {
    "idle": upright_actions.idle,
    "walk": upright_actions.walk,
    "run": upright_actions.run,
    "wave": upright_actions.wave,
    "arms_crossed": upright_actions.arms_crossed,
    "hands_on_hips": upright_actions.hands_on_hips,
    "reach_up": upright_actions.reach_up,
    "point": upright_actions.point,
    "squat": upright_actions.squat,
    "sit": low_actions.sit,
    "sit_cross_legged": low_actions.sit_cross_legged,
    "sit_on_floor": low_actions.sit_on_floor,
    "crawl": low_actions.crawl,
    "kneel": low_actions.kneel,
    "half_kneel": low_actions.half_kneel,
    "lunge": upright_actions.lunge,
    "jumping_jack": upright_actions.jumping_jack,
    "dance": upright_actions.dance,
    "kick": upright_actions.kick,
    "clap": upright_actions.clap,
    "pick_up": upright_actions.pick_up,
    "throw": upright_actions.throw,
    "on_the_phone": upright_actions.on_the_phone,
}
"""All actions by their names. Their order is part of the data set: shots draw them by number."""

ACTION_NAMES = tuple(ACTIONS)
"""The names of all actions, in their order."""


def pose_at(action: str, t: float, style: Style) -> Pose:
    """The pose of an action at a time.

    Args:
      action: the name of the action.
      t: seconds since its start.
      style: how this sequence differs from others of the action.
    """
    pose = ACTIONS[action](t, style)
    # Mirrored before the idle motion is added, which is drawn for each person anyway.
    if style.side < 0:
        pose = mirrored(pose)
    return with_idle_motion(pose, t, style)
