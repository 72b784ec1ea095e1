"""The size of a config's networks: parameters, multiply-adds and memory, and the paper's figures.

Shapes are inferred; nothing is computed, and no memory is taken.
"""

import math
from collections import defaultdict
from typing import Any

import flax.linen as nn
import jax

from volsynth import systems
from volsynth.nn import layers
from volsynth.system import System, averaged_networks, evaluation_context
from volsynth.train import mesh, program


def describe(config: Any) -> dict[str, Any]:
    """Computes the figures of a config, as JSON values.

    Returns:
      "networks": {name: {"params", "macs_2d", "macs_3d"}}, multiply-adds of one call on one image;
      "params_total", "macs_2d", "macs_3d": of the networks that make what the task asks for;
      "operations_as_printed": 8 x the multiply-adds of the 2D convolutions, with upsampling counted
      as strided transposed convolution, which is what table 6.16 of Knoche 2019 counts;
      "stages": parameters of each stage of each network;
      "state_bytes": parameters, averages, moments; "paper": what the paper prints.
    """
    # Rematerialisation wraps modules, so that the interceptor below would no longer see which
    # network a convolution belongs to; and a forward pass costs the same without it.
    config = config.copy_and_resolve_references()
    if "remat" in config.model:
        config.model.remat = False
    system = systems.make(config)
    batch = system.batch_spec(1, config.data.image_size)
    variables = jax.eval_shape(system.init, jax.random.key(0), batch)
    counter = _count(system, variables, batch)
    networks = {
        name: {
            "params": _size(tree["params"]),
            "macs_2d": counter[name, 2],
            "macs_3d": counter[name, 3],
        }
        for name, tree in variables.items()
    }
    making = [networks[name] for name in averaged_networks(system, variables)]
    whole = jax.eval_shape(program.make(system, config).init, jax.random.key(0), batch)
    return {
        "system": system.name,
        "networks": networks,
        "params_total": sum(n["params"] for n in making),
        "macs_2d": sum(n["macs_2d"] for n in making),
        "macs_3d": sum(n["macs_3d"] for n in making),
        "operations_as_printed": 8 * counter["as printed", 2],
        "stages": {
            name: {stage: _size(tree) for stage, tree in network["params"].items()}
            for name, network in variables.items()
        },
        "state_bytes": sum(
            math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(whole)
        ),
        "paper": {"source": system.paper, **system.figures},
        "notes": dict(system.notes),
    }


def step_bytes(config: Any) -> dict[str, int]:
    """Computes `program_bytes`, per device, of a config's training step on the devices here.

    The step is compiled, not run. The compiler of another kind of device may need more or less. Of
    several steps the one with the highest peak counts.

    Raises:
      UserError: `config.mesh` asks for more devices than there are.
    """
    system = systems.make(config)
    batch = system.batch_spec(config.train.batch_size, config.data.image_size)
    devices = mesh.make(
        config.mesh, config.train.batch_size, config.data.image_size // system.coarsest_stride
    )
    trained = program.make(system, config)
    placed = program.place(trained, devices, config.seed, batch, config.mesh.shard_state)
    largest: dict[str, int] = {}
    for move in placed.steps.values():
        compiled = move.lower(placed.state, batch).compile()
        largest = max(largest, program_bytes(compiled), key=lambda b: b.get("peak", 0))
    return largest


def program_bytes(compiled: jax.stages.Compiled) -> dict[str, int]:
    """Returns the bytes of a compiled program: the peak, and the parts that it is the sum of."""
    analysis = compiled.memory_analysis()
    arguments, results = analysis.argument_size_in_bytes, analysis.output_size_in_bytes
    temporary, shared = analysis.temp_size_in_bytes, analysis.alias_size_in_bytes
    # Donated arguments are overwritten by results, so that the two share their memory.
    return {
        "peak": arguments + results - shared + temporary,
        "arguments": arguments,
        "results": results,
        "donated": shared,
        "temporary": temporary,
    }


