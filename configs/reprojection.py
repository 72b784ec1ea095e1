"""Configs of the reprojection system: the source's own pixels, moved by the parts of its body.

    volsynth train --config configs/reprojection.py:full --workdir runs/reprojection
    volsynth describe --config configs/reprojection.py:full

Variants: `full` is for pictures of 256 pixels. `demo` trains in minutes on two CPU cores. `smoke`
is for tests. The others go on top of one of these, `reprojection.py:demo,no_shade`.
"""

import ml_collections

from . import _common


def get_config(variants: str = "full") -> ml_collections.ConfigDict:
    """The config of one variant, or of several, separated by commas, one on top of the other."""
    return _common.build(_sections(), VARIANTS, variants)


def _sections():
    return {
        "system": "reprojection",
        "model": {
            # Side of the image that the network sees; pictures may have any other.
            "size": 256,
            # "unet" on what was found, or "volume": the volumetric system's streams, as below.
            "features": "unet",
            # Channels at every size, from the image's on; each further one is of half the size.
            "widths": (32, 64, 128, 256),
            "blocks": 4,
            # Channels of the convolutions before the weights of the candidates.
            "head": (32, 32),
            # Pictures of the person that are looked at, 1 or 2.
            "sources": 1,
            # Whether the source's mirror image is looked at, too; whether it is told what of the
            # source is hidden, and what hangs on each part beside the body (skirts, coats, hair);
            # whether the mixture is made brighter and darker.
            "mirrored": True,
            "visibility": True,
            "hems": True,
            "shade": True,
            # The largest way from where a pixel is looked for to where the network finds it, as a
            # share of the distance from shoulder to hip; 0 for none.
            "flow": 0.1,
            # "3d", or "2d": parts moved within the image plane; bodies without depth.
            "transform": "3d",
            "pose": "3d",
            # Whether the streams of the volume are told which part of the source every pixel
            # shows, and at which depth; only with `features` "volume".
            "guided": False,
            # Whether blocks keep only their inputs for the backward pass: slower, less memory.
            "remat": False,
        },
        # The volumetric system's streams; only with `features` "volume".
        "volume": dict(_common.VOLUME),
        # depth: layers of the pose's heatmaps; whole and norm as in configs/volumetric.py.
        "discriminator": {
            "widths": (64, 128, 256, 512),
            "norm": "instance",
            "whole": False,
            "depth": 8,
            "heatmap_sigma": 6 / 256,
        },
    }


VARIANTS = {
    # The sections as they are above.
    "full": {},
    "half": _common.HALF,
    **_common.LOSSES,
    **_common.CRITICS,
    **_common.FASHION,
    **_common.AUGMENT,
    # --- what each piece is worth: docs/reprojection.md ---
    "two_sources": {"model": {"sources": 2}},
    "volume": {"model": {"features": "volume"}},
    "guided_volume": {"model": {"features": "volume", "guided": True}},
    "no_mirror": {"model": {"mirrored": False}},
    "no_visibility": {"model": {"visibility": False}},
    "no_shade": {"model": {"shade": False}},
    "no_hems": {"model": {"hems": False}},
    "no_flow": {"model": {"flow": 0.0}},
    "no_structure": {"loss": {"structure": 0.0}},
    "transform_2d": {"model": {"transform": "2d"}},
    "pose_2d": {"model": {"pose": "2d"}},
    "both_2d": {"model": {"transform": "2d", "pose": "2d"}},
    # --- sizes ---
    "demo": {
        **_common.DEMO,
        # Who moves pixels need not learn colours from samples without a change of pose first, but
        # without any it does not learn to give the source back (docs/reprojection.md).
        "data": {**_common.DEMO["data"], "single": 0.25},
        "train": {**_common.DEMO["train"], "steps": 800},
        # Moved pixels are sharp by themselves, and features cost a quarter of a step. What keeps
        # the contrast of stripes is structure; with more of it colours become paler.
        "loss": {**_common.DEMO["loss"], "nearest_neighbour": 0.0, "structure": 0.4},
        "model": {"size": 64, "widths": (32, 48, 64), "blocks": 3},
        "volume": _common.DEMO_VOLUME,
        "discriminator": {"widths": (16, 32, 64), "heatmap_sigma": 3 / 64},
    },
    "smoke": {
        **_common.SMOKE,
        "model": {"size": 32, "widths": (4, 4), "blocks": 1, "head": (4, 4)},
        "volume": _common.SMOKE_VOLUME,
        "discriminator": {"widths": (4, 4), "depth": 2, "heatmap_sigma": 2 / 32},
    },
}
