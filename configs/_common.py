"""Sections and variants that the configs of all methods that generate images share.

A config file imports them with `from . import _common`.
"""

import ml_collections

OPTIMISER = {
    # adam, adamw or rmsprop.
    "kind": "adam",
    "learning_rate": 1e-3,
    # Decays of the means of gradients and of their squares; with rmsprop b1 must be 0.
    "b1": 0.9,
    "b2": 0.999,
    # Weight of a penalty in the loss: the sum of squares of kernels, and of nothing else.
    "l2": 0.0,
    # Share of kernels, times the rate, that each update takes off; with adamw alone.
    "weight_decay": 0.0,
    # How the rate falls from this share of the player's updates on: constant, linear, cosine (both
    # to zero) or plateau.
    "decay": "cosine",
    "decay_from": 1.0,
    # For decay "plateau": the rate is multiplied by factor when the mean loss of `every` updates
    # has not fallen for `patience` such means.
    "plateau": {"factor": 0.1, "patience": 10, "every": 100, "threshold": 1e-4},
    # The global norm to which gradients are scaled down, and the bound of every weight; 0 for none.
    "clip_gradients": 0.0,
    "clip_weights": 0.0,
    # Updates in a step; a critic may have several.
    "updates": 1,
}
"""Defaults of the section of a player in `optim`, of which methods change some; explained in
docs/training.md."""


def build(sections: dict, table: dict, variants: str) -> ml_collections.ConfigDict:
    """The config of one variant of a table, or of several, each on top of those before it.

    Args:
      sections: sections of the method: `system`, `model` and whatever else differs; `data` and
        `train` are put on top of the shared ones, the others replace them.
      table: the `VARIANTS` of the method.
      variants: names in the table, separated by commas.
    """
    # Other sections are replaced and not merged: a method with losses of its own must not be given
    # the keys of these.
    own = dict(sections)
    on_top = {name: own.pop(name) for name in ("data", "train") if name in own}
    whole = _merged({**_shared(), **own}, on_top)
    for variant in variants.split(","):
        whole = _merged(whole, table[variant])
    # Locked: a misspelt key on the command line is an error, and not a new key.
    return ml_collections.ConfigDict(whole).lock()


def _merged(below: dict, above: dict) -> dict:
    """A dict with the values of another one on top, section by section.

    A table replaces a number, and a number replaces a table: `train.steps` may be either.
    """
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        # The steps of other phases mean nothing: a table of steps replaces the whole of the one
        # below.
        both = isinstance(value, dict) and isinstance(old, dict) and key != "steps"
        merged[key] = _merged(old, value) if both else value
    return merged


def _shared():
    adam = {**OPTIMISER, "learning_rate": 2e-4, "b1": 0.5}
    return {
        "seed": 0,
        # float32, bfloat16 or float16: the type in which networks compute. Parameters, norms and
        # losses stay float32.
        "precision": "float32",
        "data": _data(),
        "loss": _loss(),
        # A section for each player, see OPTIMISER; "PHASE": {"PLAYER": ...} for one phase alone.
        # Dicts of their own: a variant of one player must not change the other.
        "optim": {"generator": dict(adam), "discriminator": dict(adam)},
        "train": _train(),
        # data: devices, or groups of them, that share a batch, -1 for all there are. space: devices
        # of a group, which share the height of an image. shard_state: whether devices share the
        # state, too.
        "mesh": {"data": -1, "space": 1, "shard_state": False},
        "evaluate": {"batch_size": 16},
    }


def _data():
    return {
        # A prepared data set: DIR/NAME/CONFIG, see docs/data.md.
        "dir": "data",
        "name": "posed_people",
        "config": "256",
        "image_size": 256,
        # Share of the samples whose target is the source image itself.
        "single": 0.0,
        # Other data sets in the same folder, "NAME/CONFIG": share of the samples from them.
        "also": {},
        # Whether files are compared with the manifest's SHA-256 before the first step.
        "verify": True,
        # Threads that read and decode; -1 for one for every processor, eight at most.
        "threads": -1,
        # Of training samples only; see volsynth/data/augment.py. Knoche 2019 moves and
        # recolours them, and does not print how much: these are our own values.
        "augment": {
            "rotate": 10.0,
            "translate": 0.05,
            "scale": 0.1,
            "hue": 0.05,
            "brightness": 0.1,
            "contrast": 0.2,
            "saturation": 0.2,
            # Covers part of the image; for estimators of poses.
            "occlude": 0.0,
        },
    }


