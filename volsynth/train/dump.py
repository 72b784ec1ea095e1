"""The files that a diverged run leaves behind, for whoever wants to know why it diverged."""

import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from volsynth import files


def write(
    workdir: pathlib.Path, step: int, batch: Mapping[str, Any], metrics: Mapping, config: Any
) -> pathlib.Path:
    """Writes WORKDIR/diverged-STEP with the batch, the metrics and the config of a step.

    Args:
      workdir: the folder of the run.
      step: number of the step whose update was not finite, counted from 1.
      batch: the batch of that step; of several processes, each writes its own part.
      metrics: name to float, finite or not.
      config: the whole config, a ConfigDict.

    Returns:
      The folder.
    """
    folder = workdir / f"diverged-{step}"
    arrays = {key: np.asarray(value) for key, value in batch.items()}
    name = f"batch-{jax.process_index()}.npz"
    files.write_atomically(folder / name, lambda file: np.savez(file, **arrays))
    if jax.process_index() == 0:
        # JSON has no word for what is not finite.
        values = {k: v if math.isfinite(v) else str(v) for k, v in metrics.items()}
        files.write_text(folder / "metrics.json", json.dumps(values, indent=2))
        # Through its own JSON, as json cannot write a ConfigDict; and back, for the indentation.
        files.write_text(folder / "config.json", json.dumps(json.loads(config.to_json()), indent=2))
    return folder
