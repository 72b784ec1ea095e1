"""Batches of records, made by threads; each is a pure function of the seed and the step.

Which records make one example is the sampler's, see `sampling`. Since every step draws its own
examples from its number, resuming needs no state of an iterator, and any host can make
its rows of a batch. `volsynth.fields` says what a batch may hold; of that, batches hold what is
asked for, and nothing else is decoded.

TensorFlow decodes, but tf.data does not run the threads: it calls Python to read records, and an
iterator that is let go before its end can wait forever for a call that waits for the interpreter.
"""

import collections
import concurrent.futures
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from volsynth.data import augment, augment_images, decoding, makers, prepared, sampling
from volsynth.data.mixture import Split
from volsynth.errors import UserError
from volsynth.fields import BATCH, OF_A_PICTURE, PAIR, role_and_kind

Batch = dict[str, np.ndarray]
"""The fields of a batch by name, such as `source_image`; see `fields.BATCH`."""

MOST_THREADS = 8
"""The number of threads that `threads=-1` stands for on a machine with as many processors."""

# The number of batches that are ready or begun, for every thread.
_AHEAD = 2


def training_batches(
    split: Split,
    seed: int,
    batch_size: int,
    start: int,
    stop: int,
    single: float = 0.0,
    *,
    rows: slice = slice(None),
    threads: int = -1,
    augmentation: augment.Augment = augment.NONE,
    fields: Sequence[str] = PAIR,
    frames: int = 1,
) -> Iterator[Batch]:
    """The batches of the steps start, ..., stop - 1, of records that the fields' sampler draws.

    Args:
      split: split to draw from.
      seed: seed of the run.
      batch_size: number of pairs of a step, on all hosts together.
      start: first step; steps before it cost nothing.
      stop: step after the last.
      single: see `pairing.training_pairs`.
      rows: rows of the batch that are made; hosts that each make their own rows make all of it.
      threads: number of threads; -1 is one for every processor, `MOST_THREADS` at most.
      augmentation: largest changes of images and poses.
      fields: names of the fields of batches, see `fields.BATCH`; only what these need is decoded.
      frames: length of clips, for fields that have one.

    Raises:
      UserError: the number of threads is not allowed, or a batch has no such field.
      DataError: a data set does not store what one of the fields is made of.
      DataError, RecordError: a record cannot be read or decoded.
      ValueError: there is no such row.
    """
    numbers = range(batch_size)[rows]
    if not numbers:
        raise ValueError(f"{rows} is no row of a batch of {batch_size}.")
    _check_stored(split, fields)

    sampler = sampling.find_sampler(fields)

    def examples(step):
        return sampler.training(split, seed, step, batch_size, single, frames)[rows]

    def params(step):
        return augment.draw(augmentation, seed, step, numbers, len(sampler.roles))

    return _batches(
        *(split, fields, examples, range(start, stop), frames, threads),
        augmentation=augmentation,
        params_of_step=params,
    )


