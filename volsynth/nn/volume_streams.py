"""The streams of a volume: an image lifted into it, parts moved within, a pose merged to them.

M. Knoche, *Volumetric Feature Transformation for Pose-Conditioned Human Image Synthesis*, master
thesis, RWTH Aachen 2019, figure 4.1 and section 4.3. Systems that look at people by way of a volume
share them.
"""

from collections.abc import Sequence
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from volsynth.errors import UserError, did_you_mean
from volsynth.nn import backbones, blocks, layers
from volsynth.ops import pose_volumes, rectangles
from volsynth.ops.warp import warp

Pose = tuple[Float[Array, "b j 3"], Bool[Array, "b j"]]
"""Joints in pixels, and which of them are known."""


DIMENSIONS = ("3d", "2d")
"""Allowed dimensions of transforms and of target poses; "2d" is for the ablations of section
4.6."""


def check_dimensions(model: Any) -> None:
    """Checks the dimensions of transforms and poses in the section `model` of a config.

    Args:
      model: the section.

    Raises:
      UserError: one of them is not in `DIMENSIONS`.
    """
    for key in ("transform", "pose"):
        # As an attribute: where it is missing, `systems.make` says what the config lacks.
        value = getattr(model, key)
        if value not in DIMENSIONS:
            hint = did_you_mean(value, DIMENSIONS)
            raise UserError(f"config.model.{key} must be 3d or 2d, got {value!r}; {hint}")


class VolumeStreams(nn.Module, kw_only=True):
    """The stream of the image and that of the pose, and the blocks in which they are merged.

    Attributes:
      depth: D, number of voxels along the depth; height and width are a quarter of the image's.
      image_channels: channels of the image stream, per voxel.
      pose_channels: channels of the pose stream, per voxel; the merged volume has the sum of both.
      encoder_widths: output channels of the image convolutions before the lift.
      blocks_before: n, number of 3D residual blocks before the warp.
      blocks_pose: number of 3D residual blocks of the pose stream.
      blocks_after: m, number of 3D residual blocks on the merged volume.
      dilation_block: whether the encoder ends with a dilation block (section 4.3.3).
      mask_width: half the width of a part, as a share of the distance from shoulder to hip.
      heatmap_sigma: standard deviation of the joints' Gaussians, as a share of the image's side.
      remat: whether blocks keep only their inputs for the backward pass, to save memory.
      transform: "3d", or "2d": masks projected to the image plane and moved within it by affine
        maps, through all of the depth (section 4.6).
      pose: "3d", or "2d": the target pose without its depth.
      offcut: whether voxels in no mask are merged, too, unmoved (section 4.3.2).
      dtype: type in which the layers compute.
    """

    depth: int
    image_channels: int
    pose_channels: int
    encoder_widths: Sequence[int]
    blocks_before: int
    blocks_pose: int
    blocks_after: int
    dilation_block: bool
    mask_width: float
    heatmap_sigma: float
    remat: bool
    transform: Literal["3d", "2d"]
    pose: Literal["3d", "2d"]
    offcut: bool
    dtype: layers.Dtype = jnp.float32

    def setup(self) -> None:
        """Makes the layers; not in a call, as each stage uses its own."""
        # The last convolution has the channels of all depths, which the lift puts on an axis.
        widths = (*self.encoder_widths, self.depth * self.image_channels)
        common = {"remat": self.remat, "dtype": self.dtype}
        self.encoder = backbones.ImageEncoder(
            widths, self.dilation_block, depth=self.depth, **common
        )
        self.before = backbones.VolumeStack(self.blocks_before, **common)
        self.pose_stream = backbones.VolumeStack(
            self.blocks_pose, features=self.pose_channels, **common
        )
        self.after = backbones.VolumeStack(self.blocks_after, **common)

    def lift(self, image: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d f"]:
        """The volume of features of an image, [B, H / 4, W / 4, D, C]."""
        return self.before(layers.lift(self.encoder(image), self.depth))

    def moved(
        self, volume: Float[Array, "b h w d c"], source: Pose, target: Pose, side: float
    ) -> tuple[Float[Array, "b h w d c"], Array]:
        """The volume with its parts where the target pose has them, and their masks.

        Masks are on the source: each part is cut out there, moved, and merged by maximum.
        """
        masks = pose_volumes.part_masks(*source, volume.shape[1:4], side, self.mask_width)
        if self.transform == "2d":
            # The same warp with other masks and maps, so that the ablation changes nothing else.
            masks = warp.prisms(masks)
            transforms = warp.planar(*rectangles.affine_fits(*source, *target, side))
        else:
            transforms = pose_volumes.part_transforms(*source, *target, side)
        if self.offcut:
            masks, transforms = warp.with_offcut(masks, transforms)
        return warp.warp(volume, masks, transforms, side), masks

    def merged(
        self, warped: Float[Array, "b h w d c"], target: Pose, side: float
    ) -> Float[Array, "b h w f"]:
        """The warped volume merged with the stream of the pose; depth is put on the channels."""
        sigma, flat = self.heatmap_sigma * side, self.pose == "2d"
        heatmaps = pose_volumes.heatmaps(*target, warped.shape[1:4], side, sigma, flat)
        both = jnp.concatenate([warped, self.pose_stream(heatmaps)], axis=-1)
        return layers.flatten_depth(self.after(both))


class VolumeFeatures(VolumeStreams, kw_only=True):
    """The streams of a volume, with features of the image's own size at their end.

    Attributes:
      decoder_widths: output channels of each doubling of the size after the volume.
    """

    decoder_widths: Sequence[int]

    def setup(self) -> None:
        """Makes the layers."""
        super().setup()
        block = blocks.maybe_remat(blocks.UpBlock, self.remat)
        first = {"kernel_init": layers.depth_tied(self.depth, axis=-2)}
        self.ups = [
            block(width, dtype=self.dtype, **(first if i == 0 else {}))
            for i, width in enumerate(self.decoder_widths)
        ]

    def decoded(
        self, warped: Float[Array, "b h w d c"], target: Pose, side: float
    ) -> Float[Array, "b h2 w2 f"]:
        """The features of a warped volume and a pose, at the size of the image."""
        x = self.merged(warped, target, side)
        for up in self.ups:
            x = up(x)
        return x
