"""Convolutions of arrays against loops over kernel taps, in every form, with their gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import oracles
from volsynth.ops import convolution


def _normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


FORMS = (convolution.conv3d, convolution._conv3d_folded, convolution.conv)
KERNELS = pytest.mark.parametrize("taps", [(3, 3, 3), (1, 1, 1), (5, 3, 1), (2, 4, 2), (3, 2, 4)])


@KERNELS
def test_conv3d_equals_loops_in_every_form(taps):
    x, kernel = _normal(0, 2, 5, 4, 3, 2), _normal(1, *taps, 2, 3)
    wanted = oracles.convolution(x, kernel)
    for form in FORMS:
        np.testing.assert_allclose(form(x, kernel), wanted, atol=1e-4, err_msg=form.__name__)


@KERNELS
def test_both_gradients_of_conv3d_are_those_of_the_plain_form(taps):
    x, kernel, g = _normal(0, 2, 5, 4, 3, 2), _normal(1, *taps, 2, 3), _normal(2, 2, 5, 4, 3, 3)
    dx, dk = jax.vjp(convolution.conv3d, x, kernel)[1](g)
    for form in FORMS[1:]:
        other_dx, other_dk = jax.vjp(form, x, kernel)[1](g)
        np.testing.assert_allclose(dx, other_dx, atol=1e-4)
        np.testing.assert_allclose(dk, other_dk, atol=1e-3)


def test_the_gradients_of_conv3d_are_its_adjoints():
    """A convolution is linear in both: <g, f(x, k)> = <dx, x> = <dk, k>, in float64 by loops."""
    x, kernel, g = _normal(0, 2, 5, 4, 3, 2), _normal(1, 3, 3, 3, 2, 3), _normal(2, 2, 5, 4, 3, 3)
    dx, dk = jax.vjp(convolution.conv3d, x, kernel)[1](g)
    for seed in (3, 4):
        v, w = _normal(seed, *x.shape), _normal(seed, *kernel.shape)
        wanted = np.vdot(g, oracles.convolution(v, kernel))
        np.testing.assert_allclose(np.vdot(dx, v), wanted, rtol=1e-3, atol=1e-3)
        wanted = np.vdot(g, oracles.convolution(x, w))
        np.testing.assert_allclose(np.vdot(dk, w), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("depth", range(1, 10))
@pytest.mark.parametrize("taps", [(3, 3), (2, 1)])
def test_winograd_equals_loops_at_every_depth(depth, taps):
    x, kernel = _normal(0, 2, 3, 4, depth, 2), _normal(1, *taps, 3, 2, 3)
    wanted = oracles.convolution(x, kernel)
    np.testing.assert_allclose(convolution._conv3d_winograd(x, kernel), wanted, atol=1e-4)


@pytest.mark.parametrize("depth", [4, 6])
def test_both_gradients_of_winograd_are_those_of_the_plain_form(depth):
    x, kernel = _normal(0, 2, 4, 3, depth, 16), 0.1 * _normal(1, 3, 3, 3, 16, 17)
    g = _normal(2, 2, 4, 3, depth, 17)
    results = [jax.vjp(form, x, kernel)[1](g) for form in (convolution.conv3d, convolution.conv)]
    for got, wanted in zip(*results):
        np.testing.assert_allclose(got, wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("shape", "dtype", "convolutions"),
    [
        ((1, 4, 4, 4, 16), "float32", 6),
        ((1, 4, 4, 3, 16), "float32", 1),
        ((1, 4, 4, 4, 15), "float32", 1),
        # Winograd's differences of large sums cost bits that half precision does not have.
        ((1, 4, 4, 4, 16), "bfloat16", 1),
        ((1, 4, 4, 4, 16), "float16", 1),
    ],
)
def test_winograd_is_used_where_it_pays(shape, dtype, convolutions):
    x, kernel = jnp.zeros(shape, dtype), jnp.zeros((3, 3, 3, shape[-1], 16), dtype)
    lowered = jax.jit(convolution.conv3d).lower(x, kernel).as_text()
    assert lowered.count("stablehlo.convolution") == convolutions


def test_conv3d_of_one_voxel_of_depth_and_under_vmap():
    x, kernel = _normal(0, 2, 5, 4, 1, 2), _normal(1, 3, 3, 3, 2, 3)
    wanted = oracles.convolution(x, kernel)
    np.testing.assert_allclose(convolution.conv3d(x, kernel), wanted, atol=1e-4)
    got = jax.vmap(convolution.conv3d, in_axes=(0, None))(x[:, None], kernel)
    np.testing.assert_allclose(got[:, 0], wanted, atol=1e-4)


def test_both_gradients_of_upsampling():
    x, kernel, g = _normal(0, 2, 4, 5, 3), _normal(1, 3, 3, 3, 4), _normal(2, 2, 8, 10, 4)

    def plain(x, kernel):
        return convolution.conv(jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2), kernel)

    got, wanted = (jax.vjp(f, x, kernel)[1](g) for f in (convolution.upsample_conv, plain))
    for a, b in zip(got, wanted):
        np.testing.assert_allclose(a, b, atol=5e-4)


def test_transposed_convolution_and_its_gradients_equal_those_of_xla():
    x, kernel, g = _normal(0, 2, 4, 5, 3), _normal(1, 4, 4, 3, 4), _normal(2, 2, 8, 10, 4)

    def plain(x, kernel):
        # Its kernel is that of a convolution of the input with zeros in between.
        return jax.lax.conv_transpose(x, kernel[::-1, ::-1], (2, 2), "SAME")

    np.testing.assert_allclose(convolution.transposed_conv(x, kernel), plain(x, kernel), atol=1e-4)
    got, wanted = (jax.vjp(f, x, kernel)[1](g) for f in (convolution.transposed_conv, plain))
    for a, b in zip(got, wanted):
        np.testing.assert_allclose(a, b, atol=5e-4)


# --- images --------------------------------------------------------------------------------------


def _plain_image_conv(x, kernel, padding):
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@pytest.mark.parametrize("size", [(8, 9), (24, 26)])
@pytest.mark.parametrize("channels", [(3, 5), (5, 3), (4, 4)])
@pytest.mark.parametrize(
    ("taps", "padding"),
    [
        *(((3, 3), "SAME"), ((2, 4), "SAME"), ((3, 2), "VALID"), ((1, 1), "SAME")),
        ((3, 5), ((2, 0), (1, 3))),
    ],
)
def test_both_gradients_of_an_image_are_those_of_xla(size, channels, taps, padding):
    """Small images take XLA's own gradient of the kernel, large ones that by taps."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, *size, channels[0])), jnp.float32)
    kernel = jnp.asarray(rng.standard_normal((*taps, *channels)), jnp.float32)
    wanted, back = jax.vjp(lambda *args: _plain_image_conv(*args, padding), x, kernel)
    found, ours = jax.vjp(lambda *args: convolution.conv(*args, padding=padding), x, kernel)
    np.testing.assert_array_equal(found, wanted)
    gradient = jnp.asarray(rng.standard_normal(found.shape), jnp.float32)
    for a, b in zip(ours(gradient), back(gradient)):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)


