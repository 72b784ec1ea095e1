"""Specifications of sweeps become runs, or an error that says what is wrong with them."""

import pathlib
import re

import pytest

from launch import __main__ as launch
from launch.sweeps import spec
from volsynth.errors import UserError

SMOKE = "config: configs/volumetric.py:smoke\n"


def test_a_table_is_variants_times_grid_times_seeds(write):
    runs = spec.read_runs(
        write(
            SMOKE + "overrides: {train.steps: 9}\n"
            "variants: {plain: {}, deep: {model.depth: 8}}\n"
            "grid: {precision: [float32, bfloat16], optim.generator.l2: [0.5]}\n"
            "seeds: [0, 7]\n"
        )
    )
    assert len({run.name for run in runs}) == len(runs) == 8
    assert runs[-1] == spec.Run(
        "deep_precision-bfloat16_l2-0.5_seed-7",
        "configs/volumetric.py:smoke",
        (
            *("--config.train.steps=9", "--config.model.depth=8", "--config.precision=bfloat16"),
            *("--config.optim.generator.l2=0.5", "--config.seed=7"),
        ),
        9,
        "deep_precision-bfloat16_l2-0.5",
        7,
    )


def test_keys_with_one_last_part_are_told_apart(write):
    grid = "grid: {optim.generator.l2: [0.5], optim.discriminator.l2: [0.1], model.remat: [true]}"
    (run,) = spec.read_runs(write(SMOKE + grid))
    assert run.name == "generator.l2-0.5_discriminator.l2-0.1_remat-true"
    assert run.overrides[-1] == "--config.model.remat=true"


def test_a_variant_may_have_a_config_of_its_own(write):
    other = '{config: "configs/resnet2d.py:smoke", train.steps: 2}'
    first, second = spec.read_runs(write(SMOKE + f"variants: {{a: {{}}, b: {other}}}"))
    assert (first.config, first.overrides) == ("configs/volumetric.py:smoke", ())
    assert (second.config, second.overrides) == (
        "configs/resnet2d.py:smoke",
        ("--config.train.steps=2",),
    )


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("precision", [f"precision-{p}" for p in ("float32", "bfloat16", "float16")]),
        (
            "dimensions",
            [
                f"{variant}_seed-{seed}"
                for variant in ("full_3d", "transform_2d", "pose_2d", "both_2d")
                for seed in (0, 1)
            ],
        ),
        (
            "methods",
            [
                f"{method}_seed-{seed}"
                for method in ("volumetric", "resnet2d", "deformable")
                for seed in (0, 1)
            ],
        ),
        (
            "reprojection",
            [
                f"{variant}_seed-{seed}"
                for variant in (
                    *(
                        "moved_pixels",
                        "structure",
                        "two_sources",
                        "volume",
                        "guided_volume",
                        "no_mirror",
                        "no_visibility",
                        "no_shade",
                        "no_hems",
                        "no_flow",
                    ),
                    *("transform_2d", "pose_2d", "both_2d"),
                    *("discriminator", "volumetric", "resnet2d", "deformable"),
                )
                for seed in (0, 1)
            ],
        ),
        (
            "volume",
            [
                f"{variant}_seed-0"
                for variant in ("volumetric", "offcut", "no_dilation", "pose_1e0", "pose_1e4")
            ],
        ),
    ],
)
def test_the_shipped_tables(name, runs):
    found = spec.read_runs(pathlib.Path(f"configs/sweeps/{name}.yaml"))
    assert [run.name for run in found] == runs
    # All of a table have the same budget.
    assert {run.steps for run in found} == {800 if name == "reprojection" else 1000}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "is not YAML"),
        ("grid: {}", "needs `config: FILE:VARIANT`"),
        (SMOKE + "gird: {}", "unknown key 'gird'; did you mean 'grid'"),
        (SMOKE + "grid: {seed: 1}", "seed needs a list of values, got 1"),
        (SMOKE + "grid: [seed]", "grid is a mapping"),
        (SMOKE + "seeds: 3", "seeds is a list of whole numbers, got 3"),
        (SMOKE + "seeds: [true]", "seeds is a list of whole numbers"),
        (SMOKE + "variants: {a b: {}, a_b: {}}", "two runs are named 'a_b'"),
        (SMOKE + "overrides: {model.dept: 3}", "did you mean 'depth'"),
        (SMOKE + "variants: {a: {config: 3}}", "variants: a: config is FILE:VARIANT, got 3"),
    ],
)
def test_tables_that_are_none(write, text, message):
    with pytest.raises(UserError, match=re.escape(message)):
        spec.read_runs(write(text))


def test_a_table_that_is_not_there(capsys):
    assert launch.main(["sweep", "nowhere.yaml"]) == 2
    assert "cannot read the table nowhere.yaml: No such file" in capsys.readouterr().err
