"""Fake batches: valid, and a function of the seed."""

import numpy as np

from volsynth.data import fake
from volsynth.fields import BATCH, ROLES


def test_fake_batches_are_valid_and_depend_on_the_seed():
    batch = fake.batch(8, 32, seed=1)
    np.testing.assert_array_equal(batch["source_image"], fake.batch(8, 32, 1)["source_image"])
    for role in ROLES:
        joints = batch[f"{role}_joints"]
        assert np.all((joints > 0) & (joints < 32))
        assert np.abs(batch[f"{role}_image"]).max() <= 1
        for other in (fake.batch(8, 32, 0), fake.batch(8, 32, 2)):
            assert np.any(other[f"{role}_joints"] != joints)
    assert np.any(batch["source_joints"] != batch["target_joints"])


def test_a_field_of_a_fake_batch_does_not_depend_on_the_others():
    everything = fake.batch(2, 16, seed=3, fields=tuple(BATCH))
    assert tuple(everything) == tuple(BATCH)
    for name, value in everything.items():
        (alone,) = fake.batch(2, 16, seed=3, fields=[name]).values()
        np.testing.assert_array_equal(alone, value)
    assert np.any(everything["source_parts"] != everything["target_parts"])