def test_the_gradient_of_an_image_has_gradients_and_half_precision():
    """Critics are trained on the norm of a gradient."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, 24, 24, 3)), jnp.float32)
    kernel = jnp.asarray(0.3 * rng.standard_normal((3, 3, 3, 2)), jnp.float32)

    def penalty(conv, kernel):
        def loss(x, kernel):
            return jnp.sum(jnp.tanh(conv(x, kernel)))

        of_x, of_kernel = jax.grad(loss, argnums=(0, 1))(x, kernel)
        return jnp.sum(of_x**2) + jnp.sum(of_kernel**2)

    plain = functools.partial(_plain_image_conv, padding="SAME")
    wanted = jax.grad(functools.partial(penalty, plain))(kernel)
    found = jax.grad(functools.partial(penalty, convolution.conv))(kernel)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-2)
    low = [v.astype(jnp.bfloat16) for v in (x, kernel)]
    gradients = jax.grad(lambda *args: jnp.sum(convolution.conv(*args)), argnums=(0, 1))(*low)
    exact = jax.grad(lambda *args: jnp.sum(convolution.conv(*args)), argnums=1)(x, kernel)
    assert [g.dtype for g in gradients] == [jnp.bfloat16] * 2
    np.testing.assert_allclose(np.float32(gradients[1]), exact, rtol=0.02, atol=2)


@pytest.mark.parametrize("taps", [(3, 3), (5, 5), (2, 3), (1, 1)])
@pytest.mark.parametrize(
    ("stride", "padding"), [(1, "SAME"), (2, "SAME"), (1, "VALID"), (2, ((1, 1), (2, 0)))]
)
def test_depthwise_conv_equals_the_convolution_of_each_channel(taps, stride, padding):
    x, kernel = _normal(0, 2, 8, 7, 3), _normal(1, *taps, 3)
    found = convolution.depthwise_conv(x, kernel, stride, padding)
    each = [
        convolution._plain_conv(
            x[..., i : i + 1], kernel[..., i, None, None], stride, padding=padding
        )
        for i in range(3)
    ]
    np.testing.assert_allclose(found, jnp.concatenate(each, axis=-1), atol=1e-5)
    if (stride, padding) == (1, "SAME"):
        by_loops = oracles.convolution(x[..., :1, None], kernel[:, :, None, :1, None])
        np.testing.assert_allclose(found[..., :1], by_loops[..., 0, :], atol=1e-5)
