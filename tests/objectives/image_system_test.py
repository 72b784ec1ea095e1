"""The players that methods making one image share: their games, terms, and what cannot be."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy
from compiling import QUICK

from volsynth import losses, systems
from volsynth.config import load_config
from volsynth.data import fake
from volsynth.errors import UserError
from volsynth.nn import discriminators
from volsynth.system import evaluation_context
from volsynth.train import program

KEY = jax.random.key(0)


def _load(variants, *overrides):
    return load_config(f"configs/volumetric.py:{variants}", [f"--config.{o}" for o in overrides])


def _smoke(variants="", *overrides):
    return _load(f"{variants},smoke" if variants else "smoke", *overrides)


@functools.cache
def _shapes(variants="", *overrides, train=True):
    """Shapes of a smoke config's variables and outputs, and the terms of every player."""
    system = systems.make(_smoke(variants, *overrides))
    batch = fake.spec(2, 32)
    variables = jax.eval_shape(system.init, KEY, batch)
    context = toy.context(train=train)
    outputs, _ = jax.eval_shape(system.forward, variables, batch, context)
    if not train:
        return variables, outputs, {}
    terms = {
        name: set(jax.eval_shape(player.loss, variables, outputs, batch, context)[0])
        for name, player in system.phases["main"].items()
    }
    return variables, outputs, terms


# --- games ---------------------------------------------------------------------------------------


def test_against_a_critic_there_is_a_penalty():
    _, outputs, terms = _shapes("wasserstein")
    # Where its slope is looked at is drawn in its loss; the forward pass knows nothing of it.
    assert set(outputs) == set(_shapes()[1]) == set(_shapes("wasserstein", train=False)[1])
    assert terms["discriminator"] == {"wasserstein", "gradient_penalty"}
    assert "gan" in terms["generator"]
    _, _, terms = _shapes("wasserstein", "loss.gradient_penalty=0")
    assert terms["discriminator"] == {"wasserstein"}


def test_the_wasserstein_variant_is_that_of_the_thesis():
    settings = _load("wasserstein")
    rates = {n: (o.learning_rate, o.b1, o.b2) for n, o in settings.optim.items()}
    assert rates == {"generator": (1e-4, 0.0, 0.9), "discriminator": (3e-4, 0.0, 0.9)}
    assert settings.loss.gradient_penalty == 10
    assert settings.loss.nearest_neighbour == 0.1
    assert settings.discriminator.norm == "layer"


def test_where_the_critic_is_looked_at_differs_from_example_to_example_and_step_to_step(
    monkeypatch,
):
    # What the critic's loss hands to the penalty comes out as the penalty itself.
    monkeypatch.setattr(losses, "gradient_penalty", lambda judge, real, made, mix: mix)
    settings = _smoke("wasserstein", "loss.gradient_penalty=1")
    player = systems.make(settings).phases["main"]["discriminator"]
    batch = fake.spec(2, 32)
    variables, outputs, _ = _shapes("wasserstein")

    def mix(key):
        # By zeros: the numbers of networks and images do not matter.
        given = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), (outputs, batch))
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), variables)
        context = toy.context(rng=key)
        return player.loss(zeros, *given, context)[0]["gradient_penalty"]

    mix = jax.jit(mix, compiler_options=QUICK)
    first, second = mix(jax.random.key(1)), mix(jax.random.key(2))
    np.testing.assert_array_equal(first, mix(jax.random.key(1)))
    wanted = jax.random.uniform(jax.random.fold_in(jax.random.key(1), 1), (2,))
    np.testing.assert_array_equal(first, wanted)
    assert len({*np.asarray(first).tolist(), *np.asarray(second).tolist()}) == 4
    assert np.all((first >= 0) & (first < 1))


