"""The volumetric system (Knoche 2019, sections 4.3 to 4.5).

    volsynth train --config configs/volumetric.py:full --workdir runs/full
    volsynth describe --config configs/volumetric.py:full

Variants: `full` is the thesis's final design (D = 24, "C = 64", n = m = 2, dilation block, GAN plus
0.01 nearest-neighbour loss, batch 2, 150,000 iterations, Adam 2e-4): 27,894,275 parameters of the
generator against the printed 28M. `demo` trains in minutes on two CPU cores. `smoke` is for tests.
`half` computes in float16, on top of any of them: `volumetric.py:demo,half`.
"""

import ml_collections

from . import _common


def get_config(variants: str = "full") -> ml_collections.ConfigDict:
    """The config of one variant, or of several, comma between them, one on top of the other."""
    return _common.build(_sections(), VARIANTS, variants)


def _sections():
    return {
        "system": "volumetric",
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
            # Of the target pose: "3d", or "2d" (section 4.6).
            "pose": "3d",
            # Whether what is in no mask is merged, too, unmoved.
            "offcut": False,
        },
        # whole: one logit for an image rather than one for each patch; norm: "instance" or "layer".
        "discriminator": {"widths": (64, 128, 256, 512), "norm": "instance", "whole": False},
    }


VARIANTS = {
    "full": {},
    "half": _common.HALF,
    "demo": {
        **_common.DEMO,
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
    },
    "smoke": {
        **_common.SMOKE,
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
    },
}
