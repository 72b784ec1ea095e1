"""The scoring of one split: scores, protocol, files and galleries, whatever made the pictures."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import volsynth
from volsynth.conventions import MAGENTA
from volsynth.data import decoding, pipeline, prepared, sampling
from volsynth.errors import UserError, did_you_mean, os_errors_explained
from volsynth.evaluation import compute_scores, pair_lists, picture_folders, record, scorer_options
from volsynth.evaluation.scorer_options import Options
from volsynth.evaluation.set_scorers import SetScorer
from volsynth.images import draw
from volsynth.metrics import intervals
from volsynth.progress import progress_bar
from volsynth.results import result_files
from volsynth.results.protocol import ALL, Protocol, sha256_of_pairs
from volsynth.tasks import Task, gallery
from volsynth.tasks.base import PredictFn
from volsynth.train import run_log

PAIRS_SEED = 0
"""Seed of the choice of sources. It is fixed, so that pairs are the same in every evaluation."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """The subject of an evaluation: a task, what makes the pictures, and the data.

    Attributes:
      task: the task, with its scores.
      make: (batch) -> what a system, or another program, makes of it.
      data: the data set.
      split_name: name of the split.
      batch_size: number of pairs that are made and scored at a time.
      origin: entries of the record about what was scored: "notes", "step" and "of".
      file_format: () -> entries of the protocol about the files of pictures, "file_format" and
        "resize". They are known only after all files were read.
      inputs: names of the fields of a batch that `make` reads, besides those that are scored.
      frames: length of the clips that it reads.
    """

    task: Task
    make: PredictFn
    data: prepared.Prepared
    split_name: str
    batch_size: int
    origin: Mapping[str, Any]
    file_format: Callable[[], Mapping[str, Any]]
    inputs: tuple[str, ...] = ()
    frames: int = 1

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that batches hold for the scores of every data set, each once."""
        wanted = (*sampling.SAMPLERS[self.task.sampler].fields, *self.inputs)
        return tuple(dict.fromkeys(wanted))

    @property
    def sampler(self) -> sampling.Sampler:
        """The sampler of the examples: of the task's, with whatever more is read."""
        return sampling.find_sampler(self.fields)


def score_split(subject: Subject, out: pathlib.Path, options: Options) -> dict[str, Any]:
    """Scores a split and writes results, the scores of every image, and galleries into a folder.

    Args:
      subject: what is scored.
      out: the folder; it is made where there is none.
      options: which scores and galleries are asked for.

    Returns:
      The record of `record.make_record`, with the subject's origin and "galleries".

    Raises:
      UserError: the folder cannot be written, or an option cannot be met.
    """
    task, split = subject.task, subject.data.split(subject.split_name)
    pairs = subject.sampler.evaluation(split, PAIRS_SEED, task.keep_unpaired, subject.frames)
    # Everything that a user can have got wrong is found before the long part of the work.
    with os_errors_explained("write results to", out):
        out.mkdir(parents=True, exist_ok=True)
    extra = _extra_fields(task, split, pairs)
    scorers = scorer_options.make_scorers(task, subject.data, options, extra, len(pairs))
    entries = _entries(task, scorers)
    sorted_by = _sorting(options.sorted_by or task.sorted_by, entries, scorers)
    subject = dataclasses.replace(subject, make=_saving(subject, options.save_images))
    fitted = task.fit_baselines(subject.data.split("train"), subject.batch_size)
    batches = pipeline.evaluation_batches(
        split, pairs, subject.batch_size, (*subject.fields, *extra), subject.frames
    )
    with progress_bar(f"scoring {subject.split_name}", len(pairs)) as advance:
        scores = compute_scores.score_batches(
            task, subject.make, batches, fitted, advance, scorers, len(pairs)
        )
    # Only now are all files of pictures read, and their formats known.
    protocol = Protocol(_shared_protocol(subject, pairs) | subject.file_format(), entries)
    with os_errors_explained("write results to", out):
        found = _write_scores(subject, pairs, out, scores, protocol, scorers, options)
        if options.gallery > 0:
            chosen = _gallery_pairs(subject, pairs, scores, sorted_by, entries, options.gallery)
            found["galleries"] = {**_draw(subject, chosen, out), "sorted_by": sorted_by}
            result_files.write(out, found)
    return found


def _extra_fields(task, split, pairs):
    """Fields that batches hold for scores that not every data set allows."""
    # All records of a data set store the same fields, so one of them tells.
    stored = decoding.stored_fields(split, pairs[0, -1]) if task.images else ()
    return ("target_parts",) if "parts" in stored else ()


