"""The two networks through which scores of a whole set see pictures, as their protocols say it.

Inception-v3 needs a file of weights (`volsynth.pretrained.feature_networks.load_inception`); the
built-in features need none, and since they give other numbers their scores have other names.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from volsynth.pretrained import feature_networks, inception

BUILTIN_LAYER = "block5_conv4"
"""The layer of the built-in network whose features scores of a set are computed of."""

INCEPTION: Mapping[str, Any] = {
    "network": "Inception-v3 of 2015-12-05: average pools without the border, a maximum in the last"
    " block; weights from a file, named by its SHA-256",
    "image_range": [-1.0, 1.0],
    "resize": {
        "size": [inception.SIDE, inception.SIDE],
        "filter": inception.RESIZE,
        "align_corners": False,
        "antialias": False,
    },
}
"""The entries of the protocol of all scores that see pictures through Inception-v3."""

BUILTIN: Mapping[str, Any] = {
    "network": feature_networks.features_name("", [BUILTIN_LAYER]),
    "image_range": [-1.0, 1.0],
    "resize": None,
    "features": f"{BUILTIN_LAYER} after the ReLU, mean over all pixels",
}
"""The entries of the protocol of all scores that see pictures through the built-in features."""

PROTOCOL: Mapping[str, Mapping[str, Any]] = {
    "all": {
        "images": "RGB, as float32, neither clipped nor quantised",
        "over_images": "every valid image once; padding rows are left out",
    },
}
"""The entry of the protocol that holds for every score of a set, as JSON values."""


def builtin_outputs(image: Float[Array, "B H W 3"]) -> dict[str, Float[Array, "B C"]]:
    """The built-in features of images, under the names of Inception's outputs.

    Args:
      image: RGB in [-1, 1]; it is not resized.

    Returns:
      "pool", the features averaged over all pixels, and "probabilities", their softmax.

    Raises:
      UserError: the images are too small for the layer.
    """
    features = feature_networks.load_features("", [BUILTIN_LAYER])(image)[BUILTIN_LAYER]
    pool = jnp.mean(features, axis=(1, 2))
    # The network was never trained to classify: its "classes" are its features themselves.
    return {"pool": pool, "probabilities": jax.nn.softmax(pool, axis=-1)}
