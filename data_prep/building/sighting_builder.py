"""TFDS builders of data sets that are made of sightings.

All pieces are finished first, then the shards are written: a build that was killed goes on with the
pieces that it lacks. With `beam`, a Beam pipeline finishes the pieces.
"""

import abc
import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import tensorflow_datasets as tfds

from data_prep.building import beam, pieces, preparing, record_builder
from data_prep.errors import BuildError
from volsynth import files

REPORT = "report.json"
"""The file name of a build's report, which stands beside the manifest."""

SHARDS = 8
"""The number of shards of each split, if every split has so many records."""


@dataclasses.dataclass(frozen=True)
class Found:
    """The contents of a source, as the reader of a data set has found them.

    Attributes:
      pieces: the pieces to make.
      left_out: a line for each file or entry that cannot be prepared, as far as that shows without
        reading it.
      notes: sentences about what is left out on purpose or assumed.
      dropped: how many pictures (or whatever the reason names) are left out on purpose, by reason.
    """

    pieces: list[pieces.Piece]
    left_out: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    dropped: dict[str, int] = dataclasses.field(default_factory=dict)


class Report(NamedTuple):
    """The report of a build: how much was prepared, and what was left out.

    Attributes:
      folder: the folder of the data set.
      records: how many records each split has.
      left_out: a line for each thing that could not be prepared.
      dropped: how many sightings were left out on purpose, by reason.
      notes: sentences about the source; see `Found`.
      seconds: how long the build took; None if the data set was complete already.
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
      joints: how many joints the archive's own order has; None if that varies.
      source: the folder or archive that is prepared; None for TFDS's `manual_dir`.
      processes: how many processes work; None for all cores. The number changes no record.
      beam: options of the Beam pipeline that finishes the pieces, `NAME=VALUE,...`; None for no
        pipeline.
      on_piece: a function that is told what became of a piece, and how many pieces there are.
      on_waiting: a function that is told how many pieces a pipeline has finished, and how many
        there are; at its end it is told 0, as their outcomes follow one by one.
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
        """Finds what there is to prepare in a source.

        Raises:
          UserError: the source is not one of this data set.
        """

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.DESCRIPTION,
            features=record_builder.features(
                self.image_side, preparing.OPTIONAL_FIELDS, self.joints
            ),
        )

    @property
    def num_shards(self) -> int:
        """The number of shards of each split: eight, or as many as the smallest has records."""
        return min(SHARDS, *(self._records(kept) for kept in self._splits.values()))

    def download_and_prepare(self, *, download_config: Any = None, **kwargs: Any) -> None:
        """Finishes all pieces, writes the data set and its report, then removes the pieces."""
        # A complete data set needs no source, which may be gone by now.
        if record_builder.is_complete(self):
            super().download_and_prepare(download_config=download_config, **kwargs)
            return
        record_builder.check_writable(self.data_dir)
        config = download_config or tfds.download.DownloadConfig()
        source = self.source or config.manual_dir
        if source is None or not pathlib.Path(source).exists():
            raise BuildError(f"there is no source {source}. {self.MANUAL_DOWNLOAD_INSTRUCTIONS}")
        folder = pathlib.Path(self.data_dir)
        # Beside the data set's folder, which TFDS makes by renaming another one in the end.
        self._pieces = folder.parent / f".pieces-{folder.name}"
        # All pieces first: TFDS wants to know the splits, and so which of them have records.
        self._about = self._finish(pathlib.Path(source))
        super().download_and_prepare(download_config=config, **kwargs)
        # Only now: until shards and manifest are complete, the pieces are what a next try goes on
        # with.
        shutil.rmtree(self._pieces, ignore_errors=True)

    def _write_beside(self, folder: pathlib.Path) -> None:
        files.write_text(folder / REPORT, json.dumps(self._about, indent=1) + "\n")

    def _finish(self, source: pathlib.Path) -> dict[str, Any]:
        """Makes all pieces and tells splits that have records; returns the report."""
        found = self.find(source)
        names = [(piece.split, piece.name) for piece in found.pieces]
        # A fault of a reader, not of the user, and one that would lose records silently.
        assert len(set(names)) == len(names), "pieces of one name would write over one another"
        if self.beam is not None:
            self._finish_in_pipeline(found.pieces, self.beam)
        total = pieces.Outcome(0, list(found.left_out), dict(found.dropped))
        # After a pipeline too: what it has finished is only read here.
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
        # TFDS fails on a split without records, such as one whose only file was damaged.
        self._splits = {split: kept for split, kept in by_split.items() if self._records(kept)}
        return {
            "records": {split: self._records(kept) for split, kept in self._splits.items()},
            "left_out": total.left_out,
            "dropped": total.dropped,
            "notes": found.notes,
        }

    def _finish_in_pipeline(self, todo: list[pieces.Piece], options: str) -> None:
        tell = self.on_waiting or (lambda finished, total: None)
        with pieces.watch(self._pieces, lambda count: tell(count, len(todo))):
            beam.finish(todo, self.image_side, self._pieces, options)
        tell(0, len(todo))

    def _records(self, kept: list[pieces.Piece]) -> int:
        paths = (pieces.path_of(piece, self.image_side, self._pieces) for piece in kept)
        return sum(pieces.read_outcome(path).records for path in paths)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager
        return {split: self._generate_examples(kept) for split, kept in self._splits.items()}

    def _generate_examples(self, kept: list[pieces.Piece]) -> Iterator[tuple[str, dict[str, Any]]]:
        for piece in kept:
            for key, record in pieces.read_records(piece, self.image_side, self._pieces):
                yield key, record_builder.encodable(record)
