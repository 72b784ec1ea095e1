"""Commands on what a config costs: the size of its networks, and measured speed and memory."""

import json
import pathlib
import sys
from typing import Any

from volsynth import progress
from volsynth.commands import shared
from volsynth.errors import UserError

# The configs that benchmarks measure by default.
DEMO, FULL = "configs/volumetric.py:demo", "configs/volumetric.py:full"


def add(commands: Any) -> None:
    """Adds the commands describe and bench to the parser."""
    _add_describe(commands)
    bench = commands.add_parser("bench", help="measure speed and memory against other forms")
    benches = bench.add_subparsers(dest="bench_command", required=True, metavar="COMMAND")
    _add_comparisons(benches)
    _add_bench_input(benches)
    _add_bench_generate(benches)
    _add_bench_reprojection(benches)


def _add_describe(commands):
    describe = shared.add_command(
        commands, "describe", _describe, "parameters, multiply-adds and memory"
    )
    shared.add_config_argument(describe)
    describe.add_argument(
        "--step", action="store_true", help="compile the training step, too: its peak memory"
    )
    shared.add_json_argument(describe)


def _add_comparisons(benches):
    """Adds the benchmarks that compare our code with other forms of it."""
    warp = shared.add_command(benches, "warp", _bench, "the warp: ours, the naive form, PyTorch")
    shared.add_data_arguments(warp)
    conv3d = shared.add_command(
        benches, "conv3d", _bench, "3D convolution: ours, XLA's own, PyTorch's"
    )
    step = shared.add_command(benches, "step", _bench, "a training step: ours and a PyTorch twin's")
    shared.add_config_argument(warp, FULL)
    shared.add_config_argument(conv3d, DEMO, FULL)
    shared.add_config_argument(step, FULL)
    for command in (warp, conv3d, step):
        command.add_argument(
            "--repeats", type=int, default=5, help="turns of each candidate; default: 5"
        )
        command.add_argument("--no-torch", action="store_true", help="leave PyTorch out")
        shared.add_json_argument(command)


def _add_bench_input(benches):
    pipeline = shared.add_command(
        benches, "input", _bench_input, "images per second of the input pipeline"
    )
    shared.add_data_arguments(pipeline, config_name=None, usual="CONFIG has, or 64, 128 and 256")
    pipeline.add_argument(
        "--config", metavar="FILE[:VARIANT]", help="measure its training step beside, too"
    )
    pipeline.add_argument("--repeats", type=int, default=5, help="turns of each; default: 5")
    shared.add_json_argument(pipeline)


def _add_bench_generate(benches):
    generate = shared.add_command(
        benches, "generate", _bench_generate, "frames per second of an exported model"
    )
    generate.add_argument("--model", required=True, help="of volsynth export")
    generate.add_argument("--batch", type=int, default=8, help="frames at once; default: 8")
    generate.add_argument(
        "--size", type=int, help="side of the frames, pixels; default: as in training"
    )
    generate.add_argument("--repeats", type=int, default=5, help="turns of each; default: 5")
    shared.add_json_argument(generate)


def _add_bench_reprojection(benches):
    command = shared.add_command(
        benches, "reprojection", _bench_reprojection, "moved pixels: ours, the plain form, PyTorch"
    )
    shared.add_data_arguments(command)
    command.add_argument(
        "--size", type=int, default=256, help="side of the pictures in pixels; default: 256"
    )
    command.add_argument("--batch", type=int, default=1, help="pictures at once; default: 1")
    command.add_argument("--repeats", type=int, default=5, help="turns of each; default: 5")
    command.add_argument("--no-torch", action="store_true", help="leave PyTorch out")
    shared.add_json_argument(command)


def _describe(options):
    from volsynth.config import load_config
    from volsynth.diagnostics import describe

    config = load_config(options.config, options.overrides)
    figures = describe.describe(config)
    if options.step:
        # Said beforehand, as compiling may take minutes.
        print("compiling the training step ...", file=sys.stderr)
        figures["step_bytes"] = describe.step_bytes(config)
    if options.json:
        print(json.dumps(figures))
    else:
        describe.render(figures)
    return 0


def _bench(options):
    from volsynth.bench import conv3d, requirements, training_step, warps
    from volsynth.config import load_config

    # Without a turn there would be no median.
    if options.repeats < 1:
        raise UserError(f"--repeats must be at least 1, got {options.repeats}.")
    specs = [options.config] if options.config else options.default_configs
    loaded = [load_config(spec, options.overrides) for spec in specs]
    for config in loaded:
        requirements.check_volumetric(config, options.bench_command)
    # Only the benchmark of the convolution has several configs.
    config = loaded[0]
    with_torch = not options.no_torch and requirements.torch_found()
    settings = (options.repeats, with_torch, progress.say)
    if options.bench_command == "warp":
        poses = warps.prepared_poses(
            options.data_dir,
            options.name,
            options.config_name,
            config.train.batch_size,
            config.data.image_size,
        )
        report = warps.bench_warp(config, poses, *settings)
    elif options.bench_command == "conv3d":
        shapes = [shape for config in loaded for shape in conv3d.conv3d_shapes(config)]
        report = conv3d.bench_conv3d(shapes, *settings)
    else:
        report = training_step.bench_step(config, *settings)
    print(json.dumps(report, indent=None if options.json else 2))
    return 0


def _bench_input(options):
    from volsynth.bench import input_pipeline

    if options.repeats < 1:
        raise UserError(f"--repeats must be at least 1, got {options.repeats}.")
    config = shared.optional_config(options)
    wanted = input_pipeline.builder_configs(options.config_name, config)
    sets = input_pipeline.open_sets(options.data_dir, options.name, wanted, progress.say)
    report = input_pipeline.report(sets, config, options.repeats, progress.say)
    print(json.dumps(report, indent=None if options.json else 2))
    return 0


def _bench_generate(options):
    from volsynth.bench import generation

    if options.repeats < 1:
        raise UserError(f"--repeats must be at least 1, got {options.repeats}.")
    report = generation.bench_generation(
        pathlib.Path(options.model), options.batch, options.repeats, progress.say, options.size
    )
    print(json.dumps(report, indent=None if options.json else 2))
    return 0


def _bench_reprojection(options):
    from volsynth.bench import reprojections, requirements, warps
    from volsynth.ops import tiles

    for name, least in (("repeats", 1), ("batch", 1)):
        if getattr(options, name) < least:
            raise UserError(f"--{name} must be at least {least}, got {getattr(options, name)}.")
    if options.size < 1 or options.size % tiles.SIZE:
        raise UserError(f"--size must be a multiple of {tiles.SIZE}, got {options.size}.")
    poses = warps.prepared_poses(
        options.data_dir, options.name, options.config_name, options.batch, options.size
    )
    with_torch = not options.no_torch and requirements.torch_installed()
    # The plain form is the first comparison, so the report has something to say without PyTorch.
    if not with_torch and not options.no_torch:
        progress.say("PyTorch is not installed and is left out: pip install -e '.[bench]'")
    report = reprojections.bench_reprojection(
        poses, options.size, options.repeats, with_torch, progress.say
    )
    print(json.dumps(report, indent=None if options.json else 2))
    return 0