def _entries(task, scorers):
    """The protocol of every score that is computed, by name."""
    entries = {ALL: task.protocol[ALL]} | {
        name: task.protocol[name] for name in (*task.scores, *task.details) if name in task.protocol
    }
    for scorer in scorers:
        entries |= scorer.protocol
    return entries


def _sorting(sorted_by, entries, scorers):
    """The score to sort by: one that every picture has, and of which it is known what is better."""
    of_sets = {n for scorer in scorers if isinstance(scorer, SetScorer) for n in scorer.scores}
    # Some scores, as sharpness, are best where they equal the true picture's: no order.
    ways = ("higher", "lower")
    known = [n for n, entry in entries.items() if n not in of_sets and entry.get("better") in ways]
    if sorted_by not in known:
        raise UserError(
            f"there is no score {sorted_by!r} to sort by: {did_you_mean(sorted_by, known)}"
        )
    return sorted_by


def _saving(subject, folder):
    """The subject's `make`, which also writes the pictures to a folder where one is given."""
    if folder is None:
        return subject.make
    save = picture_folders.make_saver(folder)

    def make_and_save(batch):
        made = subject.make(batch)
        save(np.asarray(subject.task.images(made)), batch)
        return made

    return make_and_save


def _shared_protocol(subject, pairs):
    """The part of the protocol that all scores share."""
    data, task = subject.data, subject.task
    return {
        "data": f"{data.manifest['name']}/{data.manifest['config']} {data.manifest['version']}",
        "data_identity": data.identity,
        "split": subject.split_name,
        "images": len(pairs),
        "pairs": task.pairs,
        # Of what further pictures a system looks at, it says itself in its notes.
        "pairs_sha256": sha256_of_pairs(pairs[:, [0, -1]]),
        "image_size": data.image_size,
        "value_range": [-1, 1],
        "background": list(MAGENTA),
        "intervals": intervals.PROTOCOL,
        **task.baselines,
    }


def _write_scores(subject, pairs, out, scores, protocol, scorers, options):
    """Writes the results and the scores of every image; returns the record."""
    task = subject.task
    split = subject.data.split(subject.split_name)
    persons = pair_lists.index_names(split, "person", pairs[:, -1]).tolist()
    digest = result_files.write_images(
        out / result_files.IMAGES_FILE,
        [pair_lists.pair_stem(pair[0], pair[-1]) for pair in pairs],
        persons,
        record.image_columns(scores, task.label),
    )
    further = [s for s in scorers if isinstance(s, SetScorer) or s.shown]
    found = record.make_record(
        task,
        scores,
        persons,
        protocol,
        [*task.scores, *(name for scorer in further for name in scorer.scores)],
        **subject.origin,
        images_sha256=digest,
        estimator=options.estimator,
        code={"version": volsynth.__version__, "commit": run_log.commit()},
    )
    # Before anything is drawn: what was computed stays, whatever happens then.
    result_files.write(out, found)
    return found


def _gallery_pairs(subject, pairs, scores, sorted_by, entries, count):
    """The pairs of each gallery, {name: (pairs, label of each, or None without labels)}."""
    split, task = subject.data.split(subject.split_name), subject.task
    # The worst and the best are told by the system's own row; baselines have no galleries.
    ranked = scores.images[task.label][sorted_by]
    best, worst = compute_scores.best_and_worst(ranked, entries[sorted_by]["better"], count)
    chosen = {
        "gallery": (
            gallery.gallery_pairs(
                split, PAIRS_SEED, count, task.keep_unpaired, subject.sampler, subject.frames
            ),
            None,
        )
    }
    for name, places in (("worst", worst), ("best", best)):
        chosen[name] = (pairs[places], [f"{ranked.values[place]:.3f}" for place in places])
    return chosen


def _draw(subject, chosen, out):
    """Draws galleries, {name: file}; those without pairs are left out."""
    split, drawn = subject.data.split(subject.split_name), {}
    for name, (pairs, labels) in chosen.items():
        # No picture may have the score that is sorted by.
        if not len(pairs):
            continue
        batches = pipeline.evaluation_batches(
            split, pairs, subject.batch_size, subject.fields, subject.frames
        )
        picture = gallery.gallery(subject.task, subject.make, batches, labels=labels)
        drawn[name] = str(out / f"{name}.png")
        draw.save_png(drawn[name], picture)
    return drawn
