"""Discriminators and critics of images. They return logits, which the losses interpret."""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from volsynth.errors import UserError, did_you_mean
from volsynth.nn import blocks, layers
from volsynth.ops import pose_volumes


class PatchDiscriminator(nn.Module):
    """Judges patches of an image: C4,2 - norm - LeakyReLU for each width, then C4,2 to one logit.

    Isola et al. 2017, as printed in Knoche 2019, section 4.4 (64, 128, 256, 512 there). The
    condition (source image, target pose) comes as further channels of the input.

    Attributes:
      widths: output channels of its convolutions.
      norm: a name in `layers.NORMS`; "layer" for a critic with gradient penalty.
      whole: whether the last convolution spans all that is left of the image, for a single logit
        rather than one per patch; a critic that is the only loss needs that (section 6.2.2).
      dtype: dtype of the computation.

    Raises:
      UserError: there is no such norm.
    """

    widths: Sequence[int] = (64, 128, 256, 512)
    norm: str = "instance"
    whole: bool = False
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2"]:
        """Logits of the patches of each image."""
        if self.norm not in layers.NORMS:
            hint = did_you_mean(self.norm, layers.NORMS)
            raise UserError(f"config.discriminator.norm: unknown norm {self.norm!r}; {hint}")
        norm = layers.NORMS[self.norm]
        for width in self.widths:
            x = blocks.ConvBlock(width, (4, 4), stride=2, norm=norm, dtype=self.dtype)(x)
        if self.whole:
            x = layers.Conv(1, x.shape[1:3], padding="VALID", dtype=self.dtype)(x)
        else:
            x = layers.Conv(1, (4, 4), stride=2, dtype=self.dtype)(x)
        # Losses are float32 whatever the network computes in.
        return x[..., 0].astype(jnp.float32)


class PoseDiscriminator(nn.Module):
    """Judges an image given the source image and the target pose (Knoche 2019, section 4.4).

    Attributes:
      widths, norm, whole: see `PatchDiscriminator`.
      depth: number of layers of the pose's heatmaps, which become channels.
      heatmap_sigma: standard deviation of the joints' Gaussians, as a share of the image's side.
      flat: whether the pose is given in 2D, see `pose_volumes.heatmaps`.
      dtype: dtype of the computation.
    """

    widths: Sequence[int]
    depth: int
    heatmap_sigma: float
    norm: str = "instance"
    whole: bool = False
    flat: bool = False
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 3"], batch: Mapping[str, Array]
    ) -> Float[Array, "b h2 w2"]:
        """Logits of the patches of each image, of the batch's target or generated for it."""
        height, width = image.shape[1:3]
        heatmaps = pose_volumes.heatmaps(
            batch["target_joints"],
            batch["target_visible"],
            (height, width, self.depth),
            float(width),
            self.heatmap_sigma * width,
            self.flat,
        )
        # The network is 2D; layers of the heatmaps come as channels, beside those of the images.
        x = [image, batch["source_image"], layers.flatten_depth(heatmaps)]
        x = jnp.concatenate([v.astype(self.dtype) for v in x], axis=-1)
        return PatchDiscriminator(self.widths, self.norm, self.whole, dtype=self.dtype)(x)
