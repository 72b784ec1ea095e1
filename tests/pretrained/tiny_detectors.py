"""Tiny ONNX files whose outputs are computed by hand: the means of the channels of a picture."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, UINT8, INT64 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT64


def model(nodes, inputs, outputs, constants=()):
    """An onnx.ModelProto.

    Args:
      nodes: of onnx.helper.make_node.
      inputs: (name, type, shape) of each.
      outputs: likewise.
      constants: (name, array) of each.
    """
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(*port) for port in inputs],
        [helper.make_tensor_value_info(*port) for port in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made


def means(shape=(1, 3, 4, 4), kind=FLOAT, channel_axis=1):
    """Nodes that make "means" [3] of the input "picture", and the input."""
    axes = [axis for axis in range(len(shape)) if axis != channel_axis]
    nodes = [
        helper.make_node("Cast", ["picture"], ["values"], to=FLOAT),
        helper.make_node("ReduceMean", ["values"], ["means"], axes=axes, keepdims=0),
    ]
    return nodes, [("picture", kind, shape)]


def ssd(
    shape=(1, 3, 4, 4),
    kind=FLOAT,
    channel_axis=1,
    classes=(15, 1, 15),
    names=("boxes", "labels", "scores"),
    class_kind=np.int64,
    rank=2,
):
    """Three boxes: their confidences are the means of R, G and B, their classes constant."""
    nodes, inputs = means(shape, kind, channel_axis)
    lists = [1, 3] if rank == 2 else [3]
    boxes, labels, scores = names
    nodes += [
        helper.make_node("Identity", ["box values"], [boxes]),
        helper.make_node("Identity", ["class values"], [labels]),
        helper.make_node("Reshape", ["means", "list shape"], [scores]),
    ]
    outputs = [
        (boxes, FLOAT, [*lists, 4]),
        (labels, helper.np_dtype_to_tensor_dtype(np.dtype(class_kind)), lists),
        (scores, FLOAT, lists),
    ]
    constants = [
        ("box values", np.zeros([*lists, 4], np.float32)),
        ("class values", np.array(classes, class_kind).reshape(lists)),
        ("list shape", np.array(lists)),
    ]
    return model(nodes, inputs, outputs, constants)


def table(weights, bias, shape=None, name="output0", hidden=False):
    """One output: the means of R, G and B times `weights` [3, n], plus `bias` [n], as `shape`.

    Args:
      weights: numbers.
      bias: numbers.
      shape: of the output, [1, n] by default.
      name: of the output.
      hidden: whether the file does not tell the lengths of the axes.
    """
    nodes, inputs = means()
    weights, bias = np.array(weights, np.float32), np.array(bias, np.float32)
    shape = shape or [1, len(bias)]
    nodes += [
        helper.make_node("MatMul", ["means", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["sum"]),
        # Found out when it runs, as 0 times a mean is added.
        helper.make_node("Mul", ["means", "zeros"], ["no means"]),
        helper.make_node("ReduceSum", ["no means"], ["nothing"], keepdims=1),
        helper.make_node("Cast", ["nothing"], ["zero"], to=INT64),
        helper.make_node("Add", ["shape", "zero"], ["found shape"]),
        helper.make_node("Reshape", ["sum", "found shape" if hidden else "shape"], [name]),
    ]
    constants = [
        *(("weights", weights), ("bias", bias), ("shape", np.array(shape))),
        ("zeros", np.zeros(3, np.float32)),
    ]
    return model(
        nodes, inputs, [(name, FLOAT, [None] * len(shape) if hidden else shape)], constants
    )


def save(path, made):
    path.write_bytes(made.SerializeToString())
    return path
