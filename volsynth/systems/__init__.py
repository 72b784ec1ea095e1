"""All methods by name; a method is one file with a function `make(config) -> System`."""

from typing import Any

from volsynth.config import missing_keys
from volsynth.errors import UserError, did_you_mean
from volsynth.system import System
from volsynth.systems import deformable, pose_estimator, reprojection, resnet2d, volumetric

SYSTEMS = {
    "volumetric": volumetric.make,
    "reprojection": reprojection.make,
    "resnet2d": resnet2d.make,
    "deformable": deformable.make,
    "pose_estimator": pose_estimator.make,
}
"""The function that builds each system, by the name that `config.system` has."""


def make(config: Any) -> System:
    """The system that `config.system` names, built from the config's sections.

    Raises:
      UserError: there is no such system, or a value of the config cannot be.
    """
    if config.system not in SYSTEMS:
        raise UserError(
            f"config.system: unknown system {config.system!r}; "
            f"{did_you_mean(config.system, SYSTEMS)}"
        )
    try:
        return SYSTEMS[config.system](config)
    except AttributeError as error:
        # Only of a section of the config, which lacks a key; others are defects of the code.
        if not isinstance(error.obj, type(config)):
            raise
        raise missing_keys("config", f"{error.name}, in one of its sections") from error
