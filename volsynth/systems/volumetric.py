"""Volumetric feature transformation, the main system.

M. Knoche, *Volumetric Feature Transformation for Pose-Conditioned Human Image Synthesis*, master
thesis, RWTH Aachen 2019: sections 4.3 to 4.5. Image features are lifted into a volume, ten body
parts are moved by their own 7-parameter transforms and merged by maximum, features of the target
pose join them, and the volume is flattened and decoded to an image.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from volsynth import losses
from volsynth.data.schema import BACKGROUND
from volsynth.errors import UserError, did_you_mean
from volsynth.nn import backbones, discriminators, layers, pretrained
from volsynth.ops import keying, pose, warp
from volsynth.system import Player, System

PAPER = "Knoche 2019, Volumetric Feature Transformation for Pose-Conditioned Human Image Synthesis"

FIGURES = {"params_total": 28e6, "operations_as_printed": 915e9}
"""Table 6.16, of the final design (variant `full`)."""

PRECISIONS = ("float32", "bfloat16", "float16")
"""What the networks can compute in; parameters, norms and losses are float32 in any case."""


class Generator(nn.Module):
    """Figure 4.1 of the thesis.

    Attributes:
      depth: D, voxels along the depth; height and width have a quarter of the image's.
      image_channels: per voxel, of the image stream.
      pose_channels: per voxel, of the pose stream; the merged volume has the sum of both.
      encoder_widths: output channels of the image convolutions before the lift.
      decoder_widths: output channels of the image convolutions after the volume.
      blocks_before: n, 3D residual blocks before the warp.
      blocks_pose: 3D residual blocks of the pose stream.
      blocks_after: m, 3D residual blocks on the merged volume.
      dilation_block: whether the encoder ends with it (section 4.3.3).
      mask_width: half the width of a part, as a share of the distance from shoulder to hip.
      heatmap_sigma: of the joints' Gaussians, as a share of the image's side.
      chroma_key: whether the background is taken out of the source image and put behind what the
        decoder paints, with a fourth channel for coverage, rather than seen and painted (thesis).
      remat: whether blocks keep only their inputs for the backward pass, to save memory.
      dtype: of the computation.
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
    dtype: layers.Dtype = jnp.float32

    def setup(self):
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

    def __call__(self, batch) -> dict[str, Array]:
        volume = self.encode(batch["source_image"])
        side = float(batch["source_image"].shape[2])
        warped, masks = self.move(volume, batch)
        image = self.render(warped, batch["target_joints"], batch["target_visible"], side)
        return {"image": image, "volume": volume, "masks": masks, "warped": warped}

    def encode(self, image: Float[Array, "b h w 3"]) -> Float[Array, "b h4 w4 d c"]:
        """The source image as a volume, before the warp."""
        if self.chroma_key:
            image = keying.remove(image, BACKGROUND)
        return self.before(layers.lift(self.encoder(image), self.depth))

    def move(self, volume, batch) -> tuple[Array, Array]:
        """A volume [B, H, W, D, C] in the target pose, and the source's masks [B, P, H, W, D]."""
        side = float(batch["source_image"].shape[2])
        source = (batch["source_joints"], batch["source_visible"])
        target = (batch["target_joints"], batch["target_visible"])
        masks = pose.part_masks(*source, volume.shape[1:4], side, self.mask_width)
        transforms = pose.part_transforms(*source, *target, side)
        return warp.warp(volume, masks, transforms, side), masks

    def render(self, warped, joints, visible, side: float) -> Float[Array, "b h w 3"]:
        """The warped volume, with the target pose, as an image in [-1, 1]."""
        sigma = self.heatmap_sigma * side
        heatmaps = pose.heatmaps(joints, visible, warped.shape[1:4], side, sigma)
        merged = jnp.concatenate([warped, self.pose_stream(heatmaps)], axis=-1)
        image = self.decoder(layers.flatten_depth(self.after(merged)))
        return keying.over(image, BACKGROUND) if self.chroma_key else image


class Discriminator(nn.Module):
    """Judges an image given the source image and the target pose in 3D (section 4.4).

    Attributes:
      widths: output channels of its convolutions.
      depth: of the pose's heatmaps; it becomes channels.
      heatmap_sigma: as in the generator.
      dtype: of the computation.
    """

    widths: Sequence[int]
    depth: int
    heatmap_sigma: float
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, image, batch) -> Float[Array, "b h2 w2"]:
        height, width = image.shape[1:3]
        heatmaps = pose.heatmaps(
            batch["target_joints"],
            batch["target_visible"],
            (height, width, self.depth),
            float(width),
            self.heatmap_sigma * width,
        )
        x = [image, batch["source_image"], layers.flatten_depth(heatmaps)]
        x = jnp.concatenate([v.astype(self.dtype) for v in x], axis=-1)
        return discriminators.PatchDiscriminator(self.widths, dtype=self.dtype)(x)


