"""TFDS builders of data sets made of sightings, and the command that runs one.

All pieces are finished first, then the shards are written: a build that was killed goes on with the
pieces it lacks. With `beam`, a Beam pipeline finishes them.
"""

import abc
import argparse
import contextlib
import dataclasses
import io
import json
import os
import pathlib
import re
import shutil
import time
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import tensorflow_datasets as tfds
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data_prep.building import beam, pieces, preparing, record_builder
from data_prep.errors import BuildError, reported
from volsynth import files
from volsynth.data import schema

REPORT = "report.json"

SHARDS = 8
"""Of each split, where it has records enough."""

_SHOWN = 20
"""Lines about what was left out that are printed; the report has all."""


@dataclasses.dataclass(frozen=True)
class Found:
    """What a source holds.

    Attributes:
      pieces: to make.
      left_out: a line for each file or entry that cannot be prepared, as far as that shows already.
      notes: what is left out on purpose, or assumed, in words.
      dropped: how many pictures, or whatever the reason says, are left out on purpose, by reason.
    """

    pieces: list[pieces.Piece]
    left_out: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    dropped: dict[str, int] = dataclasses.field(default_factory=dict)


class Report(NamedTuple):
    """What a build did.

    Attributes:
      folder: where the data set is.
      records: per split.
      left_out: what could not be prepared, a line each.
      dropped: how many sightings were left out on purpose, by reason.
      notes: of the source.
      seconds: from start to end; None if it was complete already.
    """

    folder: str
    records: dict[str, int]
    left_out: list[str]
    dropped: dict[str, int]
    notes: list[str]
    seconds: float | None


class SightingBuilder(record_builder.RecordBuilder, skip_registration=True):
    """A builder whose records are made of sightings.

    A subclass gives `name`, `VERSION`, `BUILDER_CONFIGS`, `DESCRIPTION`, `image_side` and `find`.

    Attributes:
      source: the archive's folder; None for TFDS's `manual_dir`.
      processes: how many work; None for all cores. The result is the same.
      beam: options of the Beam pipeline that finishes the pieces, `NAME=VALUE,...`; None for no
        pipeline.
      on_piece: is told what became of a piece, and how many there are.
      on_waiting: is told how many pieces a pipeline has finished, and how many there are; at its
        end 0, as their outcomes follow.
    """

    MANUAL_DOWNLOAD_INSTRUCTIONS = "See docs/data.md."
    DESCRIPTION = ""
    joints: int | None = None
    source: pathlib.Path | None = None
    processes: int | None = None
    beam: str | None = None
    on_piece: Callable[[pieces.Outcome, int], None] | None = None
    on_waiting: Callable[[int, int], None] | None = None

    @abc.abstractmethod
    def find(self, source: pathlib.Path) -> Found:
        """What there is to prepare in a source.

        Raises:
          UserError: the source is none.
        """

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.DESCRIPTION,
            features=record_builder.features(self.image_side, preparing.FIELDS, self.joints),
        )

    @property
    def num_shards(self) -> int:
        """Shards of each split: eight, or as many as the smallest has records."""
        return min(SHARDS, *(self._records(kept) for kept in self._splits.values()))

    def download_and_prepare(self, *, download_config: Any = None, **kwargs: Any) -> None:
        """Finishes all pieces, writes the data set and its report, then removes the pieces."""
        if record_builder.is_complete(self):
            super().download_and_prepare(download_config=download_config, **kwargs)
            return
        record_builder.check_writable(self.data_dir)
        config = download_config or tfds.download.DownloadConfig()
        source = self.source or config.manual_dir
        if source is None or not pathlib.Path(source).exists():
            raise BuildError(f"there is no source {source}. {self.MANUAL_DOWNLOAD_INSTRUCTIONS}")
        folder = pathlib.Path(self.data_dir)
        self._pieces = folder.parent / f".pieces-{folder.name}"
        self._about = self._finish(pathlib.Path(source))
        super().download_and_prepare(download_config=config, **kwargs)
        shutil.rmtree(self._pieces, ignore_errors=True)

    def _write_beside(self, folder: pathlib.Path) -> None:
        files.write_text(folder / REPORT, json.dumps(self._about, indent=1) + "\n")

    def _finish(self, source: pathlib.Path) -> dict[str, Any]:
        """Makes all pieces and tells splits that have records; returns the report."""
        found = self.find(source)
        names = [(piece.split, piece.name) for piece in found.pieces]
        assert len(set(names)) == len(names), "pieces of one name would write over one another"
        if self.beam is not None:
            watch = self.on_waiting or (lambda finished, total: None)
            with pieces.watched(self._pieces, lambda count: watch(count, len(found.pieces))):
                beam.finish(found.pieces, self.image_side, self._pieces, self.beam)
            watch(0, len(found.pieces))
        total = pieces.Outcome(0, list(found.left_out), dict(found.dropped))
        for outcome in pieces.finish_all(
            found.pieces, self.image_side, self._pieces, self.processes
        ):
            total = total + outcome
            if self.on_piece is not None:
                self.on_piece(outcome, len(found.pieces))
        if not total.records:
            said = [*total.left_out, *total.dropped, "it is empty"][0]
            raise BuildError(f"{source} has nothing that can be prepared: {said}")
        by_split: dict[str, list[pieces.Piece]] = {}
        for piece in found.pieces:
            by_split.setdefault(piece.split, []).append(piece)
        self._splits = {split: kept for split, kept in by_split.items() if self._records(kept)}
        return {
            "records": {split: self._records(kept) for split, kept in self._splits.items()},
            "left_out": total.left_out,
            "dropped": total.dropped,
            "notes": found.notes,
        }

    def _records(self, kept: list[pieces.Piece]) -> int:
        paths = (pieces.path_of(piece, self.image_side, self._pieces) for piece in kept)
        return sum(pieces.outcome(path).records for path in paths)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager
        return {split: self._generate_examples(kept) for split, kept in self._splits.items()}

    def _generate_examples(self, kept: list[pieces.Piece]) -> Iterator[tuple[str, dict[str, Any]]]:
        for piece in kept:
            for key, record in pieces.examples(piece, self.image_side, self._pieces):
                yield key, {k: _encodable(k, v) for k, v in record.items()}


