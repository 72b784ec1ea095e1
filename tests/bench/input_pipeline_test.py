"""The benchmark of the input: it measures the batches that a config trains on."""

import pytest

from volsynth.bench import input_pipeline
from volsynth.data import augment, pipeline


def _quiet(line):
    del line


@pytest.mark.parametrize("changes", [augment.NONE, augment.Augment(rotate=10.0)])
def test_batches_are_measured_as_the_config_changes_them_and_unchanged(tiny, monkeypatch, changes):
    real, given = pipeline.training_batches, []

    def seen(*args, augmentation=augment.NONE, threads=-1, **others):
        given.append((threads, augmentation))
        return real(*args, augmentation=augmentation, threads=threads, **others)

    monkeypatch.setattr(pipeline, "training_batches", seen)
    monkeypatch.setattr(input_pipeline, "BATCHES", 1)
    monkeypatch.setattr(input_pipeline, "POOLS", (1,))
    row = input_pipeline.bench_input(tiny, 2, 0.0, 2, 1, _quiet, changes)
    assert set(given) - {(-1, augment.NONE)} == {(1, changes), (2, changes)} | (
        {(2, augment.NONE)} if changes.changes else set()
    )
    assert ("images_per_second_not_augmented" in row) == changes.changes
    assert set(row["images_per_second_by_threads"]) == {"1", "2"}
    assert row["images_per_second"] == row["images_per_second_by_threads"]["2"] > 0
