"""TFDS builder: `tfds build data_prep/folder --config=256 --manual_dir=DIR --data_dir=data`."""

import pathlib

import tensorflow_datasets as tfds

from data_prep.building import sighting_builder
from data_prep.folder import reader

SIDES = ("64", "128", "256")
"""The names of the configurations: the side of the stored images in pixels."""


class Builder(sighting_builder.SightingBuilder):
    """Prepares the pictures of a folder."""

    name = "folder"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First."}  # noqa: RUF012
    DESCRIPTION = "Pictures of persons that somebody has, with poses."
    BUILDER_CONFIGS = [  # noqa: RUF012
        tfds.core.BuilderConfig(name=name, description=f"{name} x {name} pixels") for name in SIDES
    ]
    options = reader.Options()
    """The places of poses and masks, and how persons are split; `__main__` sets what users say."""

    @property
    def image_side(self) -> int:
        """Side of the stored images in pixels."""
        return int(self.builder_config.name)

    def find(self, source: pathlib.Path) -> sighting_builder.Found:
        """Finds the pieces of a folder of pictures; see `reader.find`."""
        return reader.find(source, self.options)
