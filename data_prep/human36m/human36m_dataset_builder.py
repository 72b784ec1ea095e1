"""TFDS builder: `tfds build data_prep/human36m --config=256 --manual_dir=DIR --data_dir=data`."""

import pathlib
from typing import Literal, NamedTuple

import tensorflow_datasets as tfds

from data_prep.building import sighting_builder
from data_prep.human36m import poses, reader


class Config(NamedTuple):
    """A configuration of Human3.6M.

    Attributes:
      side: side of the images in pixels.
      shifted: whether the recordings of S9 whose poses are shifted are corrected or left out.
    """

    side: int
    shifted: Literal["correct", "drop"]


CONFIGS = {
    "256": Config(256, "correct"),
    "64": Config(64, "correct"),
    # For those who would rather have fewer poses than poses that were moved.
    "256_drop_shifted": Config(256, "drop"),
    "64_drop_shifted": Config(64, "drop"),
}
"""The configurations by their names."""


class Builder(sighting_builder.SightingBuilder):
    """Prepares the archive of Human3.6M that its owners give to those who register."""

    name = "human36m"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First."}  # noqa: RUF012
    DESCRIPTION = (
        "Human3.6M (Ionescu et al. 2014): seven subjects in fifteen actions, seen by four cameras."
    )
    BUILDER_CONFIGS = [  # noqa: RUF012
        tfds.core.BuilderConfig(
            name=name,
            description=f"{config.side} x {config.side} pixels; shifted poses: {config.shifted}",
        )
        for name, config in CONFIGS.items()
    ]
    joints = poses.JOINTS

    @property
    def image_side(self) -> int:
        """Side of the stored images in pixels."""
        return CONFIGS[self.builder_config.name].side

    def find(self, source: pathlib.Path) -> sighting_builder.Found:
        """Finds the sequences of an archive; see `reader.find`."""
        return reader.find(source, CONFIGS[self.builder_config.name].shifted)
