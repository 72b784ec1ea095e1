"""The residual network: its published size, its strides, and where its cells look."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volsynth.nn import resnet

KEY = jax.random.key(0)
SMALL = {"blocks": (1, 1, 1, 1), "widths": (2, 2, 2, 2), "stem_width": 4, "groups": 2}
STRIDES = (4, 8, 16, 32)


def _network(image, stride):
    """A small network, and its variables at random."""
    network = resnet.ResNet(**SMALL)
    shapes = jax.eval_shape(lambda: network.init(KEY, image, stride))
    rng = np.random.default_rng(0)
    return network, jax.tree.map(
        lambda leaf: np.float32(0.5 * rng.standard_normal(leaf.shape)), shapes
    )


def _apply(network, variables, image, stride):
    return np.asarray(jax.jit(lambda v, x: network.apply(v, x, stride))(variables, image))


def test_resnet_50_has_its_published_parameters():
    network = resnet.ResNet()
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    shapes = jax.eval_shape(lambda x: network.init(KEY, x, 32), image)
    # Of ResNet-50 v2 without its classifier: 23,564,800 less 45,440 running statistics.
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 23_519_360


@pytest.mark.parametrize("stride", STRIDES)
def test_any_stride_has_the_same_parameters(stride):
    image = jnp.zeros((2, 64, 96, 3))
    network = resnet.ResNet(**SMALL)
    shapes = [jax.eval_shape(lambda s=s: network.init(KEY, image, s)) for s in (stride, 4)]
    assert jax.tree.map(jnp.shape, shapes[0]) == jax.tree.map(jnp.shape, shapes[1])
    features = jax.eval_shape(lambda v: network.apply(v, image, stride), shapes[0])
    assert features.shape == (2, 64 // stride, 96 // stride, 8)


@pytest.fixture
def _no_norm(monkeypatch):
    """Without what sees the whole picture, a cell sees its receptive field."""
    monkeypatch.setattr(resnet, "group_norm", lambda *_: lambda x: x)


@pytest.mark.usefixtures("_no_norm")
@pytest.mark.parametrize("stride", STRIDES)
def test_a_cell_looks_half_a_pixel_beside_its_centre(stride):
    """The pixels of a row that it depends on, measured by gradients."""
    side = 512
    image = jnp.ones((1, 32, side, 3))
    network, variables = _network(image, stride)
    # Without zeros and signs no tap is lost and no ReLU shut.
    variables = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.1), variables)
    cell = side // stride // 2

    @jax.jit
    def weights(row):
        def value(row):
            picture = jnp.broadcast_to(row[None, None, :, None], image.shape)
            return jnp.sum(network.apply(variables, picture, stride)[0, 0, cell])

        return jax.grad(value)(row)

    # Of a row that rises the maximum sees the right, of one that falls the left.
    slope = np.linspace(0, 1e-3, side, dtype=np.float32)
    weight = np.asarray(weights(1 + slope)) + np.asarray(weights(1 - slope))
    seen = np.flatnonzero(weight > 0)
    assert 0 < seen[0] < seen[-1] < side - 1, "the field must lie inside the picture"
    middle = (cell + 0.5) * stride
    assert (seen[0] + seen[-1] + 1) / 2 - middle == 0.5
    # Its centre of gravity, too: no layer looks aside that another makes up for.
    gravity = np.sum(weight * (np.arange(side) + 0.5)) / np.sum(weight)
    assert gravity - middle == pytest.approx(0.5, abs=0.05)


@pytest.mark.usefixtures("_no_norm")
def test_a_coarse_stride_computes_some_of_the_cells_of_a_fine_one():
    """Dilation in the place of a stride: the same numbers, away from the border."""
    image = jax.random.normal(KEY, (1, 256, 256, 3))
    network, variables = _network(image, 8)
    coarse = _apply(network, variables, image, 8)[0]
    # Both look half a pixel beside their centres: cell i of the one at 8 i + 4.5, of the other at
    # 4 i + 2.5, so that a picture moved by two pixels has the former among the latter.
    fine = _apply(network, variables, jnp.roll(image, (-2, -2), axis=(1, 2)), 4)[0]
    inner = slice(12, 20)
    np.testing.assert_allclose(
        coarse[inner, inner], fine[::2, ::2][inner, inner], rtol=1e-3, atol=1e-3
    )
    assert coarse[inner, inner].std() > 0.1


@pytest.mark.usefixtures("_no_norm")
def test_a_picture_moved_by_a_stride_moves_its_features_by_a_cell():
    image = jax.random.normal(KEY, (1, 256, 256, 3))
    network, variables = _network(image, 16)
    here = _apply(network, variables, image, 16)[0]
    there = _apply(network, variables, jnp.roll(image, 16, axis=2), 16)[0]
    inner = slice(6, 10)
    np.testing.assert_allclose(
        np.roll(here, 1, axis=1)[inner, inner], there[inner, inner], rtol=1e-3, atol=1e-3
    )
    assert np.abs(here - there)[inner, inner].max() > 0.1


def test_an_image_does_not_depend_on_its_batch():
    images = jax.random.normal(KEY, (3, 32, 32, 3))
    network, variables = _network(images, 4)
    together = _apply(network, variables, images, 4)
    np.testing.assert_allclose(
        together[1:2], _apply(network, variables, images[1:2], 4), rtol=1e-4, atol=1e-4
    )
    assert together.std() > 0.1


def test_groups_divide_the_channels():
    assert resnet.group_norm(32, 64, jnp.float32, "n").num_groups == 32
    assert resnet.group_norm(8, 12, jnp.float32, "n").num_groups == 6
    assert resnet.group_norm(8, 4, jnp.float32, "n").num_groups == 4


def test_strides_that_cannot_be():
    image = jnp.zeros((1, 48, 64, 3))
    network = resnet.ResNet(**SMALL)
    with pytest.raises(ValueError, match=r"must be one of \(4, 8, 16, 32\), got 2"):
        network.init(KEY, image, 2)
    with pytest.raises(ValueError, match=r"image of 48 x 64 is no multiple of the stride 32"):
        network.init(KEY, image, 32)
