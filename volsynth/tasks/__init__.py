"""How what a system makes is scored and shown: one file for each task of `volsynth.system`."""

from volsynth.tasks import image, image_and_pose, pose
from volsynth.tasks.base import Task

TASKS: dict[str, Task] = {
    "image": image.TASK,
    "image_and_pose": image_and_pose.TASK,
    "pose": pose.TASK,
}
"""Every `System.task`."""
