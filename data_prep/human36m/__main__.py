"""`python -m data_prep.human36m`: prepares Human3.6M from its archive."""

import os
import sys

# TensorFlow only writes files here; what it says about its arithmetic helps nobody.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from data_prep.building import sighting_builder
from data_prep.human36m.human36m_dataset_builder import CONFIGS, Builder


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    args = sighting_builder.parser("human36m", __doc__, list(CONFIGS), "256").parse_args(argv)
    return sighting_builder.command(lambda: sighting_builder.named(Builder, args))


if __name__ == "__main__":
    sys.exit(main())
