"""`python -m data_prep.mpi_inf_3dhp`: prepares MPI-INF-3DHP from its archive."""

import os
import sys

# TensorFlow only writes files here; what it says about its arithmetic helps nobody.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from data_prep.building import sighting_builder
from data_prep.mpi_inf_3dhp.mpi_inf_3dhp_dataset_builder import CONFIGS, Builder


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    args = sighting_builder.parser("mpi_inf_3dhp", __doc__, list(CONFIGS), "256").parse_args(argv)
    return sighting_builder.command(lambda: sighting_builder.named(Builder, args))


if __name__ == "__main__":
    sys.exit(main())
