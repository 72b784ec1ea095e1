"""Devices for a batch: all, some, and every wish that cannot be met. There are two here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from ml_collections import ConfigDict

from volsynth.errors import UserError
from volsynth.train import mesh


def _make(data, batch_size=4, space=1, height=8):
    return mesh.make(ConfigDict({"data": data, "space": space}), batch_size, height)


def test_there_are_two_devices():
    assert len(jax.devices()) == 2


@pytest.mark.parametrize(
    ("data", "space", "shape"),
    [(-1, 1, (2, 1)), (1, 1, (1, 1)), (2, 1, (2, 1)), (-1, 2, (1, 2)), (1, 2, (1, 2))],
)
def test_as_many_devices_as_asked_for(data, space, shape):
    made = _make(data, space=space)
    assert tuple(made.shape.items()) == (("data", shape[0]), ("space", shape[1]))
    assert list(made.devices.flat) == jax.devices()[: made.size]


@pytest.mark.parametrize("asked", [0, -2, 3, 100])
def test_devices_that_are_not_there(asked):
    with pytest.raises(
        UserError,
        match=rf"config\.mesh\.data: {asked} devices asked for, 2 available\. "
        r"Allowed: 1 to 2, or -1 for all\.",
    ):
        _make(asked)


def test_groups_of_devices_that_are_not_there():
    with pytest.raises(UserError, match=r"2 devices asked for, 1 available in groups of 2 \(conf"):
        _make(2, space=2)


@pytest.mark.parametrize("asked", [0, -1, 3])
def test_a_height_over_devices_that_are_not_there(asked):
    with pytest.raises(
        UserError,
        match=rf"config\.mesh\.space: {asked} devices asked for, 2 available\. Allowed: 1 to 2\.",
    ):
        _make(-1, space=asked)


def test_a_height_that_does_not_divide():
    with pytest.raises(
        UserError, match="the height of the coarsest features, 9, does not divide by 2 devices"
    ):
        _make(-1, space=2, height=9)


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


def test_several_processes_must_use_all_devices(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(UserError, match="1 of 2 devices would be used; with several processes"):
        _make(1)
    assert _make(-1).size == 2


def _batch():
    return {
        "source_image": np.arange(4 * 8 * 2 * 3.0).reshape(4, 8, 2, 3),
        "source_mask": np.arange(4 * 8 * 2).reshape(4, 8, 2) % 3 == 0,
        "source_joints": np.arange(4 * 15 * 3.0).reshape(4, 15, 3),
    }


@pytest.mark.parametrize("space", [1, 2])
def test_examples_are_split_over_data_and_images_over_space(space):
    made, batch = _make(-1, space=space), _batch()
    put = mesh.to_devices(made, batch, 4)
    for key, values in batch.items():
        np.testing.assert_array_equal(put[key], values)
        shards = [np.asarray(shard.data) for shard in put[key].addressable_shards]
        if space == 1:
            expected = [values[:2], values[2:]]
        elif key.endswith("joints"):
            expected = [values, values]
        else:
            expected = [values[:, :4], values[:, 4:]]
        for shard, wanted in zip(shards, expected, strict=True):
            np.testing.assert_array_equal(shard, wanted)


def test_a_process_alone_works_on_all_rows():
    assert mesh.local_rows(_make(-1), 4) == slice(0, 4)
    assert mesh.local_rows(_make(1, space=2), 4) == slice(0, 4)


def test_rows_of_a_process_with_some_of_the_devices(monkeypatch):
    """Two processes, of which this one has the second device."""
    made, batch = _make(-1), _batch()
    real = jax.sharding.NamedSharding.addressable_devices_indices_map

    def of_second(self, shape):
        return {d: i for d, i in real(self, shape).items() if d == jax.devices()[1]}

    with monkeypatch.context() as patch:
        patch.setattr(jax.sharding.NamedSharding, "addressable_devices_indices_map", of_second)
        assert mesh.local_rows(made, 4) == slice(2, 4)
    # What `put` cuts is of the rows that this process read.
    monkeypatch.setattr(mesh, "local_rows", lambda *_: slice(-2, 2))
    longer = {key: np.concatenate([values[:2], values]) for key, values in batch.items()}
    put = mesh.to_devices(made, longer, 4)
    np.testing.assert_array_equal(put["source_image"], batch["source_image"])


def test_large_arrays_of_a_state_are_split_along_their_longest_axis():
    shapes = {
        "large": jax.ShapeDtypeStruct((3, 128, 256), jnp.float32),
        "odd": jax.ShapeDtypeStruct((3, 127, 255), jnp.float32),
        "small": jax.ShapeDtypeStruct((2, 8), jnp.float32),
        "scalar": jax.ShapeDtypeStruct((), jnp.int32),
    }
    made = _make(-1)
    split = {key: value.spec for key, value in mesh.state_shardings(made, shapes, True).items()}
    assert split.pop("large") == PartitionSpec(None, None, ("data", "space"))
    assert set(split.values()) == {PartitionSpec()}
    whole = mesh.state_shardings(made, shapes, False)
    assert {value.spec for value in whole.values()} == {PartitionSpec()}


def test_what_is_asked_to_be_whole_is_and_so_is_its_gradient():
    made = _make(-1)
    values = jax.device_put(np.arange(8.0), jax.sharding.NamedSharding(made, PartitionSpec("data")))

    def total(values):
        return jnp.sum(mesh.gathered(values) ** 2)

    gradient = jax.jit(mesh.traced_on(made, jax.grad(total)))(values)
    assert gradient.sharding.is_fully_replicated
    np.testing.assert_array_equal(gradient, 2 * np.arange(8.0))
    # Without a mesh nothing is asked for.
    assert jax.jit(jax.grad(total))(np.arange(8.0)).tolist() == (2 * np.arange(8.0)).tolist()