def evaluation_batches(
    split: prepared.Split,
    examples: np.ndarray,
    batch_size: int,
    fields: Sequence[str] = PAIR,
    frames: int = 1,
) -> Iterator[Batch]:
    """The batches of all examples in order, with the fields of `fields.EVALUATION` besides.

    Args:
      split: split to read from.
      examples: record numbers, [N, columns of the fields' sampler]; of pairs source and target.
      batch_size: number of rows of every batch, the last one included.
      fields: names of the fields of batches, see `fields.BATCH`. Optional fields are left out where
        the first target's record does not store what they are made of.
      frames: length of clips, for fields that have one.

    Raises:
      UserError: a batch has no such field.
      DataError, RecordError: a record cannot be read or decoded.
    """
    if len(examples):
        lacking = _not_stored(split, examples[0, -1], fields)
        fields = [name for name in fields if name not in lacking]
    count = -(-len(examples) // batch_size)
    rows = np.arange(count * batch_size)
    # The last batch is filled up with the last example: programs are compiled for one shape.
    filled = examples[np.minimum(rows, len(examples) - 1)]
    valid = (rows < len(examples)).reshape(count, batch_size)

    def chosen(step):
        return filled[step * batch_size : (step + 1) * batch_size]

    for step, batch in enumerate(_batches(split, fields, chosen, range(count), frames)):
        pairs = chosen(step)[:, [0, -1]].astype(np.int32)
        yield {**batch, "valid": valid[step], "records": pairs}


def _check_stored(split, names):
    """Raises where a data set that training draws from lacks what one of the fields is made of."""
    # The first record of each data set speaks for all of them.
    for _, groups in split.weighted_groups:
        number = groups[0][0][0]
        for name in _not_stored(split, number, names):
            raise prepared.DataError(
                f"{split.locate(number)} has nothing to make {name} of ({BATCH[name].doc}). Train "
                "a system that does not read it, or prepare the data set again with a builder that "
                "writes it."
            )


def _not_stored(split, number, names):
    """The optional ones of these fields that a record stores nothing for."""
    kinds = {name: role_and_kind(name)[1] for name in names}
    optional = [name for name in names if BATCH[name].optional]
    # What every record has need not be looked up; looking imports TensorFlow, and reads a record.
    stored = decoding.stored_fields(split, number) if optional else frozenset()
    return [name for name in optional if not stored.issuperset(makers.record_fields([kinds[name]]))]


def _batches(
    split,
    names,
    examples_of_step,
    steps,
    frames,
    threads=-1,
    augmentation=augment.NONE,
    params_of_step=None,
):
    """Yields the batches of these steps; nothing is done before the first is asked for."""
    threads = thread_count(threads)
    # Before threads begin, as TensorFlow is imported here and graphs are made.
    columns = sampling.find_sampler(names).columns(frames)
    parts = _parts(names, augmentation, columns)

    def load(step):
        examples = examples_of_step(step)
        params = params_of_step(step) if augmentation.changes else None
        batch = {}
        for part in parts:
            # All records of one role, example by example, and then all of the next.
            of_roles = [examples[:, [*columns[role]]].reshape(-1) for role in part.roles]
            record = part.decode(split, np.concatenate(of_roles))
            values = makers.make(part.kinds, record, split.image_size)
            if augmentation.changes:
                # The frames of a clip are all changed alike.
                places = [(list(columns).index(role), len(columns[role])) for role in part.roles]
                changes = params.for_roles(places, len(columns))
                values = augment_images.apply(augmentation, values, changes, split.image_size)
            counts = {role: len(numbers) for role, numbers in zip(part.roles, of_roles)}
            batch |= _by_role(values, counts, columns)
        # Without what only augmentation needed, and in the order of the names.
        return {name: batch[name] for name in names}

    yield from _in_threads(load, steps, threads)


class _Part(NamedTuple):
    """Roles for which a batch holds the same kinds of fields; they are decoded together.

    Attributes:
      roles: one role or several.
      kinds: kinds of the fields to make, with those that augmentation needs.
      decode: function that reads the fields of records of which these are made.
    """

    roles: tuple[str, ...]
    kinds: tuple[str, ...]
    decode: Callable[[Split, Sequence[int | np.integer] | np.ndarray], decoding.Record]


def _parts(names, augmentation, roles):
    """The parts of a batch that has the fields with these names, of some of these roles."""
    roles_of_kinds = {}
    for role in roles:
        # In the table's order, whatever that of the names: both roles then share one graph.
        kinds = tuple(kind for kind in OF_A_PICTURE if f"{role}_{kind}" in names)
        if kinds:
            kinds = augment_images.with_needed(augmentation, kinds)
            roles_of_kinds.setdefault(kinds, []).append(role)
    return [
        _Part(tuple(roles), kinds, decoding.decoder(makers.record_fields(kinds)))
        for kinds, roles in roles_of_kinds.items()
    ]


def _by_role(values, counts, columns):
    """Splits fields of the pictures of all roles, one role after the other, by their names."""
    ends = np.cumsum([*counts.values()])[:-1]
    batch = {}
    for kind, value in values.items():
        for role, rows in zip(counts, np.split(value, ends), strict=True):
            name, frames = f"{role}_{kind}", len(columns[role])
            # Only a clip has an axis of frames.
            is_clip = name in BATCH and BATCH[name].is_clip
            axes = (-1, frames) if is_clip else (-1,)
            batch[name] = rows.reshape(*axes, *rows.shape[1:])
    return batch


def _in_threads(load, steps, threads):
    """Yields load(step) of every step, in order, computed ahead by threads."""
    pool = concurrent.futures.ThreadPoolExecutor(threads, "volsynth-data")
    todo = iter(steps)
    # Not pool.map, which would begin all steps at once.
    begun = collections.deque(
        pool.submit(load, step) for step in itertools.islice(todo, _AHEAD * threads)
    )
    try:
        while begun:
            batch = begun.popleft().result()
            begun.extend(pool.submit(load, step) for step in itertools.islice(todo, 1))
            yield batch
    finally:
        # Who leaves the iterator early does not wait for batches that nobody will see.
        pool.shutdown(wait=False, cancel_futures=True)


def thread_count(threads: int) -> int:
    """The number of threads for which a config's `data.threads` stands.

    Raises:
      UserError: the value is neither -1 nor at least 1.
    """
    if threads == -1:
        # Not every system can say how many processors this process may use.
        affinity = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
        return min(len(affinity(0)), MOST_THREADS)
    if threads < 1:
        raise UserError(
            f"config.data.threads must be at least 1, or -1 for one per processor, got {threads}."
        )
    return threads
