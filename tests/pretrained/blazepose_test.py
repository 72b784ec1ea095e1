"""BlazePose: networks against TensorFlow Lite, and their parameters against the published files.

The files are in the wheel of MediaPipe 0.10.21. Tests that need them look for its folder
`mediapipe` in the folder that the environment variable MEDIAPIPE names; the others compare with
what TensorFlow Lite was found to compute.
"""

import importlib.resources
import json
import os
import pathlib

import flatbuffers
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
import skimage.data

from volsynth.errors import UserError
from volsynth.pretrained.blazepose import (
    conversion,
    detector,
    landmark_network,
    networks,
    parameters,
)

MODULES = {
    "detector": (detector.Detector(), detector.SIDE),
    "landmarks": (landmark_network.LandmarkNetwork(), landmark_network.SIDE),
}


def _published(network):
    source = parameters.manifest()[network]["source"]["file"]
    path = pathlib.Path(os.environ.get("MEDIAPIPE", ""), source)
    if not path.is_file():
        pytest.skip(f"MEDIAPIPE names no folder with {source}")
    return path


def _picture(side):
    """The middle of the astronaut's picture at half its size, by leaving pixels out."""
    start = (512 - 2 * side) // 2
    return skimage.data.astronaut()[start : start + 2 * side : 2, start : start + 2 * side : 2]


@pytest.fixture(scope="module")
def found():
    """What both networks say of the astronaut."""
    compiled = networks.load()
    boxes, scores = compiled.detect(_picture(detector.SIDE))
    return np.asarray(boxes), np.asarray(scores), compiled.look(_picture(landmark_network.SIDE))


# --- parameters ----------------------------------------------------------------------------------


@pytest.mark.parametrize("network", parameters.NETWORKS)
def test_parameters_are_those_of_the_network(network):
    module, side = MODULES[network]
    image = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    wanted = jax.eval_shape(module.init, jax.random.key(0), image)
    arrays = parameters.load(network)
    assert jax.tree.map(jnp.shape, arrays) == jax.tree.map(jnp.shape, wanted)
    assert {array.dtype for array in jax.tree.leaves(arrays)} == {np.dtype("float32")}


def test_numbers_of_parameters_are_the_published_ones():
    sizes = {name: _size(parameters.load(name)) for name in parameters.NETWORKS}
    # The graph of the detector has two arrays of zeros of which two layers each use one.
    assert sizes == {"detector": 2_965_026 + 192 + 96, "landmarks": 3_169_489}


def _size(tree):
    return sum(array.size for array in jax.tree.leaves(tree))


def test_licence_and_notice_are_beside_the_files():
    folder = importlib.resources.files(parameters.__package__)
    assert "Apache License" in folder.joinpath("LICENSE").read_text()
    notice = folder.joinpath("NOTICE").read_text()
    for entry in parameters.manifest().values():
        assert entry["file"] in notice
        assert entry["source"]["file"] in notice


def test_packed_arrays_are_unpacked():
    rng = np.random.default_rng(0)
    sparse = rng.standard_normal((2, 3, 13)).astype(np.float16) * (rng.random((2, 3, 13)) < 0.2)
    arrays = {
        "a/kernel": sparse,
        "a/bias": np.zeros(13, np.float16),
        "b/kernel": np.ones((3, 5), np.float16),
        "b/bias": np.ones(5, np.float16),
    }
    packed = parameters.packed(arrays)
    assert set(packed) == {"a/kernel.values", "a/kernel.bits", "a/bias", "b/kernel", "b/bias"}
    assert sum(array.nbytes for array in packed.values()) < 0.6 * sum(
        array.nbytes for array in arrays.values()
    )
    unpacked = parameters.unpacked(packed)
    assert set(unpacked) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(unpacked[name], array)
        assert unpacked[name].dtype == array.dtype


