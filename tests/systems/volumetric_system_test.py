"""The volumetric system: its players, terms and images, its precisions, and what cannot be."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy
from compiling import QUICK

from volsynth import systems
from volsynth.config import load_config
from volsynth.data import fake
from volsynth.errors import UserError
from volsynth.nn import layers
from volsynth.objectives import image_system
from volsynth.system import averaged_networks, evaluation_context
from volsynth.systems import volumetric
from volsynth.train import optim, program

KEY = jax.random.key(0)
SMOKE = "configs/volumetric.py:smoke"


def _smoke(*overrides):
    return load_config(SMOKE, [f"--config.{override}" for override in overrides])


def _shapes(system, batch):
    """Shapes of the variables, the outputs, and every player's terms."""
    variables = jax.eval_shape(system.init, KEY, batch)
    outputs, states = jax.eval_shape(
        lambda v, b: system.forward(v, b, toy.context()), variables, batch
    )
    terms = {
        name: jax.eval_shape(player.loss, variables, outputs, batch, toy.context())[0]
        for phase in system.phases.values()
        for name, player in phase.items()
    }
    return variables, outputs, states, terms


def _random(shapes, spread):
    """Variables of these shapes, normally distributed."""
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: (spread * rng.standard_normal(leaf.shape)).astype(np.float32), shapes
    )


@pytest.fixture(scope="module")
def smoke_shapes():
    """The shapes of the smoke variant, in the order of `_shapes`."""
    return _shapes(systems.make(_smoke()), fake.spec(2, 32))


# --- players and terms ---------------------------------------------------------------------------


def test_a_players_networks_are_there_and_critics_are_not_averaged(smoke_shapes):
    system, variables = systems.make(_smoke()), smoke_shapes[0]
    (players,) = system.phases.values()
    assert {name: (p.trains, p.critic) for name, p in players.items()} == {
        "discriminator": (("discriminator",), True),
        "generator": (("generator",), False),
    }
    assert set(variables) == {"generator", "discriminator"}
    assert averaged_networks(system, variables) == ("generator",)


def test_without_the_gan_there_is_no_discriminator_and_no_critic():
    system = systems.make(_smoke("loss.gan=0"))
    variables, _, _, terms = _shapes(system, fake.spec(2, 32))
    assert set(variables) == {"generator"}
    assert set(terms) == {"generator"}
    assert not any(p.critic for p in system.phases["main"].values())
    # Its optimiser's section may stay in the config.
    assert set(optim.make(_smoke().optim, system, {"main": range(6)})) == {"main/generator"}


@pytest.mark.parametrize("term", ["gan", "nearest_neighbour", "l1", "chroma"])
def test_a_term_of_weight_zero_is_absent(smoke_shapes, term):
    every = {"gan", "nearest_neighbour", "l1", "chroma"}
    assert set(smoke_shapes[3]["generator"]) == every
    system = systems.make(_smoke(f"loss.{term}=0"))
    *_, terms = _shapes(system, fake.spec(2, 32))
    assert set(terms["generator"]) == every - {term}
    assert ("features" in system.notes) == (term != "nearest_neighbour")


def test_weights_multiply_their_terms():
    batch = {key: jnp.asarray(value) for key, value in fake.batch(2, 32).items()}
    outputs = {"image": batch["source_image"]}

    def terms(*overrides):
        system = systems.make(_smoke("loss.gan=0", *overrides))
        return system.phases["main"]["generator"].loss({}, outputs, batch, toy.context())[0]

    once = terms()
    twice = terms("loss.l1=2", "loss.chroma=2", "loss.nearest_neighbour=0.02")
    for key in ("l1", "chroma", "nearest_neighbour"):
        assert once[key] > 0
        np.testing.assert_allclose(twice[key], 2 * once[key], rtol=1e-5)
    np.testing.assert_allclose(
        once["l1"], np.mean(np.abs(batch["source_image"] - batch["target_image"])), rtol=1e-5
    )


# --- images --------------------------------------------------------------------------------------


def test_the_smoke_variant_makes_images(smoke_shapes):
    system, batch = systems.make(_smoke()), fake.batch(2, 32)
    variables = _random(smoke_shapes[0], 0.1)
    forward = jax.jit(
        lambda v, b: system.forward(v, b, evaluation_context())[0]["image"], compiler_options=QUICK
    )
    image = np.asarray(forward(variables, batch))
    assert (image.shape, image.dtype) == ((2, 32, 32, 3), np.float32)
    assert np.all(np.abs(image) <= 1)
    assert image.std() > 0.01
    # It looks at the source image and at the target pose, and at each example alone.
    for key in ("source_image", "target_joints"):
        other = {**batch, key: np.concatenate([batch[key][:1], batch[key][1:, ::-1]])}
        changed = np.asarray(forward(variables, other))
        np.testing.assert_allclose(changed[0], image[0], atol=1e-5)
        assert np.abs(changed[1] - image[1]).max() > 1e-3


def test_with_a_chroma_key_the_background_is_put_behind(smoke_shapes):
    batch = {key: jnp.asarray(value) for key, value in fake.batch(2, 32).items()}
    settings = _smoke("model.chroma_key=True")
    generator = volumetric.Generator(**settings.model, pose_head=False)
    shapes = jax.eval_shape(generator.init, KEY, batch)["params"]
    rest = {**smoke_shapes[0]["generator"]["params"], "decoder": None}
    assert {**shapes, "decoder": None} == rest
    zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes)
    last = zero["decoder"]["Conv_0"]
    assert last["bias"].shape == (4,)
    paint = jax.jit(
        lambda v: generator.apply({"params": v}, batch)["image"], compiler_options=QUICK
    )
    # Opaque grey, then nothing at all.
    for coverage, colour in ((20.0, (0, 0, 0)), (-20.0, (1, -1, 1))):
        last["bias"] = jnp.array([0.0, 0, 0, coverage])
        image = paint(zero)
        np.testing.assert_allclose(image, np.broadcast_to(colour, image.shape), atol=1e-6)


