"""LPIPS, a distance of images as a network sees them; one value per image.

Images are as in `volsynth.metrics`.
"""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Array, Float

from volsynth.metrics import checks
from volsynth.pretrained.lpips_networks import Lpips

_COMMON = {
    "better": "lower",
    "source": "Zhang et al. 2018, version 0.1, linear",
    "image_range": [-1.0, 1.0],
    "image_size": "as made: the network sees it without resizing",
    "normalisation": "mean and deviation of ImageNet; features of a pixel to length 1",
    "over_pixels": "mean of the weighted squares of each layer, summed over the five layers",
    "weights": "from files; the name of the run's network has their SHA-256",
}

PROTOCOL: Mapping[str, Mapping[str, Any]] = {
    "lpips_alex": {**_COMMON, "network": "AlexNet, after each of its five ReLUs"},
    "lpips_vgg": {**_COMMON, "network": "VGG-16, after the last ReLU of each of its five blocks"},
}
"""The protocol of each score of this module: how it is computed, as JSON values."""


def lpips(
    network: Lpips, a: Float[Array, "B H W 3"], b: Float[Array, "B H W 3"]
) -> Float[Array, "B"]:
    """Distance of two images in the features of a network, with weights learned from judgements.

    Args:
      network: of `volsynth.pretrained.lpips_networks.load`; its name belongs to the protocol.
      a: images in [-1, 1].
      b: images in [-1, 1].

    Returns:
      One value per image, at least 0; 0, up to rounding, where the two images are equal.

    Raises:
      ValueError: the shapes differ or are not those of images.
      UserError: the images are too small for the network.
    """
    # Here rather than in the network, whose errors would not name the score.
    checks.pair("lpips", a, b)
    return network(a, b)