def test_files_that_are_damaged_or_missing_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.resources, "files", lambda package: tmp_path)
    manifest = {"detector": {"file": "d.safetensors", "sha256": "0" * 64}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"d\.safetensors cannot be read; install volsynth again"):
        parameters.load("detector")
    (tmp_path / "d.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"d\.safetensors is damaged; install volsynth again"):
        parameters.load("detector")


# --- conversion ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", conversion.KINDS)
def test_the_parameters_are_made_from_the_published_files(kind, tmp_path):
    network = conversion.KINDS[kind]
    entry = parameters.manifest()[network]
    report = conversion.convert(_published(network), tmp_path / "out.safetensors", kind)
    file = importlib.resources.files(parameters.__package__).joinpath(entry["file"])
    assert (tmp_path / "out.safetensors").read_bytes() == file.read_bytes()
    assert report["out"] == entry["sha256"]
    assert report["source"] == entry["source"]["sha256"]
    assert report["values"] == _size(parameters.load(network))


@pytest.mark.parametrize("kind", conversion.KINDS)
def test_other_files_are_not_parsed(kind, tmp_path):
    (tmp_path / "in.tflite").write_bytes(b"TFL3")
    out = tmp_path / "out.safetensors"
    with pytest.raises(UserError, match=f"{kind} is made from mediapipe/modules/pose_"):
        conversion.convert(tmp_path / "in.tflite", out, kind)
    with pytest.raises(UserError, match="cannot be read"):
        conversion.convert(tmp_path / "none.tflite", out, kind)
    assert not out.exists()


@pytest.mark.slow
def test_constants_of_graphs_are_read_dense_and_sparse():
    """A graph of one convolution with sparse taps, and one of every channel by itself."""
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((4, 1, 1, 6)) * (rng.random((4, 1, 1, 6)) < 0.4)
    kernel, bias = kernel.astype(np.float16), rng.standard_normal(4).astype(np.float16)
    taps, shifts = rng.standard_normal((1, 3, 3, 4)).astype(np.float16), bias[::-1].copy()
    found = conversion._constants(_graph(kernel, bias, taps, shifts))
    assert [(k.shape, b.shape) for k, b in found] == [((1, 1, 6, 4), (4,)), ((3, 3, 4), (4,))]
    np.testing.assert_array_equal(found[0][0][0, 0], kernel[:, 0, 0].T)
    np.testing.assert_array_equal(found[0][1], bias)
    np.testing.assert_array_equal(found[1][0], taps[0])
    np.testing.assert_array_equal(found[1][1], shifts)


def _graph(kernel, bias, taps, shifts):
    """The bytes of a graph: constants 0 to 3, their float32 values 5 to 8, 4 the dense kernel."""
    from tensorflow.lite.python import schema_py_generated as schema

    def build(kind, **values):
        made = getattr(schema, f"{kind}T")()
        for name, value in values.items():
            setattr(made, name, value)
        return made

    rows = scipy.sparse.csr_matrix(kernel.reshape(len(kernel), -1).astype(np.float32))
    vector = build("Int32Vector", values=rows.indptr), build("Int32Vector", values=rows.indices)
    dimensions = [
        *[build("DimensionMetadata", format=0, denseSize=size) for size in kernel.shape[:3]],
        build(
            "DimensionMetadata",
            format=1,
            arraySegmentsType=1,
            arraySegments=vector[0],
            arrayIndicesType=1,
            arrayIndices=vector[1],
        ),
    ]
    sparsity = build("SparsityParameters", traversalOrder=[0, 1, 2, 3], dimMetadata=dimensions)
    constants = [rows.data.astype(np.float16), bias, taps, shifts]
    shapes = [kernel.shape, bias.shape, taps.shape, shifts.shape]
    tensors = [
        build("Tensor", shape=shape, buffer=i, sparsity=sparsity if i == 0 else None)
        for i, shape in enumerate(shapes)
    ]
    tensors += [build("Tensor", shape=shape, buffer=4) for shape in (shapes[0], *shapes, (1,))]
    operators = schema.BuiltinOperator
    codes = ("DENSIFY", "DEQUANTIZE", "CONV_2D", "DEPTHWISE_CONV_2D", "ADD")
    steps = [(0, [0], 4), (1, [4], 5), (1, [1], 6), (1, [2], 7), (1, [3], 8)]
    steps += [(2, [9, 5, 6], 9), (4, [9, 9], 9), (3, [9, 7, 8], 9)]
    model = build(
        "Model",
        operatorCodes=[build("OperatorCode", builtinCode=getattr(operators, c)) for c in codes],
        buffers=[
            *[build("Buffer", data=np.frombuffer(c.tobytes(), np.uint8)) for c in constants],
            build("Buffer"),
        ],
        subgraphs=[
            build(
                "SubGraph",
                tensors=tensors,
                operators=[
                    build("Operator", opcodeIndex=code, inputs=inputs, outputs=[output])
                    for code, inputs, output in steps
                ],
            )
        ],
    )
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder))
    return bytes(builder.Output())