def _size(tree) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def _count(system: System, variables, batch) -> dict[Any, int]:
    """Counts the multiply-adds of every network by watching its convolutions.

    Returns:
      {(network, 2 or 3): count}; 2 or 3 is the number of spatial axes.
    """
    counts: dict[Any, int] = defaultdict(int)
    seen = set()
    used = set()

    def forward(variables):
        with nn.intercept_methods(_watch(variables, add_forward)):
            return system.forward(variables, batch_of(batch), evaluation_context())[0]

    def batch_of(spec):
        return {key: jax.numpy.zeros(leaf.shape, leaf.dtype) for key, leaf in spec.items()}

    def add_forward(network, module, macs, axes):
        used.add(network)
        counts[network, axes] += macs
        # Knoche 2019 counts nine taps on every input pixel, where ours computes four on every one
        # of the four times as many output pixels: 9/16. (Transposed convolutions with 4x4 kernels
        # cost the same in both.)
        resized = isinstance(module, layers.UpConv)
        counts["as printed", axes] += macs * 9 // 16 if resized else macs

    def add_once(network, module, macs, axes):
        # A critic sees the real and the generated image in one step; one call counts.
        # Losses may call the generator again; that is in `forward` already.
        if network not in used and (network, module.path) not in seen:
            seen.add((network, module.path))
            counts[network, axes] += macs

    # Critics are called by losses only, not by the forward pass.
    def losses(variables, outputs):
        with nn.intercept_methods(_watch(variables, add_once)):
            for phase in system.phases.values():
                for player in phase.values():
                    player.loss(variables, outputs, batch_of(batch), evaluation_context())

    outputs = jax.eval_shape(forward, variables)
    jax.eval_shape(losses, variables, outputs)
    return counts


def _watch(variables, add):
    """An interceptor that calls add(network, module, multiply-adds, axes) for each convolution."""
    # Modules do not know their network, but its variables are the same objects in both places.
    owner = {id(leaf): name for name, tree in variables.items() for leaf in jax.tree.leaves(tree)}

    def interceptor(following, args, kwargs, context):
        result = following(*args, **kwargs)
        module = context.module
        doubling = isinstance(module, (layers.UpConv, layers.ConvTranspose))
        known = doubling or isinstance(module, layers.Conv)
        if known and context.method_name == "__call__":
            kernel = module.variables["params"]["kernel"]
            axes = kernel.ndim - 2
            # A layer that doubles the size reads four input pixels for every output pixel.
            taps = 4 if doubling else math.prod(kernel.shape[:axes])
            macs = math.prod(result.shape[:-1]) * taps * math.prod(kernel.shape[axes:])
            add(owner[id(kernel)], module, macs, axes)
        return result

    return interceptor


def render(figures: dict[str, Any]) -> None:
    """Prints the figures of `describe` as a table."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=f"{figures['system']}: one image", title_justify="left")
    for column in ("network", "parameters", "GMAC 2D", "GMAC 3D"):
        table.add_column(column, justify="left" if column == "network" else "right")
    for name, row in figures["networks"].items():
        table.add_row(
            name, f"{row['params']:,}", f"{row['macs_2d'] / 1e9:.2f}", f"{row['macs_3d'] / 1e9:.2f}"
        )
    console.print(table)
    for name, stages in figures["stages"].items():
        console.print(f"{name}: " + ", ".join(f"{key} {value:,}" for key, value in stages.items()))
    console.print(f"state of training: {figures['state_bytes'] / 2**20:.1f} MiB")
    if "step_bytes" in figures:
        parts = {key: f"{value / 2**30:.2f}" for key, value in figures["step_bytes"].items()}
        console.print(
            f"a training step, compiled here: {parts['peak']} GiB at its peak "
            f"({parts['arguments']} state and batch, {parts['temporary']} temporary)"
        )
    if "operations_as_printed" in figures["paper"]:
        printed = figures["operations_as_printed"] / 1e9
        console.print(f"operations as the paper counts them: {printed:.1f} G")
    for key, value in figures["paper"].items():
        shown = f"{value:,.0f}" if isinstance(value, (int, float)) else value
        console.print(f"paper, {key.replace('_', ' ')}: {shown}")
