"""Scores and galleries of the predictions of systems, with one file for each task."""

from volsynth.tasks import image, image_and_pose, pose
from volsynth.tasks.base import Task

TASKS: dict[str, Task] = {
    "image": image.TASK,
    "image_and_pose": image_and_pose.TASK,
    "pose": pose.TASK,
}
"""Every task by its name, which is `System.task` of the systems that have it."""
