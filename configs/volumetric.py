"""The volumetric system (Knoche 2019, sections 4.3 to 4.5).

    volsynth train --config configs/volumetric.py:full --workdir runs/full
    volsynth describe --config configs/volumetric.py:full

Variants: `full` is the thesis's final design (D = 24, "C = 64", n = m = 2, dilation block, GAN plus
0.01 nearest-neighbour loss, batch 2, 150,000 iterations, Adam 2e-4): 27,894,275 parameters of the
generator against the printed 28M. `demo` trains in minutes on two CPU cores. `smoke` is for tests.
`half` computes in float16, on top of any of them: `volumetric.py:demo,half`. `no_augment` leaves
images and poses as they are, `no_colour` only their colours.
"""

import ml_collections


def get_config(variants: str = "full") -> ml_collections.ConfigDict:
    """The config of one variant, or of several, comma between them, one on top of the other."""
    config = ml_collections.ConfigDict(_base())
    for variant in variants.split(","):
        config.update(VARIANTS[variant])
    return config.lock()


def _base():
    adam = {"learning_rate": 2e-4, "b1": 0.5, "b2": 0.999, "decay_from": 1.0, "l2": 0.0}
    return {
        "system": "volumetric",
        "seed": 0,
        # float32, bfloat16 or float16: what the networks compute in. Parameters, norms and losses
        # stay float32.
        "precision": "float32",
        "data": {
            # A prepared data set: DIR/NAME/CONFIG, see docs/data.md.
            "dir": "data",
            "name": "posed_people",
            "config": "256",
            "image_size": 256,
            # Share of the samples whose target is the source image itself.
            "single": 0.0,
            # Other data sets in the same folder, "NAME/CONFIG": share of the samples they give.
            "also": {},
            # Whether files are compared with the manifest's SHA-256 before the first step.
            "verify": True,
            # That read and decode; -1 is one for every processor, eight at most.
            "threads": -1,
            # Of training samples only; see volsynth/data/augment.py. The thesis moves and recolours
            # them, and does not print how much: these are our own.
            "augment": {
                "rotate": 10.0,
                "translate": 0.05,
                "scale": 0.1,
                "hue": 0.05,
                "brightness": 0.1,
                "contrast": 0.2,
                "saturation": 0.2,
                # Covers part of the picture; for estimators of poses.
                "occlude": 0.0,
            },
        },
        "model": {
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
            # Whether magenta is keyed out and put behind the person, rather than seen and painted.
            "chroma_key": False,
            # Whether blocks keep only their inputs for the backward pass: slower, less memory.
            "remat": False,
        },
        "discriminator": {"widths": (64, 128, 256, 512)},
        # l1 and chroma are not in the thesis; they make short runs converge.
        "loss": {
            "gan": 1.0,
            "nearest_neighbour": 0.01,
            "neighbourhood": 5,
            "l1": 0.0,
            "chroma": 0.0,
        },
        # decay_from: the share of the steps after which the rate falls to zero, by a cosine.
        "optim": {"generator": dict(adam), "discriminator": dict(adam)},
        "train": {
            "steps": 150_000,
            "batch_size": 2,
            "log_every": 100,
            "sample_every": 5_000,
            "checkpoint_every": 5_000,
            "keep_checkpoints": 3,
            # The metric by which the best checkpoint is kept besides the newest, as PLAYER/METRIC,
            # such as generator/loss; the lowest is the best. Empty: none.
            "best_by": "",
            # Decay of the running average of the weights that evaluation uses.
            "average_decay": 0.999,
            # Of the loss, per player, in float16. Doubles in so many updates without overflow.
            "loss_scale": {
                "initial": 2.0**15,
                "minimum": 1.0,
                "maximum": 2.0**24,
                "doubles_every": 2_000,
            },
            # Updates that are not finite are skipped; after so many in a row the run stops.
            "max_skipped": 20,
        },
        # Devices, or groups of them, that share a batch (-1: all there are); devices of a group,
        # that share the height of an image; whether devices share the state, too.
        "mesh": {"data": -1, "space": 1, "shard_state": False},
        "evaluate": {"batch_size": 16},
    }


_NO_COLOUR = {"hue": 0.0, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0}
_NO_AUGMENT = {"rotate": 0.0, "translate": 0.0, "scale": 0.0, "occlude": 0.0, **_NO_COLOUR}

VARIANTS = {
    "full": {},
    # The demo's minutes are too few to overfit in; it has none either.
    "no_augment": {"data": {"augment": _NO_AUGMENT}},
    "no_colour": {"data": {"augment": _NO_COLOUR}},
    # On top of another: volumetric.py:demo,half. L2 keeps kernels from growing out of range.
    "half": {
        "precision": "float16",
        "optim": {"generator": {"l2": 1e-4}, "discriminator": {"l2": 1e-4}},
    },
    "demo": {
        # Some samples without a change of pose: colours are learnt from them first.
        "data": {"config": "64", "image_size": 64, "single": 0.3, "augment": _NO_AUGMENT},
        "model": {
            "depth": 8,
            "image_channels": 16,
            "pose_channels": 8,
            "encoder_widths": (32, 64),
            "decoder_widths": (64, 32),
            "heatmap_sigma": 3 / 64,
            "chroma_key": True,
        },
        "discriminator": {"widths": (16, 32, 64)},
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
    },
    "smoke": {
        "data": {"config": "tiny", "image_size": 32, "augment": {"occlude": 0.5}},
        "model": {
            "depth": 4,
            "image_channels": 2,
            "pose_channels": 2,
            "encoder_widths": (4, 4),
            "decoder_widths": (4, 4),
            "blocks_before": 1,
            "blocks_pose": 1,
            "blocks_after": 1,
            "heatmap_sigma": 2 / 32,
        },
        "discriminator": {"widths": (4, 4)},
        "loss": {"neighbourhood": 3, "l1": 1.0, "chroma": 1.0},
        "train": {
            "steps": 6,
            "batch_size": 2,
            "log_every": 1,
            "sample_every": 3,
            "checkpoint_every": 2,
        },
        "evaluate": {"batch_size": 4},
    },
}
