"""TFDS builder: `tfds build data_prep/mpi_inf_3dhp --manual_dir=DIR --data_dir=data`."""

import pathlib
from typing import Literal, NamedTuple

import tensorflow_datasets as tfds

from data_prep.building import sighting_builder
from data_prep.mpi_inf_3dhp import reader


class Config(NamedTuple):
    """A configuration of MPI-INF-3DHP.

    Attributes:
      side: side of the images in pixels.
      bad_masks: whether the recordings whose owners call their masks bad are kept or left out.
    """

    side: int
    bad_masks: Literal["keep", "drop"]


CONFIGS = {
    "256": Config(256, "keep"),
    "64": Config(64, "keep"),
    # For those who would rather have fewer pictures than some with bad masks.
    "256_drop_bad_masks": Config(256, "drop"),
    "64_drop_bad_masks": Config(64, "drop"),
}
"""The configurations by their names."""


class Builder(sighting_builder.SightingBuilder):
    """Prepares the archive of MPI-INF-3DHP that its owners offer for download."""

    name = "mpi_inf_3dhp"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First."}  # noqa: RUF012
    DESCRIPTION = (
        "MPI-INF-3DHP (Mehta et al. 2017): eight subjects in two sets of clothes each, seen by up "
        "to fourteen cameras in a studio, and a test set of six sequences."
    )
    BUILDER_CONFIGS = [  # noqa: RUF012
        tfds.core.BuilderConfig(
            name=name,
            description=f"{config.side} x {config.side} pixels; bad masks: {config.bad_masks}",
        )
        for name, config in CONFIGS.items()
    ]

    @property
    def image_side(self) -> int:
        """Side of the stored images in pixels."""
        return CONFIGS[self.builder_config.name].side

    def find(self, source: pathlib.Path) -> sighting_builder.Found:
        """Finds the sequences of an archive; see `reader.find`."""
        return reader.find(source, CONFIGS[self.builder_config.name].bad_masks)
