"""The figures of the final design, counted again by hand, and printed without a surprise."""

import itertools
import json

import pytest

from volsynth.config import load_config
from volsynth.diagnostics import describe

SMOKE = "configs/volumetric.py:smoke"
SIDE, DEPTH = 256, 24
QUARTER = SIDE // 4
LIFTED = DEPTH * 48
PIXELS = {size: size * size for size in (256, 128, 64)}


@pytest.fixture(scope="module")
def full():
    return describe.describe(load_config("configs/volumetric.py:full"))


def _conv(taps, channels, features):
    """Parameters of a convolution with bias."""
    return taps * channels * features + features


def _discriminator_layers():
    """(input channels, output channels, output side) of each 4x4 convolution of stride 2."""
    # Two images and, for every depth, the heatmaps of 15 joints.
    channels, side, layers = 2 * 3 + DEPTH * 15, SIDE, []
    for width in (64, 128, 256, 512, 1):
        side //= 2
        layers.append((channels, width, side))
        channels = width
    return layers


def test_the_parameters_of_the_final_design(full):
    assert full["params_total"] == full["networks"]["generator"]["params"] == 27_894_275
    assert abs(full["params_total"] / full["paper"]["params_total"] - 1) < 0.01
    assert full["networks"]["discriminator"]["params"] == sum(
        _conv(16, channels, features) for channels, features, _ in _discriminator_layers()
    )


def test_stages_add_up_to_their_networks(full):
    assert set(full["stages"]) == set(full["networks"])
    for name, stages in full["stages"].items():
        assert sum(stages.values()) == full["networks"][name]["params"]
    assert full["stages"]["generator"]["before"] == 2 * 2 * _conv(27, 48, 48)
    assert set(full["stages"]["generator"]) == {
        *("encoder", "before", "pose_stream", "after", "decoder"),
    }


def test_multiply_adds_in_3d(full):
    voxels = QUARTER * QUARTER * DEPTH
    kernels = 2 * 2 * 48 * 48 + (15 * 16 + 3 * 2 * 16 * 16) + 2 * 2 * 64 * 64
    assert full["macs_3d"] == voxels * 27 * kernels
    assert round(full["macs_3d"] / 1e9, 2) == 72.66


ENCODER = (
    PIXELS[256] * 49 * 3 * 64
    + PIXELS[128] * 9 * 64 * 128
    + PIXELS[64] * 9 * 128 * LIFTED
    + PIXELS[64] * 2 * 9 * LIFTED * LIFTED
)
LAST = PIXELS[256] * 49 * 64 * 3


def test_multiply_adds_in_2d(full):
    # Doubling sees two by two input pixels for each output pixel.
    decoder = PIXELS[128] * 4 * DEPTH * 64 * 128 + PIXELS[256] * 4 * 128 * 64
    assert full["macs_2d"] == ENCODER + decoder + LAST


def test_operations_as_the_thesis_counts_them(full):
    # A strided transposed convolution: nine taps for each input pixel.
    decoder = PIXELS[64] * 9 * DEPTH * 64 * 128 + PIXELS[128] * 9 * 128 * 64
    assert full["operations_as_printed"] == 8 * (ENCODER + decoder + LAST)
    assert round(full["operations_as_printed"] / 1e9, 1) == 913.4
    assert full["paper"]["operations_as_printed"] == 915e9
    assert abs(full["operations_as_printed"] / 915e9 - 1) < 0.003


@pytest.mark.parametrize(
    ("spec", "generator", "discriminator", "operations"),
    [
        # 8 x 186.7 G multiply-adds, transposed convolutions counted as 9 taps an input pixel.
        ("resnet2d.py:full", 43_944_323, 2_783_169, 1493.7),
        ("resnet2d.py:skips", 44_110_595, 2_783_169, 1522.9),
        ("deformable.py:full", 82_080_611, 2_803_782, 552.3),
        ("deformable.py:nearest", 82_080_611, 2_803_782, 552.3),
        ("deformable.py:market", 61_109_085, 2_803_782, 137.0),
    ],
)
def test_the_baselines_have_the_published_sizes(spec, generator, discriminator, operations):
    figures = describe.describe(load_config(f"configs/{spec}"))
    assert figures["params_total"] == figures["networks"]["generator"]["params"] == generator
    assert figures["networks"]["discriminator"]["params"] == discriminator
    assert round(figures["operations_as_printed"] / 1e9, 1) == operations
    assert figures["macs_3d"] == 0
    if spec.endswith("full"):
        paper = figures["paper"]
        assert abs(generator / paper["params_total"] - 1) < 0.002
        assert abs(figures["operations_as_printed"] / paper["operations_as_printed"] - 1) < 0.01


