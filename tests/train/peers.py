"""One of several processes that train the toy system; for tests, as a script.

    python tests/train/peers.py WORKDIR STEPS [SECONDS_A_STEP]

With `distributed.VARIABLES` in the environment it joins the others. Batches are of four examples,
each process reading its own. The first process prints the final state as JSON.
"""

import json
import pathlib
import sys
import time

import jax
import numpy as np
import toy
from PIL import Image

from volsynth.train import distributed, loop, mesh

BATCH = 4


def main(workdir, steps, pause):
    """Trains, and prints the final state."""
    often = {"log_every": 1, "sample_every": 5, "checkpoint_every": 3, "keep_checkpoints": 2}
    settings = toy.config(steps, devices=-1, batch_size=BATCH, **often)
    rows = mesh.local_rows(mesh.make(settings.mesh, BATCH, 4), BATCH)

    def batches(start, stop):
        for step in range(start, stop):
            time.sleep(pause)
            targets = np.random.default_rng(step).uniform(1, 3, (BATCH, 1, 1, 1))
            batch = {"source_image": np.ones((BATCH, 1, 1, 1)), "target_image": targets}
            yield {key: value[rows].astype(np.float32) for key, value in batch.items()}

    picture = Image.new("RGB", (4, 4))
    state = toy.train(toy.system(), settings, batches, workdir, lambda averages: picture)
    if distributed.is_first():
        values = (state.step, state.variables, state.averages, state.optimisers, state.scales)
        print(json.dumps([np.asarray(v).tolist() for v in jax.tree.leaves(values)]))


if __name__ == "__main__":
    if (
        distributed.VARIABLES[0] in distributed.os.environ
        or "SLURM_JOB_ID" in distributed.os.environ
    ):
        distributed.join()
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    try:
        main(folder, int(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 0.0)
    except loop.Interrupted:
        sys.exit(3)
