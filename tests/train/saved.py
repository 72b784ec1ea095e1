"""States with awkward numbers, saved, and damaged: for the tests of checkpoints."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import toy

from volsynth.train import checkpoint, checkpoint_arrays, state

SHARDING = jax.sharding.SingleDeviceSharding(jax.devices()[0])


def awkward_state(seed=0):
    """A state with awkward numbers in it: subnormal, NaN, infinite, negative zero."""
    rules = toy.rules({name: optax.adam(0.1) for name in ("generator", "critic")})
    init = state.initialiser(toy.system(), rules.optimisers)
    made = init(jax.random.key(seed), toy.batch())
    odd = jnp.array([1e-42, np.nan, -np.inf, -0.0, 1 / 3], jnp.float32)
    return made.replace(
        step=jnp.array(seed, jnp.int32),
        variables={
            **made.variables,
            "odd": {"params": {"values": odd, "half": odd.astype(jnp.bfloat16)}},
        },
    )


def abstract_of(value):
    """Shapes and dtypes of a state, for restoring."""
    return checkpoint_arrays.with_sharding(jax.eval_shape(lambda: value), SHARDING)


def bits(leaf):
    """The bytes of an array, or of a key's data."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf).tobytes()


def save_three(workdir):
    """Checkpoints of the steps 2, 4, 6; returns their folder."""
    with checkpoint.Checkpoints(workdir, keep=3) as checkpoints:
        for step in (2, 4, 6):
            checkpoints.save(step, awkward_state(step))
    return workdir / "checkpoints"


def flip(path, place=-1, bit=0):
    """Turns over one bit of a file."""
    contents = bytearray(path.read_bytes())
    contents[place] ^= 1 << bit
    path.write_bytes(contents)


def array_file(folder, item="state"):
    """The largest file of arrays of a step."""
    return max((folder / item).glob("**/d/*"), key=lambda path: path.stat().st_size)
