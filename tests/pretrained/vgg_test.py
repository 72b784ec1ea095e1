"""VGG-19 against PyTorch's layers with the same weights, and against what it was before."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from volsynth.errors import UserError
from volsynth.pretrained import feature_networks, vgg, weights

SOME = ("block1_conv1", "block1_conv2", "block2_conv1", "block3_conv4", "block5_conv4")
INDICES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
CHANNELS = (3, 64, 64, 128, 128, 256, 256, 256, 256, *8 * (512,))


def _image(side=32, batch=1):
    rng = np.random.Generator(np.random.Philox(3))
    return jnp.asarray(rng.uniform(-1, 1, (batch, side, side, 3)), jnp.float32)


@pytest.fixture(scope="module")
def state():
    """A state dict as torchvision's, random, with a part of its classifier."""
    rng = np.random.default_rng(0)
    arrays = {}
    for index, inputs, outputs in zip(INDICES, CHANNELS, CHANNELS[1:]):
        kernel = rng.standard_normal((outputs, inputs, 3, 3), np.float32)
        arrays[f"features.{index}.weight"] = kernel * np.float32((2 / (9 * inputs)) ** 0.5)
        arrays[f"features.{index}.bias"] = 0.1 * rng.standard_normal(outputs, np.float32)
    return arrays | {"classifier.6.bias": np.full(1000, np.nan, np.float32)}


