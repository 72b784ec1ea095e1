"""The volumetric system, the main method: volumetric feature transformation.

M. Knoche, *Volumetric Feature Transformation for Pose-Conditioned Human Image Synthesis*, master
thesis, RWTH Aachen 2019: sections 4.3 to 4.5. Image features are lifted into a volume, ten body
parts are moved by their own 7-parameter transforms and merged by maximum, features of the target
pose join them, and the volume is flattened and decoded to an image.
"""

from collections.abc import Sequence
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from volsynth import skeleton
from volsynth.config import build_section
from volsynth.conventions import BACKGROUND
from volsynth.errors import UserError, did_you_mean
from volsynth.nn import backbones, discriminators, layers
from volsynth.objectives import image_system
from volsynth.ops import keying, pose_volumes, rectangles
from volsynth.ops.warp import warp
from volsynth.system import Batch, System

PAPER = "Knoche 2019, Volumetric Feature Transformation for Pose-Conditioned Human Image Synthesis"

FIGURES = {
    "of": "table 6.16, the final design (variant full)",
    "params_total": 28e6,
    "operations_as_printed": 915e9,
}
"""Numbers in table 6.16 for the final design (variant `full`)."""

DIMENSIONS = ("3d", "2d")
"""Allowed dimensions of transforms and of target poses; "2d" is for the ablations of section
4.6."""


class Generator(nn.Module):
    """The generator of figure 4.1 of Knoche 2019: source image and target pose to an image.

    Attributes:
      depth: D, number of voxels along the depth; height and width are a quarter of the image's.
      image_channels: channels of the image stream, per voxel.
      pose_channels: channels of the pose stream, per voxel; the merged volume has the sum of both.
      encoder_widths: output channels of the image convolutions before the lift.
      decoder_widths: output channels of the image convolutions after the volume.
      blocks_before: n, number of 3D residual blocks before the warp.
      blocks_pose: number of 3D residual blocks of the pose stream.
      blocks_after: m, number of 3D residual blocks on the merged volume.
      dilation_block: whether the encoder ends with a dilation block (section 4.3.3).
      mask_width: half the width of a part, as a share of the distance from shoulder to hip.
      heatmap_sigma: standard deviation of the joints' Gaussians, as a share of the image's side.
      chroma_key: whether the background is taken out of the source image and put behind what the
        decoder paints, with a fourth channel for coverage, rather than seen and painted (thesis).
      remat: whether blocks keep only their inputs for the backward pass, to save memory.
      transform: "3d", or "2d": masks projected to the image plane and moved within it by affine
        maps, through all of the depth (section 4.6).
      pose: "3d", or "2d": the target pose without its depth.
      offcut: whether voxels in no mask are merged, too, unmoved (section 4.3.2).
      pose_head: whether joints are read out of the volume before the warp (section 4.3.4).
      dtype: type in which the layers compute.
    """

    depth: int
    image_channels: int
    pose_channels: int
    encoder_widths: Sequence[int]
    decoder_widths: Sequence[int]
    blocks_before: int
    blocks_pose: int
    blocks_after: int
    dilation_block: bool
    mask_width: float
    heatmap_sigma: float
    chroma_key: bool
    remat: bool
    transform: Literal["3d", "2d"]
    pose: Literal["3d", "2d"]
    offcut: bool
    pose_head: bool
    dtype: layers.Dtype = jnp.float32

    def setup(self) -> None:
        """Makes the layers; not in `__call__`, as each stage uses its own."""
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
        self.decoder = backbones.ImageDecoder(
            self.decoder_widths, 4 if self.chroma_key else 3, depth=self.depth, **common
        )
        if self.pose_head:
            # Without bias: the softmax over the volume cancels a constant.
            self.head = layers.Conv(
                skeleton.NUM_JOINTS, (1, 1, 1), adds_bias=False, dtype=self.dtype
            )

    def __call__(self, batch: Batch, train: bool = False) -> dict[str, Array]:
        """All stages one after the other.

        Returns:
          The outputs of `encode`, `move` and `render`, and with a pose head of `locate`.
        """
        del train  # Nothing in it behaves differently in training.
        features = self.encode(batch)
        moved = self.move(features, batch)
        outputs = {**features, **moved, **self.render(moved, batch)}
        # Only here: who renders a picture by stages has no need of the source's joints.
        if self.pose_head:
            outputs |= self.locate(features["volume"], batch)
        return outputs

    def encode(self, batch: Batch) -> dict[str, Array]:
        """The volume of features of the source image, {"volume": [B, H / 4, W / 4, D, C]}."""
        image = batch["source_image"]
        if self.chroma_key:
            # Norms would measure every colour by the largest difference, which is that to magenta.
            image = keying.remove(image, BACKGROUND)
        return {"volume": self.before(layers.lift(self.encoder(image), self.depth))}

    def move(self, features: dict[str, Array], batch: Batch) -> dict[str, Array]:
        """The volume with its parts where the target pose has them, as "warped", and their "masks".

        Masks are on the source: each part is cut out there, moved, and merged by maximum.
        """
        volume = features["volume"]
        source = (batch["source_joints"], batch["source_visible"])
        target = (batch["target_joints"], batch["target_visible"])
        side = float(batch["source_image"].shape[2])
        masks = pose_volumes.part_masks(*source, volume.shape[1:4], side, self.mask_width)
        if self.transform == "2d":
            # The same warp with other masks and maps, so that the ablation changes nothing else.
            masks = warp.prisms(masks)
            transforms = warp.planar(*rectangles.affine_fits(*source, *target, side))
        else:
            transforms = pose_volumes.part_transforms(*source, *target, side)
        if self.offcut:
            masks, transforms = warp.with_offcut(masks, transforms)
        return {"warped": warp.warp(volume, masks, transforms, side), "masks": masks}

    def locate(self, volume: Float[Array, "b h w d c"], batch: Batch) -> dict[str, Array]:
        """The source's joints as the pose head finds them, and the heatmaps that it should find."""
        side = float(batch["source_image"].shape[2])
        joints, visible = batch["source_joints"], batch["source_visible"]
        sigma = self.heatmap_sigma * side
        logits = self.head(volume)
        return {
            "pose_logits": logits,
            "pose_joints": pose_volumes.soft_argmax(logits, side),
            "source_heatmaps": pose_volumes.heatmaps(
                joints, visible, volume.shape[1:4], side, sigma
            ),
        }

    def render(self, moved: dict[str, Array], batch: Batch) -> dict[str, Array]:
        """The image of a warped volume in the target pose, {"image": [B, H, W, 3]} in [-1, 1]."""
        warped, side = moved["warped"], float(batch["source_image"].shape[2])
        joints, visible = batch["target_joints"], batch["target_visible"]
        sigma = self.heatmap_sigma * side
        flat = self.pose == "2d"
        heatmaps = pose_volumes.heatmaps(joints, visible, warped.shape[1:4], side, sigma, flat)
        merged = jnp.concatenate([warped, self.pose_stream(heatmaps)], axis=-1)
        image = self.decoder(layers.flatten_depth(self.after(merged)))
        return {"image": keying.over(image, BACKGROUND) if self.chroma_key else image}


