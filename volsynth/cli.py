"""The command line: `volsynth COMMAND`.

Imports are late, so that `--help` answers at once. Errors a user can cause are one line on standard
error and exit status 2; a run that was interrupted, with its checkpoint saved, exits with 3.
"""

import argparse
import sys
from collections.abc import Sequence

from volsynth.commands import (
    costs,
    data,
    installation,
    models,
    reports,
    scores,
    studio,
    study,
    training,
)
from volsynth.errors import UserError

FAMILIES = (training, scores, reports, models, studio, costs, data, study, installation)
"""Of commands, in the order of `--help`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    parser = _parser()
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments:
        parser.print_help(sys.stderr)
        return 2
    options, rest = parser.parse_known_args(arguments)
    overrides = [a for a in rest if a.startswith("--config.")]
    unknown = [a for a in rest if a not in overrides]
    if unknown:
        parser.error(f"unrecognised argument {unknown[0]!r}; see volsynth {options.command} --help")
    options.overrides = overrides
    try:
        if overrides and not hasattr(options, "config"):
            raise UserError(f"{overrides[0]}: volsynth {options.command} takes no config.")
        return options.run(options) or 0
    except UserError as error:
        # One line, whatever an error that was passed on has in it.
        print("volsynth: error: " + " ".join(str(error).splitlines()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("volsynth: interrupted", file=sys.stderr)
        return 130  # As shells report it.
    except BrokenPipeError:
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="volsynth", description="Renders a person in a new pose, from one picture."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for family in FAMILIES:
        family.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
