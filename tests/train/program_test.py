"""Programs on a mesh of devices."""

import jax
import toy

from volsynth.train import mesh, program


def test_steps_and_initialisation_are_traced_once_for_shapes_and_for_arrays():
    """A run asks for their shapes before it claims its folder, and large ones take long."""
    config = toy.config(1, devices=2)
    made, traces = program.make(toy.system(), config), []

    def counted(name, function):
        def call(*args):
            traces.append(name)
            return function(*args)

        return call

    counting = made._replace(
        init=counted("init", made.init), steps={"main": counted("step", made.steps["main"])}
    )

    devices = mesh.make(config.mesh, config.train.batch_size, config.data.image_size)
    batch = jax.device_get(toy.batch())
    placed = program.place(counting, devices, 0, batch, False)
    shapes = jax.eval_shape(placed.steps["main"], placed.state, placed.batch)
    moved = placed.steps["main"](placed.init(), mesh.to_devices(devices, batch, 2))
    assert traces == ["init", "step"]
    assert jax.tree.map(lambda a: (a.shape, a.dtype), moved) == jax.tree.map(
        lambda a: (a.shape, a.dtype), shapes
    )
