"""Stages of the volumetric system: parameter counts by hand, shapes, gradients, receptive field."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy

from volsynth import systems
from volsynth.config import load_config
from volsynth.data import fake
from volsynth.nn import backbones, blocks, discriminators, layers
from volsynth.pretrained import feature_networks
from volsynth.systems import volumetric

KEY = jax.random.key(0)


def _conv(taps, channels, features):
    return (taps * channels + 1) * features  # A bias each.


def _sizes(tree):
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


# --- parameter counts ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full():
    """The shapes of all parameters of the full config."""
    settings = load_config("configs/volumetric.py:full")
    system = systems.make(settings)
    return jax.eval_shape(system.init, KEY, fake.spec(2, settings.data.image_size))


def test_every_stage_has_the_parameters_counted_by_hand(full):
    lifted = 24 * 48
    by_hand = {
        "encoder": _conv(49, 3, 64)
        + _conv(9, 64, 128)
        + _conv(9, 128, lifted)
        + 2 * _conv(9, lifted, lifted),
        "before": 2 * 2 * _conv(27, 48, 48),
        "pose_stream": _conv(27, 15, 16) + 3 * 2 * _conv(27, 16, 16),
        "after": 2 * 2 * _conv(27, 64, 64),
        "decoder": _conv(9, 24 * 64, 128) + _conv(9, 128, 64) + _conv(49, 64, 3),
    }
    printed = [25_301_760, 249_024, 48_064, 442_624, 1_852_803]
    assert list(by_hand.values()) == printed
    assert {name: _sizes(tree) for name, tree in full["generator"]["params"].items()} == by_hand
    assert _sizes(full["generator"]) == sum(printed) == 27_894_275
    assert abs(sum(printed) / volumetric.FIGURES["params_total"] - 1) < 0.01


def test_the_discriminator_has_the_parameters_counted_by_hand(full):
    widths = (2 * 3 + 15 * 24, 64, 128, 256, 512, 1)  # Two images and the heatmaps of every depth.
    by_hand = sum(_conv(16, c, f) for c, f in itertools.pairwise(widths))
    assert _sizes(full["discriminator"]) == by_hand


# --- shapes --------------------------------------------------------------------------------------


def _shape(module, *shape, dtype=jnp.float32):
    return jax.eval_shape(
        lambda x: module.init_with_output(KEY, x)[0], jax.ShapeDtypeStruct(shape, dtype)
    )


@pytest.mark.parametrize(
    ("module", "given", "wanted"),
    [
        (blocks.ConvBlock(5, (3, 3)), (2, 9, 7, 3), (2, 9, 7, 5)),
        (blocks.ConvBlock(5, (3, 3), stride=2), (2, 8, 6, 3), (2, 4, 3, 5)),
        (blocks.ConvBlock(5, (3, 3, 3)), (2, 8, 6, 4, 3), (2, 8, 6, 4, 5)),
        (blocks.ResidualBlock((3, 3), dilations=(4, 8)), (2, 8, 6, 3), (2, 8, 6, 3)),
        (blocks.ResidualBlock((3, 3, 3)), (2, 8, 6, 4, 3), (2, 8, 6, 4, 3)),
        (blocks.UpBlock(5), (2, 8, 6, 3), (2, 16, 12, 5)),
        (backbones.ImageEncoder((4, 5, 6), True), (2, 32, 24, 3), (2, 8, 6, 6)),
        (backbones.ImageDecoder((5, 4)), (2, 8, 6, 7), (2, 32, 24, 3)),
        (backbones.ImageDecoder((5,), channels=4), (2, 8, 6, 7), (2, 16, 12, 4)),
        (backbones.VolumeStack(2), (2, 8, 6, 4, 3), (2, 8, 6, 4, 3)),
        (backbones.VolumeStack(1, features=5), (2, 8, 6, 4, 3), (2, 8, 6, 4, 5)),
        (discriminators.PatchDiscriminator(), (2, 256, 256, 9), (2, 8, 8)),
    ],
)
def test_shapes(module, given, wanted):
    result = _shape(module, *given)
    assert (result.shape, result.dtype) == (wanted, jnp.float32)


@pytest.mark.parametrize(
    ("module", "given", "dtype"),
    [
        (blocks.ResidualBlock((3, 3, 3), dtype=jnp.bfloat16), (2, 4, 4, 4, 3), jnp.bfloat16),
        (backbones.ImageEncoder((4, 4), True, dtype=jnp.bfloat16), (2, 8, 8, 3), jnp.bfloat16),
        # What leaves the networks is float32 again.
        (backbones.ImageDecoder((4,), dtype=jnp.bfloat16), (2, 8, 8, 3), jnp.float32),
        (discriminators.PatchDiscriminator((4,), dtype=jnp.bfloat16), (2, 8, 8, 3), jnp.float32),
    ],
)
def test_dtypes_of_half_precision(module, given, dtype):
    assert _shape(module, *given, dtype=dtype).dtype == dtype


def test_a_residual_block_without_weights_is_the_identity():
    x = jax.random.normal(KEY, (1, 6, 6, 3))
    block = blocks.ResidualBlock((3, 3))
    zero = jax.tree.map(jnp.zeros_like, block.init(KEY, x))
    np.testing.assert_array_equal(block.apply(zero, x), x)


def test_the_decoder_stays_within_the_range_of_images():
    x = 100 * jax.random.normal(KEY, (1, 4, 4, 3))
    image = backbones.ImageDecoder((4,)).init_with_output(KEY, x)[0]
    assert np.all(np.abs(image) <= 1)
    assert np.ptp(image) > 0.1


# --- gradients -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gradients():
    """The gradients of the smoke config's generator loss, in all parameters of both networks."""
    settings = load_config("configs/volumetric.py:smoke")
    system = systems.make(settings)
    batch = {key: jnp.asarray(value) for key, value in fake.batch(2, 32).items()}

    def total(variables):
        outputs, _ = system.forward(variables, batch, toy.context())
        loss = system.phases["main"]["generator"].loss
        terms, _ = loss(variables, outputs, batch, toy.context())
        return sum(terms.values())

    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: (rng.standard_normal(leaf.shape) / np.sqrt(np.prod(leaf.shape[:-1]))).astype(
            np.float32
        ),
        jax.eval_shape(system.init, KEY, batch),
    )
    found = jax.jit(jax.grad(total))(variables)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(found)
    }


