"""The engine with a system of three phases, states, a normalised critic and an annealed weight."""

import functools
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import phased
import pytest

from volsynth.errors import UserError
from volsynth.system import evaluation_context
from volsynth.train import manifest, optim, phases, program

PARTS = ("variables", "averages", "optimisers", "scales", "skipped", "step", "rng")


@functools.cache
def _program():
    return program.make(phased.system(), phased.config())


@functools.cache
def _moves():
    return {phase: jax.jit(step) for phase, step in _program().steps.items()}


@pytest.fixture(scope="module")
def starts():
    """The state before the second step of each phase, of a run without interruptions."""
    made, found = _program(), {}
    state = jax.jit(made.init)(jax.random.key(0), phased.batch(0))
    for number in range(phases.last_step(made.spans)):
        phase = phases.phase_of(made.spans, number)
        state, _ = _moves()[phase](state, phased.batch(number))
        if number == made.spans[phase].start:
            found[phase] = state
    return found


def _equal(a, b, parts=PARTS):
    for part in parts:
        _same(getattr(a, part), getattr(b, part))


def _same(a, b):
    """Bit for bit, keys too."""

    def bits(leaf):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    chex.assert_trees_all_equal(jax.tree.map(bits, a), jax.tree.map(bits, b))


# --- rates ---------------------------------------------------------------------------------------


def test_the_rate_of_every_phase_falls_over_its_own_steps():
    rates = {}
    for key, optimiser in optim.make(
        phased.config().optim, phased.system(), _program().spans
    ).items():
        weight = jnp.array(3.0)
        state, found = optimiser.transform.init(weight), []
        phase = key.split("/")[0]
        for _ in range(phased.PHASES[phase] * optimiser.updates):
            update, state = optimiser.transform.update(jnp.array(1.0), state, weight, value=1.0)
            found.append(-float(update))
        rates[key] = np.array(found)
    for key, found in rates.items():
        first = 0.001 if key == "both/artist" else 0.01
        wanted = first * (1 - np.arange(len(found)) / len(found))
        np.testing.assert_allclose(found, wanted, rtol=2e-4, err_msg=key)


# --- states --------------------------------------------------------------------------------------


def test_statistics_and_spectral_vectors_move_only_in_their_phases(starts):
    before = jax.jit(_program().init)(jax.random.key(0), phased.batch(0)).variables
    flow, paint = starts["flow"].variables, starts["paint"].variables
    # The painter ran nowhere in the first phase: nobody looked at its image.
    _same(flow["painter"], before["painter"])
    _same(flow["critic"], before["critic"])
    for network in ("painter", "critic"):
        old, new = (jax.tree.leaves(v[network]["batch_stats"]) for v in (flow, paint))
        assert all(np.any(a != b) for a, b in zip(old, new)), network


def test_running_statistics_are_those_of_flax_by_hand(starts):
    """One step of the second phase: the mean moves half-way to that of the batch."""
    state, images = starts["paint"], phased.batch(phased.PHASES["flow"] + 1)
    new, _ = _moves()["paint"](state, images)
    field = phased.FLOW.apply(state.variables["flow"], images["source_image"])
    _, wanted = phased.PAINTER.apply(
        *(state.variables["painter"], images["source_image"], field, True), mutable=["batch_stats"]
    )
    chex.assert_trees_all_close(
        new.variables["painter"]["batch_stats"], wanted["batch_stats"], rtol=1e-5, atol=1e-6
    )


def test_averages_hold_the_states_and_evaluation_sees_them(starts):
    state = starts["both"]
    assert set(state.averages) == {"flow", "painter"}
    assert set(state.averages["painter"]) == {"params", "batch_stats"}
    outputs, states = phased.forward(
        state.averages, {"source_image": phased.batch(0)["source_image"]}, evaluation_context()
    )
    assert states == {}
    moved = jax.tree.map(lambda leaf: leaf + 1, state.averages["painter"]["batch_stats"])
    other = {**state.averages, "painter": {**state.averages["painter"], "batch_stats": moved}}
    changed, _ = phased.forward(
        other, {"source_image": phased.batch(0)["source_image"]}, evaluation_context()
    )
    assert np.any(np.abs(changed["image"] - outputs["image"]) > 1e-3)


