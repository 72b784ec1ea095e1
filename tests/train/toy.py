"""A system small enough to differentiate by hand: one weight makes an image, one judges it."""

import dataclasses

import jax.numpy as jnp
import ml_collections

from volsynth.system import Player, System


def batch(value=2.0, count=2):
    """Targets of one value; the source is one everywhere."""
    image = jnp.ones((count, 1, 1, 1))
    return {"source_image": image, "target_image": image * value}


def init(rng, batch):
    """Generator weight 3, critic weight 0.5."""
    del rng, batch
    return {"generator": {"w": jnp.array(3.0)}, "critic": {"v": jnp.array(0.5)}}


def forward(variables, batch, rng, *, train):
    """image = w * source; a boolean output must not disturb anyone."""
    del rng, train
    image = variables["generator"]["w"] * batch["source_image"]
    return {"image": image, "mask": image > 0}, {}


def critic_loss(variables, outputs, batch):
    """v * (image - target)."""
    difference = jnp.mean(outputs["image"] - batch["target_image"])
    return {"game": variables["critic"]["v"] * difference}


def generator_loss(variables, outputs, batch):
    """(image - target)^2 / 2 + v * image + w^2."""
    image = outputs["image"]
    return {
        "l2": jnp.mean((image - batch["target_image"]) ** 2) / 2,
        "game": variables["critic"]["v"] * jnp.mean(image),
        "decay": variables["generator"]["w"] ** 2,
    }


def system():
    """Critic first, though it is listed last: the engine sorts."""
    players = {
        "generator": Player(("generator",), generator_loss),
        "critic": Player(("critic",), critic_loss, critic=True),
    }
    return System("toy", "-", init, forward, {"main": players})


LOSS_SCALE = {"initial": 1024.0, "minimum": 1.0, "maximum": 2.0**24, "doubles_every": 4}
"""The section `train.loss_scale` of a config."""


def half():
    """The same system, with a forward pass in float16."""

    def forward_in_half(variables, batch, rng, *, train):
        low = {"generator": {"w": variables["generator"]["w"].astype(jnp.float16)}}
        source = {"source_image": batch["source_image"].astype(jnp.float16)}
        outputs, state = forward(low, source, rng, train=train)
        return {**outputs, "image": outputs["image"].astype(jnp.float32)}, state

    return dataclasses.replace(system(), forward=forward_in_half)


def config(steps, learning_rate=0.1, precision="float32", devices=1, **train):
    """A whole config for `loop.train`; `train` overrides values of that section.

    Unless it says so, only the last step is saved, drawn and logged.
    """
    adam = {"learning_rate": learning_rate, "b1": 0.9, "b2": 0.999, "decay_from": 1.0, "l2": 0.0}
    usual = {
        "steps": steps,
        "batch_size": 2,
        "log_every": 100,
        "sample_every": 100,
        "checkpoint_every": 100,
        "keep_checkpoints": 1,
        "best_by": "",
        "average_decay": 0.9,
        "max_skipped": 3,
        "loss_scale": dict(LOSS_SCALE),
    }
    return ml_collections.ConfigDict(
        {
            "seed": 0,
            "precision": precision,
            "data": {"image_size": 4},
            "optim": {"generator": dict(adam), "critic": dict(adam)},
            "mesh": {"data": devices, "space": 1, "shard_state": False},
            "train": {**usual, **train},
        }
    )
