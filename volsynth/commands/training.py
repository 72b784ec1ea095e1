"""The command that trains a system."""

import pathlib
import sys
from typing import Any

from volsynth.commands import shared
from volsynth.errors import UserError

INTERRUPTED = 3
"""The exit status of a run that was stopped after it had saved a checkpoint."""


def add(commands: Any) -> None:
    """Adds the command train to the parser."""
    train = shared.add_command(commands, "train", _train, "train a system, or resume its training")
    shared.add_config_argument(train)
    train.add_argument("--workdir", required=True, help="checkpoints, metrics and samples go here")
    train.add_argument(
        "--distributed",
        action="store_true",
        help="one of several processes that train together (Slurm, TPU, python -m launch)",
    )


def _train(options):
    from volsynth.config import load_config
    from volsynth.runs import training
    from volsynth.train import distributed
    from volsynth.train.loop import Diverged, Interrupted

    config = load_config(options.config, options.overrides)
    # Before anything asks JAX for devices: afterwards processes can no longer join.
    if options.distributed:
        distributed.join()
    try:
        training.train(config, pathlib.Path(options.workdir))
    except Interrupted as stop:
        print(f"volsynth: {stop}", file=sys.stderr)
        # Not an error, for which 2 stands: the same command resumes the run.
        return INTERRUPTED
    except Diverged as stop:
        raise UserError(str(stop)) from stop
    return 0
