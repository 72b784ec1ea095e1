"""The command that prepares a data set of sightings: its arguments, progress bar and summary."""

import argparse
import json
import os
import pathlib
import re
import time
import types
from collections.abc import Callable, Sequence

from rich.console import Console

from data_prep.building import pieces, progress, record_builder
from data_prep.building.sighting_builder import REPORT, Report, SightingBuilder
from data_prep.errors import BuildError, reported

_SHOWN = 20
"""The number of lines about left-out records that are printed; the report on disk has them all."""


def argument_parser(
    name: str, doc: str | None, configs: Sequence[str], default: str
) -> argparse.ArgumentParser:
    """A parser of the arguments that the commands of all data sets share.

    Args:
      name: the data set's package in `data_prep`.
      doc: what the command does, for its help.
      configs: the names of all configurations.
      default: the configuration that is prepared where the user names none.
    """
    result = argparse.ArgumentParser(prog=f"python -m data_prep.{name}", description=doc)
    result.add_argument("--source", required=True, help="folder of what is prepared")
    result.add_argument(
        "--config", default=default, help=f"one of {', '.join(configs)} (default: {default})"
    )
    result.add_argument("--data-dir", default="data", help="root of the data sets (default: data)")
    result.add_argument("--processes", type=int, help="how many work (default: all cores)")
    # `const` is what --beam alone gives: a pipeline with Beam's own options, on this machine.
    result.add_argument(
        "--beam", nargs="?", const="", metavar="NAME=VALUE,...",
        help="make the records in a Beam pipeline with these options, such as "
        "runner=FlinkRunner,flink_master=HOST:8081 (default: on this machine)",
    )  # fmt: skip
    return result


def make_builder(builder: type[SightingBuilder], args: argparse.Namespace) -> SightingBuilder:
    """The builder that a command's arguments ask for, under `args.name` where there is one.

    Args:
      builder: the data set's class of builders.
      args: what `argument_parser` has read.

    Raises:
      BuildError: no such config, or the name is no name of a data set.
    """
    # Only the command of `folder` has --name: the other data sets are what they are called.
    name = getattr(args, "name", builder.name)
    # The name becomes a folder, a part of file names and a data set of TFDS: all take these.
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise BuildError(
            f"a data set's name has small letters, digits and _, and begins with a letter, got "
            f"{name!r}."
        )
    if name != builder.name:
        # TFDS reads the name from the class, and looks for the files of the class's module.
        about = {"name": name, "__module__": builder.__module__}
        builder = types.new_class(
            builder.__name__,
            (builder,),
            {"skip_registration": True},
            lambda members: members.update(about),
        )
    made = builder(config=args.config, data_dir=args.data_dir)
    made.source, made.processes, made.beam = pathlib.Path(args.source), args.processes, args.beam
    return made


def prepare(builder: SightingBuilder, console: Console | None = None) -> Report:
    """Prepares a data set unless it is complete, with a progress bar; a summary in any case.

    Args:
      builder: the builder, with its source.
      console: where to print; None for standard error.

    Raises:
      UserError: the source is none, data_dir cannot be written, or a complete one has no report.
    """
    console = console or Console(stderr=True)
    name = f"{builder.name}/{builder.builder_config.name}"
    if record_builder.is_complete(builder):
        console.print(f"{name} is complete in {builder.data_dir}", soft_wrap=True)
        return _summary(pathlib.Path(builder.data_dir), None, console)
    start = time.perf_counter()
    records = 0
    with progress.bar(name, None, console) as update:

        def count(outcome: pieces.Outcome, total: int) -> None:
            nonlocal records
            records += outcome.records
            update(total=total, advance=1, text=f"{records} images")

        builder.on_piece = count
        # A pipeline reports no outcomes while it runs, only how many pieces are finished.
        builder.on_waiting = lambda finished, total: update(total=total, completed=finished)
        builder.download_and_prepare()
    return _summary(pathlib.Path(builder.data_dir), time.perf_counter() - start, console)


def run(make: Callable[[], SightingBuilder]) -> int:
    """Makes a builder and runs it; returns the exit status of the command.

    Args:
      make: makes the builder; what it raises is reported as an error of the command.

    Returns:
      0 if all was prepared, 1 if something was left out, 2 for an error.
    """
    return reported(lambda: 1 if prepare(make()).left_out else 0)


def _summary(folder: pathlib.Path, seconds: float | None, console: Console) -> Report:
    """Reads the report of a data set, prints it and returns it."""
    try:
        report = Report(
            os.fspath(folder), **json.loads((folder / REPORT).read_text()), seconds=seconds
        )
    # TypeError: JSON that is no report has other fields than `Report`.
    except (OSError, ValueError, TypeError) as error:
        raise BuildError(
            f"{folder / REPORT} cannot be read ({error}), so that nobody knows what was left out. "
            "Remove the data set and prepare it again."
        ) from error
    _print_report(report, console)
    return report


def _print_report(report: Report, console: Console) -> None:
    def say(line: str) -> None:
        # Names of files are neither markup nor to be coloured, and stay on one line for `grep`.
        console.print(line, soft_wrap=True, markup=False, highlight=False)

    counted = ", ".join(f"{count} {split}" for split, count in report.records.items())
    say(f"{sum(report.records.values())} images ({counted}) in {report.folder}")
    for note in report.notes:
        say(f"note: {note}")
    for reason, count in report.dropped.items():
        say(f"dropped: {count} {reason}")
    for line in report.left_out[:_SHOWN]:
        say(f"left out: {line}")
    if len(report.left_out) > _SHOWN:
        say(f"left out: {len(report.left_out) - _SHOWN} more, see {report.folder}/{REPORT}")
