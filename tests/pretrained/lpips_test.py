"""LPIPS against PyTorch's layers with random weights in the layout of the published files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from volsynth import metrics
from volsynth.errors import UserError
from volsynth.pretrained import feature_networks, lpips_networks, weights

# torchvision's lists: the index of a convolution, its channels, side, stride, padding; "P" and the
# side of a maximum with stride 2. The authors compare what stands at the indices of SLICES.
LISTS = {
    "alex": [
        *[(0, 3, 64, 11, 4, 2), (2, "P", 3), (3, 64, 192, 5, 1, 2), (5, "P", 3)],
        *[(6, 192, 384, 3, 1, 1), (8, 384, 256, 3, 1, 1), (10, 256, 256, 3, 1, 1)],
    ],
    "vgg": [
        *[(0, 3, 64, 3, 1, 1), (2, 64, 64, 3, 1, 1), (4, "P", 2)],
        *[(5, 64, 128, 3, 1, 1), (7, 128, 128, 3, 1, 1), (9, "P", 2)],
        *[(10, 128, 256, 3, 1, 1), (12, 256, 256, 3, 1, 1), (14, 256, 256, 3, 1, 1), (16, "P", 2)],
        *[(17, 256, 512, 3, 1, 1), (19, 512, 512, 3, 1, 1), (21, 512, 512, 3, 1, 1), (23, "P", 2)],
        *[(24, 512, 512, 3, 1, 1), (26, 512, 512, 3, 1, 1), (28, 512, 512, 3, 1, 1)],
    ],
}
SLICES = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}
CHANNELS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}
SMALLEST = {"alex": 31, "vgg": 16}
SIDES = {"alex": 45, "vgg": 21}
"""At which every maximum leaves a pixel over, and layers have more than one."""


def _images(side, batch=2, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.uniform(-1, 1, (batch, side, side + 3, 3)), jnp.float32)


@pytest.fixture(scope="module", params=["alex", "vgg"])
def network(request):
    return request.param


@pytest.fixture(scope="module")
def states(network):
    """State dicts, random: of the network with a part of its classifier, and the learned one."""
    rng = np.random.default_rng(1)
    backbone = {"classifier.6.bias": np.full(1000, np.nan, np.float32)}
    for index, *rest in LISTS[network]:
        if rest[0] != "P":
            inputs, outputs, side = rest[:3]
            kernel = rng.standard_normal((outputs, inputs, side, side), np.float32)
            kernel *= np.float32((2 / (side * side * inputs)) ** 0.5)
            backbone[f"features.{index}.weight"] = kernel
            backbone[f"features.{index}.bias"] = 0.1 * rng.standard_normal(outputs, np.float32)
    lin = {
        f"lin{i}.model.1.weight": rng.uniform(0, 1, (1, count, 1, 1)).astype(np.float32)
        for i, count in enumerate(CHANNELS[network])
    }
    return backbone, lin


@pytest.fixture(scope="module")
def paths(states, network, tmp_path_factory):
    """The two files of a user, and where the converted one goes."""
    folder = tmp_path_factory.mktemp(network)
    for name, state in zip(("backbone", "lin"), states):
        (folder / f"{name}.safetensors").write_bytes(safetensors.numpy.save(state))
    return tuple(folder / f"{name}.safetensors" for name in ("backbone", "lin", "out"))


@pytest.fixture(scope="module")
def converted(paths, network):
    source, lin, out = paths
    return feature_networks.convert_weights(source, out, f"lpips-{network}", lin)


@pytest.fixture(scope="module")
def ours(paths, converted, network):
    return lpips_networks.load(paths[2], network)


@pytest.fixture(scope="module")
def call(ours):
    """Compiled; tests give it images of one size."""
    return jax.jit(ours)


# --- against PyTorch -----------------------------------------------------------------------------


def _twin(network, states):
    """The authors' module, put together from layers of PyTorch."""
    torch = pytest.importorskip("torch")
    parts = {}
    for index, *rest in LISTS[network]:
        if rest[0] == "P":
            parts[index] = torch.nn.MaxPool2d(rest[1], 2)
        else:
            parts[index] = torch.nn.Conv2d(*rest[:3], stride=rest[3], padding=rest[4])
            parts[index + 1] = torch.nn.ReLU()
    assert list(parts) == list(range(len(parts)))
    net = torch.nn.Sequential(*parts.values())
    kept = {k.removeprefix("features."): v for k, v in states[0].items() if "features" in k}
    net.load_state_dict({key: torch.from_numpy(value) for key, value in kept.items()})
    shift = torch.tensor([-0.030, -0.088, -0.188])[None, :, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450])[None, :, None, None]

    def features(image):
        x, found = (torch.from_numpy(np.array(image)).permute(0, 3, 1, 2) - shift) / scale, []
        for index, part in enumerate(net):
            x = part(x)
            if index in SLICES[network]:
                found.append(x / (torch.sqrt(torch.sum(x**2, dim=1, keepdim=True)) + 1e-10))
        return found

    def run(a, b):
        total = 0
        with torch.no_grad():
            for i, (x, y) in enumerate(zip(features(a), features(b))):
                weight = torch.from_numpy(states[1][f"lin{i}.model.1.weight"])
                layer = torch.nn.functional.conv2d((x - y) ** 2, weight)
                total = total + layer.mean([2, 3])[:, 0]
        return total.numpy()

    return run


