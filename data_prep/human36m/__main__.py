"""`python -m data_prep.human36m`: prepares Human3.6M from its archive."""

import sys

from data_prep.building import command
from data_prep.human36m.human36m_dataset_builder import CONFIGS, Builder


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    args = command.argument_parser("human36m", __doc__, list(CONFIGS), "256").parse_args(argv)
    return command.run(lambda: command.make_builder(Builder, args))


if __name__ == "__main__":
    sys.exit(main())