def test_every_kernel_receives_a_gradient(gradients):
    kernels = {name: leaf for name, leaf in gradients.items() if name.endswith("kernel")}
    # Encoder, before, pose stream, after, decoder, discriminator.
    assert len(kernels) == 5 + 2 + 3 + 2 + 3 + 3
    for name, leaf in kernels.items():
        assert np.all(np.isfinite(leaf)), name
        assert np.abs(leaf).max() > 1e-5, name


def test_a_bias_receives_a_gradient_unless_a_norm_would_remove_it(gradients):
    """Instance norm would subtract it: only the last layers' biases are added at all."""
    last = {
        "discriminator/params/PatchDiscriminator_0/Conv_0/bias",
        "generator/params/decoder/Conv_0/bias",
    }
    biases = {name: leaf for name, leaf in gradients.items() if name.endswith("bias")}
    assert last < set(biases)
    for name, leaf in biases.items():
        assert np.all(leaf == 0) if name not in last else np.abs(leaf).max() > 1e-4, name


# --- receptive field -----------------------------------------------------------------------------


@pytest.mark.parametrize(("dilation_block", "side"), [(False, 45), (True, 141)])
def test_the_receptive_field_before_the_warp(dilation_block, side, monkeypatch):
    """The field is that of section 4.3.3, measured: positive weights let no contribution cancel."""
    settings = load_config("configs/volumetric.py:full").model.copy_and_resolve_references()
    with settings.unlocked():
        settings.update(depth=1, image_channels=1, encoder_widths=(1, 1))
        settings.dilation_block = dilation_block
    # The norm sees the whole image.
    monkeypatch.setattr(layers.InstanceNorm, "__call__", lambda self, x: x)
    generator = volumetric.Generator(**settings, pose_head=False)
    batch = {"source_image": jnp.ones((1, 256, 256, 3))}
    encode = {"method": volumetric.Generator.encode}
    shapes = jax.eval_shape(lambda: generator.init(KEY, batch, **encode))
    variables = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.1), shapes)

    @jax.jit
    @jax.grad
    def seen_by_one_voxel(batch):
        return generator.apply(variables, batch, **encode)["volume"][0, 32, 32, 0, 0]

    gradient = seen_by_one_voxel(batch)["source_image"]
    seen = np.argwhere(np.asarray(gradient[0, :, :, 0]) > 0)
    assert (np.ptp(seen, axis=0) + 1).tolist() == [side, side]
    # Around the voxel's own centre: masks and heatmaps take it to be there.
    assert np.abs(seen.mean(axis=0) + 0.5 - (32 + 0.5) * 4).max() <= 0.5


# --- the built-in features -----------------------------------------------------------------------


def test_the_built_in_features_never_change():
    """Scores and checkpoints refer to them by name: the numbers are part of that name."""
    image = jnp.linspace(-1, 1, 2 * 6 * 6 * 3).reshape(2, 6, 6, 3)
    builtin = feature_networks.load_features("", ["block1_conv2"])
    features = builtin(image)["block1_conv2"]
    assert features.shape == (2, 6, 6, 64)
    assert features.dtype == jnp.float32
    assert np.all(features >= 0)
    assert 0.3 < np.mean(features > 0) < 0.7
    kernels = [layer["kernel"] for layer in feature_networks._builtin(2).values()]
    assert [k.shape for k in kernels] == [(3, 3, 3, 64), (3, 3, 64, 64)]
    for kernel, channels in zip(kernels, (3, 64)):
        assert np.var(kernel) == pytest.approx(2 / (9 * channels), rel=0.1)
    np.testing.assert_allclose(
        np.ravel(kernels[0])[:3],
        [-0.16826599836349487, -0.5401589870452881, 0.05186399817466736],
        atol=1e-6,
    )
    np.testing.assert_allclose(
        np.ravel(kernels[1])[-3:],
        [-0.010254000313580036, -0.050953999161720276, 0.017311999574303627],
        atol=1e-6,
    )
    np.testing.assert_array_equal(features, builtin(image)["block1_conv2"])
