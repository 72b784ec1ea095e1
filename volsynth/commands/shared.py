"""Options that commands of several families share, and how commands report their progress."""

import argparse
import importlib
from collections.abc import Callable
from typing import Any

from volsynth.errors import UserError


def add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], summary: str
) -> argparse.ArgumentParser:
    """Adds a command to a parser's commands.

    Args:
      commands: the commands, as `add_subparsers` of argparse returns them.
      name: the name of the command.
      run: runs the command with the parsed options and returns the exit status.
      summary: one line for the help.

    Returns:
      The parser of the command, for its options.
    """
    parser = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
    parser.set_defaults(run=run)
    return parser


def add_config_argument(parser: argparse.ArgumentParser, *defaults: str) -> None:
    """Adds the option `--config` to a command.

    Args:
      parser: the parser of a command.
      defaults: the configs without the option, which the command finds in
        `options.default_configs`; without any the option is required.
    """
    usual = f"; default: {' and '.join(defaults)}" if defaults else ""
    parser.set_defaults(default_configs=defaults)
    parser.add_argument(
        "--config",
        required=not defaults,
        metavar="FILE[:VARIANT]",
        help="such as configs/volumetric.py:demo; override values by --config.SECTION.KEY=VALUE"
        + usual,
    )


def add_data_arguments(
    parser: argparse.ArgumentParser,
    config_name: str | None = "64",
    usual: str = "64",
    of_config: bool = False,
) -> None:
    """Adds the options that name a prepared data set.

    Args:
      parser: the parser of a command.
      config_name: the default of `--config-name`.
      usual: that default in words.
      of_config: whether what is not given comes from the config, so that the defaults are None.
    """
    for option, default in (("--data-dir", "data"), ("--name", "posed_people")):
        whose = f"default: {'CONFIG has, or ' if of_config else ''}{default}"
        parser.add_argument(option, default=None if of_config else default, help=whose)
    parser.add_argument(
        "--config-name",
        default=config_name,
        metavar="C",
        help=f"builder config; default: {usual}",
    )


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the option `--json` to a command, for programs that read the result."""
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def add_server_arguments(parser: argparse.ArgumentParser, port: int) -> None:
    """Adds the options that say where a page is served.

    Args:
      parser: the parser of a command.
      port: the default port.
    """
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at; default: this machine only"
    )
    parser.add_argument("--port", type=int, default=port, help=f"0 for any; default: {port}")
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="HOST[:PORT]",
        help="by which browsers reach it, if not --host; may be given more than once",
    )


def check_extra(what: str, extra: str) -> None:
    """Checks that the packages that serve a page are installed.

    Args:
      what: the page, in words.
      extra: the extra of the project that has the packages.

    Raises:
      UserError: a package is missing.
    """
    # The module imports every package of the extra, so that no list of them has to be kept here.
    try:
        importlib.import_module(f"volsynth.{extra}.server")
    except ModuleNotFoundError as error:
        raise UserError(f"{what} needs {error.name}: pip install 'volsynth[{extra}]'.") from error


def checkpoint_step(text: str) -> int | str:
    """Parses an option that names a checkpoint: a step, or "best"."""
    # argparse turns this error into its own, with the option's name.
    if text != "best" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a number or best, got {text!r}")
    return text if text == "best" else int(text)


def optional_config(options: argparse.Namespace) -> Any:
    """Loads the config of the options; returns None if there is none.

    Raises:
      UserError: the config cannot be read, or there are overrides without one.
    """
    from volsynth.config import load_config

    # An override without a config would be ignored without a word.
    if options.overrides and not options.config:
        raise UserError(f"{options.overrides[0]}: give --config, too.")
    return load_config(options.config, options.overrides) if options.config else None
