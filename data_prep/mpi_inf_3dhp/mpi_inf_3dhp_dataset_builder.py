"""TFDS builder: `tfds build data_prep/mpi_inf_3dhp --manual_dir=DIR --data_dir=data`."""

import pathlib

import tensorflow_datasets as tfds

from data_prep import sighting_builder
from data_prep.mpi_inf_3dhp import reader

SIDES = ("256", "64")


class Builder(sighting_builder.SightingBuilder):
    """Prepares the archive that its owners offer for download."""

    name = "mpi_inf_3dhp"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First."}  # noqa: RUF012
    DESCRIPTION = (
        "MPI-INF-3DHP (Mehta et al. 2017): eight subjects in two sets of clothes each, seen by up "
        "to fourteen cameras in a studio, and a test set of six sequences."
    )
    BUILDER_CONFIGS = [  # noqa: RUF012
        tfds.core.BuilderConfig(name=name, description=f"{name} x {name} pixels") for name in SIDES
    ]

    @property
    def image_side(self) -> int:
        """Side of the stored images."""
        return int(self.builder_config.name)

    def find(self, source: pathlib.Path) -> sighting_builder.Found:
        """See `reader.find`."""
        return reader.find(source)
