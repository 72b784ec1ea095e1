"""The system of a generator and a discriminator that make one image from a picture and a pose.

Equation 4.2 of Knoche 2019 with further terms, composed of the pieces in `objectives`. Volumetric,
ResNet and deformable generators share it, so that all such a method brings is its two networks.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax

from volsynth import fields, losses
from volsynth.errors import UserError, did_you_mean
from volsynth.objectives import adversarial, reconstruction
from volsynth.system import Player, Stages, System

INPUTS = tuple(f"{role}_{kind}" for role in fields.ROLES for kind in ("image", "joints", "visible"))
"""The fields of a batch that generator, discriminator and losses read."""


@dataclasses.dataclass(frozen=True)
class Loss:
    """The section `loss` of a config. A term of weight zero is not computed at all.

    Attributes:
      gan: weight of the adversarial term in the generator's loss; without one there is no critic.
      gan_loss: name of the adversarial loss, a key of `adversarial.GAN_LOSSES`; "minimax", or
        "wasserstein" with gradient penalty.
      gradient_penalty: weight of that penalty in the critic's loss.
      nearest_neighbour: weight of the nearest-neighbour loss.
      neighbourhood: side of that loss's neighbourhood in pixels, odd.
      perceptual: weight of the mean absolute difference of features.
      perceptual_layers: the layers of VGG-19 whose features those are.
      features: file of VGG-19's weights, for both losses of features; empty for the built-in ones.
      l1: weight of the mean absolute difference of pixels.
      chroma: weight of the same between differences of colour channels.
      pose: weight of the cross-entropy between the pose head's volume and the source's heatmaps.

    Raises:
      UserError: a value is out of its range, or nothing compares images.
    """

    gan: float
    gan_loss: str
    gradient_penalty: float
    nearest_neighbour: float
    neighbourhood: int
    perceptual: float
    perceptual_layers: Sequence[str]
    features: str
    l1: float
    chroma: float
    pose: float

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
        if self.gan_loss not in adversarial.GAN_LOSSES:
            hint = did_you_mean(self.gan_loss, adversarial.GAN_LOSSES)
            raise UserError(f"config.loss.gan_loss: unknown loss {self.gan_loss!r}; {hint}")
        if self.gan_loss == "wasserstein" and not self.gan:
            raise UserError(
                "config.loss.gan_loss is wasserstein, but config.loss.gan is 0: there is no "
                "critic. Give it a weight, such as 1."
            )

    @property
    def reconstruction(self) -> reconstruction.Weights:
        """The weights of the terms that compare the generated image with the target."""
        names = reconstruction.Weights._fields
        return reconstruction.Weights(**{name: getattr(self, name) for name in names})


def image_system(
    name: str,
    paper: str,
    loss: Loss,
    generator: nn.Module,
    discriminator: nn.Module,
    figures: Mapping[str, float | str] | None = None,
    stages: Stages | None = None,
) -> System:
    """The system of a generator and a discriminator.

    Args:
      name: of the method.
      paper: where it comes from.
      loss: what the generator is trained for.
      generator: (batch, train) -> outputs, with "image"; where `loss.pose` has a weight also with
        "pose_logits" and the "source_heatmaps" that they should become, [B, H, W, D, 15], and
        "pose_joints", [B, 15, 3]; random numbers from the collection "dropout". It has no states.
      discriminator: (image, batch) -> logits, [B, ...]; it has no states.
      figures: what the paper prints.
      stages: the generator in three parts, where it has them.

    Raises:
      UserError: there are no such layers of features, or no such file.
    """
    compare = reconstruction.make_terms(loss.reconstruction)

    def init(rng, batch):
        generator_rng, discriminator_rng = jax.random.split(rng)
        variables = {"generator": generator.init(generator_rng, batch, False)}
        if loss.gan:
            image = batch["target_image"]
            logits, made = discriminator.init_with_output(discriminator_rng, image, batch)
            if not logits.size:
                raise UserError(
                    f"config.data.image_size: {image.shape[2]} pixels are too few for the "
                    "discriminator; shorten config.discriminator.widths."
                )
            variables["discriminator"] = made
        return variables

    def forward(variables, batch, context):
        rngs = {"dropout": context.rng}
        return generator.apply(variables["generator"], batch, context.train, rngs=rngs), {}

    def judge(variables, batch):
        return lambda image: discriminator.apply(variables["discriminator"], image, batch)

    def critic_loss(variables, outputs, batch, context):
        terms = adversarial.critic_terms(
            loss.gan_loss,
            judge(variables, batch),
            batch["target_image"],
            outputs["image"],
            loss.gradient_penalty,
            context.stream,
        )
        return terms, {}

    def generator_loss(variables, outputs, batch, context):
        image, terms = outputs["image"], {}
        if loss.gan:
            fooled = adversarial.generator_term(loss.gan_loss, judge(variables, batch), image)
            terms["gan"] = loss.gan * fooled
        terms |= compare(image, batch["target_image"])
        if loss.pose:
            entropy = losses.heatmap_cross_entropy(
                outputs["pose_logits"], outputs["source_heatmaps"], batch["source_visible"]
            )
            terms["pose"] = loss.pose * entropy
        return terms, {}

    players = {"generator": Player(("generator",), generator_loss)}
    if loss.gan:
        critic = Player(("discriminator",), critic_loss, critic=True)
        players = {"discriminator": critic, **players}
    return System(
        name,
        paper,
        init,
        forward,
        {"main": players},
        inputs=INPUTS,
        task="image_and_pose" if loss.pose else "image",
        stages=stages,
        file_keys=("loss.features",),
        figures=figures or {},
        notes=reconstruction.notes(loss.reconstruction),
    )


def generator_stages(generator: nn.Module) -> Stages:
    """The stages of a generator whose module has the methods `encode`, `move` and `render`."""

    def stage(method):
        return lambda variables, *args: generator.apply(
            variables["generator"], *args, method=method
        )

    return Stages(stage("encode"), stage("move"), stage("render"))
