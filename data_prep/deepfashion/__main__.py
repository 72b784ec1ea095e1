"""`python -m data_prep.deepfashion`: prepares DeepFashion In-shop."""

import sys

from data_prep.building import command
from data_prep.deepfashion.deepfashion_dataset_builder import CONFIGS, Builder


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    parser = command.argument_parser("deepfashion", __doc__, list(CONFIGS), "paired-256")
    args = parser.parse_args(argv)
    return command.run(lambda: command.make_builder(Builder, args))


if __name__ == "__main__":
    sys.exit(main())
