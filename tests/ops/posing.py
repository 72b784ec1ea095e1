"""Random poses, and the compiled functions that make volumes of them."""

import jax
import numpy as np

from volsynth import skeleton
from volsynth.ops import pose_volumes

SIDE = 32.0
INDEX = skeleton.INDEX
PART = {name: i for i, name in enumerate(skeleton.PART_NAMES)}
VISIBLE = np.ones((2, 15), bool)

heatmaps = jax.jit(pose_volumes.heatmaps, static_argnums=(2, 3, 4))
masks = jax.jit(pose_volumes.part_masks, static_argnums=(2, 3, 4))
scale = jax.jit(pose_volumes.person_scale)
transforms = jax.jit(lambda *args: pose_volumes.part_transforms(*args, SIDE))


def joints(seed=0, batch=2, low=0.1, high=0.9):
    """Joints anywhere between two shares of the side."""
    rng = np.random.default_rng(seed)
    return (rng.uniform(low, high, (batch, 15, 3)) * SIDE).astype(np.float32)


def hidden(*names):
    """Visibility of a batch in which the joints of these names are hidden."""
    visible = VISIBLE.copy()
    visible[:, [INDEX[name] for name in names]] = False
    return visible