def test_the_distance_is_that_of_pytorch(network, states, call):
    twin = _twin(network, states)
    side = SIDES[network]
    a, b = _images(side, seed=1), _images(side, seed=2)
    b = b.at[1].set(0.9 * a[1])  # one pair that is alike
    got = call(a, b)
    assert got.shape == (2,)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, twin(a, b), rtol=1e-4)
    assert got[1] < 0.5 * got[0]


# --- what it does --------------------------------------------------------------------------------


def test_equal_images_have_no_distance(network, call):
    a = _images(SIDES[network])
    np.testing.assert_allclose(call(a, a), [0.0, 0.0], atol=1e-10)


def test_features_without_length_stay_zero_and_their_gradient_finite():
    features = jnp.zeros((1, 1, 1, 4)).at[0, 0, 0, 0].set(3.0)
    np.testing.assert_allclose(lpips_networks._unit(features)[0, 0, 0], [1, 0, 0, 0])
    slope = jax.jit(jax.grad(lambda x: jnp.sum(lpips_networks._unit(x))))(jnp.zeros((1, 1, 1, 4)))
    assert np.all(np.isfinite(slope))


@pytest.mark.usefixtures("_unchecked")
def test_as_a_score_it_checks_shapes(network, call):
    a, b = _images(SIDES[network]), _images(SIDES[network], seed=5)
    with pytest.raises(ValueError, match="lpips: both batches must have the same shape"):
        metrics.lpips(call, a, b[:1])
    np.testing.assert_array_equal(metrics.lpips(call, a, b), call(a, b))
    assert f"lpips_{network}" in metrics.IMAGE_PROTOCOL


def test_images_too_small_for_the_network(network, ours):
    side = SMALLEST[network]
    assert lpips_networks.smallest_side(network) == side
    small = jnp.zeros((1, side - 1, side + 9, 3))
    with pytest.raises(UserError, match=rf"LPIPS on {network}: .* {side - 1}x{side + 9} .* {side}"):
        ours(small, small)


def test_a_network_that_is_none():
    with pytest.raises(UserError, match=r"LPIPS has no network 'alec'; did you mean 'alex'\?"):
        lpips_networks.load("", "alec")


# --- files ---------------------------------------------------------------------------------------


def test_what_is_converted_holds_both_and_nothing_else(paths, converted, states, network, ours):
    source, lin, out = paths
    wanted = {k: v for k, v in states[0].items() if "features" in k} | states[1]
    assert converted == {
        "arrays": len(wanted),
        "values": sum(v.size for v in wanted.values()),
        "dtype": "float32",
        **{k: weights.sha256(p) for k, p in (("source", source), ("lin", lin), ("out", out))},
    }
    arrays = safetensors.numpy.load_file(out)
    assert set(arrays) == set(wanted) == set(lpips_networks.layout(network))
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, wanted[name])
    assert weights.network_name(out) == f"lpips-{network}"
    assert ours.name == f"lpips-{network} {weights.sha256(out)[:12]}"
    again = feature_networks.convert_weights(out, out, f"lpips-{network}", out)
    assert again["out"] == converted["out"]


def test_a_second_file_that_is_missing_or_too_much(paths, tmp_path, network):
    source, lin, _ = paths
    out = tmp_path / "x.safetensors"
    with pytest.raises(UserError, match=rf"lpips-{network} needs .*: --lin FILE"):
        feature_networks.convert_weights(source, out, f"lpips-{network}")
    with pytest.raises(
        UserError, match=r"vgg19 has no second file; leave --lin out, or give --kind"
    ):
        feature_networks.convert_weights(source, out, "vgg19", lin)
    with pytest.raises(UserError, match=r"'lin0\.model\.1\.weight': expected shape .*, found no"):
        feature_networks.convert_weights(source, out, f"lpips-{network}", source)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["", "missing.safetensors"])
def test_no_file(path):
    with pytest.raises(UserError, match=r"LPIPS: no file '.*'; write one with .*--kind lpips-alex"):
        lpips_networks.load(path, "alex")
