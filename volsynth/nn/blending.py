"""The end of a network that mixes candidates for every pixel rather than painting all of them."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from volsynth.nn import layers
from volsynth.ops.reprojection.mixing import Fields

_SMALL = nn.initializers.variance_scaling(0.01, "fan_in", "truncated_normal")


class BlendingHead(nn.Module):
    """Features to the fields of `ops.reprojection.mixing`.

    Attributes:
      widths: output channels of the 3x3 convolutions before the fields; residual where the number
        of channels stays.
      candidates: number of candidates that are mixed, without the paint.
      shade: whether there is a gain.
      flows: number of candidates that have a flow.
      dtype: dtype of the computation; fields are float32.
    """

    widths: Sequence[int]
    candidates: int
    shade: bool
    flows: int = 0
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Fields:
        """The fields at the features' size."""
        # No norms: how bright and how sure a pixel is must not depend on the rest of the image.
        x = x.astype(self.dtype)
        for width in self.widths:
            y = layers.leaky_relu(layers.Conv(width, (3, 3), dtype=self.dtype)(x))
            x = x + y if x.shape[-1] == width else y

        def field(name, channels, kernel_init):
            conv = layers.Conv(
                channels, (3, 3), kernel_init=kernel_init, dtype=self.dtype, name=name
            )
            return conv(x).astype(jnp.float32)

        usual = nn.initializers.lecun_normal()
        # Small: in the beginning the coverage of the candidates decides, brightness stays, and
        # pixels are found where they are looked for.
        return Fields(
            logits=field("logits", self.candidates + 1, _SMALL),
            paint=field("paint", 3, usual),
            coverage=field("coverage", 1, usual),
            gain=field("gain", 1, _SMALL) if self.shade else None,
            flow=field("flow", 2 * self.flows, _SMALL) if self.flows else None,
        )