def test_averages_of_states_are_running_averages(starts):
    state = starts["paint"]
    new, _ = _moves()["paint"](state, phased.batch(5))
    # One step of the phase is done: (1 + 1) / (10 + 1).
    decay = 2 / 11
    wanted = jax.tree.map(
        lambda a, v: decay * a + (1 - decay) * v,
        state.averages["painter"],
        new.variables["painter"],
    )
    chex.assert_trees_all_close(new.averages["painter"], wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("phase", phased.PHASES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_batch_leaves_every_bit_but_the_counts(starts, phase, bad):
    state = starts[phase]
    images = jax.tree.map(lambda image: np.full_like(image, bad), phased.batch(0))
    new, metrics = _moves()[phase](state, images)
    _equal(new, state, ("variables", "averages", "optimisers", "scales", "rng"))
    players = [*phased.system().phases[phase]]
    # A critic is skipped in each of its updates.
    updates = {"judge": 2}
    for player in players:
        count = updates.get(player, 1)
        assert new.skipped[f"{phase}/{player}"].tolist() == [count, count]
        assert metrics[f"{player}/skipped_in_a_row"] == count
    others = [key for key in state.skipped if key not in [f"{phase}/{p}" for p in players]]
    assert all(np.array_equal(new.skipped[key], state.skipped[key]) for key in others)
    assert int(new.step) == int(state.step) + 1


def test_states_that_are_not_finite_skip_the_update(starts):
    """Statistics may overflow where no gradient does."""

    def forward(variables, batch, context):
        outputs, states = phased.forward(variables, batch, context)
        broken = jax.tree.map(lambda leaf: leaf * jnp.inf, states["painter"])
        return outputs, {"painter": broken}

    made = program.make(phased.system(forward=forward), phased.config())
    state = starts["both"]
    new, metrics = jax.jit(made.steps["both"])(state, phased.batch(11))
    _same(new.variables, state.variables)
    _same(new.averages, state.averages)
    assert metrics["artist/skipped_in_a_row"] == 1


# --- phases --------------------------------------------------------------------------------------


def _flops(made, phase, state, images):
    compiled = jax.jit(made.steps[phase]).lower(state, images).compile()
    return compiled.cost_analysis()["flops"]


def test_the_first_phase_costs_what_it_costs_alone():
    """The loss reads one of two outputs: the other network is neither run nor differentiated."""
    images = phased.batch(0, side=32)
    flops = {}
    for name, made in (
        ("whole", _program()),
        ("alone", program.make(phased.alone(), phased.config({"flow": 4}))),
    ):
        state = jax.eval_shape(made.init, jax.random.key(0), images)
        flops[name] = _flops(made, "flow", state, images)
    assert flops["whole"] <= 1.1 * flops["alone"]
    # What would be there otherwise: the test can fail.
    state = jax.eval_shape(_program().init, jax.random.key(0), images)
    assert _flops(_program(), "both", state, images) > 3 * flops["alone"]


def test_a_weight_that_grows_over_its_phase(starts):
    """The share of the phase that is done: 1 of 6 steps at its second step."""
    state, images = starts["both"], phased.batch(10)
    _, metrics = _moves()["both"](state, images)
    made = phased.FLOW.apply(state.variables["flow"], images["source_image"])
    field = np.mean((made - images["target_image"][..., :2]) ** 2)
    np.testing.assert_allclose(metrics["artist/field"], field / 6, rtol=1e-4)


def test_one_player_name_in_two_phases_is_two_optimisers(starts):
    state = starts["both"]
    keys = {"flow/mover", "paint/judge", "paint/artist", "both/artist"}
    assert set(state.optimisers) == set(state.scales) == set(state.skipped) == keys
    # Each counts the updates of its own phase.
    counts = {"flow/mover": 4, "paint/judge": 10, "paint/artist": 5, "both/artist": 1}
    for key, wanted in counts.items():
        found = {int(v) for v in jax.tree.leaves(state.optimisers[key]) if v.dtype == jnp.int32}
        assert found == {wanted}, key


def test_critics_of_several_updates_and_bounded_weights(starts):
    state, images = starts["paint"], phased.batch(5)
    assert all(
        np.max(np.abs(leaf)) <= 0.5 for leaf in jax.tree.leaves(state.variables["critic"]["params"])
    )
    new, _ = _moves()["paint"](state, images)
    moments = new.optimisers["paint/judge"]
    # Two updates in each of two steps.
    counts = [int(leaf) for leaf in jax.tree.leaves(moments) if leaf.dtype == jnp.int32]
    assert set(counts) == {4}


# --- whole runs ----------------------------------------------------------------------------------


@pytest.fixture(
    scope="module", params=[pytest.param(1, marks=pytest.mark.slow), 2], ids=["one", "two"]
)
def devices(request):
    return request.param


@pytest.fixture(scope="module")
def whole(devices, tmp_path_factory):
    """The state of a run that nothing cut."""
    config = phased.config(devices=devices)
    return phased.run(config, tmp_path_factory.mktemp("phased") / "whole")


@pytest.mark.parametrize(
    "cut",
    [pytest.param(2, marks=pytest.mark.slow), 6, pytest.param(12, marks=pytest.mark.slow)],
    ids=phased.PHASES,
)
def test_a_run_cut_in_any_phase_resumes_bit_for_bit(devices, whole, tmp_path, cut):
    config = phased.config(devices=devices, checkpoint_every=1, keep_checkpoints=2)

    def batches(start, stop):
        for step, batch in enumerate(phased.batches(start, stop), start):
            if step == cut + 1:
                raise KeyboardInterrupt
            yield batch

    with pytest.raises(KeyboardInterrupt):
        phased.run(config, tmp_path, batches)
    _equal(phased.run(config, tmp_path), whole)


def test_two_devices_are_one_to_rounding(whole, devices):
    state = jax.jit(_program().init)(jax.random.key(0), phased.batch(0))
    for number in range(phases.last_step(_program().spans)):
        phase = phases.phase_of(_program().spans, number)
        state, _ = _moves()[phase](state, phased.batch(number))
    chex.assert_trees_all_close(
        jax.device_get(whole.averages), jax.device_get(state.averages), atol=2e-3
    )


@pytest.mark.slow
def test_the_best_checkpoint_is_of_the_last_phase_that_has_the_metric(tmp_path):
    """A term of the middle phase alone: checkpoints of the others have no score."""
    config = phased.config(checkpoint_every=2, keep_checkpoints=20, best_by="artist/gan")
    phased.run(config, tmp_path / "run")
    found = {
        int(folder.name): manifest.read(folder)["metric"]["artist/gan"]
        for folder in (tmp_path / "run" / "checkpoints").iterdir()
    }
    # Steps 5 to 9 are of the phase "paint".
    assert {step for step, score in found.items() if score is not None} == {6, 8}
    lines = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert all(("artist/gan" in line) == (5 <= line["step"] <= 9) for line in lines)
    config.train.best_by = "artist/gna"
    with pytest.raises(UserError, match="no metric 'artist/gna'; did you mean 'artist/gan'"):
        phased.run(config, tmp_path / "other")
