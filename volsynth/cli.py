"""The command line: `volsynth COMMAND`.

Commands import what they need when they run, so that `--help` answers at once. An error that a user
can cause is one line on standard error and exit status 2; a run that was interrupted and has saved
its checkpoint exits with 3.
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
"""The families of commands, in the order of `--help`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    parser = _parser()
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments:
        parser.print_help(sys.stderr)
        return 2
    # argparse cannot know the overrides --config.SECTION.KEY=VALUE: configs name their keys.
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
        # One line, even if the message quotes an error of several lines.
        print("volsynth: error: " + " ".join(str(error).splitlines()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("volsynth: interrupted", file=sys.stderr)
        # 128 + SIGINT, as shells report it.
        return 130
    except BrokenPipeError:
        # The reader of the output, such as `head`, has seen enough.
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
