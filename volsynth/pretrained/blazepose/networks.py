"""Both networks of BlazePose with their parameters, compiled for pictures of 8-bit colours."""

import concurrent.futures
import functools
import importlib.metadata
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from volsynth.compilations import keep_compilations
from volsynth.pretrained.blazepose import detector, landmark_network, parameters
from volsynth.pretrained.blazepose.landmark_network import Landmarks


class Networks(NamedTuple):
    """The compiled networks as functions of RGB squares, uint8.

    Attributes:
      detect: from a square of side `detector.SIDE`, for every anchor of `detector.anchors` the
        values of a box [2254, 12] and the probability that it holds a person [2254].
      look: from a square of side `landmark_network.SIDE` with one upright person, `Landmarks`
        without the batch's axis.
    """

    detect: Callable[[UInt8[Array, "224 224 3"]], tuple[Array, Array]]
    look: Callable[[UInt8[Array, "256 256 3"]], Landmarks]


@functools.cache
def load() -> Networks:
    """Reads the parameters and compiles the networks, once in a process.

    Compiling takes seconds; later processes read the programs from the cache on disk.

    Raises:
      UserError: the files of the parameters are damaged.
    """
    keep_compilations()
    kinds = {"detector": (_detect, detector.SIDE), "landmarks": (_look, landmark_network.SIDE)}
    # Side by side, as the compiler leaves a core idle for much of the time.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        made = [pool.submit(_compiled, name, *kind) for name, kind in kinds.items()]
        return Networks(*[each.result() for each in made])


def _compiled(network, function, side):
    arrays = jax.device_put(parameters.load(network))
    square = jax.ShapeDtypeStruct((side, side, 3), jnp.uint8)
    # Accelerators multiply float32 in fewer bits by default, which would move landmarks by pixels.
    with jax.default_matmul_precision("highest"):
        program = jax.jit(function).lower(arrays, square).compile(_compiler_options())
    return functools.partial(program, arrays)


def _compiler_options():
    """Options with which the CPU's programs are compiled in two thirds of the time.

    They run as fast as without. An XLA that does not know an option refuses it.
    """
    known = importlib.metadata.version("jaxlib").startswith("0.10.")
    return {"xla_cpu_use_fusion_emitters": False} if known else {}


def _detect(
    arrays: dict, square: UInt8[Array, "224 224 3"]
) -> tuple[Float[Array, "2254 12"], Float[Array, " 2254"]]:
    image = square.astype(jnp.float32) / 127.5 - 1
    boxes, logits = detector.Detector().apply(arrays, image[None])
    return boxes[0], jax.nn.sigmoid(logits[0])


def _look(arrays: dict, square: UInt8[Array, "256 256 3"]) -> Landmarks:
    image = square.astype(jnp.float32) / 255
    found = landmark_network.LandmarkNetwork().apply(arrays, image[None])
    return jax.tree.map(lambda array: array[0], found)