# --- what cannot be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss.gan=-1"], "config.loss: weights must not be negative, got Loss(gan=-1.0, "),
        (["loss.l1=-0.5"], "config.loss: weights must not be negative"),
        (["loss.chroma=-0.5"], "config.loss: weights must not be negative"),
        (
            ["loss.gan=0", "loss.nearest_neighbour=0", "loss.l1=0", "loss.chroma=0"],
            "config.loss: all weights of what compares images are zero; give at least one term a "
            "weight.",
        ),
        (
            ["loss.neighbourhood=4"],
            "config.loss.neighbourhood must be odd and positive, got 4; try 5.",
        ),
        (["data.image_size=30"], "config.data.image_size must be a multiple of 4, got 30."),
    ],
)
def test_values_that_cannot_be(overrides, message):
    with pytest.raises(UserError, match=re.escape(message)):
        systems.make(_smoke(*overrides))


def test_a_key_that_no_network_has_is_not_accepted_in_silence():
    settings = _smoke().unlock()
    settings.model.dpeth = 3
    with pytest.raises(UserError, match="has no key 'dpeth'; did you mean 'depth'"):
        systems.make(settings)


def test_sections_of_the_config_are_the_arguments_of_the_classes():
    settings = _smoke()
    assert set(settings.loss) == {f.name for f in dataclasses.fields(image_system.Loss)}


def test_an_unknown_precision():
    with pytest.raises(UserError, match="unknown precision 'bfloat1'; did you mean 'bfloat16'"):
        systems.make(_smoke("precision=bfloat1"))


# --- precisions and memory -----------------------------------------------------------------------


def test_in_bfloat16_parameters_and_image_stay_float32():
    system = systems.make(_smoke("precision=bfloat16"))
    variables, outputs, _, terms = _shapes(system, fake.spec(2, 32))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert outputs["volume"].dtype == jnp.bfloat16
    assert outputs["image"].dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(terms)} == {jnp.dtype("float32")}


@pytest.fixture(scope="module")
def kept_and_forgotten():
    """Value and gradients of the smoke generator, without and with `remat`."""
    batch = {key: jnp.asarray(value) for key, value in fake.batch(2, 32).items()}
    found = []
    for remat in (False, True):
        system = systems.make(_smoke("loss.gan=0", f"model.remat={remat}"))

        def total(variables, system=system):
            outputs, _ = system.forward(variables, batch, toy.context())
            loss = system.phases["main"]["generator"].loss
            return sum(loss(variables, outputs, batch, toy.context())[0].values())

        variables = _random(jax.eval_shape(system.init, KEY, batch), 0.3)
        found.append(jax.jit(jax.value_and_grad(total), compiler_options=QUICK)(variables))
    return found


@pytest.mark.slow
def test_remat_changes_neither_parameters_nor_gradients(kept_and_forgotten):
    (value, gradients), (again, recomputed) = kept_and_forgotten
    np.testing.assert_allclose(value, again, rtol=1e-5)
    # The same names, too: a checkpoint of one is a checkpoint of the other.
    assert jax.tree.structure(gradients) == jax.tree.structure(recomputed)
    for a, b in zip(jax.tree.leaves(gradients), jax.tree.leaves(recomputed)):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 * max(np.abs(a).max(), 1e-3))


@pytest.mark.slow
def test_with_remat_blocks_are_computed_again():
    text = []
    for remat in (False, True):
        system = systems.make(_smoke(f"model.remat={remat}"))
        batch = jax.device_put(fake.batch(2, 32))
        shapes = jax.eval_shape(system.init, KEY, batch)

        def image(variables, system=system, batch=batch):
            return jnp.sum(system.forward(variables, batch, toy.context())[0]["image"])

        text.append(str(jax.make_jaxpr(jax.grad(image))(shapes)))
    assert "remat" not in text[0]
    # Every block of encoder, volume stacks and decoder.
    assert text[1].count("= remat") >= 3 + 1 + 1 + 2 + 1 + 2


@pytest.mark.slow
def test_the_3d_network_trains_in_half_precision_as_in_single():
    """The scale neither collapses nor runs away, and the loss falls as far."""
    batch = jax.device_put(fake.batch(2, 32))
    batch["target_image"] = jnp.where(
        batch["target_mask"][..., None], 0.2 * batch["source_image"], -1.0
    )
    ends = {}
    for precision in layers.PRECISIONS:
        settings = _smoke(f"precision={precision}", "optim.generator.learning_rate=2e-3")
        system = systems.make(settings)
        with settings.unlocked():
            settings.train.update(steps=200, average_decay=0.9)
        trained = program.make(system, settings)
        current = jax.jit(trained.init)(KEY, batch)
        move = jax.jit(trained.steps["main"], donate_argnums=0)
        for number in range(200):
            current, metrics = move(current, batch)
            if number == 0:
                start = float(metrics["generator/l1"])
        ends[precision] = float(metrics["generator/l1"])
        assert ends[precision] < 0.7 * start
        assert metrics["generator/skipped"] <= 5
        initial = settings.train.loss_scale.initial if precision == "float16" else 1
        for player in ("generator", "discriminator"):
            assert initial / 4 < metrics[f"{player}/loss_scale"] <= 1.1 * initial
    for precision, end in ends.items():
        np.testing.assert_allclose(end, ends["float32"], rtol=0.1, err_msg=precision)