def _loss():
    # l1 and chroma are not in Knoche 2019; they make short runs converge.
    return {
        # Weight of the adversarial term; without one there is no critic.
        "gan": 1.0,
        # "minimax", or "wasserstein": a critic with gradient penalty.
        "gan_loss": "minimax",
        "gradient_penalty": 10.0,
        "nearest_neighbour": 0.01,
        "neighbourhood": 5,
        # Weight of the difference of features in these layers of VGG-19.
        "perceptual": 0.0,
        "perceptual_layers": ("block2_conv1",),
        # File of VGG-19's weights, see docs/weights.md; empty for the built-in features.
        "features": "",
        "l1": 0.0,
        "chroma": 0.0,
        # Weight of one minus structural similarity: without it fine stripes fade.
        "structure": 0.0,
        # Weight of the loss of the pose head's heatmaps; without one there is no pose head.
        "pose": 0.0,
    }


def _train():
    return {
        # The number of steps; of a system with several phases a table, {PHASE: steps}.
        "steps": 150_000,
        "batch_size": 2,
        "log_every": 100,
        "sample_every": 5_000,
        "checkpoint_every": 5_000,
        "keep_checkpoints": 3,
        # The metric by which the best checkpoint is kept besides the newest, as PLAYER/METRIC,
        # such as generator/loss; the lowest is the best. Empty for none.
        "best_by": "",
        # Decay of the running averages of the weights, which evaluation uses.
        "average_decay": 0.999,
        # Scale of each player's loss in float16. It doubles in so many updates without overflow.
        "loss_scale": {
            "initial": 2.0**15,
            "minimum": 1.0,
            "maximum": 2.0**24,
            "doubles_every": 2_000,
        },
        # Updates that are not finite are skipped; after so many in a row the run stops.
        "max_skipped": 20,
    }


HALF = {
    "precision": "float16",
    # L2 keeps kernels from growing out of range.
    "optim": {"generator": {"l2": 1e-4}, "discriminator": {"l2": 1e-4}},
}
"""Variant in half precision, on top of another one: `volumetric.py:demo,half`."""

LOSSES = {
    "nn3": {"loss": {"neighbourhood": 3}},
    # What the deformable GAN compares its nearest-neighbour loss with.
    "l1": {"loss": {"nearest_neighbour": 0.0, "l1": 100.0}},
    "perceptual": {"loss": {"nearest_neighbour": 0.0, "perceptual": 0.5}},
}
"""Variants with another reconstruction loss than the nearest-neighbour loss of 5 pixels (Knoche
2019, section 2.3.2)."""

CRITICS = {
    "wasserstein": {
        "discriminator": {"norm": "layer"},
        "loss": {"gan": 1.0, "gan_loss": "wasserstein", "nearest_neighbour": 0.1},
        # Two rates rather than several steps of the critic (TTUR).
        "optim": {
            "generator": {"learning_rate": 1e-4, "b1": 0.0, "b2": 0.9},
            "discriminator": {"learning_rate": 3e-4, "b1": 0.0, "b2": 0.9},
        },
    },
    # On top of wasserstein: nothing but the critic, which then has to see the whole image.
    "critic_alone": {
        "discriminator": {"whole": True},
        "loss": {
            "nearest_neighbour": 0.0,
            "perceptual": 0.0,
            "l1": 0.0,
            "chroma": 0.0,
            "structure": 0.0,
        },
    },
}
"""Variants with a Wasserstein critic with gradient penalty (Knoche 2019, sections 4.4, 4.5 and
6.2.2)."""


