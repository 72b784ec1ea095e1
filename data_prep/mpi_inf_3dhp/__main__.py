"""`python -m data_prep.mpi_inf_3dhp`: prepares MPI-INF-3DHP from its archive."""

import sys

from data_prep.building import command
from data_prep.mpi_inf_3dhp.mpi_inf_3dhp_dataset_builder import CONFIGS, Builder


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    args = command.argument_parser("mpi_inf_3dhp", __doc__, list(CONFIGS), "256").parse_args(argv)
    return command.run(lambda: command.make_builder(Builder, args))


if __name__ == "__main__":
    sys.exit(main())
