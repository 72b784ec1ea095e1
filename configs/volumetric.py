"""Configs of the volumetric system (Knoche 2019, sections 4.3 to 4.5).

    volsynth train --config configs/volumetric.py:full --workdir runs/full
    volsynth describe --config configs/volumetric.py:full

Variants: `full` is the thesis's final design (D = 24, "C = 64", n = m = 2, dilation block, GAN plus
0.01 nearest-neighbour loss, batch 2, 150,000 iterations, Adam 2e-4): 27,894,275 parameters of the
generator against the printed 28M. `demo` trains in minutes on two CPU cores. `smoke` is for tests.
The others go on top of one of these, `volumetric.py:demo,half`, or of each other:
`half` computes in float16; `wasserstein` plays against a critic with gradient penalty; `both_2d`
and its like are the ablations of section 4.6; `VARIANTS` says which table each belongs to.
"""

import ml_collections

from . import _common


def get_config(variants: str = "full") -> ml_collections.ConfigDict:
    """The config of one variant, or of several, separated by commas, one on top of the other."""
    return _common.build(_sections(), VARIANTS, variants)


def _sections():
    return {
        "system": "volumetric",
        "model": {
            **_common.VOLUME,
            # Whether magenta is removed from the source and put behind the person, rather than seen
            # and painted by the network.
            "chroma_key": False,
            # Whether blocks keep only their inputs for the backward pass: slower, less memory.
            "remat": False,
            # "3d", or "2d": masks and transforms, and the target pose (section 4.6).
            "transform": "3d",
            "pose": "3d",
        },
        # whole: one logit for an image rather than one for each patch; norm: "instance" or "layer".
        "discriminator": {"widths": (64, 128, 256, 512), "norm": "instance", "whole": False},
    }


VARIANTS = {
    # The sections as they are above.
    "full": {},
    "half": _common.HALF,
    **_common.LOSSES,
    **_common.CRITICS,
    **_common.FASHION,
    **_common.AUGMENT,
    # --- three dimensions or two: section 4.6, table 6.17 ---
    "transform_2d": {"model": {"transform": "2d"}},
    "pose_2d": {"model": {"pose": "2d"}},
    "both_2d": {"model": {"transform": "2d", "pose": "2d"}},
    # --- the volume: sections 6.2.4 to 6.2.6, table 6.8 ---
    "offcut": {"model": {"offcut": True}},
    "no_dilation": {"model": {"dilation_block": False}},
    # "C = 8" and "C = 32" of the thesis, shared as 48 and 16 share 64.
    "d32c8": {"model": {"depth": 32, "image_channels": 6, "pose_channels": 2}},
    "d16c32": {"model": {"depth": 16, "image_channels": 24, "pose_channels": 8}},
    "n5m1": {"model": {"blocks_before": 5, "blocks_after": 1}},
    # --- the pose loss: tables 6.8, 6.10 and 6.12, there with d16c32 and with or without offcut ---
    "pose_1e0": {"loss": {"pose": 1e0}},
    "pose_1e2": {"loss": {"pose": 1e2}},
    "pose_1e3": {"loss": {"pose": 1e3}},
    "pose_1e4": {"loss": {"pose": 1e4}},
    "pose_1e6": {"loss": {"pose": 1e6}},
    # --- sizes ---
    "demo": {
        **_common.DEMO,
        "model": {**_common.DEMO_VOLUME, "chroma_key": True},
        "discriminator": {"widths": (16, 32, 64)},
    },
    "smoke": {
        **_common.SMOKE,
        "model": _common.SMOKE_VOLUME,
        "discriminator": {"widths": (4, 4)},
    },
}
