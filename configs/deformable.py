"""Configs of the deformable GAN (Siarohin et al. 2018), a baseline of Knoche 2019.

    volsynth train --config configs/deformable.py:full --workdir runs/deformable
    volsynth describe --config configs/deformable.py:full

Variants: `full` is the published network for 256 pixels: 82,080,611 parameters of the generator
against the printed 82.08M, 2,803,782 of the discriminator. `market` is the one for 128 pixels, with
a level less: 61,109,085. `nearest` takes nearest voxels in the warp, as the authors' implementation
does. `demo` trains in minutes on two CPU cores. `smoke` is for tests. `half` computes in float16.
`nearest` and `half` go on top of any of them: `deformable.py:market,nearest`.

The published networks have 18 heatmaps a pose, for the joints of OpenPose; ours has 15 joints. The
last maps stay empty in `full` and `market`, as those of joints that are not visible do.
"""

import ml_collections

from . import _common


def get_config(variants: str = "full") -> ml_collections.ConfigDict:
    """The config of one variant, or of several, separated by commas, one on top of the other."""
    return _common.build(_sections(), VARIANTS, variants)


def _sections():
    return {
        "system": "deformable",
        "model": {
            # Output channels of the levels of each of the two encoders.
            "encoder_widths": (64, 128, 256, 512, 512, 512, 512),
            "decoder_widths": (512, 512, 512, 512, 256, 128),
            # From the largest on; the other skip connections are plain.
            "moved_levels": 4,
            "heatmaps": 18,
            "heatmap_sigma": 6 / 256,
            # "linear" or "nearest".
            "interpolation": "linear",
            # Probability in training, in the first three blocks of the decoder.
            "dropout": 0.5,
            # Whether magenta is removed from the source and put behind the person, rather than seen
            # and painted by the network.
            "chroma_key": False,
            # Whether blocks keep only their inputs for the backward pass: slower, less memory.
            "remat": False,
        },
        "discriminator": {"widths": (64, 128, 256, 512)},
    }


VARIANTS = {
    # The sections as they are above.
    "full": {},
    "half": _common.HALF,
    **_common.LOSSES,
    **_common.FASHION,
    **_common.AUGMENT,
    "nearest": {"model": {"interpolation": "nearest"}},
    "market": {
        "data": {"config": "128", "image_size": 128},
        "model": {
            "encoder_widths": (64, 128, 256, 512, 512, 512),
            "decoder_widths": (512, 512, 512, 256, 128),
            "heatmap_sigma": 6 / 128,
        },
        # The smaller neighbourhood, and the larger batch, of the paper's runs of this size.
        "loss": {"neighbourhood": 3},
        "train": {"batch_size": 4},
    },
    "demo": {
        **_common.DEMO,
        "model": {
            "encoder_widths": (24, 48, 96, 128, 128),
            "decoder_widths": (128, 96, 48, 24),
            "heatmaps": 15,
            "heatmap_sigma": 3 / 64,
            "chroma_key": True,
        },
        "discriminator": {"widths": (16, 32, 64)},
    },
    "smoke": {
        **_common.SMOKE,
        "model": {
            "encoder_widths": (4, 4, 4, 4),
            "decoder_widths": (4, 4, 4),
            "moved_levels": 2,
            "heatmaps": 16,
            "heatmap_sigma": 2 / 32,
        },
        "discriminator": {"widths": (4, 4)},
    },
}
