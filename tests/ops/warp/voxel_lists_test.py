"""Lists of sources and targets against brute force over all voxels."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import oracles
from volsynth.ops.warp import voxel_lists

SHAPES = [(8, 6, 5), (9, 4, 1), (4, 13, 7)]
PARTS = 4


def _case(shape, seed=0, share=0.1):
    rng = np.random.default_rng(seed)
    masks = rng.uniform(size=(2, PARTS, *shape)) < share
    masks[0, 1] = False
    masks[1, 2] = True
    axes = rng.standard_normal((8, 3))
    rotations = np.array([oracles.rotation_about(a, rng.normal()) for a in axes])
    matrix = (rng.uniform(0.25, 4, (8, 1, 1)) * rotations).reshape(2, PARTS, 3, 3)
    centre = np.array(shape) / 2
    offset = centre - matrix @ centre + rng.uniform(-2, 2, (2, PARTS, 3))
    return masks, jnp.asarray(matrix, jnp.float32), jnp.asarray(offset, jnp.float32)


def _sets(lists, count):
    """The listed voxels, read block by block as the warp does."""
    found = {}
    for b, p in np.ndindex(2, PARTS):
        part, size = jnp.array(p), voxel_lists.BLOCK
        blocks = range(lists.blocks(part, size))
        read = [np.asarray(lists.block(part, jnp.array(i), size)[b]) for i in blocks]
        row = np.concatenate([*read, [count]])
        end = (row < count).sum()
        assert np.all(row[end:] == count), "padding lies at the end"
        assert len(set(row[:end])) == end, "no voxel is listed twice"
        found[b, p] = set(row[:end].tolist())
    return found


def _check_longest(lists, found):
    longest = [max(len(found[b, p]) for b in range(2)) for p in range(PARTS)]
    np.testing.assert_array_equal(lists.longest, longest)


@pytest.mark.parametrize("shape", SHAPES)
def test_sources_are_the_voxels_of_the_masks(shape):
    masks, _, _ = _case(shape)
    lists = jax.jit(lambda masks: voxel_lists.list_sources(masks))(masks)
    found = _sets(lists, np.prod(shape))
    _check_longest(lists, found)
    for (b, p), voxels in found.items():
        assert voxels == set(np.flatnonzero(masks[b, p]).tolist())


@pytest.mark.parametrize("share", [0.02, 0.4])
@pytest.mark.parametrize("shape", SHAPES)
def test_targets_are_the_voxels_with_a_neighbour_in_the_mask(shape, share, monkeypatch):
    monkeypatch.setattr(voxel_lists, "ROOM", 1)
    masks, matrix, offset = _case(shape, 1, share)
    lists, parts_of = jax.jit(lambda *a: voxel_lists.list_targets(*a))(masks, matrix, offset)
    found = _sets(lists, np.prod(shape))
    _check_longest(lists, found)
    reached = np.zeros((2, np.prod(shape)), int)
    index = np.array(list(np.ndindex(*shape)))
    for b, p in np.ndindex(2, PARTS):
        low = np.floor(index @ np.asarray(matrix[b, p]).T + np.asarray(offset[b, p])).astype(int)
        near = np.zeros(len(index), bool)
        for corner in itertools.product((0, 1), repeat=3):
            at = low + corner
            inside = ((at >= 0) & (at < shape)).all(axis=1)
            at = np.clip(at, 0, np.array(shape) - 1)
            near |= inside & masks[b, p][tuple(at.T)]
        assert found[b, p] == set(np.flatnonzero(near).tolist())
        reached[b] += near
    np.testing.assert_array_equal(parts_of, reached)
    assert reached.max() > (share > 0.1)


def test_lists_longer_than_a_turn(monkeypatch):
    """More tiles than are looked through at once, and more voxels than a block."""
    monkeypatch.setattr(voxel_lists, "TILES", 2)
    monkeypatch.setattr(voxel_lists, "BLOCK", 8)
    masks, _, _ = _case((8, 9, 10), 2, 0.5)
    lists = jax.jit(lambda masks: voxel_lists.list_sources(masks))(masks)
    for (b, p), voxels in _sets(lists, 720).items():
        assert voxels == set(np.flatnonzero(masks[b, p]).tolist())
    assert lists.voxels.shape[-1] % 8 == 0
    one = jnp.array(1)
    got = np.concatenate(
        [lists.block(one, jnp.array(i), 8)[1] for i in range(lists.blocks(one, 8))]
    )
    np.testing.assert_array_equal(got, lists.voxels[1, 1, : len(got)])
    assert len(got) - 8 < masks[:, 1].sum(axis=(1, 2, 3)).max() <= len(got)


def test_a_part_without_room_is_given_all_voxels(monkeypatch):
    monkeypatch.setattr(voxel_lists, "BLOCK", 16)
    shape = (8, 6, 5)
    masks, matrix, offset = _case(shape, 3, 0.01)
    matrix = jnp.broadcast_to(jnp.eye(3), matrix.shape)
    lists, _ = jax.jit(lambda *a: voxel_lists.list_targets(*a))(masks, matrix, 0 * offset)
    assert lists.voxels.shape[2] == 32, "an eighth of 240, in blocks"
    assert lists.longest.tolist()[2] == 240
    found = _sets(lists, 240)
    assert found[0, 2] == found[1, 2] == set(range(240))
    assert all(len(found[b, p]) <= 32 for b in range(2) for p in (0, 1, 3))
    assert any(found[b, p] for b in range(2) for p in (0, 1, 3))


def test_only_tiles_near_the_part_are_looked_through():
    """A limb in a large volume, moved and turned: most of the volume is never looked at."""
    masks = np.zeros((1, 1, 64, 64, 24), bool)
    masks[:, :, 20:36, 30:35, 10:13] = True
    turn = oracles.rotation_about((0, 0, 1), 0.5)[None, None]
    offset = jnp.asarray([28.0, 32, 11] - turn @ [30.0, 30, 12], jnp.float32)
    tiling = voxel_lists._Tiling((64, 64, 24))
    filled = voxel_lists._filled_tiles(jnp.asarray(masks), tiling)
    reaching = voxel_lists._reaching_tiles(filled, jnp.asarray(turn, jnp.float32), offset, tiling)
    assert int(filled.sum()) == 4 * 2 * 2
    assert 10 < int(reaching.sum()) < 0.05 * reaching.size


def test_flat_indices_and_back():
    shape = (3, 4, 5)
    flat = jnp.arange(60)
    voxels = voxel_lists.unravel(flat, shape)
    np.testing.assert_array_equal(voxels, np.unravel_index(np.arange(60), shape))
    np.testing.assert_array_equal(voxel_lists.ravel(voxels, shape), flat)
    beyond = voxel_lists.unravel(jnp.array([60]), shape)
    assert voxel_lists.ravel(beyond, shape) == 60
    assert voxel_lists.ravel((jnp.array(0), jnp.array(-1), jnp.array(0)), shape) == 60


def test_rows_are_taken_and_put_and_padding_is_neither():
    values = jnp.arange(12.0).reshape(2, 3, 2)
    index = jnp.array([[2, 3], [0, 1]])
    taken = voxel_lists.take(values, index)
    np.testing.assert_array_equal(taken, [[[4, 5], [0, 0]], [[6, 7], [8, 9]]])
    got = voxel_lists.put(values, index, -jnp.ones((2, 2, 2)))
    np.testing.assert_array_equal(got[0], [[0, 1], [2, 3], [-1, -1]])
    np.testing.assert_array_equal(got[1], [[-1, -1], [-1, -1], [10, 11]])


def test_only_what_is_larger_is_put_and_the_first_of_equals_stays():
    values = jnp.array([[[1.0], [5.0], [2.0], [3.0]]])
    winner = jnp.full(values.shape, -1, jnp.int8)
    rows = jnp.array([[[2.0], [4.0], [2.0], [jnp.nan], [9.0]]])
    got, won = voxel_lists.put_larger(
        values, winner, jnp.array([[0, 1, 2, 3, 4]]), rows, jnp.array(6, jnp.int32)
    )
    np.testing.assert_array_equal(got[0, :, 0], [2, 5, 2, np.nan])
    assert won[0, :, 0].tolist() == [6, -1, -1, 6]
    assert won.dtype == winner.dtype
