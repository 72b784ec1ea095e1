"""What the people do: all actions by name, and the pose of an action at a time."""

from collections.abc import Callable, Mapping

from data_prep.posed_people.body.kinematics import Pose
from data_prep.posed_people.motion import low_actions, upright_actions
from data_prep.posed_people.motion.primitives import Style, alive, mirrored

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
ACTION_NAMES = tuple(ACTIONS)


def pose_at(action: str, t: float, style: Style) -> Pose:
    """The pose of an action `t` seconds after its start."""
    pose = ACTIONS[action](t, style)
    if style.side < 0:
        pose = mirrored(pose)
    return alive(pose, t, style)
