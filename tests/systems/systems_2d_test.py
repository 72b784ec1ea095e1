"""The 2D baselines: what their networks look at, dropout, skip connections, what cannot be."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy

from volsynth import systems
from volsynth.config import load_config
from volsynth.data import fake
from volsynth.errors import UserError
from volsynth.system import evaluation_context
from volsynth.systems import deformable

KEY = jax.random.key(0)
NAMES = ("resnet2d", "deformable")

FEW_WARPS = {"resnet2d": ["model.skips=False"], "deformable": ["model.moved_levels=0"]}
"""They take long to trace and to compile."""


def _smoke(name, *overrides):
    overrides = [f"--config.{override}" for override in overrides]
    return load_config(f"configs/{name}.py:smoke", overrides)


def _shapes(name, *overrides):
    system = systems.make(_smoke(name, *overrides))
    return jax.eval_shape(system.init, KEY, fake.spec(2, 32))


def _variables(name, *overrides):
    """Random ones; norms keep their scale."""
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: (
            (
                (
                    rng.standard_normal(leaf.shape) / np.sqrt(max(np.prod(leaf.shape[:-1]), 1))
                ).astype(np.float32)
            )
            if leaf.shape
            else np.float32(1)
        ),
        _shapes(name, *overrides),
    )


@pytest.mark.parametrize("name", NAMES)
def test_images_depend_on_what_the_method_sees_and_on_each_example_alone(name):
    # One warp is enough: they take long to compile.
    fewer = ["model.moved_levels=1"] if name == "deformable" else ["model.skips=False"]
    system = systems.make(_smoke(name, *fewer))
    variables, batch = _variables(name, *fewer), fake.batch(2, 32)
    # Compiled for being quick to compile.
    forward = (
        jax.jit(lambda v, b: system.forward(v, b, evaluation_context())[0]["image"])
        .lower(variables, batch)
        .compile({"xla_backend_optimization_level": 0})
    )
    image = np.asarray(forward(variables, batch))
    assert (image.shape, image.dtype) == ((2, 32, 32, 3), np.float32)
    assert np.all(np.abs(image) <= 1)
    assert image.std() > 0.01
    for key in ("source_image", "source_joints", "target_joints"):
        other = {**batch, key: np.concatenate([batch[key][:1], batch[key][1:, ::-1]])}
        changed = np.asarray(forward(variables, other))
        np.testing.assert_allclose(changed[0], image[0], atol=1e-5)
        assert np.abs(changed[1] - image[1]).max() > 1e-3, (name, key)
    # The depth of the joints is none of its business.
    deeper = {
        k: v + np.array([0, 0, 7], np.float32) if k.endswith("_joints") else v
        for k, v in batch.items()
    }
    np.testing.assert_array_equal(forward(variables, deeper), image)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_deformable_one_is_random_and_only_in_training(name):
    system, batch = systems.make(_smoke(name, *FEW_WARPS[name])), fake.spec(2, 32)
    for train in (False, True):
        program = jax.make_jaxpr(
            lambda v, b, key, train=train: system.forward(v, b, toy.context(rng=key, train=train))[
                0
            ]["image"]
        )(_shapes(name, *FEW_WARPS[name]), batch, jax.random.key(0))
        assert ("random_bits" in str(program)) == (train and name == "deformable")


def test_dropout_is_in_the_first_three_blocks_of_the_decoder(monkeypatch):
    seen = []

    class Spy(deformable.UpBlock):
        def __post_init__(self):
            seen.append(self.dropout)
            super().__post_init__()

    monkeypatch.setattr(deformable, "UpBlock", Spy)
    widths = ["model.encoder_widths=(4, 4, 4, 4, 4)", "model.decoder_widths=(4, 4, 4, 4)"]
    system = systems.make(_smoke("deformable", "model.moved_levels=0", *widths))
    spec = fake.spec(1, 32)
    variables = jax.eval_shape(system.init, KEY, spec)
    for train, wanted in ((True, {0.5: 3, 0.0: 1}), (False, {0.0: 4})):
        seen.clear()
        context = toy.context(train=train)
        jax.eval_shape(lambda v, b: system.forward(v, b, context), variables, spec)  # noqa: B023
        built = [seen.count(rate) for rate in wanted]
        assert [count * 4 // len(seen) for count in built] == list(wanted.values())
        assert seen[0] == max(wanted)


def test_maps_beyond_the_joints_are_empty():
    batch = jax.device_put(fake.batch(2, 32))
    maps = np.asarray(deformable.heatmaps(batch, "target", 32.0, 2.0, 18))
    assert maps.shape == (2, 32, 32, 18)
    assert np.all(maps[..., :15].max(axis=(1, 2)) > 0.8)
    assert not maps[..., 15:].any()


def test_skip_connections_of_the_resnet_are_parameters_of_its_decoder_alone():
    plain, skips = (
        _shapes("resnet2d", f"model.skips={v}")["generator"]["params"] for v in (False, True)
    )
    added = {
        name: sum(leaf.size for leaf in jax.tree.leaves(skips[name]))
        - sum(leaf.size for leaf in jax.tree.leaves(plain[name]))
        for name in plain
    }
    # Both streams' four features, in a 3x3 convolution to 4 and in the last, 7x7 to 3.
    assert added == {
        "image_stream": 0,
        "pose_stream": 0,
        "after": 0,
        "decoder": 9 * 8 * 4 + 49 * 8 * 3,
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("skips", [False, True])
def test_with_a_chroma_key_the_background_is_put_behind(name, skips):
    extra = [f"model.skips={skips}"] if name == "resnet2d" else []
    plain = _shapes(name, *extra)["generator"]
    keyed = _shapes(name, "model.chroma_key=True", *extra)["generator"]
    counts = [sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in (plain, keyed)]
    taps, channels = (49, 12 if skips else 4) if name == "resnet2d" else (9, 12)
    assert counts[1] - counts[0] == taps * channels + 1


@pytest.mark.parametrize("name", NAMES)
def test_remat_changes_no_names_and_computes_blocks_again(name):
    shapes = [_shapes(name, f"model.remat={remat}", *FEW_WARPS[name]) for remat in (False, True)]
    assert shapes[0] == shapes[1]
    text = []
    for remat in (False, True):
        system = systems.make(_smoke(name, f"model.remat={remat}", *FEW_WARPS[name]))
        batch = jax.device_put(fake.batch(2, 32))

        def image(variables, system=system, batch=batch):
            return jnp.sum(system.forward(variables, batch, toy.context())[0]["image"])

        text.append(str(jax.make_jaxpr(jax.grad(image))(shapes[0])))
    assert "remat" not in text[0]
    # Every block of both encoders, of the middle and of the decoder.
    assert text[1].count("= remat") >= {"resnet2d": 2 * 3 + 1 + 2, "deformable": 2 * 3 + 3}[name]


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("resnet2d", ["data.image_size=30"], "image_size must be a multiple of 4, got 30."),
        ("deformable", ["data.image_size=36"], "image_size must be a multiple of 8, got 36."),
        (
            "resnet2d",
            ["model.decoder_widths=(4,)"],
            "config.model.decoder_widths must be one fewer than encoder_widths, that is 2, got 1.",
        ),
        (
            "deformable",
            ["model.decoder_widths=(4,)"],
            "config.model.decoder_widths must be one fewer than encoder_widths, that is 3, got 1.",
        ),
        ("resnet2d", ["loss.pose=1"], "config.loss.pose must be 0, got 1.0: there is no pose head"),
        ("deformable", ["loss.pose=1"], "config.loss.pose must be 0, got 1.0: there is no pose"),
        (
            "resnet2d",
            ["model.interpolation=nearst"],
            "config.model.interpolation: unknown interpolation 'nearst'; did you mean 'nearest'?",
        ),
        (
            "deformable",
            ["model.interpolation=nearst"],
            "config.model.interpolation: unknown interpolation 'nearst'; did you mean 'nearest'?",
        ),
        (
            "deformable",
            ["model.moved_levels=4"],
            "config.model.moved_levels must be from 0 to 3, one fewer than encoder_widths, got 4.",
        ),
        (
            "deformable",
            ["model.heatmaps=14"],
            "config.model.heatmaps must be at least 15, one for each joint, got 14.",
        ),
        (
            "deformable",
            ["model.dropout=1"],
            "config.model.dropout must be from 0 to below 1, got 1.0.",
        ),
    ],
)
def test_values_that_cannot_be(name, overrides, message):
    with pytest.raises(UserError, match=re.escape(message)):
        systems.make(_smoke(name, *overrides))
