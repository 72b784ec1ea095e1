"""A toy system with all that one image and one critic do not need.

Three phases, over images [B, H, W, 3]:

* "flow": a flow network alone learns a field; its loss reads one of the two outputs, and the image,
  which a much deeper painter makes, is not looked at.
* "paint": the painter, which has running statistics, against a critic with spectral normalisation,
  whose vectors are a state that its own loss updates.
* "both": flow and painter together, with the weight of one term annealed from 0 to 1.

The player "painter" is in two phases, and "flow" is.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import toy
from PIL import Image

from volsynth.system import Player, System

SIDE = 8
PHASES = {"flow": 4, "paint": 5, "both": 6}
"""The number of steps of each phase."""


class Flow(nn.Module):
    """An image to a field, by one convolution."""

    @nn.compact
    def __call__(self, image):
        return nn.Conv(2, (3, 3))(image)


class Painter(nn.Module):
    """An image and a field to an image: eight convolutions, and statistics of the batch."""

    features: int = 8

    @nn.compact
    def __call__(self, image, field, train):
        x = jnp.concatenate([image, field], axis=-1)
        for _ in range(8):
            x = nn.relu(nn.Conv(self.features, (3, 3))(x))
        x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)
        return jnp.tanh(nn.Conv(3, (3, 3))(x))


class Critic(nn.Module):
    """An image to logits, by a convolution of bounded norm."""

    @nn.compact
    def __call__(self, image, update):
        x = nn.SpectralNorm(nn.Conv(4, (3, 3)))(image, update_stats=update)
        return nn.Dense(1)(nn.leaky_relu(x))


FLOW, PAINTER, CRITIC = Flow(), Painter(), Critic()


def batch(step, side=SIDE):
    """Two pairs of images, by the number of the step."""
    rng = np.random.default_rng([3, step])
    image = rng.uniform(-1, 1, (2, 2, side, side, 3)).astype(np.float32)
    return {"source_image": image[0], "target_image": image[1]}


def init(rng, batch):
    """All three networks; the painter has "batch_stats", the critic too, by its norm."""
    keys = jax.random.split(rng, 3)
    image = batch["source_image"]
    return {
        "flow": FLOW.init(keys[0], image),
        "painter": PAINTER.init(keys[1], image, jnp.zeros((*image.shape[:3], 2)), True),
        "critic": CRITIC.init(keys[2], image, True),
    }


def forward(variables, batch, context):
    """The field, and the image that is painted after it, with the painter's new statistics."""
    field = FLOW.apply(variables["flow"], batch["source_image"])
    image, states = PAINTER.apply(
        variables["painter"],
        batch["source_image"],
        field,
        context.train,
        mutable=["batch_stats"] if context.train else [],
    )
    return {"field": field, "image": image}, {"painter": states} if context.train else {}


def flow_loss(variables, outputs, batch, context):
    """The field alone."""
    wanted = batch["target_image"][..., :2]
    return {"field": jnp.mean((outputs["field"] - wanted) ** 2)}, {}


def critic_loss(variables, outputs, batch, context):
    """Least squares; the vectors of the spectral norm are iterated on the real images."""
    real, states = CRITIC.apply(
        variables["critic"], batch["target_image"], True, mutable=["batch_stats"]
    )
    fake = CRITIC.apply(variables["critic"], outputs["image"], False)
    return {"gan": jnp.mean((real - 1) ** 2) + jnp.mean(fake**2)}, {"critic": states}


def painter_loss(variables, outputs, batch, context):
    """Pixels, the critic where it plays, and noise that has a key of its own."""
    noise = 0.01 * jax.random.normal(context.stream(5), batch["target_image"].shape)
    terms = {"l2": jnp.mean((outputs["image"] - batch["target_image"] + noise) ** 2)}
    if context.phase == "paint":
        logits = CRITIC.apply(variables["critic"], outputs["image"], False)
        terms["gan"] = 0.1 * jnp.mean((logits - 1) ** 2)
    return terms, {}


def annealed_loss(variables, outputs, batch, context):
    """The painter's, and the field's with a weight that grows over the phase."""
    terms, _ = painter_loss(variables, outputs, batch, context)
    field = flow_loss(variables, outputs, batch, context)[0]["field"]
    return {**terms, "field": context.progress * field}, {}


def system(**changes):
    """The whole system."""
    phases = {
        "flow": {"mover": Player(("flow",), flow_loss)},
        "paint": {
            "judge": Player(("critic",), critic_loss, critic=True),
            "artist": Player(("painter",), painter_loss),
        },
        "both": {"artist": Player(("flow", "painter"), annealed_loss)},
    }
    inputs = ("source_image", "target_image")
    made = System("phased", "-", init, forward, phases, inputs=inputs)
    return dataclasses.replace(made, **changes)


def alone():
    """The first phase, with the other networks left out."""

    def forward_alone(variables, batch, context):
        return {"field": FLOW.apply(variables["flow"], batch["source_image"])}, {}

    return system(
        init=lambda rng, batch: {"flow": init(rng, batch)["flow"]},
        forward=forward_alone,
        phases={"flow": system().phases["flow"]},
    )


def config(steps=None, devices=1, **train):
    """A whole config for `toy.train`: a rate that falls by a line in every phase."""
    made = toy.config(dict(steps or PHASES), devices=devices, **train)
    adam = {**toy.OPTIMISER, "learning_rate": 0.01, "decay": "linear", "decay_from": 0.0}
    optim = {"mover": adam, "artist": adam, "judge": {**adam, "updates": 2, "clip_weights": 0.5}}
    # The same player, with another rate in one of its phases.
    optim["both"] = {"artist": {**adam, "learning_rate": 0.001}}
    made.optim = ml_collections.ConfigDict(optim)
    made.data.image_size = SIDE
    return made


def batches(start, stop):
    """The batches of these steps, as a run asks for them."""
    yield from (batch(step) for step in range(start, stop))


def run(config, workdir, batches=batches, system=None):
    """Trains in a workdir; returns the state."""
    workdir.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", (4, 4))
    return toy.train(system or _SYSTEM, config, batches, workdir, lambda averages: picture)


_SYSTEM = system()
