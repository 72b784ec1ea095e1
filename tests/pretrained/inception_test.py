"""Inception-v3 against PyTorch's modules with the same weights, in the layout of its files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volsynth.errors import UserError
from volsynth.pretrained import feature_networks, inception, weights

INPUTS = {
    "": (3, 43, 47),
    "Mixed_5b": (192, 7, 5),
    "Mixed_5d": (288, 5, 6),
    "Mixed_6a": (288, 7, 8),
    "Mixed_6b": (768, 5, 4),
    "Mixed_6e": (768, 3, 9),
    "Mixed_7a": (768, 7, 8),
    "Mixed_7b": (1280, 3, 4),
    "Mixed_7c": (2048, 4, 3),
}
"""Channels, height and width of what blocks are tried with."""


@pytest.fixture(scope="module")
def twin():
    pytest.importorskip("torch")
    import inception_twin

    return inception_twin.random()


@pytest.fixture(scope="module")
def state(twin):
    return {name: value.numpy() for name, value in twin.state_dict().items()}


@pytest.fixture(scope="module")
def parameters(state):
    return inception.from_torch(state)


@pytest.fixture(scope="module")
def zeros():
    """Arrays of the layout without a network that they could be of, and without their memory."""
    return {
        name: np.broadcast_to(np.zeros((), np.float32), shape)
        for name, shape in inception.torch_layout().items()
    }


def _image(*shape, seed=3):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def _of_torch(call, image):
    import torch

    with torch.no_grad():
        return call(torch.from_numpy(np.moveaxis(image, -1, 1).copy()))


# --- against PyTorch -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", INPUTS, ids=lambda name: name or "stem")
def test_blocks_are_those_of_pytorch(twin, parameters, name):
    channels, height, width = INPUTS[name]
    x = _image(2, height, width, channels)
    module = getattr(twin, name) if name else twin.stem
    wanted = np.moveaxis(_of_torch(module, x).numpy(), 1, -1)
    got = jax.jit(inception.apply_block, static_argnums=1)(parameters, name, jnp.asarray(x))
    assert got.shape == wanted.shape
    assert np.mean(wanted > 0) > 0.1
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(64, 40), (299, 299), (511, 301)])
def test_images_are_resized_as_pytorch_does(size):
    torch = pytest.importorskip("torch")
    interpolate = torch.nn.functional.interpolate
    options = {"mode": "bilinear", "align_corners": False, "antialias": False}
    image = _image(1, *size, 3)
    resized = _of_torch(lambda x: interpolate(x, (299, 299), **options), image)
    got = inception.resize(jnp.asarray(image))
    np.testing.assert_allclose(got, np.moveaxis(resized.numpy(), 1, -1), atol=2e-5)
    if size == (299, 299):
        np.testing.assert_array_equal(got, image)


def test_the_whole_network_is_that_of_pytorch(twin, parameters):
    image = _image(1, 64, 48, 3)
    got = feature_networks.Inception("of the twin", parameters)(jnp.asarray(image))
    resized = np.asarray(inception.resize(jnp.asarray(image)))
    pool = _of_torch(twin.features, resized)
    logits = twin.fc(pool).detach().numpy()
    unbiased = logits - twin.fc.bias.detach().numpy()
    odds = np.exp(unbiased - unbiased.max(1, keepdims=True))
    assert {name: values.shape for name, values in got.items()} == {
        "pool": (1, 2048),
        "logits": (1, 1008),
        "probabilities": (1, 1008),
    }
    assert np.std(pool.numpy()) > 0.05
    np.testing.assert_allclose(got["pool"], pool.numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got["logits"], logits, rtol=1e-4, atol=1e-4)
    wanted = odds / odds.sum(1, keepdims=True)
    np.testing.assert_allclose(got["probabilities"], wanted, rtol=1e-3, atol=1e-6)


# --- what there is of it -------------------------------------------------------------------------


def test_the_layout_is_that_of_the_twin(state):
    layout = inception.torch_layout()
    others = {name for name in state if name.endswith("num_batches_tracked")}
    assert {name: state[name].shape for name in state if name not in others} == layout


def test_it_has_as_many_parameters_as_published():
    layout = inception.torch_layout()
    learnt = sum(np.prod(shape) for name, shape in layout.items() if "running" not in name)
    # 23,834,568 of Inception-v3 with 1000 classes and without its auxiliary ones.
    assert learnt == 23_834_568 + 8 * 2049
    assert len(inception.SHAPES) == 94


def test_a_constant_stays_constant_up_to_the_border_of_an_average(parameters):
    """An average would be less at the border if that counted as zeros."""
    x = jnp.ones((1, 5, 5, 192))
    branch = inception.apply_block(parameters, "Mixed_5b", x)[0, :, :, -32:]
    np.testing.assert_allclose(branch, jnp.broadcast_to(branch[2, 2], branch.shape), atol=1e-5)
    assert np.any(branch > 0.01)


def test_half_precision_images_give_float32_features(parameters, monkeypatch):
    monkeypatch.setattr(
        inception, "pooled_features", lambda _, image: jnp.tile(image[:, 0, 0, :1], 2048)
    )
    image = jnp.asarray(_image(1, 8, 8, 3), jnp.bfloat16)
    got = inception.outputs(parameters, image)
    assert {values.dtype for values in got.values()} == {jnp.dtype(jnp.float32)}
    wanted = inception.outputs(parameters, image.astype(jnp.float32))
    jax.tree.map(np.testing.assert_array_equal, got, wanted)


# --- files ---------------------------------------------------------------------------------------


def test_a_file_of_torch_is_converted_and_read(tmp_path, twin, parameters):
    import torch

    source, out = tmp_path / "in.pth", tmp_path / "out.safetensors"
    torch.save(twin.state_dict(), source, _use_new_zipfile_serialization=False)
    found = feature_networks.convert_weights(source, out, "inception")
    assert found["arrays"] == 94 * 5 + 2
    # 94 normalisations of 17,216 channels in all have two statistics for each.
    assert found["values"] == 23_834_568 + 8 * 2049 + 2 * 17_216
    assert weights.network_name(out) == "inception"
    net = feature_networks.load_inception(out)
    assert net.name == f"inception-v3 {found['out'][:12]}"
    jax.tree.map(np.testing.assert_array_equal, net.parameters, parameters)


def test_no_file(tmp_path):
    how = (
        r"Get pt_inception-.*weights convert IN OUT\.safetensors --kind inception; frechet_builtin"
    )
    with pytest.raises(UserError, match=f"Inception-v3: no file of weights is given. {how}"):
        feature_networks.load_inception("")
    with pytest.raises(UserError, match=f"no such file. {how}"):
        feature_networks.load_inception(tmp_path / "file")
    with pytest.raises(UserError, match=f"no such file. {how}"):
        feature_networks.convert_weights(
            tmp_path / "file", tmp_path / "out.safetensors", "inception"
        )


def test_a_file_of_another_network(tmp_path):
    weights.save(tmp_path / "x.safetensors", {"a": np.zeros(2, np.float32)}, "other")
    with pytest.raises(UserError, match=r"'Conv2d_1a_3x3\.conv\.weight': expected shape \(32, 3, "):
        feature_networks.load_inception(tmp_path / "x.safetensors")


def test_a_variance_below_zero(zeros):
    negative = np.zeros(64, np.float32)
    negative[5] = -0.25
    arrays = zeros | {"Mixed_5c.branch1x1.bn.running_var": negative}
    with pytest.raises(UserError, match=r"'Mixed_5c\.branch1x1\.bn\.running_var': .*found -0\.25;"):
        inception.from_torch(arrays)
