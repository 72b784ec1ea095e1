"""Runs to export, without training them: a checkpoint of random numbers."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from volsynth import systems
from volsynth.config import config_to_dict, load_config
from volsynth.data import fake
from volsynth.train import checkpoint, program, run_record

POSE = "configs/pose_estimator.py:smoke"
"""Its networks compile fastest."""

IMAGE = "configs/deformable.py:smoke"
"""Its forward pass compiles fastest of those that make images."""

ROOT = pathlib.Path(__file__).parents[2]
"""The folder of the sources."""


def write(workdir, spec, *overrides, step=3):
    """A workdir of a smoke config with one checkpoint; returns the workdir."""
    config = load_config(spec, [f"--config.{override}" for override in overrides])
    system = systems.make(config)
    record = (config_to_dict(config), "tiny:0123", {"features": "none"}, system.file_keys)
    run_record.claim_workdir(workdir, *record)
    batch = fake.spec(1, config.data.image_size, system.inputs)
    whole = jax.eval_shape(program.make(system, config).init, jax.random.key(0), batch)
    rng = np.random.default_rng(0)

    def numbers(path, leaf):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.key(0)
        values = 0.2 * rng.standard_normal(leaf.shape)
        # Running variances are of what has a root.
        is_variance = path[-1] == jax.tree_util.DictKey("var")
        return jnp.asarray(np.abs(values) if is_variance else values).astype(leaf.dtype)

    with checkpoint.Checkpoints(workdir) as checkpoints:
        checkpoints.save(step, jax.tree_util.tree_map_with_path(numbers, whole))
    return workdir


def assert_same(made, wanted):
    """Asserts that outputs agree to 1e-5 of an image's range, and of the box that poses lie in."""
    if not isinstance(wanted, dict):
        made, wanted = {"image": made}, {"image": wanted}
    ranges = {"image": 1, "joints_mm": 2200, "joints_px": 32, "pose_joints": 32}
    assert set(made) == set(wanted)
    for name, value in wanted.items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(made[name], value, rtol=0, atol=1e-5 * ranges[name])
