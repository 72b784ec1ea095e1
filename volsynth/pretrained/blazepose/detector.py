"""The network of BlazePose that finds persons: boxes and scores for a grid of anchors."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volsynth.pretrained.blazepose.layers import (
    Block,
    Convolution,
    Depthwise,
    Encoder,
    Residual,
    Separable,
    doubled,
    linear,
    repeated,
)

SIDE = 224
"""The height and width of the detector's input, in pixels."""

GRIDS = ((28, 2), (14, 2), (7, 6))
"""For each of the detector's outputs, the side of its grid and the anchors of each cell."""

VALUES = 12
"""The values of a box: its centre's offset from the anchor and its size, then four points' offsets
from the anchor, all as x and y in pixels of the input."""

STAGES = (
    (Block(64, 3, 2, 24), Block(144, 3, 1, 24)),
    (Block(144, 5, 2, 40), Block(240, 5, 1, 40)),
    (
        Block(240, 3, 2, 80),
        Block(480, 3, 1, 80, times=2),
        Block(480, 5, 1, 112),
        Block(672, 5, 1, 112, times=2),
    ),
    (Block(672, 5, 2, 192), Block(1152, 5, 1, 192, times=3)),
)
"""The blocks of the encoder."""


class Detector(nn.Module):
    """The detector, an encoder with a pyramid of features (Lin et al. 2017) behind it."""

    @nn.compact
    def __call__(
        self, image: Float[Array, "b 224 224 3"]
    ) -> tuple[Float[Array, "b 2254 12"], Float[Array, "b 2254"]]:
        """Finds persons in RGB images in [-1, 1].

        Returns:
          For every anchor of `anchors`, the box's `VALUES` and the logit that it holds a person.
        """
        _, _, eighth, sixteenth, x = Encoder(STAGES, 1152, name="encoder")(image)
        levels = [x]
        for name, skipped, features in (("middle", sixteenth, 192), ("fine", eighth, 96)):
            # Interpolation and a product over channels may change places: this way the product is
            # over a quarter of the pixels.
            y = nn.relu6(doubled(Convolution(features, name=f"{name}_up")(x)))
            x = Separable(features, linear, name=f"{name}_skip")(skipped) + y
            levels.append(x := repeated(Residual(linear, name=f"{name}_residuals"), x, 2))
        heads = [
            _Head(each, name=f"head{side}")(level)
            for level, (side, each) in zip(reversed(levels), GRIDS)
        ]
        boxes, logits = (jnp.concatenate(each, axis=1) for each in zip(*heads))
        return boxes, logits[..., 0]


class _Head(nn.Module):
    """Boxes and logits of a grid, [b, cells x anchors, 12] and [b, cells x anchors, 1]."""

    anchors: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> list[Float[Array, "b _ _"]]:
        batch, height, width, channels = x.shape
        # Channels become pixels, which the strides below make cells again.
        x = x.reshape(batch, height, width, 2, 2, channels // 4)
        x = jnp.swapaxes(x, 2, 3).reshape(batch, 2 * height, 2 * width, -1)
        found = []
        for name, values in (("boxes", VALUES), ("logits", 1)):
            y = Depthwise(3, 2, ((1, 1), (1, 1)), linear, name=f"{name}_depthwise")(x)
            y = Convolution(self.anchors * values, name=f"{name}_pointwise")(y)
            found.append(y.reshape(batch, -1, values))
        return found


def anchors() -> Float[np.ndarray, "2254 2"]:
    """The anchors' places (x, y) in the detector's input, in pixels: the centres of the cells."""
    places = []
    for side, each in GRIDS:
        centres = (np.arange(side) + 0.5) * SIDE / side
        y, x = np.meshgrid(centres, centres, indexing="ij")
        places.append(np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2), each, axis=0))
    return np.concatenate(places)
