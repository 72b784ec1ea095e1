"""Checkpoints come back bit for bit, or with one clear error."""

import gc
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toy

from volsynth.errors import UserError
from volsynth.train import checkpoint, state

SHARDING = jax.sharding.SingleDeviceSharding(jax.devices()[0])


def _state(seed=0):
    """A state with awkward numbers in it: subnormal, NaN, infinite, negative zero."""
    optimisers = {name: optax.adam(0.1) for name in ("generator", "critic")}
    init = state.initialiser(toy.system(), optimisers)
    made = init(jax.random.key(seed), toy.batch())
    odd = jnp.array([1e-42, np.nan, -np.inf, -0.0, 1 / 3], jnp.float32)
    return made.replace(
        step=jnp.array(seed, jnp.int32),
        variables={**made.variables, "odd": {"values": odd, "half": odd.astype(jnp.bfloat16)}},
    )


def _abstract(value):
    return checkpoint.abstract(jax.eval_shape(lambda: value), SHARDING)


def _bits(leaf):
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf).tobytes()


# --- checkpoints ---------------------------------------------------------------------------------


def test_a_state_comes_back_bit_for_bit(tmp_path):
    saved = _state(seed=7)
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest is None
        assert checkpoints.steps == []
        checkpoints.save(7, saved)
        checkpoints.wait()
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest == 7
        restored = checkpoints.restore(7, _abstract(saved))
    assert jax.tree.structure(restored) == jax.tree.structure(saved)
    for new, old in zip(jax.tree.leaves(restored), jax.tree.leaves(saved)):
        assert (new.dtype, new.shape, _bits(new)) == (old.dtype, old.shape, _bits(old))
    # The key is a key, and what one derives from it is the same.
    folded = [jax.random.fold_in(s.rng, 3) for s in (restored, saved)]
    assert _bits(folded[0]) == _bits(folded[1])
    assert _bits(restored.rng) != _bits(_state(seed=8).rng)


def test_leaving_the_context_waits_for_saves(tmp_path):
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, _state())
    assert (tmp_path / "checkpoints" / "3").is_dir()


def test_only_the_newest_are_kept(tmp_path):
    with checkpoint.Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (2, 4, 6, 8):
            checkpoints.save(step, _state(step))
        checkpoints.wait()
        assert sorted(checkpoints.steps) == [6, 8]
        assert checkpoints.restore(6, _abstract(_state())).step == 6


def test_saving_a_step_again_changes_nothing(tmp_path):
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, _state(1))
        checkpoints.wait()
        checkpoints.save(2, _state(5))
        checkpoints.wait()
        assert checkpoints.restore(2, _abstract(_state())).step == 1


def _other_shape(value):
    return value.replace(variables={**value.variables, "generator": {"w": jnp.zeros((3,))}})


def _other_names(value):
    return value.replace(variables={**value.variables, "generator": {"weight": jnp.zeros(())}})


def _fewer_networks(value):
    return value.replace(variables={"generator": value.variables["generator"]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_other_shape, "variables.generator.w has shape () in it, (3,) in the config."),
        (_other_names, "variables.generator.w is only in it."),
        (_fewer_networks, "variables.critic.v is only in it."),
    ],
)
def test_a_checkpoint_of_another_structure_is_refused(tmp_path, change, message):
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, _state())
    # As a new process would: nothing is known but what is on disk.
    with (
        checkpoint.Checkpoints(tmp_path) as checkpoints,
        pytest.raises(UserError, match=f"cannot be restored: {re.escape(message)}$") as caught,
    ):
        checkpoints.restore(2, _abstract(change(_state())))
    assert "\n" not in str(caught.value)


def test_a_network_that_the_checkpoint_lacks_is_named(tmp_path):
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, _fewer_networks(_state()))
    with (
        checkpoint.Checkpoints(tmp_path) as checkpoints,
        pytest.raises(UserError, match=r"variables\.critic\.v is only in the config\."),
    ):
        checkpoints.restore(2, _abstract(_state()))


@pytest.fixture
def abandoned_reads():
    """Clears away, within the test, what Orbax leaves behind when a read fails."""
    yield
    gc.collect()


@pytest.mark.usefixtures("abandoned_reads")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "pattern", ["**/*", "state/**/d/*", "state/manifest.ocdbt", "**/_METADATA"]
)
def test_a_damaged_checkpoint_is_refused(tmp_path, pattern):
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, _state())
    files = [p for p in (tmp_path / "checkpoints" / "2").glob(pattern) if p.is_file()]
    assert files
    for path in files:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with (
        checkpoint.Checkpoints(tmp_path) as checkpoints,
        pytest.raises(UserError, match=r"checkpoint 2 in .* cannot be restored: ") as caught,
    ):
        checkpoints.restore(2, _abstract(_state()))
    assert "\n" not in str(caught.value)


def test_restoring_a_step_that_is_not_there(tmp_path):
    with (
        checkpoint.Checkpoints(tmp_path) as checkpoints,
        pytest.raises(UserError, match=r"checkpoint 4 in .* cannot be restored: "),
    ):
        checkpoints.restore(4, _abstract(_state()))
