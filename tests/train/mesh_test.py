"""Devices for a batch: all, some, and every wish that cannot be met. There are two here."""

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from volsynth.errors import UserError
from volsynth.train import mesh


def _make(count, batch_size=4):
    return mesh.make(ConfigDict({"data": count}), batch_size)


def test_there_are_two_devices():
    assert len(jax.devices()) == 2


@pytest.mark.parametrize(("asked", "size"), [(-1, 2), (1, 1), (2, 2)])
def test_as_many_devices_as_asked_for(asked, size):
    made = _make(asked)
    assert made.shape == {"data": size}
    assert list(made.devices.flat) == jax.devices()[:size]


@pytest.mark.parametrize("asked", [0, -2, 3, 100])
def test_devices_that_are_not_there(asked):
    with pytest.raises(
        UserError,
        match=rf"config\.mesh\.data: {asked} devices asked for, 2 available\. "
        r"Allowed: 1 to 2, or -1 for all\.",
    ):
        _make(asked)


def test_a_batch_that_does_not_divide():
    with pytest.raises(
        UserError,
        match=r"config\.train\.batch_size: 3 examples do not divide by 2 devices; "
        r"choose a multiple of 2, or set config\.mesh\.data\.",
    ):
        _make(-1, batch_size=3)
    assert _make(1, batch_size=3).size == 1


@pytest.mark.parametrize("batch_size", [0, -2])
def test_an_empty_batch(batch_size):
    with pytest.raises(UserError, match=f"batch_size must be at least 1, got {batch_size}"):
        _make(-1, batch_size)


def test_a_batch_is_split_and_a_state_is_everywhere():
    made = _make(-1)
    values = np.arange(12.0).reshape(4, 3)
    split = jax.device_put(values, mesh.batched(made))
    assert [s.data.tolist() for s in split.addressable_shards] == [
        values[:2].tolist(),
        values[2:].tolist(),
    ]
    whole = jax.device_put(values, mesh.replicated(made))
    assert [s.data.tolist() for s in whole.addressable_shards] == [values.tolist()] * 2
