"""TFDS builder: `tfds build data_prep/deepfashion --config=paired-256 --manual_dir=DIR`."""

import pathlib

import tensorflow_datasets as tfds

from data_prep.building import sighting_builder
from data_prep.deepfashion import reader

CONFIGS = tuple(f"{kind}-{side}" for kind in reader.KINDS for side in (64, 128, 256))
"""The names of the configurations: the kind of images, then the side of the stored images in
pixels."""


class Builder(sighting_builder.SightingBuilder):
    """Prepares the images of one kind, paired or single, of DeepFashion In-shop."""

    name = "deepfashion"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First."}  # noqa: RUF012
    DESCRIPTION = "DeepFashion In-shop: persons in clothes of shops, whole bodies."
    BUILDER_CONFIGS = [  # noqa: RUF012
        tfds.core.BuilderConfig(name=name, description=f"{name} pixels") for name in CONFIGS
    ]

    @property
    def image_side(self) -> int:
        """Side of the stored images in pixels."""
        return int(self.builder_config.name.partition("-")[2])

    def find(self, source: pathlib.Path) -> sighting_builder.Found:
        """Finds the pieces of the kind of this configuration; see `reader.find`."""
        return reader.find(source, self.builder_config.name.partition("-")[0])