# --- networks ------------------------------------------------------------------------------------


def test_the_detector_finds_what_tensorflow_lite_finds(found):
    boxes, scores, _ = found
    best = [1690, 471, 527, 469]
    np.testing.assert_array_equal(np.argsort(-scores)[:4], best)
    np.testing.assert_allclose(scores[best], [0.86282, 0.83592, 0.76696, 0.68042], atol=1e-4)
    assert (scores >= 0.5).sum() == 8
    wanted = {
        1690: [3.195, -0.647, 44.870, 44.837, -23.374, 146.553, 19.771, -71.413],
        1568: [-2.362, 5.743, 38.946, 38.922, -44.624, -98.872, 3.019, 52.242],
        2253: [0.470, -0.293, 0.434, -0.193, -0.363, -0.096, -0.143, 0.500],
    }
    for anchor, values in wanted.items():
        np.testing.assert_allclose(boxes[anchor, :8], values, atol=2e-3)


def test_the_landmark_network_finds_what_tensorflow_lite_finds(found):
    look = found[2]
    image = {
        0: [117.277, 59.441, -344.559, 12.876, 10.874],
        16: [40.908, 152.430, -345.897, 0.269, 3.543],
        33: [99.417, 151.304, 0.194, -23.628, 22.957],
    }
    for landmark, values in image.items():
        np.testing.assert_allclose(look.image[landmark], values, atol=5e-3)
    np.testing.assert_allclose(look.world[0], [0.10560, -0.44983, -0.46653], atol=1e-4)
    np.testing.assert_allclose(look.world[24], [-0.11957, -0.00560, -0.01173], atol=1e-4)
    np.testing.assert_allclose(look.present, 0.96913, atol=1e-4)
    # The largest logit of a landmark's heat map, and its cell.
    for landmark, cell, logit in ((7, (14, 33), 0.7087), (12, (22, 19), 0.2933)):
        heat = np.asarray(look.heat[..., landmark])
        assert np.unravel_index(heat.argmax(), heat.shape) == cell
        np.testing.assert_allclose(heat.max(), logit, atol=2e-3)


def test_the_mask_is_that_of_tensorflow_lite(found):
    mask = np.asarray(jax.nn.sigmoid(found[2].mask)).reshape(4, 64, 4, 64).mean(axis=(1, 3))
    wanted = [
        [0.0000, 0.6046, 0.2374, 0.0000],
        [0.2098, 0.9164, 0.2279, 0.0000],
        [0.8409, 1.0000, 0.7267, 0.0044],
        [0.9539, 0.7839, 0.3811, 0.0452],
    ]
    np.testing.assert_allclose(mask, wanted, atol=2e-4)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
@pytest.mark.parametrize("network", parameters.NETWORKS)
def test_every_output_is_that_of_tensorflow_lite(network, found):
    """All values, where the published files are at hand."""
    path = _published(network)
    outputs = _tensorflow_lite(path, network)
    if network == "detector":
        outputs[1] = 1 / (1 + np.exp(-np.clip(outputs[1], -50, 50)))
        ours = found[:2]
    else:
        look = found[2]
        ours = [look.image, look.present, look.mask, look.heat, look.world]
    for a, b in zip(ours, outputs, strict=True):
        scale = np.abs(b).max()
        np.testing.assert_allclose(np.reshape(a, b.shape) / scale, b / scale, atol=1e-3)


def _tensorflow_lite(path, network):
    """All outputs of a graph for the astronaut."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(str(path))
    interpreter.allocate_tensors()
    picture = _picture(MODULES[network][1]).astype(np.float32)[None]
    picture = picture / 127.5 - 1 if network == "detector" else picture / 255
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture)
    interpreter.invoke()
    return [interpreter.get_tensor(o["index"])[0] for o in interpreter.get_output_details()]


def test_inner_layers_have_the_paths_of_the_parameters():
    """Repeated layers have their parameters in one array, one behind the other."""
    arrays = flax.traverse_util.flatten_dict(parameters.load("landmarks")["params"], sep="/")
    assert arrays["encoder/stage3_block1/depthwise/kernel"].shape == (3, 5, 5, 864)
    assert arrays["regress_residuals1/separable/pointwise/kernel"].shape == (5, 1, 1, 288, 288)