def _encodable(name, value):
    """Images are PNG already; a file object is how TFDS takes them as they are."""
    return io.BytesIO(value) if schema.FIELDS[name].kind == "image" else value


def run(builder: SightingBuilder, console: Console | None = None) -> Report:
    """Prepares a data set unless it is complete, with a progress bar; a summary in any case.

    Args:
      builder: with its source.
      console: where to print; None for standard error.

    Raises:
      UserError: the source is none, data_dir cannot be written, or a complete one has no report.
    """
    console = console or Console(stderr=True)
    name = f"{builder.name}/{builder.builder_config.name}"
    if record_builder.is_complete(builder):
        console.print(f"{name} is complete in {builder.data_dir}", soft_wrap=True)
        return _told(pathlib.Path(builder.data_dir), None, console)
    tfds.disable_progress_bar()
    start = time.perf_counter()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TextColumn("{task.fields[count]}"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(name, total=None, count="")
        records = 0

        def tell(outcome: pieces.Outcome, total: int) -> None:
            nonlocal records
            records += outcome.records
            bar.update(task, total=total, advance=1, count=f"{records} images")

        builder.on_piece = tell
        builder.on_waiting = lambda finished, total: bar.update(
            task, total=total, completed=finished
        )
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    return _told(pathlib.Path(builder.data_dir), time.perf_counter() - start, console)


def _told(folder, seconds, console):
    """The report of a data set, printed."""
    try:
        report = Report(
            os.fspath(folder), **json.loads((folder / REPORT).read_text()), seconds=seconds
        )
    except (OSError, ValueError, TypeError) as error:
        raise BuildError(
            f"{folder / REPORT} cannot be read ({error}), so that nobody knows what was left out. "
            "Remove the data set and prepare it again."
        ) from error
    _summarise(report, console)
    return report


def _summarise(report, console):
    def say(line):
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


def parser(name: str, doc: str | None, configs: list[str], usual: str) -> argparse.ArgumentParser:
    """The arguments that all of these commands share."""
    result = argparse.ArgumentParser(prog=f"python -m data_prep.{name}", description=doc)
    result.add_argument("--source", required=True, help="folder of what is prepared")
    result.add_argument(
        "--config", default=usual, help=f"one of {', '.join(configs)} (default: {usual})"
    )
    result.add_argument("--data-dir", default="data", help="root of the data sets (default: data)")
    result.add_argument("--processes", type=int, help="how many work (default: all cores)")
    result.add_argument(
        "--beam", nargs="?", const="", metavar="NAME=VALUE,...",
        help="make the records in a Beam pipeline with these options, such as "
        "runner=FlinkRunner,flink_master=HOST:8081 (default: on this machine)",
    )  # fmt: skip
    return result


def named(builder: type[SightingBuilder], args: argparse.Namespace) -> SightingBuilder:
    """The builder that a command's arguments ask for, under `args.name` where there is one.

    Raises:
      BuildError: no such config, or the name is no name of a data set.
    """
    name = getattr(args, "name", builder.name)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise BuildError(
            f"a data set's name has small letters, digits and _, and begins with a letter, got "
            f"{name!r}."
        )
    if name != builder.name:
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


def command(make: Callable[[], SightingBuilder]) -> int:
    """Runs a builder; the exit status: 1 if something was left out, 2 for an error."""
    return reported(lambda: 1 if run(make()).left_out else 0)