def make(config: Any) -> System:
    """The volumetric system of a config.

    Args:
      config: the whole config; its sections `model`, `discriminator` and `loss`, the image size and
        the precision are read.

    Raises:
      UserError: image size and network do not fit together, or a value is not allowed.
    """
    image_size = config.data.image_size
    # The encoder halves the size twice, and the decoder doubles it twice.
    if image_size % 4:
        raise UserError(f"config.data.image_size must be a multiple of 4, got {image_size}.")
    loss = build_section(image_system.Loss, config, "loss")
    discriminator = build_section(
        discriminators.PoseDiscriminator,
        config,
        "discriminator",
        depth=config.model.depth,
        heatmap_sigma=config.model.heatmap_sigma,
        flat=config.model.pose == "2d",
        dtype=layers.precision(config.precision),
    )
    generator = _make_generator(config)
    return image_system.image_system(
        "volumetric",
        PAPER,
        loss,
        generator,
        discriminator,
        FIGURES,
        stages=image_system.generator_stages(generator),
    )


def _make_generator(config):
    for key in ("transform", "pose"):
        # As an attribute: where it is missing, `systems.make` says what the config lacks.
        value = getattr(config.model, key)
        if value not in DIMENSIONS:
            hint = did_you_mean(value, DIMENSIONS)
            raise UserError(f"config.model.{key} must be 3d or 2d, got {value!r}; {hint}")
    return build_section(
        Generator,
        config,
        "model",
        # A head that no loss trains would only cost parameters.
        pose_head=config.loss.pose > 0,
        dtype=layers.precision(config.precision),
    )
