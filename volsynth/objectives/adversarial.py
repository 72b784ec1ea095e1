"""Adversarial terms: the losses of a critic and of the network that it judges, for any judge.

A judge is a function of examples to logits [B, ...]: a discriminator with its variables and with
whatever it is conditioned on. Nothing here knows which network that is, or what it looks at.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax

from volsynth import losses

Judge = Callable[[jax.Array], jax.Array]
"""A function of examples [B, ...] to logits [B, ...]: a critic, its variables and conditions."""


class GanLoss(NamedTuple):
    """An adversarial loss: the terms of both sides of the game.

    Attributes:
      term: name of the critic's term.
      critic: (logits of real, logits of generated) -> scalar that the critic minimises.
      generator: (logits of generated) -> scalar that the generator minimises.
    """

    term: str
    critic: Callable[[jax.Array, jax.Array], jax.Array]
    generator: Callable[[jax.Array], jax.Array]


GAN_LOSSES: Mapping[str, GanLoss] = {
    "minimax": GanLoss("gan", losses.gan_discriminator, losses.gan_generator),
    "wasserstein": GanLoss("wasserstein", losses.wasserstein_critic, losses.wasserstein_generator),
}
"""Adversarial losses by name: minimax in its non-saturating form (Goodfellow et al. 2014), and the
Wasserstein distance (Arjovsky et al. 2017), whose critic needs a bounded slope."""

_MIXING = 1
"""Number of the random stream that draws points between real and generated examples."""


def critic_terms(
    name: str,
    judge: Judge,
    real: jax.Array,
    generated: jax.Array,
    gradient_penalty: float,
    stream: Callable[[int], jax.Array],
) -> dict[str, jax.Array]:
    """The terms that a critic minimises, by name.

    Args:
      name: name of the adversarial loss, a key of `GAN_LOSSES`.
      judge: the critic with its variables and conditions.
      real: examples of the data [B, ...].
      generated: examples that the critic should tell from them, of the same shape.
      gradient_penalty: weight of the penalty on the critic's slope between the two (Gulrajani et
        al. 2017), for "wasserstein"; with weight 0 it is not computed.
      stream: the method `Context.stream` of the context of the loss.
    """
    gan = GAN_LOSSES[name]
    terms = {gan.term: gan.critic(judge(real), judge(generated))}
    if name == "wasserstein" and gradient_penalty:
        # The slope is looked at in one point between each real and generated example, drawn anew in
        # each step; one number for an example, whatever its shape.
        mix = jax.random.uniform(stream(_MIXING), real.shape[:1])
        penalty = losses.gradient_penalty(judge, real, generated, mix)
        terms["gradient_penalty"] = gradient_penalty * penalty
    return terms


def generator_term(name: str, judge: Judge, generated: jax.Array) -> jax.Array:
    """The term that the generator minimises, a scalar: low if the critic takes its work for real.

    Args:
      name: name of the adversarial loss, a key of `GAN_LOSSES`.
      judge: the critic with its variables and conditions.
      generated: examples that the generator has made [B, ...].
    """
    # Its weight is the caller's: terms of other kinds stand beside it.
    return GAN_LOSSES[name].generator(judge(generated))
