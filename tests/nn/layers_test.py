"""Convolutions, norm and lifting against loops over kernel taps and the formulas themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import oracles
from volsynth.nn import layers
from volsynth.ops import convolution

KEY = jax.random.key(0)


def _normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def _norm(x):
    return layers.InstanceNorm().apply({}, x)


# --- convolution ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize(
    ("taps", "stride", "dilation"),
    [
        ((3, 3), 1, 1),
        ((7, 7), 1, 1),
        ((4, 4), 2, 1),
        ((3, 3), 2, 1),
        ((3, 3), 1, 4),
        ((3, 3), 1, 8),
        ((3, 3, 3), 1, 1),
        ((3, 3, 3), 2, 1),
        ((3, 3, 3), 1, 2),
    ],
)
def test_the_module_convolves_and_adds_its_bias(taps, stride, dilation, size):
    module = layers.Conv(3, taps, stride, dilation)
    x = _normal(0, 2, *(size,) * len(taps), 2)
    parameters = {"kernel": _normal(1, *taps, 2, 3), "bias": _normal(2, 3)}
    wanted = oracles.convolution(x, parameters["kernel"], stride, dilation)
    got = module.apply({"params": parameters}, x)
    np.testing.assert_allclose(got, wanted + np.asarray(parameters["bias"]), atol=2e-4)


@pytest.mark.parametrize(("padding", "size"), [("VALID", 3), (((1, 1), (1, 1)), 4)])
def test_a_convolution_without_bias_and_with_other_padding(padding, size):
    x = _normal(0, 2, 9, 9, 2)
    module = layers.Conv(3, (4, 4), stride=2, padding=padding, has_bias=False)
    got, variables = module.init_with_output(KEY, x)
    assert set(variables["params"]) == {"kernel"}
    assert got.shape == (2, size, size, 3)
    margin = 0 if padding == "VALID" else 1
    padded = np.pad(np.asarray(x), ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    kernel = np.asarray(variables["params"]["kernel"], np.float64)
    for i, j in np.ndindex(size, size):
        window = padded[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4]
        np.testing.assert_allclose(
            got[:, i, j], np.einsum("bijc,ijco->bo", window, kernel), atol=1e-4
        )


@pytest.mark.parametrize("taps", [(3, 3), (3, 3, 3)])
def test_parameters_are_float32_and_the_computation_is_not(taps):
    module = layers.Conv(3, taps, dtype=jnp.bfloat16)
    x = _normal(0, 2, *(4,) * len(taps), 2)
    variables = module.init(jax.random.key(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    got = module.apply(variables, x)
    assert got.dtype == jnp.bfloat16
    wanted = oracles.convolution(x, variables["params"]["kernel"])
    np.testing.assert_allclose(got.astype(np.float32), wanted, atol=0.1)


def test_new_kernels_keep_the_variance():
    x = _normal(0, 1, 24, 24, 16)
    y = layers.Conv(64, (3, 3)).init_with_output(jax.random.key(0), x)[0]
    assert np.var(y[:, 1:-1, 1:-1]) == pytest.approx(1, abs=0.15)


# --- upsampling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(4, 5), (1, 1), (2, 7)])
def test_upsampling_is_repeating_and_convolving(size):
    x, kernel = _normal(0, 2, *size, 3), _normal(1, 3, 3, 3, 4)
    repeated = np.repeat(np.repeat(x, 2, axis=1), 2, axis=2)
    wanted = oracles.convolution(repeated, kernel)
    np.testing.assert_allclose(convolution.upsample_conv(x, kernel), wanted, atol=1e-4)
    bias = _normal(2, 4)
    got = layers.UpConv(4).apply({"params": {"kernel": kernel, "bias": bias}}, x)
    np.testing.assert_allclose(got, wanted + np.asarray(bias), atol=1e-4)


def test_upsampling_in_bfloat16():
    x = _normal(0, 2, 4, 5, 3)
    variables = layers.UpConv(4).init(jax.random.key(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    got = layers.UpConv(4, dtype=jnp.bfloat16).apply(variables, x)
    assert got.dtype == jnp.bfloat16
    wanted = layers.UpConv(4).apply(variables, x)
    np.testing.assert_allclose(got.astype(np.float32), wanted, atol=0.05)


# --- transposed convolution ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [(4, 5), (1, 1), (2, 7)])
def test_transposed_convolution_equals_loops_over_input_pixels_and_taps(size):
    x, kernel = _normal(0, 2, *size, 3), _normal(1, 4, 4, 3, 4)
    whole = np.zeros((2, 2 * size[0] + 2, 2 * size[1] + 2, 4))
    for i, j, t, u in np.ndindex(*size, 4, 4):
        whole[:, 2 * i + t, 2 * j + u] += np.asarray(x[:, i, j] @ kernel[t, u])
    got = layers.ConvTranspose(4).apply({"params": {"kernel": kernel}}, x)
    np.testing.assert_allclose(got, whole[:, 1:-1, 1:-1], atol=1e-4)


def test_a_transposed_convolution_keeps_the_variance_and_is_compiled_as_a_plain_one():
    x = _normal(0, 1, 12, 12, 32)
    module = layers.ConvTranspose(16)
    y, variables = module.init_with_output(KEY, x)
    assert set(variables["params"]) == {"kernel"}
    assert np.var(y[:, 2:-2, 2:-2]) == pytest.approx(1, abs=0.2)
    program = jax.jit(module.apply).lower(variables, x).as_text()
    assert "lhs_dilate = [2" not in program


# --- norm ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [(6, 5), (4, 3, 5)])
def test_instance_norm_has_the_statistics_of_each_example_and_channel(axes):
    x = 3 * _normal(0, 2, *axes, 4) + 7
    got = np.asarray(_norm(x))
    for b, c in np.ndindex(2, 4):
        values = np.asarray(x[b, ..., c], np.float64)
        wanted = (values - values.mean()) / np.sqrt(values.var() + 1e-5)
        np.testing.assert_allclose(got[b, ..., c], wanted, atol=1e-4)


def test_instance_norm_has_no_parameters_and_ignores_scale_and_shift():
    x = _normal(0, 2, 6, 5, 4)
    assert not jax.tree.leaves(layers.InstanceNorm().init(jax.random.key(0), x))
    np.testing.assert_allclose(_norm(x), _norm(50 * x - 9), atol=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_instance_norm_of_half_precision_counts_in_float32(dtype):
    # In half precision the squares or sums of 64 x 64 values near 100 overflow or stall.
    x = (_normal(0, 1, 64, 64, 2) + 100.2).astype(dtype)
    got = _norm(x)
    assert got.dtype == jnp.dtype(dtype)
    wanted = _norm(x.astype(jnp.float32))
    np.testing.assert_allclose(got.astype(np.float32), wanted, atol=0.02)
    assert np.mean(got.astype(np.float32)) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("axes", [(6, 5), (4, 3, 5)])
def test_sample_norm_has_the_statistics_of_each_example(axes):
    x = 3 * _normal(0, 2, *axes, 4) + 7
    x = x.at[0].multiply(5).at[..., 0].add(2)
    got = layers.SampleNorm().apply({"params": {"scale": 2.0, "bias": -1.0}}, x)
    for b in range(2):
        values = np.asarray(x[b], np.float64)
        wanted = 2 * (values - values.mean()) / np.sqrt(values.var() + 1e-5) - 1
        np.testing.assert_allclose(got[b], wanted, atol=1e-4)
    half = layers.SampleNorm().apply({"params": {"scale": 2.0, "bias": -1.0}}, x.astype("bfloat16"))
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.astype(np.float32), got, atol=0.1)
    fresh = layers.SampleNorm().init(KEY, x)["params"]
    assert {name: (leaf.shape, float(leaf)) for name, leaf in fresh.items()} == {
        "scale": ((), 1.0),
        "bias": ((), 0.0),
    }


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_constant_input_gives_zeros_and_a_finite_gradient(dtype):
    x = jnp.full((1, 4, 4, 2), 5.0, dtype)
    value, gradient = jax.value_and_grad(lambda v: (_norm(v) ** 2).sum())(x)
    assert value == 0
    assert np.all(np.isfinite(gradient.astype(np.float32)))


# --- lifting and the rest ------------------------------------------------------------------------


def test_lifting_follows_the_channel_order():
    x = jnp.arange(2.0 * 3 * 4 * 10).reshape(2, 3, 4, 10)
    volume = layers.lift(x, 5)
    assert volume.shape == (2, 3, 4, 5, 2)
    for d, c in np.ndindex(5, 2):
        np.testing.assert_array_equal(volume[..., d, c], x[..., d * 2 + c])
    np.testing.assert_array_equal(layers.flatten_depth(volume), x)
    other = _normal(0, 2, 3, 4, 5, 6)
    np.testing.assert_array_equal(layers.lift(layers.flatten_depth(other), 5), other)


def test_lifting_refuses_channels_that_do_not_divide():
    with pytest.raises(ValueError, match="cannot lift 10 channels to depth 4: not a multiple"):
        layers.lift(jnp.zeros((1, 2, 2, 10)), 4)


def test_leaky_relu():
    got = layers.leaky_relu(jnp.array([-2.0, 0.0, 3.0]))
    np.testing.assert_allclose(got, [-0.4, 0, 3], rtol=1e-6)


@pytest.mark.parametrize("axis", [-1, -2])
def test_kernels_that_start_the_same_for_every_depth_layer(axis):
    kernel = layers.depth_tied(3, axis)(KEY, (3, 3, 12, 12))
    first, *others = jnp.split(kernel, 3, axis=axis)
    for other in others:
        np.testing.assert_array_equal(other, first)
    assert float(jnp.std(first)) > 0
    # The variance of an untied kernel, whose result sums over all twelve channels.
    expected = 1 / (9 * 12) if axis == -1 else 1 / (9 * 4) / 3
    np.testing.assert_allclose(jnp.var(kernel), expected, rtol=0.3)


def test_layer_norm_over_space_and_channels_of_each_example():
    x = np.random.default_rng(0).standard_normal((2, 5, 4, 3)).astype(np.float32) * 3 + 2
    scale, bias = np.float32([1, 2, 3]), np.float32([0.5, 0, -1])
    got = layers.LayerNorm().apply(
        {"params": {"LayerNorm_0": {"scale": scale, "bias": bias}}}, jnp.asarray(x)
    )
    y = x.astype(np.float64)
    mean, variance = (f(y, axis=(1, 2, 3), keepdims=True) for f in (np.mean, np.var))
    np.testing.assert_allclose(got, (y - mean) / np.sqrt(variance + 1e-5) * scale + bias, rtol=1e-4)
    half = layers.LayerNorm().init_with_output(KEY, jnp.asarray(x, jnp.bfloat16))[0]
    assert half.dtype == jnp.bfloat16
