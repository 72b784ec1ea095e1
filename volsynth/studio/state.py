"""The state of one studio server: its model, what visitors brought, and the work that waits."""

import contextlib
import functools
import pathlib
from typing import Any

from volsynth.errors import UserError
from volsynth.export import exported_model
from volsynth.generation.persons import Person
from volsynth.images import clips
from volsynth.poses import keypoint_files, pose_library, retargeting
from volsynth.poses.keypoint_files import Pose
from volsynth.skeleton import JOINTS, LIMBS, MIRROR, side_of
from volsynth.studio import cache, page_poses, rendering, request_bodies
from volsynth.studio.job_queue import JobQueue
from volsynth.studio.pictures import Picture

# A page asks for one at a time, so that this is about the number of busy visitors.
MOST_RENDERS = 128
"""The most poses and batches of motions that may wait to be rendered."""

MOST_READINGS = 64
"""The most pictures and poses that may wait to be read; the guard bounds their bytes."""

MOST_BYTES = 1 << 29
"""The most bytes of pictures in memory; of persons and of motions each, it is half as many."""


class Studio:
    """The state that all requests to one server share.

    Attributes:
      renderer: The model, which renders persons.
      estimator: The pose estimator; None for the package's own networks.
      pictures: Pictures by the names that the page knows.
      persons: Persons by name.
      motions: Motions by name.
      renders: The queue of everything that the model renders.
      readings: The queue of everything else that takes long, such as decoding pictures.
      motion_library: The poses of every motion that has a name.
      about: What the page is told when it opens.
    """

    def __init__(
        self,
        renderer: rendering.Renderer,
        estimator: exported_model.Model | None,
        person: Person | None = None,
    ) -> None:
        """Holds nothing yet but the person that the page begins with, if there is one."""
        self.renderer, self.estimator = renderer, estimator
        self.pictures: cache.Cache[Picture] = cache.Cache(MOST_BYTES)
        self.persons: cache.Cache[rendering.EncodedPerson] = cache.Cache(MOST_BYTES // 2)
        self.motions: cache.Cache[rendering.RenderedMotion] = cache.Cache(MOST_BYTES // 2)
        # Two queues, so that a pose which somebody drags does not wait for others' large pictures.
        self.renders, self.readings = JobQueue(MOST_RENDERS), JobQueue(MOST_READINGS)
        self.motion_library = _named_motions()
        first = None
        if person is not None:
            # Pinned: the page has no picture of this person that it could send again.
            name = self.persons.pin(rendering.EncodedPerson(person))
            first = {"person": name, **page_poses.describe_person(person)}
        self.about = {**_about_model(renderer, estimator), **_about_page(), "person": first}


@functools.cache
def _named_motions() -> dict[str, list[Pose]]:
    return {name: pose_library.named_motion(name) for name in pose_library.MOTIONS}


def _about_model(renderer, estimator) -> dict[str, Any]:
    card = renderer.card
    return {
        "model": {
            "system": card.get("system"),
            "image_size": renderer.image_size,
            "steps": card.get("step"),
            "data": card.get("trained_on", {}).get("data"),
        },
        "estimator": estimator is not None,
    }


def _about_page() -> dict[str, Any]:
    """The skeleton, the poses and motions with names, and the limits that the page keeps to."""
    return {
        "joints": JOINTS,
        "bones": [[parent, child] for parent, child, _ in retargeting.BONES],
        "mirror": MIRROR,
        "limbs": [[a, b, side_of(a, b)] for a, b in LIMBS],
        "poses": [
            {
                "name": pose.action,
                "joints_mm": page_poses.rounded(
                    page_poses.relative_to_pelvis(pose.joints_mm[None])[0]
                ),
            }
            for pose in keypoint_files.read(pose_library.POSES_FILE)
        ],
        "motions": [
            {"name": name, "frames": len(poses), "fps": pose_library.MOTION_FPS}
            for name, poses in _named_motions().items()
        ],
        "clips": _kinds_of_clips(),
        "limits": {
            "picture_bytes": request_bodies.PICTURE_LIMITS.most_bytes,
            "poses_bytes": request_bodies.POSES_LIMITS.most_bytes,
            "frames": page_poses.MOST_FRAMES,
        },
    }


def _kinds_of_clips():
    """The endings of clips that can be written here."""
    kinds = ["gif"]
    # MP4 needs ffmpeg, of another extra.
    with contextlib.suppress(UserError):
        clips.check_format(pathlib.Path("clip.mp4"), 25.0)
        kinds.append("mp4")
    return kinds
