"""Programs on a mesh of devices."""

import jax
import toy

from volsynth.train import mesh, program


def test_a_step_is_traced_once_for_shapes_and_for_arrays():
    """A run asks for a step's shapes before it claims its folder, and large steps take long."""
    config = toy.config(1, devices=2)
    made, traces = program.make(toy.system(), config), []

    def counted(*args):
        traces.append(args)
        return made.steps["main"](*args)

    devices = mesh.make(config.mesh, config.train.batch_size, config.data.image_size)
    batch = jax.device_get(toy.batch())
    placed = program.place(made._replace(steps={"main": counted}), devices, 0, batch, False)
    shapes = jax.eval_shape(placed.steps["main"], placed.state, placed.batch)
    moved = placed.steps["main"](placed.init(), mesh.to_devices(devices, batch, 2))
    assert len(traces) == 1
    assert jax.tree.map(lambda a: (a.shape, a.dtype), moved) == jax.tree.map(
        lambda a: (a.shape, a.dtype), shapes
    )
