"""The network of BlazePose that finds landmarks and the mask of one person in a square."""

from typing import NamedTuple

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from volsynth.pretrained.blazepose.layers import (
    Block,
    Convolution,
    Depthwise,
    Encoder,
    Residual,
    Separable,
    doubled,
    repeated,
)

SIDE = 256
"""The height and width of the network's input, in pixels."""

LANDMARKS = 39
"""The number of landmarks: 33 of the body, two that tell its centre and size, and four of hands."""

STAGES = (
    (Block(64, 3, 2, 24), Block(144, 3, 1, 24)),
    (Block(144, 5, 2, 32), Block(192, 5, 1, 32)),
    (
        Block(192, 3, 2, 64),
        Block(384, 3, 1, 64, times=2),
        Block(384, 5, 1, 88),
        Block(528, 5, 1, 88, times=2),
    ),
    (Block(528, 5, 2, 144), Block(864, 5, 1, 144, times=3)),
)
"""The blocks of the encoder."""

RESIDUALS = (4, 5)
"""The residual convolutions at 4x4 and at 2x2 pixels, in front of the values of landmarks."""


class Landmarks(NamedTuple):
    """What the network says of a person.

    Attributes:
      image: x and y in pixels of the input, z on the same scale, negative in front of the hips;
        then the logits that the landmark is visible, and that it lies within the input.
      world: metres from the middle of the hips; x right, y down, z away from the camera.
      present: the probability that the input shows a person.
      mask: the logit of every pixel that it shows the person.
      heat: the logit of every cell of 4x4 pixels that it holds a landmark.
    """

    image: Float[Array, "b 39 5"]
    world: Float[Array, "b 39 3"]
    present: Float[Array, " b"]
    mask: Float[Array, "b 256 256"]
    heat: Float[Array, "b 64 64 39"]


class LandmarkNetwork(nn.Module):
    """The network of MediaPipe's model "full"."""

    @nn.compact
    def __call__(self, image: Float[Array, "b 256 256 3"]) -> Landmarks:
        """Finds landmarks in RGB images in [0, 1], each of one upright person."""
        half, quarter, eighth, sixteenth, x = Encoder(STAGES, 864, name="encoder")(image)
        features = self._pyramid(x, (sixteenth, eighth, quarter))
        heat = Convolution(LANDMARKS, name="heat")(features)
        return Landmarks(*self._regress(x), self._mask(features, half), heat)

    def _pyramid(self, x, skipped):
        """Features at a quarter of the input's size, from the coarsest to the finest."""
        x = Separable(48, name="pyramid")(x)
        for i, finer in enumerate(skipped):
            x = doubled(x) + Separable(48, name=f"pyramid_skip{i}")(finer)
        return x

    def _mask(self, x, half):
        x = doubled(Separable(8, name="mask")(x)) + Separable(8, name="mask_skip")(half)
        x = repeated(Residual(name="mask_residuals_half"), x, 2)
        x = repeated(Residual(name="mask_residuals_whole"), doubled(x), 2)
        return Convolution(1, 3, name="mask_logits")(x)[..., 0]

    def _regress(self, x):
        """The values of landmarks and the probability of a person, from the coarsest features."""
        x = Separable(288, name="regress")(x)
        for i, times in enumerate(RESIDUALS):
            x = _Halved(name=f"regress_halved{i}")(x)
            x = repeated(Residual(name=f"regress_residuals{i}"), x, times)
        image, world, present = (
            Convolution(size, 2, padding="VALID", name=name)(x)[:, 0, 0]
            for name, size in (
                ("landmarks", LANDMARKS * 5),
                ("world", LANDMARKS * 3),
                ("present", 1),
            )
        )
        batch = x.shape[0]
        return (
            image.reshape(batch, LANDMARKS, 5),
            world.reshape(batch, LANDMARKS, 3),
            jax.nn.sigmoid(present[:, 0]),
        )


class _Halved(nn.Module):
    """Half the size: the maximum of 2x2 pixels plus a separable convolution of stride 2."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j c"]:
        y = Depthwise(3, 2, name="depthwise")(x)
        y = Convolution(x.shape[-1], name="pointwise")(y)
        return nn.relu6(nn.max_pool(x, (2, 2), (2, 2)) + y)