def test_the_critics_loss_is_the_game_plus_the_weighted_penalty():
    """Against the same terms, put together by hand."""
    settings = _smoke("wasserstein", "loss.gradient_penalty=7")
    system = systems.make(settings)
    batch = jax.device_put(fake.batch(2, 32))
    context = toy.context(rng=jax.random.key(3))
    mix = jax.random.uniform(jax.random.fold_in(context.rng, 1), (2,))

    # One program: operation by operation, most of a minute goes into compiling each of them.
    @jax.jit
    def terms_and_oracles(batch):
        variables = system.init(KEY, batch)
        real, fake_image = batch["target_image"], batch["source_image"]

        def judge(image):
            return _discriminator(settings).apply(variables["discriminator"], image, batch)

        player = system.phases["main"]["discriminator"]
        terms, states = player.loss(variables, {"image": fake_image}, batch, context)
        assert states == {}
        wanted = jnp.mean(judge(fake_image)) - jnp.mean(judge(real))
        return terms, wanted, losses.gradient_penalty(judge, real, fake_image, mix)

    terms, wanted, penalty = terms_and_oracles(batch)
    np.testing.assert_allclose(terms["wasserstein"], wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(terms["gradient_penalty"], 7 * penalty, rtol=1e-4)


def _discriminator(settings):
    return discriminators.PoseDiscriminator(
        **settings.discriminator,
        depth=settings.model.depth,
        heatmap_sigma=settings.model.heatmap_sigma,
        flat=False,
    )


def test_a_critic_of_the_whole_image_has_one_logit():
    for variants, shape in (("wasserstein", (2, 4, 4)), ("wasserstein,critic_alone", (2, 1, 1))):
        settings = _smoke(variants)
        network = _discriminator(settings)
        batch = fake.spec(2, 32)
        logits, _ = jax.eval_shape(
            lambda b, network=network: network.init_with_output(KEY, b["target_image"], b), batch
        )
        assert (logits.shape, logits.dtype) == (shape, jnp.float32)


def test_a_critic_with_layer_norm_adds_its_biases():
    variables, _, _ = _shapes("wasserstein")
    block = variables["discriminator"]["params"]["PatchDiscriminator_0"]["ConvBlock_0"]
    assert block["LayerNorm_0"]["LayerNorm_0"]["scale"].shape == (4,)
    plain, _, _ = _shapes()
    assert set(plain["discriminator"]["params"]["PatchDiscriminator_0"]["ConvBlock_0"]) == {
        "Conv_0"
    }


# --- the pose head -------------------------------------------------------------------------------


def test_a_weight_brings_the_pose_head_and_its_read_out():
    variables, outputs, terms = _shapes("pose_1e2")
    assert variables["generator"]["params"]["head"]["kernel"].shape == (1, 1, 1, 2, 15)
    assert outputs["pose_joints"].shape == (2, 15, 3)
    assert outputs["pose_logits"].shape == outputs["source_heatmaps"].shape == (2, 8, 8, 4, 15)
    assert "pose" in terms["generator"]
    variables, outputs, terms = _shapes()
    assert "head" not in variables["generator"]["params"]
    assert not {"pose_logits", "pose_joints", "source_heatmaps"} & set(outputs)
    assert "pose" not in terms["generator"]


@pytest.mark.slow
def test_the_pose_loss_trains_the_pose_head():
    """A large weight makes the head find the joints of the two people that it sees again."""
    settings = _smoke(
        "pose_1e4",
        "loss.gan=0",
        "loss.nearest_neighbour=0",
        "model.image_channels=8",
        "optim.generator.learning_rate=1e-2",
    )
    system = systems.make(settings)
    batch = jax.device_put(fake.batch(2, 32))
    trained = program.make(system, settings)
    current = jax.jit(trained.init)(KEY, batch)
    move = jax.jit(trained.steps["main"], donate_argnums=0)
    error = jax.jit(
        lambda v: jnp.mean(
            jnp.abs(
                system.forward(v, batch, evaluation_context())[0]["pose_joints"]
                - batch["source_joints"]
            ),
            axis=(0, 1),
        )
    )
    before = error(current.variables)
    for _ in range(150):
        current, _ = move(current, batch)
    after = error(current.variables)

    assert np.all(after[:2] < 0.7 * before[:2])


# --- features ------------------------------------------------------------------------------------


def test_losses_of_features_compute_the_layers_they_ask_for_and_name_them():
    plain = _smoke("", "loss.nearest_neighbour=0")
    assert "features" not in systems.make(plain).notes
    assert systems.make(_smoke()).notes["features"] == "builtin-random-vgg19-block1_conv2"
    notes = systems.make(_smoke("perceptual")).notes
    assert notes["features"] == "builtin-random-vgg19-block2_conv1"
    _, _, terms = _shapes("perceptual")
    assert "perceptual" in terms["generator"]
    assert "nearest_neighbour" not in terms["generator"]


def test_the_perceptual_loss_is_weighted_and_zero_for_the_truth():
    batch = jax.device_put(fake.batch(2, 32))

    def term(weight, image):
        settings = _smoke("perceptual", "loss.gan=0", f"loss.perceptual={weight}")
        player = systems.make(settings).phases["main"]["generator"]
        terms, _ = player.loss({}, {"image": batch[image]}, batch, toy.context())
        return terms["perceptual"]

    once = term(1.0, "source_image")
    assert once > 0
    np.testing.assert_allclose(term(3.0, "source_image"), 3 * once, rtol=1e-5)
    assert term(1.0, "target_image") == 0


# --- what cannot be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss.pose=-1"], "config.loss: weights must not be negative, got Loss(gan=1.0, "),
        (["loss.gradient_penalty=-1"], "config.loss: weights must not be negative"),
        (
            ["loss.gan_loss=wassserstein"],
            "unknown loss 'wassserstein'; did you mean 'wasserstein'?",
        ),
        (["loss.perceptual=-1"], "config.loss: weights must not be negative"),
        (["loss.neighbourhood=-3"], "config.loss.neighbourhood must be odd and positive, got -3"),
        (
            ["loss.gan_loss=wasserstein", "loss.gan=0"],
            "but config.loss.gan is 0: there is no critic.",
        ),
        (["loss.perceptual=1", "loss.perceptual_layers=('block9_conv1',)"], "'block9_conv1'"),
        (["model.pose=4d"], "config.model.pose must be 3d or 2d, got '4d'"),
        (["model.transform=1d"], "config.model.transform must be 3d or 2d, got '1d'"),
    ],
)
def test_values_that_cannot_be(overrides, message):
    with pytest.raises(UserError, match=re.escape(message)):
        systems.make(_smoke("", *overrides))


