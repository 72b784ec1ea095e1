"""Adversarial terms: what a critic and what it judges minimise, for any judge.

A judge is a function of what is judged to logits [B, ...]: a discriminator with its variables and
with whatever it is conditioned on. Nothing here knows which network that is, or what it looks at.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax

from volsynth import losses

Judge = Callable[[jax.Array], jax.Array]
"""What is judged, [B, ...], to logits [B, ...]."""


class GanLoss(NamedTuple):
    """The two sides of an adversarial game.

    Attributes:
      term: the name of the critic's term.
      critic: (logits of real, logits of generated) -> scalar, for the critic.
      generator: (logits of generated) -> scalar, for whoever made them.
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
"""The number of the random stream of the places between real and generated examples."""


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
      name: of the adversarial loss, a key of `GAN_LOSSES`.
      judge: the critic, conditioned.
      real: examples of the data [B, ...].
      generated: what it is to tell from them, of the same shape.
      gradient_penalty: weight of the penalty on the critic's slope between the two (Gulrajani et
        al. 2017), for "wasserstein"; without a weight it is not computed.
      stream: `Context.stream`.
    """
    gan = GAN_LOSSES[name]
    terms = {gan.term: gan.critic(judge(real), judge(generated))}
    if name == "wasserstein" and gradient_penalty:
        # Where between real and generated the critic's slope is looked at: anew in each step.
        mix = jax.random.uniform(stream(_MIXING), real.shape[:1])
        penalty = losses.gradient_penalty(judge, real, generated, mix)
        terms["gradient_penalty"] = gradient_penalty * penalty
    return terms


def generator_term(name: str, judge: Judge, generated: jax.Array) -> jax.Array:
    """What makes the critic take generated examples for real ones; a scalar."""
    return GAN_LOSSES[name].generator(judge(generated))
