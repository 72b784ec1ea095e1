"""The records that the pipeline reads: no others, whatever hosts, threads and first step."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import shards

from volsynth.data import augment, decoding, pairing, pipeline, sampling, schema
from volsynth.errors import UserError
from volsynth.fields import ROLES


class _Counting:
    """A split that counts what is read of it."""

    def __init__(self, split):
        self.split, self.numbers = split, []

    def __getattr__(self, name):
        return getattr(self.split, name)

    def read(self, numbers):
        self.numbers.append([int(n) for n in numbers])
        return self.split.read(numbers)


# --- only what is needed -------------------------------------------------------------------------


def test_only_what_the_fields_need_is_decoded(train, tmp_path):
    records = shards.examples(train, range(4))
    for record in records:
        for name in ("image", "mask", "parts", "depth"):
            del record.features.feature[name]
    split = shards.write(tmp_path, {"train": records}).split("train")
    names = [f"{role}_{kind}" for role in ROLES for kind in ("joints", "joints_mm", "visible")]
    changes = augment.Augment(rotate=30, hue=0.2, occlude=0.5)
    (found,) = pipeline.training_batches(split, 0, 4, 0, 1, augmentation=changes, fields=names)
    assert list(found) == names
    with pytest.raises(schema.RecordError, match="field 'mask' is missing"):
        next(pipeline.training_batches(split, 0, 4, 0, 1, fields=["target_mask"]))


@pytest.mark.usefixtures("_unchecked")
def test_records_of_a_role_that_is_not_asked_for_are_not_read(tiny):
    split = _Counting(tiny.split("test"))
    pairs = np.array([[0, 1], [2, 3]])
    list(pipeline.evaluation_batches(split, pairs, 2, ["target_joints"]))
    list(pipeline.evaluation_batches(split, pairs, 2, ["target_image", "source_joints"]))
    assert split.numbers == [[1, 3], [0, 2], [1, 3]]


# --- hosts, late starts, threads -----------------------------------------------------------------


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_hosts_together_make_the_whole_batch(train, batches, hosts):
    share = 4 // hosts
    streams = [
        pipeline.training_batches(train, 3, 4, 0, 5, rows=slice(h * share, (h + 1) * share))
        for h in range(hosts)
    ]
    for whole, *parts in zip(batches, *streams, strict=True):
        for key, value in whole.items():
            assert len(parts[0][key]) == share
            np.testing.assert_array_equal(np.concatenate([p[key] for p in parts]), value)


def test_rows_that_are_none(train):
    with pytest.raises(ValueError, match=r"slice\(4, 8, None\) is no row of a batch of 4"):
        pipeline.training_batches(train, 3, 4, 0, 5, rows=slice(4, 8))


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("start", [0, 100_000])
def test_a_late_start_reads_no_more_than_an_early_one(train, start, monkeypatch):
    drawn, real = [], pairing.training_pairs

    def pairs(split, seed, step, batch_size, single, frames):
        drawn.append(step)
        return real(split, seed, step, batch_size, single)

    counting = sampling.SAMPLERS["pair"]._replace(training=pairs)
    monkeypatch.setitem(sampling.SAMPLERS, "pair", counting)
    counted = _Counting(train)
    stream = pipeline.training_batches(counted, 3, 4, start, 10**9, threads=2)
    assert (drawn, counted.numbers) == ([], [])
    batch, *_ = (next(stream) for _ in range(3))
    deadline = time.monotonic() + 20
    while len(counted.numbers) < 3 + 2 * pipeline._AHEAD and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)  # More would have begun by now.
    stream.close()
    assert set(drawn) == set(range(start, start + 3 + 2 * pipeline._AHEAD))
    assert len(counted.numbers) == len(drawn) == 3 + 2 * pipeline._AHEAD
    stored = decoding.read_fields(train, real(train, 3, start, 4)[:, 0], ["image"])
    np.testing.assert_array_equal(
        batch["source_image"], stored["image"].astype(np.float32) / 127.5 - 1
    )


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_nothing(train, batches, threads):
    found = list(pipeline.training_batches(train, 3, 4, 0, 5, threads=threads))
    for batch, wanted in zip(found, batches, strict=True):
        for key in wanted:
            np.testing.assert_array_equal(batch[key], wanted[key])


def test_a_number_of_threads(monkeypatch):
    assert pipeline.thread_count(3) == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert pipeline.thread_count(-1) == pipeline.MOST_THREADS
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert pipeline.thread_count(-1) == 3
    for wrong in (0, -2):
        with pytest.raises(UserError, match=f"threads must be at least 1, or -1 .*, got {wrong}"):
            pipeline.thread_count(wrong)


@pytest.mark.slow
def test_a_program_that_ends_amid_batches_ends(data_dir):
    program = (
        "import sys\n"
        "from volsynth.data import pipeline, prepared\n"
        "split = prepared.open_prepared(sys.argv[1], 'posed_people', 'tiny').split('train')\n"
        "stream = pipeline.training_batches(split, 0, 8, 0, 10**6)\n"
        "print([len(next(stream)) for _ in range(3)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(data_dir)], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout) == (0, "[10, 10, 10]\n")
