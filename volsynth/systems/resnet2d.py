"""The 2D ResNet, a baseline that moves its image features in the image plane.

M. Knoche, *Volumetric Feature Transformation for Pose-Conditioned Human Image Synthesis*, master
thesis, RWTH Aachen 2019: section 4.2.1. The generator of CycleGAN with two encoders, one for the
source image and one for the target pose; features of the image are cut out by ten rectangles and
moved by affine transforms as in Siarohin et al. 2018.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from volsynth.config import build_section
from volsynth.conventions import BACKGROUND
from volsynth.errors import UserError, did_you_mean
from volsynth.nn import backbones, blocks, discriminators, layers
from volsynth.objectives import image_system
from volsynth.ops import keying, pose_volumes, rectangles
from volsynth.ops.warp import warp
from volsynth.system import Batch, System

PAPER = "Knoche 2019, Volumetric Feature Transformation for Pose-Conditioned Human Image Synthesis"

FIGURES = {
    "of": "table 6.16, the 2D ResNet (variant full)",
    "params_total": 44e6,
    "operations_as_printed": 1497e9,
}
"""Numbers in table 6.16 for the 2D ResNet (variant `full`)."""


class Generator(nn.Module):
    """The generator of section 4.2.1: source image and target pose to an image.

    The printed formula has residual blocks of 256 channels; only with 512, those of both streams
    side by side, it has the printed number of parameters.

    Attributes:
      encoder_widths: output channels of each encoder's convolutions; all but the first halve the
        size.
      blocks: number of residual blocks on the features of both streams side by side.
      decoder_widths: output channels of each layer that doubles the size.
      heatmap_sigma: standard deviation of the joints' Gaussians, as a share of the image's side.
      skips: whether the decoder also gets both encoders' features of every larger size, those of
        the image moved like the smallest (section 6.2.1).
      interpolation: kind of interpolation in the warp, see `ops.warp`.
      chroma_key: whether the background is taken out of the source image and put behind what the
        decoder paints, with a fourth channel for coverage.
      remat: whether blocks keep only their inputs for the backward pass, to save memory.
      dtype: type in which the layers compute.
    """

    encoder_widths: Sequence[int]
    blocks: int
    decoder_widths: Sequence[int]
    heatmap_sigma: float
    skips: bool
    interpolation: str
    chroma_key: bool
    remat: bool
    dtype: layers.Dtype = jnp.float32

    def setup(self) -> None:
        """Makes the layers."""
        common = {"remat": self.remat, "dtype": self.dtype}
        self.image_stream = backbones.ImageEncoder(self.encoder_widths, False, **common)
        self.pose_stream = backbones.ImageEncoder(self.encoder_widths, False, **common)
        block = blocks.maybe_remat(blocks.ResidualBlock, self.remat)
        self.after = nn.Sequential([block((3, 3), dtype=self.dtype) for _ in range(self.blocks)])
        self.decoder = backbones.ImageDecoder(
            self.decoder_widths, 4 if self.chroma_key else 3, **common
        )

    def __call__(self, batch: Batch, train: bool) -> dict[str, Array]:
        """The image in the target pose, "image", and the moved features of the source, "warped"."""
        del train  # Nothing in it behaves differently in training.
        image = batch["source_image"]
        if self.chroma_key:
            image = keying.remove(image, BACKGROUND)
        source = (batch["source_joints"], batch["source_visible"])
        target = (batch["target_joints"], batch["target_visible"])
        height, width = image.shape[1:3]
        side = float(width)
        sigma = self.heatmap_sigma * side
        # Volumes of one voxel in depth, so that 2D and 3D systems share their heatmaps.
        heatmaps = pose_volumes.heatmaps(*target, (height, width, 1), side, sigma, flat=True)[
            :, :, :, 0
        ]

        levels = list(zip(self.image_stream.levels(image), self.pose_stream.levels(heatmaps)))
        moved, merged = [], []
        # From the smallest on; without skip connections the others are of no use.
        for of_image, of_pose in reversed(levels) if self.skips else levels[-1:]:
            # Those of the pose are in their place already: it is the target's.
            moved.append(rectangles.move(of_image, *source, *target, side, self.interpolation))
            merged.append(jnp.concatenate([moved[-1], of_pose], axis=-1))
        painted = self.decoder(self.after(merged[0]), merged[1:])
        result = keying.over(painted, BACKGROUND) if self.chroma_key else painted
        return {"image": result, "warped": moved[0]}


def make(config: Any) -> System:
    """The 2D ResNet system of a config.

    Args:
      config: the whole config; its sections `model`, `discriminator` and `loss`, the image size and
        the precision are read.

    Raises:
      UserError: image size and network do not fit together, or a value is not allowed.
    """
    model, dtype = config.model, layers.precision(config.precision)
    backbones.check_widths(model, config.data.image_size)
    if model.interpolation not in warp.INTERPOLATIONS:
        hint = did_you_mean(model.interpolation, warp.INTERPOLATIONS)
        raise UserError(
            f"config.model.interpolation: unknown interpolation {model.interpolation!r}; {hint}"
        )
    discriminator = build_section(
        discriminators.PoseDiscriminator,
        config,
        "discriminator",
        # The same network as that of the volumetric system, on a pose without depth.
        depth=1,
        heatmap_sigma=model.heatmap_sigma,
        flat=True,
        dtype=dtype,
    )
    loss = build_section(image_system.Loss, config, "loss")
    if loss.pose:
        raise UserError(f"config.loss.pose must be 0, got {loss.pose}: there is no pose head here.")
    generator = build_section(Generator, config, "model", dtype=dtype)
    return image_system.image_system("resnet2d", PAPER, loss, generator, discriminator, FIGURES)
