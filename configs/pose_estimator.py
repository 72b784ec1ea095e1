"""Configs of the volumetric pose estimator (Sárándi et al. 2018 and 2021).

    volsynth train --config configs/pose_estimator.py:full --workdir runs/pose
    volsynth describe --config configs/pose_estimator.py:full

Variants: `full` is the published design (ResNet-50, 256 pixels, stride 32 in training and 4 in
evaluation, 8 layers of depth, a box of 2.2 m, AdamW 1e-4 with decay 3e-3). `demo` trains in minutes
on two CPU cores. `smoke` is for tests.
"""

import ml_collections

from . import _common


def get_config(variants: str = "full") -> ml_collections.ConfigDict:
    """The config of one variant, or of several, separated by commas, one on top of the other."""
    return _common.build(_sections(), VARIANTS, variants)


def _sections():
    return {
        "system": "pose_estimator",
        "data": {
            # As published, but for the shares of colours, and people are covered by shapes instead
            # of pictures of objects.
            "augment": {"rotate": 20.0, "translate": 0.1, "scale": 0.25, "occlude": 0.7},
        },
        "model": {
            # Blocks of each stage, and their inner widths; ResNet-50.
            "blocks": (3, 4, 6, 3),
            "widths": (64, 128, 256, 512),
            "stem_width": 64,
            "stem_kernel": 7,
            # Number of groups of channels that are normalised together.
            "groups": 32,
            # Layers of the volume, and the side of the cube that it stands for.
            "depth": 8,
            "box_mm": 2200.0,
            # Output strides; the parameters are the same for all.
            "stride_train": 32,
            "stride_test": 4,
        },
        # Weights. metric: of the error relative to the pelvis, in metres. plane: of the error in
        # the picture, as a share of its side.
        "loss": {"metric": 1.0, "plane": 0.1},
        "optim": {
            "estimator": {
                **_common.OPTIMISER,
                "kind": "adamw",
                "learning_rate": 1e-4,
                "decay_from": 0.9,
                "weight_decay": 3e-3,
            }
        },
        # Both pictures of a pair are used: 32 images.
        "train": {"steps": 200_000, "batch_size": 16},
    }


VARIANTS = {
    # The sections as they are above.
    "full": {},
    **_common.AUGMENT,
    "demo": {
        "data": {"config": "64", "image_size": 64, "augment": _common.NO_AUGMENT},
        "model": {
            "blocks": (2, 2, 2),
            "widths": (16, 32, 64),
            "stem_width": 32,
            "stem_kernel": 5,
            "groups": 8,
            # A volume of 8x8x8, at a quarter of the cost of 16x16x8. So small a network is worse
            # at another stride than its own: its norms and borders are other ones there.
            "stride_train": 8,
            "stride_test": 8,
        },
        # Where a joint is in the picture is quickly learnt, and helps with the rest.
        "loss": {"plane": 0.5},
        "optim": {"estimator": {"learning_rate": 2e-3, "decay_from": 0.4, "weight_decay": 1e-2}},
        "train": {
            "steps": 4000,
            "batch_size": 16,
            "log_every": 20,
            "sample_every": 500,
            "checkpoint_every": 500,
            "average_decay": 0.99,
        },
    },
    "smoke": {
        "data": _common.SMOKE["data"],
        "model": {
            "blocks": (1, 1),
            "widths": (4, 4),
            "stem_width": 4,
            "stem_kernel": 3,
            "groups": 2,
            "depth": 4,
            "stride_train": 8,
            "stride_test": 4,
        },
        "optim": {"estimator": {"learning_rate": 1e-3}},
        "train": _common.SMOKE["train"],
        "evaluate": _common.SMOKE["evaluate"],
    },
}