@pytest.fixture(scope="module")
def path(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "vgg19.safetensors"
    path.write_bytes(safetensors.numpy.save(state))
    return path


# --- against PyTorch -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch_features(state):
    """Image -> layer -> features, by a Sequential as torchvision builds it."""
    torch = pytest.importorskip("torch")
    parts, names = [], {}
    layers = iter(zip(vgg.LAYERS, CHANNELS, CHANNELS[1:]))
    for count in (2, 2, 4, 4, 4):
        for _ in range(count):
            name, inputs, outputs = next(layers)
            parts += [torch.nn.Conv2d(inputs, outputs, 3, padding=1), torch.nn.ReLU()]
            names[len(parts) - 1] = name
        parts.append(torch.nn.MaxPool2d(2, 2))
    net = torch.nn.Sequential(*parts)
    arrays = {k.removeprefix("features."): v for k, v in state.items() if "features" in k}
    net.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()})

    def run(image):
        x = torch.from_numpy((np.array(image) + 1) / 2).permute(0, 3, 1, 2)
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        x = (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
        found = {}
        with torch.no_grad():
            for index, part in enumerate(net):
                x = part(x)
                if index in names:
                    found[names[index]] = x.permute(0, 2, 3, 1).numpy()
        return found

    return run


@pytest.mark.parametrize("side", [32, 37])
def test_features_are_those_of_pytorch(path, torch_features, side):
    image = _image(side, batch=2)
    features = feature_networks.load_features(path, SOME)(image)
    wanted = torch_features(image)
    assert list(features) == list(SOME)
    for layer in SOME:
        assert features[layer].dtype == jnp.float32
        scale = np.abs(wanted[layer]).max()
        np.testing.assert_allclose(features[layer] / scale, wanted[layer] / scale, atol=1e-5)
        np.testing.assert_allclose(features[layer], wanted[layer], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("legacy", [False, True])
def test_files_of_torch_hold_the_same(tmp_path, state, path, legacy):
    torch = pytest.importorskip("torch")
    tensors = {key: torch.from_numpy(value) for key, value in state.items()}
    torch.save(tensors, tmp_path / "x.pth", _use_new_zipfile_serialization=not legacy)
    ours = feature_networks.load_features(tmp_path / "x.pth", ["block5_conv4"]).parameters
    wanted = feature_networks.load_features(path, ["block5_conv4"]).parameters
    jax.tree.map(np.testing.assert_array_equal, ours, wanted)


# --- a network of features -----------------------------------------------------------------------


def test_nothing_deeper_than_asked_is_read_or_computed(path):
    for source in ("", path):
        features = feature_networks.load_features(source, ["block1_conv2"])
        assert list(features.parameters) == ["block1_conv1", "block1_conv2"]
        text = str(jax.make_jaxpr(features)(_image()))
        assert text.count("conv_general_dilated[") == 2
        assert "reduce_window" not in text
    text = str(
        jax.make_jaxpr(feature_networks.load_features("", ["block1_conv1", "block3_conv2"]))(
            _image()
        )
    )
    assert text.count("conv_general_dilated[") == 6
    assert text.count("reduce_window_max[") == 2


def test_the_name_says_which_weights(path):
    name = feature_networks.load_features(path, ["block1_conv1"]).name
    assert name == f"vgg19 {weights.sha256(path)[:12]}"
    assert (
        feature_networks.load_features("", ["block1_conv2"]).name
        == "builtin-random-vgg19-block1_conv2"
    )
    deep = feature_networks.load_features("", ["block2_conv2", "block1_conv1"])
    assert deep.name == "builtin-random-vgg19-block2_conv2"


def test_weights_are_constants_with_a_gradient_for_images_only(path):
    features = feature_networks.load_features(path, ["block2_conv1"])
    call = jax.jit(lambda x: features(x)["block2_conv1"])
    image = _image(8)
    np.testing.assert_allclose(call(image), features(image)["block2_conv1"], rtol=1e-4, atol=1e-5)
    gradient = jax.grad(lambda x: jnp.sum(call(x)))(image)
    assert np.all(np.any(gradient != 0, axis=-1))


def test_half_precision_images_give_float32_features(path):
    image = jnp.asarray(_image(8), jnp.bfloat16)
    for source in ("", path):
        features = feature_networks.load_features(source, ["block1_conv1"])
        got = features(image)["block1_conv1"]
        assert got.dtype == jnp.float32
        np.testing.assert_array_equal(got, features(image.astype(jnp.float32))["block1_conv1"])


def test_layers_that_cannot_be():
    with pytest.raises(UserError, match=r"no layer 'block6_conv2'; did you mean 'block5_conv2'\?"):
        feature_networks.load_features("", ["block1_conv1", "block6_conv2"])
    with pytest.raises(UserError, match="no layer of VGG-19 is given; give one of block1_conv1, "):
        feature_networks.load_features("", [])


def test_an_image_too_small_for_a_layer():
    features = feature_networks.load_features("", ["block2_conv1"])
    assert features(jnp.zeros((1, 2, 3, 3)))["block2_conv1"].shape == (1, 1, 1, 128)
    with pytest.raises(UserError, match=r"1x9 pixels is too small for block2_conv1 .* needs 2;"):
        features(jnp.zeros((1, 1, 9, 3)))


def test_a_file_that_is_not_vgg19(tmp_path, state):
    arrays = {key: value for key, value in state.items() if "features.2." not in key}
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors.numpy.save(arrays))
    with pytest.raises(UserError, match=r"'features\.2\.weight': expected shape \(64, 64, 3, 3\)"):
        feature_networks.load_features(path, ["block1_conv2"])
    assert len(feature_networks.load_features(path, ["block1_conv1"]).parameters) == 1


# --- the built-in one ----------------------------------------------------------------------------


def test_the_built_in_network_is_what_it_was():
    """Sums taken before deeper layers were added: scores refer to these features by name."""
    features = feature_networks.load_features("", ["block1_conv2"])
    for call in (features, jax.jit(features)):
        values = np.asarray(call(_small())["block1_conv2"], np.float64)
        assert values.sum() == pytest.approx(3389.8678148575127, rel=1e-6)
        assert np.sum(values**2) == pytest.approx(3174.0268542452322, rel=1e-6)


def _small():
    rng = np.random.Generator(np.random.Philox(3))
    return jnp.asarray(rng.uniform(-1, 1, (2, 8, 12, 3)).astype(np.float32))


def _before(image):
    """The two layers as they were written first."""
    rng = np.random.Generator(np.random.Philox(19))
    for shape in ((3, 3, 3, 64), (3, 3, 64, 64)):
        kernel = (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:3]))).astype(np.float32)
        image = jax.lax.conv_general_dilated(
            image, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        image = jax.nn.relu(image)
    return image


def test_the_built_in_features_are_equal_bit_by_bit_to_the_first_ones():
    image = _small()
    features = feature_networks.load_features("", ["block1_conv2"])
    np.testing.assert_array_equal(features(image)["block1_conv2"], _before(image))
    np.testing.assert_array_equal(jax.jit(features)(image)["block1_conv2"], jax.jit(_before)(image))


def test_the_built_in_network_keeps_the_scale_of_an_image_at_every_depth():
    deep = feature_networks.load_features("", vgg.LAYERS)
    first = feature_networks.load_features("", ["block1_conv2"])
    for name, layer in first.parameters.items():
        jax.tree.map(np.testing.assert_array_equal, layer, deep.parameters[name])
    features = deep(_image(32))
    assert {name: values.shape[1:] for name, values in features.items()} == {
        name: (32 >> (int(name[5]) - 1), 32 >> (int(name[5]) - 1), outputs)
        for name, outputs in zip(vgg.LAYERS, CHANNELS[1:])
    }
    for values in features.values():
        assert 0.01 < np.mean(np.square(values)) < 10


# --- converting ----------------------------------------------------------------------------------


def test_what_is_converted_holds_the_features_and_nothing_else(tmp_path, path, state):
    out = tmp_path / "weights" / "vgg19.safetensors"
    found = feature_networks.convert_weights(path, out, "vgg19")
    assert found == {
        "arrays": 32,
        "values": 20_024_384,
        "dtype": "float32",
        "source": weights.sha256(path),
        "out": weights.sha256(out),
    }
    arrays = safetensors.numpy.load_file(out)
    assert set(arrays) == set(state) - {"classifier.6.bias"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, state[name])
    assert weights.network_name(out) == "vgg19"
    again = feature_networks.convert_weights(out, out, "vgg19")
    assert again["source"] == again["out"] == found["out"]


def test_a_converted_file_is_named_as_what_it_is(tmp_path, path):
    with pytest.raises(UserError, match=r"weights convert: '.*x\.pth' must end in \.safetensors\."):
        feature_networks.convert_weights(path, tmp_path / "x.pth", "vgg19")
    assert list(tmp_path.iterdir()) == []
