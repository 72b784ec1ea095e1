"""A system small enough to differentiate by hand: one weight makes an image, one judges it."""

import dataclasses

import jax
import jax.numpy as jnp
import ml_collections
import optax

from volsynth.system import Context, Player, System
from volsynth.train import loop, mesh, program
from volsynth.train.optim import Optimiser
from volsynth.train.scaling import UNSCALED
from volsynth.train.step import Rules
from volsynth.train.step import make as make_step


def batch(value=2.0, count=2):
    """Targets of one value; the source is one everywhere."""
    image = jnp.ones((count, 1, 1, 1))
    return {"source_image": image, "target_image": image * value}


def init(rng, batch):
    """Generator weight 3, critic weight 0.5."""
    del rng, batch
    return {
        "generator": {"params": {"w": jnp.float32(3.0)}},
        "critic": {"params": {"v": jnp.float32(0.5)}},
    }


def forward(variables, batch, context):
    """image = w * source; a boolean output must not disturb anyone."""
    del context
    image = variables["generator"]["params"]["w"] * batch["source_image"]
    return {"image": image, "mask": image > 0}, {}


def critic_loss(variables, outputs, batch, context):
    """v * (image - target)."""
    difference = jnp.mean(outputs["image"] - batch["target_image"])
    return {"game": variables["critic"]["params"]["v"] * difference}, {}


def generator_loss(variables, outputs, batch, context):
    """(image - target)^2 / 2 + v * image + w^2."""
    image = outputs["image"]
    terms = {
        "l2": jnp.mean((image - batch["target_image"]) ** 2) / 2,
        "game": variables["critic"]["params"]["v"] * jnp.mean(image),
        "decay": variables["generator"]["params"]["w"] ** 2,
    }
    return terms, {}


def system():
    """Critic first, though it is listed last: the engine sorts."""
    players = {
        "generator": Player(("generator",), generator_loss),
        "critic": Player(("critic",), critic_loss, critic=True),
    }
    return System("toy", "-", init, forward, {"main": players})


OPTIMISER = {
    **{"kind": "adam", "learning_rate": 0.1, "b1": 0.9, "b2": 0.999, "l2": 0.0},
    **{"weight_decay": 0.0, "decay": "cosine", "decay_from": 1.0},
    **{"plateau": {"factor": 0.5, "patience": 1, "every": 2, "threshold": 1e-4}},
    **{"clip_gradients": 0.0, "clip_weights": 0.0, "updates": 1},
}
"""The section of a player in `optim` of a config."""

LOSS_SCALE = {"initial": 1024.0, "minimum": 1.0, "maximum": 2.0**24, "doubles_every": 4}
"""The section `train.loss_scale` of a config."""


def half():
    """The same system, with a forward pass in float16."""

    def forward_in_half(variables, batch, context):
        weight = variables["generator"]["params"]["w"].astype(jnp.float16)
        low = {"generator": {"params": {"w": weight}}}
        source = {"source_image": batch["source_image"].astype(jnp.float16)}
        outputs, state = forward(low, source, context)
        return {**outputs, "image": outputs["image"].astype(jnp.float32)}, state

    return dataclasses.replace(system(), forward=forward_in_half)


def config(steps, learning_rate=0.1, precision="float32", devices=1, **train):
    """A whole config for `loop.train`; `train` overrides values of that section.

    Unless it says so, only the last step is saved, drawn and logged.
    """
    adam = {**OPTIMISER, "learning_rate": learning_rate}
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


def train(system, config, batches, workdir, draw_samples):
    """`loop.train` of a config: the program and the mesh are made as a run makes them."""
    devices = mesh.make(config.mesh, config.train.batch_size, config.data.image_size)
    made = program.make(system, config)
    # A process may have a part of the batch.
    whole = {
        key: jax.ShapeDtypeStruct((config.train.batch_size, *value.shape[1:]), value.dtype)
        for key, value in next(batches(0, 1)).items()
    }
    placed = program.place(made, devices, config.seed, whole, config.mesh.shard_state)
    return loop.train(made, placed, devices, config, batches, workdir, draw_samples)


def rules(optimisers, average_decay=0.5, scaling=UNSCALED):
    """Rules with these plain transformations, by player of the phase "main"."""
    made = {
        f"main/{name}": Optimiser(optax.with_extra_args_support(transform))
        for name, transform in optimisers.items()
    }
    return Rules(made, average_decay, scaling)


def step(system, optimisers, average_decay=0.5, scaling=UNSCALED, steps=100):
    """The step function of the phase "main"."""
    return make_step(system, "main", range(steps), rules(optimisers, average_decay, scaling))


def context(**changes):
    """A context of training, at the first step."""
    zero = jnp.zeros((), jnp.int32)
    usual = {"rng": jax.random.key(0), "step": zero, "phase_step": zero, "train": True}
    return Context(**{**usual, "phase": "main", "phase_steps": 1, **changes})
