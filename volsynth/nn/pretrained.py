"""Feature networks for the losses.

The built-in one has the first layers of VGG-19 (Simonyan and Zisserman 2015) with seeded random
weights: it needs no file, and random features of a convolutional network are a usable measure of
local structure. Its name goes into every log and result, so that nobody takes it for the real one.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

BUILTIN = "builtin-random-vgg19-block1_conv2"
_WIDTHS = (64, 64)
_SEED = 19


@functools.cache
def _builtin_kernels() -> tuple[np.ndarray, ...]:
    """3x3 kernels, He-normal, the same on every machine."""
    rng = np.random.Generator(np.random.Philox(_SEED))
    shapes = [(3, 3, c, f) for c, f in zip((3, *_WIDTHS), _WIDTHS)]
    return tuple(
        (rng.standard_normal(s) * np.sqrt(2 / np.prod(s[:3]))).astype(np.float32) for s in shapes
    )


def builtin_features(image: Float[Array, "b h w 3"]) -> Float[Array, "b h w 64"]:
    """block1_conv2 (after its ReLU) of the built-in network, float32.

    Args:
      image: RGB in [-1, 1].
    """
    x = image.astype(jnp.float32)
    for kernel in _builtin_kernels():
        x = jax.lax.conv_general_dilated(
            x, jnp.asarray(kernel), (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jax.nn.relu(x)
    return x
