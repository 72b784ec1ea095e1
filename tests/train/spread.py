"""Ten steps of the smoke variant on a mesh; as a script, on eight devices, for many meshes.

    export JAX_NUM_CPU_DEVICES=8
    python tests/train/spread.py '[[[8, 1, false]], [[4, 1, true], [2, 1, true]]]'

Each run is a list of meshes (data, space, shard_state) that take turns, each going on from the
checkpoint of the one before. For each run it prints what `compare` returns, a JSON object a line.
"""

import json
import pathlib
import sys
import tempfile

import jax
import numpy as np

from volsynth import systems
from volsynth.config import load_config
from volsynth.data import fake
from volsynth.train import checkpoint, mesh, program

BATCH, STEPS = 8, 10


def train(*meshes, steps=STEPS):
    """The start's and the end's parameters, and the losses of every step."""
    with tempfile.TemporaryDirectory() as folder, checkpoint.Checkpoints(pathlib.Path(folder)) as c:
        losses, state = [], None
        ends = [steps * (i + 1) // len(meshes) for i in range(len(meshes))]
        for shape, first, end in zip(meshes, [0, *ends], ends):
            devices, placed, batches = _placed(*shape)
            if state is None:
                state = placed.init()
                start = jax.device_get(state.variables)
            else:
                c.save(first, state)
                c.wait()
                state = c.restore(first, placed.state)
            for batch in batches[first:end]:
                state, metrics = placed.steps["main"](state, mesh.to_devices(devices, batch, BATCH))
                losses.append(
                    [float(metrics[f"{player}/loss"]) for player in ("discriminator", "generator")]
                )
        return start, jax.device_get(state.variables), np.array(losses)


def _placed(data, space, shard_state):
    overrides = [f"--config.mesh.data={data}", f"--config.mesh.space={space}"]
    overrides += [f"--config.train.batch_size={BATCH}", "--config.train.steps=100"]
    config = load_config("configs/volumetric.py:smoke", overrides)
    size = config.data.image_size
    devices = mesh.make(config.mesh, BATCH, size)
    trained = program.make(systems.make(config), config)
    batches = [fake.batch(BATCH, size, seed=seed) for seed in range(STEPS)]
    return devices, program.place(trained, devices, 0, batches[0], shard_state), batches


def compare(run, other):
    """The largest difference of parameters, how far they moved, and that of losses, relative."""

    def largest(a, b):
        return max(
            float(np.abs(x - y).max()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b))
        )

    return {
        "parameters": largest(run[1], other[1]),
        "start": largest(run[0], other[0]),
        "moved": largest(run[0], run[1]),
        "losses": float(np.max(np.abs(run[2] / other[2] - 1))),
    }


if __name__ == "__main__":
    alone = train((1, 1, False))
    for meshes in json.loads(sys.argv[1]):
        print(json.dumps({"meshes": meshes, **compare(train(*meshes), alone)}), flush=True)
