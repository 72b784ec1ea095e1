"""How what a system makes is scored and shown: one file for each task of `volsynth.system`."""

from volsynth.tasks import image, pose
from volsynth.tasks.base import Task

TASKS: dict[str, Task] = {"image": image.TASK, "pose": pose.TASK}
"""Every `System.task`."""
