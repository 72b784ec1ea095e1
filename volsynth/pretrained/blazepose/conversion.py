"""Makes the files of BlazePose's parameters from the published ones.

The published files are in the wheel of MediaPipe 0.10.21. They are graphs of TensorFlow Lite, and
only their constants are read: the graphs are written out in `detector` and `landmark_network`, and
the constants get the names that they have there by their order. This is run once; nothing that uses
the networks needs it.
"""

import collections
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from volsynth.errors import UserError
from volsynth.pretrained import weights
from volsynth.pretrained.blazepose import detector, landmark_network, layers, parameters

KINDS = {f"blazepose-{network}": network for network in parameters.NETWORKS}
"""The names of the networks on the command line, and in `parameters.NETWORKS`."""


def convert(source: str | os.PathLike[str], out: str | os.PathLike[str], kind: str) -> dict:
    """Writes the parameters of a network to a safetensors file, as they are in the package.

    Args:
      source: `pose_detection.tflite` or `pose_landmark_full.tflite` of MediaPipe 0.10.21.
      out: the path of the new file.
      kind: a name of `KINDS`.

    Returns:
      The number of "arrays", of their "values" and their "dtype", and the SHA-256 of the files
      "source" and "out".

    Raises:
      UserError: the source cannot be read or is another file, or `out` cannot be written.
    """
    network = KINDS[kind]
    wanted = parameters.manifest()[network]["source"]
    digest = weights.sha256(source)
    # Nothing of an unknown file is parsed, and so nothing in it has to be checked.
    if digest != wanted["sha256"]:
        raise UserError(
            f"weights {os.fspath(source)!r}: SHA-256 {digest}; {kind} is made from"
            f" {wanted['file']} of {wanted['package']}, {wanted['sha256']}."
        )
    arrays = _named(_constants(pathlib.Path(source).read_bytes()), network)
    weights.save(out, parameters.packed(arrays), kind)
    return {
        "arrays": len(arrays),
        "values": sum(array.size for array in arrays.values()),
        "dtype": "float16",
        "source": digest,
        "out": weights.sha256(out),
    }


def _named(constants, network) -> dict[str, np.ndarray]:
    """The parameters by their paths in the network, joined by slashes."""
    names = _detector_names() if network == "detector" else _landmark_names()
    found = collections.defaultdict(list)
    for name, pair in zip(names, constants, strict=True):
        for part, array in zip(("kernel", "bias"), pair):
            found[f"{name}/{part}"].append(array)
    # Layers that are repeated have their parameters one behind the other. Contiguous, because
    # safetensors writes the memory of an array, whatever the order of its axes there.
    return {
        name: np.ascontiguousarray(np.stack(each) if len(each) > 1 else each[0])
        for name, each in found.items()
    }


def _constants(content: bytes) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernels, with their axes in the order that layers have, and biases of all convolutions."""
    # Of TensorFlow, which takes seconds to import.
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    graph = model.subgraphs[0]
    operators = schema.BuiltinOperator
    known, found = {}, []
    for step in graph.operators:
        code = model.operatorCodes[step.opcodeIndex]
        # Old numbers are in one field, and numbers that do not fit into it in the other.
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        inputs = [int(index) for index in step.inputs]

        def constant(index):
            return known[index] if index in known else _array(graph.tensors[index], model)

        if kind in (operators.DENSIFY, operators.DEQUANTIZE):
            known[int(step.outputs[0])] = constant(inputs[0])
        elif kind == operators.CONV_2D:
            found.append((constant(inputs[1]).transpose(1, 2, 3, 0), constant(inputs[2])))
        elif kind == operators.DEPTHWISE_CONV_2D:
            found.append((constant(inputs[1])[0], constant(inputs[2])))
    return found


def _array(tensor: Any, model: Any) -> np.ndarray:
    """A constant of a graph, float16."""
    values = np.asarray(model.buffers[tensor.buffer].data).view(np.float16)
    shape = tuple(int(size) for size in tensor.shape)
    if tensor.sparsity is None:
        return values.reshape(shape)
    # The one way in which the detector's are sparse: compressed rows along the last axis.
    rows = tensor.sparsity.dimMetadata[-1]
    starts = np.asarray(rows.arraySegments.values)
    places = np.asarray(rows.arrayIndices.values)
    array = np.zeros((len(starts) - 1, shape[-1]), np.float16)
    array[np.repeat(np.arange(len(array)), np.diff(starts)), places] = values
    return array.reshape(shape)


def _detector_names() -> Iterator[str]:
    """The convolutions of the detector in the order of its graph."""
    yield from _encoder_names(detector.STAGES, {2: "fine_skip", 3: "middle_skip"})
    for level in ("middle", "fine"):
        yield f"{level}_up"
        yield from 2 * _separable(f"{level}_residuals/separable")
    for side, _ in detector.GRIDS:
        for output in ("logits", "boxes"):
            yield from (f"head{side}/{output}_depthwise", f"head{side}/{output}_pointwise")


def _landmark_names() -> Iterator[str]:
    """The convolutions of the landmark network in the order of its graph."""
    skips = {0: "mask_skip", 1: "pyramid_skip2", 2: "pyramid_skip1", 3: "pyramid_skip0"}
    yield from _encoder_names(landmark_network.STAGES, skips)
    yield from _separable("pyramid")
    yield from _separable("mask")
    for size in ("half", "whole"):
        yield from 2 * _separable(f"mask_residuals_{size}/separable")
    yield from ("mask_logits", "heat")
    yield from _separable("regress")
    for i, times in enumerate(landmark_network.RESIDUALS):
        yield from _separable(f"regress_halved{i}")
        yield from times * _separable(f"regress_residuals{i}/separable")
    yield from ("landmarks", "world", "present")


def _encoder_names(
    stages: Sequence[Sequence[layers.Block]], skips: dict[int, str]
) -> Iterator[str]:
    """The convolutions of the encoder, and of the skips that the graph has in between.

    Args:
      stages: the encoder's blocks.
      skips: for some stages, the name of the separable convolution of the stage's input.
    """
    yield from (f"encoder/{name}" for name in ("stem", "stem_depthwise", "stem_project"))
    for i, blocks in enumerate(stages):
        for j, block in enumerate(blocks):
            name = f"encoder/stage{i}_block{j}"
            first, *others = (f"{name}/{part}" for part in ("expand", "depthwise", "project"))
            skip = _separable(skips[i]) if j == 0 and i in skips else ()
            yield from block.times * (first, *skip, *others)
    yield from ("encoder/expand", "encoder/depthwise")


def _separable(name: str) -> tuple[str, str]:
    return f"{name}/depthwise", f"{name}/pointwise"