def test_multiply_adds_of_the_deformable_generator_by_hand():
    """Two encoders and a decoder whose transposed 4x4 kernels have 16 taps an input pixel."""
    widths = (64, 128, 256, 512, 512, 512, 512)
    total = 256**2 * 9 * (3 + 2 * 18 + 0) * 64
    for i, (channels, features) in enumerate(itertools.pairwise(widths), start=1):
        total += 2 * (256 >> i) ** 2 * 16 * channels * features
    channels = 2 * 512
    for i, features in enumerate((512, 512, 512, 512, 256, 128)):
        total += (4 << i) ** 2 * 16 * channels * features
        channels = features + 2 * widths[5 - i]
    total += 256**2 * 9 * channels * 3
    assert describe.describe(load_config("configs/deformable.py:full"))["macs_2d"] == total
    assert round(total / 1e9, 1) == 69.0


def test_the_discriminator_is_counted_for_one_image_and_not_among_what_makes_it(full):
    networks = full["networks"]
    assert networks["discriminator"]["macs_2d"] == sum(
        side * side * 16 * channels * features
        for channels, features, side in _discriminator_layers()
    )
    assert networks["discriminator"]["macs_3d"] == 0
    for key in ("macs_2d", "macs_3d"):
        assert full[key] == networks["generator"][key]


def test_the_state_is_parameters_average_and_moments(full):
    generator, discriminator = (
        full["networks"][n]["params"] for n in ("generator", "discriminator")
    )
    # Weights, running average and two moments; critics have no average. The rest is counters.
    arrays = 4 * (4 * generator + 3 * discriminator)
    assert 0 < full["state_bytes"] - arrays < 100


def test_the_figures_are_json_and_say_what_the_loss_compares(full):
    assert json.loads(json.dumps(full)) == full
    assert full["system"] == "volumetric"
    assert "Knoche 2019" in full["paper"]["source"]
    assert full["notes"]["features"].startswith("builtin-random")


def test_without_a_discriminator_there_is_none_to_describe():
    small = load_config("configs/volumetric.py:smoke", ["--config.loss.gan=0"])
    figures = describe.describe(small)
    assert set(figures["networks"]) == set(figures["stages"]) == {"generator"}
    assert figures["macs_2d"] > 0


def test_everything_is_printed(full, capsys):
    describe.render(full)
    shown = capsys.readouterr().out
    for text in ("27,894,275", "72.66", "913.4 G", "28,000,000", "generator", "discriminator"):
        assert text in shown


def test_what_is_computed_again_is_not_counted_twice():
    kept, again = (
        describe.describe(load_config(SMOKE, [f"--config.model.remat={remat}"]))
        for remat in (False, True)
    )
    assert kept == again


@pytest.mark.slow
def test_the_bytes_of_a_step(capsys):
    settings = load_config(SMOKE)
    figures = describe.describe(settings)
    figures["step_bytes"] = parts = describe.step_bytes(settings)
    # All of the state goes in and comes out in its place; the batch goes in, too.
    assert figures["state_bytes"] < parts["arguments"] < figures["state_bytes"] + 200_000
    assert 0.9 * parts["results"] < parts["donated"] <= parts["results"]
    assert parts["temporary"] > 0
    wanted = parts["arguments"] + parts["results"] - parts["donated"] + parts["temporary"]
    assert parts["peak"] == wanted
    describe.render(figures)
    assert "GiB at its peak" in capsys.readouterr().out


def test_the_pose_estimator_is_counted_and_nothing_is_said_that_its_paper_does_not(capsys):
    figures = describe.describe(load_config("configs/pose_estimator.py:full"))
    heads = _conv(1, 2048, 9 * 15)
    # ResNet-50 v2, as published, and one convolution.
    assert figures["params_total"] == 23_519_360 + heads
    # At stride 4 every stage works on 64 x 64 cells; the stem on 128 x 128 pixels.
    macs, channels = PIXELS[128] * 49 * 3 * 64 + PIXELS[64] * 2048 * 9 * 15, 64
    for blocks, width in zip((3, 4, 6, 3), (64, 128, 256, 512)):
        macs += PIXELS[64] * channels * 4 * width
        for _ in range(blocks):
            macs += PIXELS[64] * (channels * width + 9 * width * width + width * 4 * width)
            channels = 4 * width
    assert (figures["macs_2d"], figures["macs_3d"]) == (macs, 0)
    describe.render(figures)
    shown = capsys.readouterr().out
    assert "operations as the paper counts them" not in shown
    assert "MeTRAbs" in shown
