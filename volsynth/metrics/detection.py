"""The detection score: how sure an object detector is that pictures show a person.

Siarohin et al. 2018 introduced it with SSD, trained on Pascal VOC 2007; here the detector is a file
of the user's, run by ONNX Runtime, and the score does not pass through `jax.jit`. Images are as in
`volsynth.metrics`, but detectors see them rounded to 8 bits.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volsynth import conventions
from volsynth.metrics import checks
from volsynth.pretrained import detectors

PROTOCOL: Mapping[str, Mapping[str, Any]] = {
    "detection_score": {
        "better": "higher",
        "source": "after Siarohin et al. 2018",
        "image_range": [0, 255],
        "quantised": "8 bits, values outside clipped",
        "score": "highest confidence of the class of persons over all boxes; 0 without one",
        "network": "an ONNX file, named by its SHA-256",
    },
}
"""The protocol of the score, as JSON values, without the detector; see `detection_protocol`."""


def detection_protocol(detector: detectors.Detector) -> dict[str, Any]:
    """The entry of `PROTOCOL` with the name and the settings of a detector, plain JSON."""
    entry = {**PROTOCOL["detection_score"], "network": detector.name}
    return {**entry, "settings": dict(detector.settings)}


def detection_score(
    detector: detectors.Detector, images: Float[Array, "B H W 3"] | Float[np.ndarray, "B H W 3"]
) -> Float[Array, "B"]:
    """The confidence of a detector that each image shows a person, whichever person and wherever.

    Args:
      detector: of `volsynth.pretrained.detectors.load`; its name belongs to the protocol.
      images: images in [-1, 1]; they are given to the detector one by one.

    Returns:
      One value per image in [0, 1]; NaN for an image that has one.

    Raises:
      ValueError: the shape is not that of images.
      UserError: the detector cannot be run, or its outputs are not what it was loaded for.
    """
    checks.image("detection_score", images)
    values = []
    # One by one: the input of a detector is a single picture.
    for image in np.asarray(images):
        image = image.astype(np.float32)
        # Rounded to 8 bits, a NaN would be a black pixel like any other, and the score a number.
        broken = np.isnan(image).any()
        values.append(np.nan if broken else detector(conventions.to_uint8(image)))
    return jnp.asarray(np.array(values, np.float32))
