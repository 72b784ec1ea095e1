"""Degenerate poses, ties, NaN, half precision and platforms of the multi-part warp."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import warping
from warping import CHANNELS, SHAPE, SIDE, VISIBLE, every_form

from volsynth.data import fake

# --- edges and gradients -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["coinciding", "collinear", "invisible"])
def test_degenerate_poses_give_finite_values_and_gradients(kind):
    joints = fake.poses(2, 16)
    visible = VISIBLE.copy()
    if kind == "coinciding":
        joints[:] = 7.0
    if kind == "collinear":
        joints[:] = np.outer(np.arange(15), (1.0, 0.0, 0.5))
    if kind == "invisible":
        visible[0], visible[1, 3:6] = False, False
    masks, transforms = warping.from_poses(joints, visible, fake.poses(2, 16, 5), VISIBLE)
    volume = warping.volume()
    assert np.all(np.isfinite(warping.warped(volume, masks, transforms)))
    gradient = np.asarray(warping.pull(volume, masks, transforms, volume))
    assert np.all(np.isfinite(gradient))
    assert np.any(gradient[1]) == (kind != "coinciding")


@every_form
def test_at_a_tie_one_contributor_gets_the_gradient(form):
    """All parts give the same value; part 0 takes it one voxel further on than the others."""
    volume, g = np.ones((2, *SHAPE, CHANNELS), np.float32), warping.volume(1)
    np.testing.assert_array_equal(warping.pull(volume, warping.full(), warping.same(), g, form), g)
    offset = np.zeros((2, 10, 3))
    offset[:, 0, 1] = SIDE / SHAPE[0]
    transforms = warping.part_transforms(warping.same().matrix, offset, np.ones((2, 10), bool))
    np.testing.assert_allclose(
        warping.warped(volume, warping.full(), transforms, form), volume, atol=1e-6
    )
    wanted = np.zeros_like(g)
    wanted[:, 1:] = g[:, :-1]
    wanted[:, -1] += g[:, -1]  # Part 0 samples beyond the border there.
    np.testing.assert_allclose(
        warping.pull(volume, warping.full(), transforms, g, form), wanted, atol=1e-5
    )


@every_form
def test_a_tie_with_the_zeros_gives_no_gradient(form):
    masks = warping.full()
    masks[:, 9] = False
    zero = np.zeros((2, *SHAPE, CHANNELS), np.float32)
    assert not np.any(warping.pull(zero, masks, warping.same(), warping.volume(), form))
    np.testing.assert_array_equal(
        warping.pull(zero, warping.full(), warping.same(), warping.volume(), form), warping.volume()
    )


@every_form
def test_nan_features_are_not_hidden(form):
    volume = warping.volume()
    volume[0, 4, 3, 2, 1] = np.nan
    for masks in (warping.full(), warping.full() & (np.arange(10) < 5)[:, None, None, None]):
        got = np.asarray(warping.warped(volume, masks, warping.same(), form))
        assert np.isnan(got[0, 4, 3, 2, 1])
        np.testing.assert_array_equal(np.isnan(got[1]), np.zeros((*SHAPE, CHANNELS), bool))


def test_masks_and_transforms_have_no_gradient():
    masks, transforms = warping.case("random")

    def total(matrix, offset):
        return warping.warped(
            warping.volume(), masks, transforms._replace(matrix=matrix, offset=offset)
        ).sum()

    gradients = jax.grad(total, argnums=(0, 1))(transforms.matrix, transforms.offset)
    assert not any(np.any(g) for g in gradients)


# --- types, programs and platforms ---------------------------------------------------------------


@every_form
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_in_and_out(form, dtype):
    volume, (masks, transforms) = warping.volume(), warping.case("poses")
    half, g = jnp.asarray(volume, dtype), jnp.asarray(warping.volume(1), dtype)
    got = warping.warped(half, masks, transforms, form)
    gradient = warping.pull(half, masks, transforms, g, form)
    assert got.dtype == gradient.dtype == dtype
    wanted = warping.warped(volume, masks, transforms)
    np.testing.assert_allclose(got.astype(np.float32), wanted, atol=0.05)
    # Of the largest values another part may win; so the gradient is compared as a whole.
    exact = warping.pull(volume, masks, transforms, warping.volume(1))
    difference = np.linalg.norm(gradient.astype(np.float32) - exact)
    assert difference < 0.1 * np.linalg.norm(exact)


def test_vmap_is_a_loop_and_shapes_are_inferred():
    cases = [warping.case("poses"), warping.case("other")]
    volumes = np.stack([warping.volume(0), warping.volume(1)])
    masks = np.stack([np.asarray(case[0]) for case in cases])
    transforms = jax.tree.map(lambda *v: jnp.stack(v), *(case[1] for case in cases))
    got = jax.vmap(warping.warped)(volumes, masks, transforms)
    for i, case in enumerate(cases):
        np.testing.assert_allclose(got[i], warping.warped(volumes[i], *case), atol=1e-5)
    spec = jax.eval_shape(warping.warped, volumes[0].astype(jnp.bfloat16), masks[0], cases[0][1])
    assert (spec.shape, spec.dtype) == ((2, *SHAPE, CHANNELS), jnp.bfloat16)


def test_positions_are_computed_in_full_precision_on_every_device():
    """Accelerators multiply matrices with fewer bits; the only ones are weights and features."""
    masks, transforms = warping.case("random")
    for form, wanted in (("gather", 0), ("matmul", 1)):
        program = warping.warped.lower(warping.volume(), masks, transforms, form).as_text()
        assert program.count("stablehlo.dot_general") == wanted


@pytest.mark.parametrize(("platform", "products"), [("cpu", 0), ("cuda", 0), ("tpu", 1)])
def test_every_platform_gets_its_form(platform, products):
    masks, transforms = warping.case("random")
    exported = jax.export.export(warping.warped, platforms=[platform])(
        warping.volume(), masks, transforms
    )
    assert exported.mlir_module().count("stablehlo.dot_general") == products