def _fashion(paired, single):
    """A variant with these shares of DeepFashion's pairs and single images.

    The other two data sets share the rest equally.
    """
    fashion = {"deepfashion/paired-256": paired, "deepfashion/single-256": single}
    also = {name: share for name, share in fashion.items() if share}
    rest = (1 - paired - single) / 2
    return {"data": {"name": "human36m", "also": {"mpi_inf_3dhp/256": rest, **also}}}


FASHION = {
    "fashion_0": _fashion(0.0, 0.0),
    "fashion_20": _fashion(0.2, 0.0),
    "fashion_40": _fashion(0.4, 0.0),
    "fashion_60": _fashion(0.6, 0.0),
    "fashion_10_10": _fashion(0.1, 0.1),
    "fashion_20_20": _fashion(0.2, 0.2),
    "fashion_30_30": _fashion(0.3, 0.3),
}
"""Variants on the three data sets of Knoche 2019 (section 6.1), with the shares of table 6.3;
names have percentages of paired, and of single images."""

_NO_COLOUR = {"hue": 0.0, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0}
NO_AUGMENT = {"rotate": 0.0, "translate": 0.0, "scale": 0.0, "occlude": 0.0, **_NO_COLOUR}
"""The section `data.augment` without any augmentation."""

AUGMENT = {
    "no_augment": {"data": {"augment": NO_AUGMENT}},
    "no_colour": {"data": {"augment": _NO_COLOUR}},
}
"""Variants without augmentation, or without changes of colour alone (section 6.2.1)."""

DEMO = {
    # Some samples without a change of pose: colours are learnt from them first. Minutes are too few
    # to overfit in.
    "data": {"config": "64", "image_size": 64, "single": 0.3, "augment": NO_AUGMENT},
    # Minutes are too short for the adversarial game to pay; every other variant plays it.
    "loss": {
        "gan": 0.0,
        "nearest_neighbour": 0.01,
        "neighbourhood": 3,
        "l1": 1.0,
        "chroma": 2.0,
    },
    "optim": {
        "generator": {"learning_rate": 2e-3, "decay_from": 0.5},
        "discriminator": {"learning_rate": 2e-4},
    },
    "train": {
        "steps": 1000,
        "batch_size": 8,
        "log_every": 20,
        "sample_every": 200,
        "checkpoint_every": 200,
        "average_decay": 0.99,
    },
}
"""Sections of the variants `demo`, which train in minutes on two CPU cores."""

SMOKE = {
    "data": {"config": "tiny", "image_size": 32, "augment": {"occlude": 0.5}},
    "loss": {"neighbourhood": 3, "l1": 1.0, "chroma": 1.0},
    "train": {
        "steps": 6,
        "batch_size": 2,
        "log_every": 1,
        "sample_every": 3,
        "checkpoint_every": 2,
    },
    "evaluate": {"batch_size": 4},
}
"""Sections of the variants `smoke`, which are for tests."""

VOLUME = {
    "depth": 24,
    # "C = 64" of the thesis is the sum of these two.
    "image_channels": 48,
    "pose_channels": 16,
    "encoder_widths": (64, 128),
    "decoder_widths": (128, 64),
    "blocks_before": 2,
    "blocks_pose": 3,
    "blocks_after": 2,
    "dilation_block": True,
    "mask_width": 0.2,
    "heatmap_sigma": 6 / 256,
    # Whether voxels in no mask are merged, too, unmoved.
    "offcut": False,
}
"""The streams of a volume, for pictures of 256 pixels: those of the thesis's final design."""

DEMO_VOLUME = {
    "depth": 8,
    "image_channels": 16,
    "pose_channels": 8,
    "encoder_widths": (32, 64),
    "decoder_widths": (64, 32),
    "heatmap_sigma": 3 / 64,
}
"""The settings that the variants `demo` change in `VOLUME`, for smaller streams."""

SMOKE_VOLUME = {
    "depth": 4,
    "image_channels": 2,
    "pose_channels": 2,
    "encoder_widths": (4, 4),
    "decoder_widths": (4, 4),
    "blocks_before": 1,
    "blocks_pose": 1,
    "blocks_after": 1,
    "heatmap_sigma": 2 / 32,
}
"""The settings that the variants `smoke` change in `VOLUME`, for smaller streams."""
