"""What commands of several families take, and how they speak."""

import argparse
import importlib
import sys
from collections.abc import Callable
from typing import Any

from volsynth.errors import UserError


def command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], summary: str
) -> argparse.ArgumentParser:
    """Adds a command to `commands`: `run` is given the options and returns the exit status."""
    parser = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
    parser.set_defaults(run=run)
    return parser


def config_argument(parser: argparse.ArgumentParser, *defaults: str) -> None:
    """`--config`; what has several configs without it finds them in `default_configs`."""
    usual = f"; default: {' and '.join(defaults)}" if defaults else ""
    parser.set_defaults(default_configs=defaults)
    parser.add_argument(
        "--config",
        required=not defaults,
        metavar="FILE[:VARIANT]",
        help="such as configs/volumetric.py:demo; override values by --config.SECTION.KEY=VALUE"
        + usual,
    )


def data_arguments(
    parser: argparse.ArgumentParser,
    config_name: str | None = "64",
    usual: str = "64",
    of_config: bool = False,
) -> None:
    """Which data set; with `of_config` what is not given is the config's."""
    for option, default in (("--data-dir", "data"), ("--name", "posed_people")):
        whose = f"default: {'CONFIG has, or ' if of_config else ''}{default}"
        parser.add_argument(option, default=None if of_config else default, help=whose)
    parser.add_argument(
        "--config-name",
        default=config_name,
        metavar="C",
        help=f"builder config; default: {usual}",
    )


def json_argument(parser: argparse.ArgumentParser) -> None:
    """`--json`, for programs that read the result."""
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def server_arguments(parser: argparse.ArgumentParser, port: int) -> None:
    """Where a page is served."""
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


def needs(what: str, extra: str) -> None:
    """Checks that the packages of an extra, which serves the page of the same name, are there.

    Raises:
      UserError: the extra is not installed.
    """
    try:
        importlib.import_module(f"volsynth.{extra}.server")
    except ModuleNotFoundError as error:
        raise UserError(f"{what} needs {error.name}: pip install 'volsynth[{extra}]'.") from error


def step(text: str) -> int | str:
    """The type of an option for a checkpoint: its step, or "best"."""
    if text != "best" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a number or best, got {text!r}")
    return text if text == "best" else int(text)


def optional_config(options: argparse.Namespace) -> Any:
    """The config where one is given, else None.

    Raises:
      UserError: the config cannot be read, or there are overrides without one.
    """
    from volsynth.config import load_config

    if options.overrides and not options.config:
        raise UserError(f"{options.overrides[0]}: give --config, too.")
    return load_config(options.config, options.overrides) if options.config else None


def say(line: object) -> None:
    """What is not the result goes to standard error, at once."""
    print(line, file=sys.stderr, flush=True)