def test_images_too_small_for_the_discriminator():
    message = "config.data.image_size: 32 pixels are too few for the discriminator"
    system = systems.make(load_config("configs/deformable.py:smoke", _IN_32))
    with pytest.raises(UserError, match=re.escape(message)):
        jax.eval_shape(system.init, KEY, fake.spec(2, 32))


_IN_32 = (
    "--config.data.image_size=32",
    "--config.model.encoder_widths=(4,4)",
    "--config.model.decoder_widths=(4,)",
    "--config.model.moved_levels=0",
    "--config.discriminator.widths=(4,4,4,4,4,4)",
)


def test_a_file_of_weights_is_asked_for_when_a_loss_needs_it_and_not_before():
    """Whoever only makes images from a trained run has no need of it."""
    system = systems.make(_smoke("", "loss.features=nowhere/vgg19.safetensors"))
    assert system.notes["features"] == "vgg19 of nowhere/vgg19.safetensors, which is not here"
    batch = fake.spec(2, 32)
    variables = jax.eval_shape(system.init, KEY, batch)
    context = evaluation_context()
    outputs, _ = jax.eval_shape(system.forward, variables, batch, context)
    with pytest.raises(UserError, match=r"nowhere/vgg19\.safetensors"):
        jax.eval_shape(system.phases["main"]["generator"].loss, variables, outputs, batch, context)


@pytest.mark.parametrize("size", ["demo", "full", "smoke"])
def test_nothing_but_the_critic_teaches_where_it_is_alone(size):
    for path in ("volumetric", "resnet2d"):
        settings = load_config(f"configs/{path}.py:{size},wasserstein,critic_alone")
        players = systems.make(settings).phases["main"]
        assert set(players) == {"generator", "discriminator"}
        weights = {"nearest_neighbour", "perceptual", "l1", "chroma", "structure", "pose"}
        assert {settings.loss[key] for key in weights} == {0.0}
        assert settings.loss.gan == 1


def test_an_unknown_norm():
    message = "config.discriminator.norm: unknown norm 'layr'; did you mean 'layer'?"
    with pytest.raises(UserError, match=re.escape(message)):
        _shapes("", "discriminator.norm=layr")