@dataclasses.dataclass(frozen=True)
class Loss:
    """Equation 4.2, with two further terms. A weight of zero means the term is not computed.

    Attributes:
      gan: weight of the adversarial term, in the generator's loss.
      nearest_neighbour: weight of the nearest-neighbour loss.
      neighbourhood: pixels, odd.
      l1: weight of the mean absolute difference.
      chroma: weight of the same between differences of colour channels.
    """

    gan: float
    nearest_neighbour: float
    neighbourhood: int
    l1: float
    chroma: float

    def __post_init__(self):
        weights = (self.gan, self.nearest_neighbour, self.l1, self.chroma)
        if min(weights) < 0:
            raise UserError(f"config.loss: weights must not be negative, got {self}.")
        if max(weights) == 0:
            raise UserError("config.loss: all weights are zero; give at least one term a weight.")
        if self.neighbourhood % 2 == 0:
            raise UserError(
                f"config.loss.neighbourhood must be odd, got {self.neighbourhood}; try 5."
            )


def make_generator(config: Any) -> Generator:
    """The generator of a config, for those who look inside it; `make` has all the checks."""
    return Generator(**config.model, dtype=jnp.dtype(config.precision))


def make(config: Any) -> System:
    """The system of a config with sections `model`, `discriminator`, `loss` and a `precision`.

    Raises:
      UserError: image size and network do not fit, or a loss cannot be.
    """
    if config.precision not in PRECISIONS:
        hint = did_you_mean(config.precision, PRECISIONS)
        raise UserError(f"config.precision: unknown precision {config.precision!r}; {hint}")
    image_size, dtype = config.data.image_size, jnp.dtype(config.precision)
    if image_size % 4:
        raise UserError(f"config.data.image_size must be a multiple of 4, got {image_size}.")
    model, loss = config.model, Loss(**config.loss)
    generator = make_generator(config)
    discriminator = Discriminator(
        **config.discriminator, depth=model.depth, heatmap_sigma=model.heatmap_sigma, dtype=dtype
    )

    def init(rng, batch):
        generator_rng, discriminator_rng = jax.random.split(rng)
        variables = {"generator": generator.init(generator_rng, batch)["params"]}
        if loss.gan:
            image = batch["target_image"]
            parameters = discriminator.init(discriminator_rng, image, batch)["params"]
            variables["discriminator"] = parameters
        return variables

    def forward(variables, batch, rng, *, train):
        del rng, train  # Nothing in it is random, and nothing behaves differently in training.
        return generator.apply({"params": variables["generator"]}, batch), {}

    def judge(variables, image, batch):
        return discriminator.apply({"params": variables["discriminator"]}, image, batch)

    def discriminator_loss(variables, outputs, batch):
        real = judge(variables, batch["target_image"], batch)
        fake = judge(variables, outputs["image"], batch)
        return {"gan": losses.gan_discriminator(real, fake)}

    def generator_loss(variables, outputs, batch):
        image, target = outputs["image"], batch["target_image"]
        terms = {}
        if loss.gan:
            terms["gan"] = loss.gan * losses.gan_generator(judge(variables, image, batch))
        if loss.nearest_neighbour:
            features = pretrained.builtin_features(image)
            wanted = pretrained.builtin_features(target)
            distance = losses.nearest_neighbour(features, wanted, loss.neighbourhood)
            terms["nearest_neighbour"] = loss.nearest_neighbour * distance
        if loss.l1:
            terms["l1"] = loss.l1 * losses.l1(image, target)
        if loss.chroma:
            terms["chroma"] = loss.chroma * losses.chroma(image, target)
        return terms

    players = {"generator": Player(("generator",), generator_loss)}
    if loss.gan:
        critic = Player(("discriminator",), discriminator_loss, critic=True)
        players = {"discriminator": critic, **players}
    notes = {"nearest_neighbour_features": pretrained.BUILTIN} if loss.nearest_neighbour else {}
    phases = {"main": players}
    return System("volumetric", PAPER, init, forward, phases, figures=FIGURES, notes=notes)
