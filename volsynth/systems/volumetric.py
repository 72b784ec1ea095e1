"""The volumetric system, the method of the thesis: volumetric feature transformation.

M. Knoche, *Volumetric Feature Transformation for Pose-Conditioned Human Image Synthesis*, master
thesis, RWTH Aachen 2019: sections 4.3 to 4.5. Image features are lifted into a volume, ten body
parts are moved by their own 7-parameter transforms and merged by maximum, features of the target
pose join them, and the volume is flattened and decoded to an image.
"""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Array, Float

from volsynth import skeleton
from volsynth.config import build_section
from volsynth.conventions import BACKGROUND
from volsynth.errors import UserError
from volsynth.nn import backbones, discriminators, layers, volume_streams
from volsynth.objectives import image_system
from volsynth.ops import keying, pose_volumes
from volsynth.system import Batch, System

PAPER = "Knoche 2019, Volumetric Feature Transformation for Pose-Conditioned Human Image Synthesis"

FIGURES = {
    "of": "table 6.16, the final design (variant full)",
    "params_total": 28e6,
    "operations_as_printed": 915e9,
}
"""Numbers in table 6.16 for the final design (variant `full`)."""


class Generator(volume_streams.VolumeStreams, kw_only=True):
    """The generator of figure 4.1 of Knoche 2019: source image and target pose to an image.

    Attributes:
      decoder_widths: output channels of the image convolutions after the volume.
      chroma_key: whether the background is taken out of the source image and put behind what the
        decoder paints, with a fourth channel for coverage, rather than seen and painted (thesis).
      pose_head: whether joints are read out of the volume before the warp (section 4.3.4).
    """

    decoder_widths: Sequence[int]
    chroma_key: bool
    pose_head: bool

    def setup(self) -> None:
        """Makes the layers."""
        super().setup()
        channels = 4 if self.chroma_key else 3
        self.decoder = backbones.ImageDecoder(
            self.decoder_widths, channels, depth=self.depth, remat=self.remat, dtype=self.dtype
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
        return {"volume": self.lift(image)}

    def move(self, features: dict[str, Array], batch: Batch) -> dict[str, Array]:
        """The volume with its parts where the target pose has them, as "warped", and their "masks".

        Masks are on the source: each part is cut out there, moved, and merged by maximum.
        """
        source = (batch["source_joints"], batch["source_visible"])
        target = (batch["target_joints"], batch["target_visible"])
        side = float(batch["source_image"].shape[2])
        warped, masks = self.moved(features["volume"], source, target, side)
        return {"warped": warped, "masks": masks}

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
        side = float(batch["source_image"].shape[2])
        target = (batch["target_joints"], batch["target_visible"])
        image = self.decoder(self.merged(moved["warped"], target, side))
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
    volume_streams.check_dimensions(config.model)
    return build_section(
        Generator,
        config,
        "model",
        # A head that no loss trains would only cost parameters.
        pose_head=config.loss.pose > 0,
        dtype=layers.precision(config.precision),
    )
