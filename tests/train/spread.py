"""Ten steps of the smoke variant on a mesh; as a script, on eight devices, for many meshes.

    JAX_NUM_CPU_DEVICES=8 python tests/train/spread.py '[[8, 1, false], [2, 4, true]]'

prints for each (data, space, shard_state) what `compare` returns, as one JSON object per line.
"""

import json
import sys

import jax
import numpy as np

from volsynth import config as configs
from volsynth import systems
from volsynth.data import fake
from volsynth.train import mesh, program

BATCH, STEPS = 8, 10


def train(data, space, shard_state):
    """The start's and the end's parameters, and the losses of every step."""
    overrides = [f"--config.mesh.data={data}", f"--config.mesh.space={space}"]
    overrides += [f"--config.train.batch_size={BATCH}", "--config.train.steps=100"]
    config = configs.load("configs/volumetric.py:smoke", overrides)
    size = config.data.image_size
    devices = mesh.make(config.mesh, BATCH, size)
    trained = program.make(systems.make(config), config)
    batches = [fake.batch(BATCH, size, seed=seed) for seed in range(STEPS)]
    placed = program.place(trained, devices, 0, batches[0], shard_state)
    state = placed.init()
    start = jax.device_get(state.variables)
    losses = []
    for batch in batches:
        state, metrics = placed.steps["main"](state, mesh.put(devices, batch, BATCH))
        losses.append([float(metrics[f"{player}/loss"]) for player in sorted(state.scales)])
    return start, jax.device_get(state.variables), np.array(losses)


def compare(run, other):
    """The largest difference of parameters, how far they moved, and that of the first losses."""

    def largest(a, b):
        return max(
            float(np.abs(x - y).max()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b))
        )

    return {
        "parameters": largest(run[1], other[1]),
        "start": largest(run[0], other[0]),
        "moved": largest(run[0], run[1]),
        "first_loss": float(np.max(np.abs(run[2][0] / other[2][0] - 1))),
    }


if __name__ == "__main__":
    alone = train(1, 1, False)
    for shape in json.loads(sys.argv[1]):
        print(json.dumps({"mesh": shape, **compare(train(*shape), alone)}), flush=True)
