"""Configs of the 2D ResNet, a baseline (Knoche 2019, section 4.2.1).

    volsynth train --config configs/resnet2d.py:full --workdir runs/resnet2d
    volsynth describe --config configs/resnet2d.py:full

Variants: `full` is the thesis's baseline: 43,944,323 parameters of the generator against the
printed 44M. `skips` adds the skip connections of section 6.2.1: 44,110,595. `demo` trains in
minutes on two CPU cores. `smoke` is for tests. `half` computes in float16, on top of any of them.
"""

import ml_collections

from . import _common


def get_config(variants: str = "full") -> ml_collections.ConfigDict:
    """The config of one variant, or of several, separated by commas, one on top of the other."""
    return _common.build(_sections(), VARIANTS, variants)


def _sections():
    return {
        "system": "resnet2d",
        "model": {
            # Output channels of the convolutions of each of the two streams.
            "encoder_widths": (64, 128, 256),
            "blocks": 9,
            "decoder_widths": (128, 64),
            "heatmap_sigma": 6 / 256,
            # Whether the decoder also gets the features of every larger size.
            "skips": False,
            # "linear" or "nearest".
            "interpolation": "linear",
            # Whether magenta is removed from the source and put behind the person, rather than seen
            # and painted by the network.
            "chroma_key": False,
            # Whether blocks keep only their inputs for the backward pass: slower, less memory.
            "remat": False,
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
    "skips": {"model": {"skips": True}},
    "demo": {
        **_common.DEMO,
        "model": {
            "encoder_widths": (32, 48, 64),
            "blocks": 6,
            "decoder_widths": (64, 32),
            "heatmap_sigma": 3 / 64,
            "chroma_key": True,
        },
        "discriminator": {"widths": (16, 32, 64)},
    },
    "smoke": {
        **_common.SMOKE,
        "model": {
            "encoder_widths": (4, 4, 4),
            "blocks": 1,
            "decoder_widths": (4, 4),
            "heatmap_sigma": 2 / 32,
            "skips": True,
        },
        "discriminator": {"widths": (4, 4)},
    },
}
