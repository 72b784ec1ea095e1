"""The system of a generator and a discriminator that make one image from an image and a pose.

Equation 4.2 of Knoche 2019 with further terms, composed of the pieces in `objectives`. Volumetric,
ResNet and deformable generators share it, so that such a method adds only its two networks.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax

from volsynth import fields, losses
from volsynth.errors import UserError, did_you_mean
from volsynth.objectives import adversarial, reconstruction
from volsynth.system import Player, Stages, System

KINDS = ("image", "joints", "visible")
"""The kinds of fields of a batch that generator, discriminator and losses read of every picture."""


@dataclasses.dataclass(frozen=True)
class Loss:
    """The section `loss` of a config; a term of weight zero is not computed at all.

    Attributes:
      gan: weight of the adversarial term in the generator's loss; with 0 there is no critic.
      gan_loss: name of the adversarial loss, a key of `adversarial.GAN_LOSSES`; "minimax", or
        "wasserstein" with gradient penalty.
      gradient_penalty: weight of that penalty in the critic's loss.
      nearest_neighbour: weight of the nearest-neighbour loss.
      neighbourhood: side of the neighbourhood of that loss in pixels, odd.
      perceptual: weight of the mean absolute difference of features.
      perceptual_layers: the layers of VGG-19 whose features the perceptual term compares.
      features: file of VGG-19's weights, for both terms that compare features; empty for the
        built-in features.
      l1: weight of the mean absolute difference of pixels.
      chroma: weight of the mean absolute difference between differences of colour channels.
      pose: weight of the cross-entropy between the pose head's volume and the source's heatmaps.
      structure: weight of one minus structural similarity.

    Raises:
      UserError: a value is out of its range, or no term with a weight compares images.
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
    # Runs from before it do not have this key.
    structure: float = 0.0

    def __post_init__(self) -> None:
        # Those of which at least one must teach the image; the pose alone would not.
        weights = (
            self.gan,
            self.nearest_neighbour,
            self.perceptual,
            self.l1,
            self.chroma,
            self.structure,
        )
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
        # A config has one section for all losses: keys have the names that the pieces have.
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
    size_step: int = 0,
    roles: Sequence[str] = (),
    later_keys: Mapping[str, Any] | None = None,
) -> System:
    """The system of a generator and a discriminator.

    Args:
      name: name of the method.
      paper: the publication that it comes from.
      loss: weights of the losses.
      generator: (batch, train) -> outputs, with "image"; where `loss.pose` has a weight also with
        "pose_logits" and the "source_heatmaps" that they should become, [B, H, W, D, 15], and
        "pose_joints", [B, 15, 3]; random numbers from the collection "dropout". It has no states.
      discriminator: (image, batch) -> logits, [B, ...]; it has no states.
      figures: numbers that the paper prints, see `System.figures`.
      stages: the generator in three parts, where it has them.
      size_step: see `System.size_step`.
      roles: roles of pictures that the generator looks at besides the pair's.
      later_keys: see `System.later_keys`; of the generator's own keys.

    Raises:
      UserError: there are no such layers of features, or no such file.
    """

    def forward(variables, batch, context):
        # Flax needs the key only where there is dropout, in training.
        rngs = {"dropout": context.rng}
        return generator.apply(variables["generator"], batch, context.train, rngs=rngs), {}

    def judge(variables, batch):
        return lambda image: discriminator.apply(variables["discriminator"], image, batch)

    players = {"generator": Player(("generator",), _generator_loss(loss, judge))}
    if loss.gan:
        critic = Player(("discriminator",), _critic_loss(loss, judge), critic=True)
        players = {"discriminator": critic, **players}
    return System(
        name,
        paper,
        _initialiser(loss, generator, discriminator),
        forward,
        {"main": players},
        inputs=tuple(f"{role}_{kind}" for role in (*fields.ROLES, *roles) for kind in KINDS),
        task="image_and_pose" if loss.pose else "image",
        stages=stages,
        size_step=size_step,
        file_keys=("loss.features",),
        later_keys={"loss.structure": 0.0, **(later_keys or {})},
        figures=figures or {},
        notes=_notes(loss, roles),
    )


def _notes(loss, roles):
    """The notes of the system."""
    notes = dict(reconstruction.notes(loss.reconstruction))
    if roles:
        notes["pictures"] = f"looks at {1 + len(roles)} pictures of the person"
    return notes


def _initialiser(loss, generator, discriminator):
    """The function `System.init`."""

    def init(rng, batch):
        # Split even without a critic: the generator then begins with the same parameters.
        generator_rng, discriminator_rng = jax.random.split(rng)
        variables = {"generator": generator.init(generator_rng, batch, False)}
        if loss.gan:
            image = batch["target_image"]
            logits, critic = discriminator.init_with_output(discriminator_rng, image, batch)
            # Convolutions without padding leave nothing of a small image, and the mean of nothing
            # is NaN from the first step on.
            if not logits.size:
                raise UserError(
                    f"config.data.image_size: {image.shape[2]} pixels are too few for the "
                    "discriminator; shorten config.discriminator.widths."
                )
            variables["discriminator"] = critic
        return variables

    return init


def _critic_loss(loss, judge):
    """The loss of the discriminator."""

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

    return critic_loss


def _generator_loss(loss, judge):
    """The loss of the generator, equation 4.2 of Knoche 2019 with further terms."""
    compare = reconstruction.make_terms(loss.reconstruction)

    def generator_loss(variables, outputs, batch, context):
        del context  # Nothing in it is random or changes with the step.
        image, terms = outputs["image"], {}
        if loss.gan:
            term = adversarial.generator_term(loss.gan_loss, judge(variables, batch), image)
            terms["gan"] = loss.gan * term
        terms |= compare(image, batch["target_image"])
        if loss.pose:
            entropy = losses.heatmap_cross_entropy(
                outputs["pose_logits"], outputs["source_heatmaps"], batch["source_visible"]
            )
            terms["pose"] = loss.pose * entropy
        return terms, {}

    return generator_loss


def generator_stages(generator: nn.Module) -> Stages:
    """The stages of a generator whose module has the methods `encode`, `move` and `render`."""

    def stage(method):
        return lambda variables, *args: generator.apply(
            variables["generator"], *args, method=method
        )

    return Stages(stage("encode"), stage("move"), stage("render"))
