"""What methods that make one image from a picture and a pose are trained for.

Equation 4.2 of seed 000, with further terms: an adversarial game, a nearest-neighbour loss, a pose
loss, and differences of pixels. Volumetric, ResNet and deformable generators share them, so the
only thing such a method brings is its two networks.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Literal

import flax.linen as nn
import jax

from volsynth import losses
from volsynth.errors import UserError, did_you_mean
from volsynth.pretrained import feature_networks
from volsynth.system import Player, System

GAMES = ("minimax", "wasserstein")

NEAREST_LAYER = "block1_conv2"
"""Of VGG-19, whose features the nearest-neighbour loss compares (Siarohin et al. 2018)."""


@dataclasses.dataclass(frozen=True)
class Loss:
    """The section `loss` of a config. A term of weight zero is not computed at all.

    Attributes:
      gan: weight of the adversarial term, in the generator's loss.
      nearest_neighbour: weight of the nearest-neighbour loss.
      neighbourhood: of that loss: pixels, odd.
      perceptual: weight of the mean absolute difference of features.
      perceptual_layers: of VGG-19, which of them.
      features: file of VGG-19's weights, for both losses of features; empty for the built-in ones.
      l1: weight of the mean absolute difference.
      chroma: weight of the same between differences of colour channels.
      game: "minimax" (non-saturating) or "wasserstein", a critic with gradient penalty.
      gradient_penalty: its weight, in the critic's loss.
      pose: weight of the cross-entropy between the pose head's volume and the source's heatmaps.
    """

    gan: float
    nearest_neighbour: float
    neighbourhood: int
    l1: float
    chroma: float
    game: Literal["minimax", "wasserstein"] = "minimax"
    gradient_penalty: float = 10.0
    pose: float = 0.0
    perceptual: float = 0.0
    perceptual_layers: Sequence[str] = ("block2_conv1",)
    features: str = ""

    def __post_init__(self):
        weights = (self.gan, self.nearest_neighbour, self.perceptual, self.l1, self.chroma)
        if min(*weights, self.pose, self.gradient_penalty) < 0:
            raise UserError(f"config.loss: weights must not be negative, got {self}.")
        if max(weights) == 0:
            raise UserError(
                "config.loss: all weights of what compares images are zero; give at least one "
                "term a weight."
            )
        if self.neighbourhood % 2 == 0 or self.neighbourhood < 1:
            raise UserError(
                f"config.loss.neighbourhood must be odd and positive, got {self.neighbourhood}; "
                "try 5."
            )
        if self.game not in GAMES:
            hint = did_you_mean(self.game, GAMES)
            raise UserError(f"config.loss.game: unknown game {self.game!r}; {hint}")
        if self.game == "wasserstein" and not self.gan:
            raise UserError(
                "config.loss.game is wasserstein, but config.loss.gan is 0: there is no critic. "
                "Give it a weight, such as 1."
            )


def image_system(
    name: str,
    paper: str,
    loss: Loss,
    generator: nn.Module,
    discriminator: nn.Module,
    figures: Mapping[str, float | str] | None = None,
) -> System:
    """The system of a generator and a discriminator.

    Args:
      name: of the method.
      paper: where it comes from.
      loss: what the generator is trained for.
      generator: (batch, train) -> outputs, with "image"; where `loss.pose` has a weight also with
        "pose_logits" and the "source_heatmaps" that they should become, [B, H, W, D, 15], and
        "pose_joints", [B, 15, 3]; random numbers from the collection "dropout".
      discriminator: (image, batch) -> logits, [B, ...].
      figures: what the paper prints.

    Raises:
      UserError: there are no such layers of features, or no such file.
    """
    layers = _layers(loss)
    # Late: what only makes images has no need of the file.
    features = functools.cache(lambda: feature_networks.load_features(loss.features, layers))

    def init(rng, batch):
        generator_rng, discriminator_rng = jax.random.split(rng)
        variables = {"generator": generator.init(generator_rng, batch, False)["params"]}
        if loss.gan:
            image = batch["target_image"]
            logits, parameters = discriminator.init_with_output(discriminator_rng, image, batch)
            if not logits.size:
                raise UserError(
                    f"config.data.image_size: {image.shape[2]} pixels are too few for the "
                    "discriminator; shorten config.discriminator.widths."
                )
            variables["discriminator"] = parameters["params"]
        return variables

    def forward(variables, batch, rng, *, train):
        parameters = {"params": variables["generator"]}
        outputs = generator.apply(parameters, batch, train, rngs={"dropout": rng})
        if train and loss.gan and loss.game == "wasserstein":
            # Where between real and generated images the critic's slope is looked at.
            shape = batch["target_image"].shape[:1]
            outputs["mix"] = jax.random.uniform(jax.random.fold_in(rng, 1), shape)
        return outputs, {}

    def judge(variables, image, batch):
        return discriminator.apply({"params": variables["discriminator"]}, image, batch)

    def critic_loss(variables, outputs, batch):
        real, fake = batch["target_image"], outputs["image"]
        of_real, of_fake = judge(variables, real, batch), judge(variables, fake, batch)
        if loss.game == "minimax":
            return {"gan": losses.gan_discriminator(of_real, of_fake)}
        terms = {"wasserstein": losses.wasserstein_critic(of_real, of_fake)}
        if loss.gradient_penalty:
            penalty = losses.gradient_penalty(
                lambda image: judge(variables, image, batch), real, fake, outputs["mix"]
            )
            terms["gradient_penalty"] = loss.gradient_penalty * penalty
        return terms

    def generator_loss(variables, outputs, batch):
        image, target = outputs["image"], batch["target_image"]
        terms = {}
        if loss.gan:
            of_fake = judge(variables, image, batch)
            play = {"minimax": losses.gan_generator, "wasserstein": losses.wasserstein_generator}
            terms["gan"] = loss.gan * play[loss.game](of_fake)
        made, wanted = (features()(x) for x in (image, target)) if layers else ({}, {})
        if loss.nearest_neighbour:
            distance = losses.nearest_neighbour(
                made[NEAREST_LAYER], wanted[NEAREST_LAYER], loss.neighbourhood
            )
            terms["nearest_neighbour"] = loss.nearest_neighbour * distance
        if loss.perceptual:
            chosen = [{layer: f[layer] for layer in loss.perceptual_layers} for f in (made, wanted)]
            terms["perceptual"] = loss.perceptual * losses.perceptual(*chosen)
        if loss.l1:
            terms["l1"] = loss.l1 * losses.l1(image, target)
        if loss.chroma:
            terms["chroma"] = loss.chroma * losses.chroma(image, target)
        if loss.pose:
            entropy = losses.heatmap_cross_entropy(
                outputs["pose_logits"], outputs["source_heatmaps"], batch["source_visible"]
            )
            terms["pose"] = loss.pose * entropy
        return terms

    players = {"generator": Player(("generator",), generator_loss)}
    if loss.gan:
        critic = Player(("discriminator",), critic_loss, critic=True)
        players = {"discriminator": critic, **players}
    notes = {"features": feature_networks.features_name(loss.features, layers)} if layers else {}
    task = "image_and_pose" if loss.pose else "image"
    figures = figures or {}
    return System(name, paper, init, forward, {"main": players}, task, figures=figures, notes=notes)


def _layers(loss):
    """Of VGG-19, all whose features some loss compares."""
    layers = [NEAREST_LAYER] if loss.nearest_neighbour else []
    layers += [*loss.perceptual_layers] if loss.perceptual else []
    return tuple(dict.fromkeys(layers))
