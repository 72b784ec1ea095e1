"""Checkpoints come back bit for bit, or with one clear error."""

import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from saved import SHARDING, abstract_of, array_file, awkward_state, bits, flip, save_three

from volsynth.errors import UserError
from volsynth.train import checkpoint, run_record

# --- checkpoints ---------------------------------------------------------------------------------


def test_a_state_comes_back_bit_for_bit(tmp_path):
    saved = awkward_state(seed=7)
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps == []
        assert checkpoints.steps == []
        checkpoints.save(7, saved)
        checkpoints.wait()
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps[-1] == 7
        restored = checkpoints.restore(7, abstract_of(saved))
    assert jax.tree.structure(restored) == jax.tree.structure(saved)
    for new, old in zip(jax.tree.leaves(restored), jax.tree.leaves(saved)):
        assert (new.dtype, new.shape, bits(new)) == (old.dtype, old.shape, bits(old))
    # The key is a key, and what one derives from it is the same.
    folded = [jax.random.fold_in(s.rng, 3) for s in (restored, saved)]
    assert bits(folded[0]) == bits(folded[1])
    assert bits(restored.rng) != bits(awkward_state(seed=8).rng)


def test_leaving_the_context_waits_for_saves(tmp_path):
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, awkward_state())
    assert (tmp_path / "checkpoints" / "3").is_dir()


def test_only_the_newest_are_kept(tmp_path):
    with checkpoint.Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (2, 4, 6, 8):
            checkpoints.save(step, awkward_state(step))
        checkpoints.wait()
        assert sorted(checkpoints.steps) == [6, 8]
        assert checkpoints.restore(6, abstract_of(awkward_state())).step == 6


def test_saving_a_step_again_changes_nothing(tmp_path):
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, awkward_state(1))
        checkpoints.wait()
        checkpoints.save(2, awkward_state(5))
        checkpoints.wait()
        assert checkpoints.restore(2, abstract_of(awkward_state())).step == 1


def _other_shape(value):
    return value.replace(
        variables={**value.variables, "generator": {"params": {"w": jnp.zeros((3,))}}}
    )


def _other_names(value):
    return value.replace(variables={**value.variables, "generator": {"weight": jnp.zeros(())}})


def _fewer_networks(value):
    return value.replace(variables={"generator": value.variables["generator"]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_other_shape, "variables.generator.params.w has shape () in it, (3,) in the config."),
        (_other_names, "variables.generator.params.w is only in it."),
        (_fewer_networks, "variables.critic.params.v is only in it."),
    ],
)
def test_a_checkpoint_of_another_structure_is_refused(tmp_path, change, message):
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, awkward_state())
    # As a new process would: nothing is known but what is on disk.
    with (
        checkpoint.Checkpoints(tmp_path) as checkpoints,
        pytest.raises(UserError, match=f"cannot be restored: {re.escape(message)}$") as caught,
    ):
        checkpoints.restore(2, abstract_of(change(awkward_state())))
    assert "\n" not in str(caught.value)


def test_a_network_that_the_checkpoint_lacks_is_named(tmp_path):
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, _fewer_networks(awkward_state()))
    with (
        checkpoint.Checkpoints(tmp_path) as checkpoints,
        pytest.raises(UserError, match=r"variables\.critic\.params\.v is only in the config\."),
    ):
        checkpoints.restore(2, abstract_of(awkward_state()))


@pytest.mark.parametrize(
    "pattern", ["**/*", "state/**/d/*", "state/manifest.ocdbt", "**/_METADATA"]
)
def test_a_damaged_checkpoint_is_refused(tmp_path, pattern):
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, awkward_state())
    files = [p for p in (tmp_path / "checkpoints" / "2").glob(pattern) if p.is_file()]
    assert files
    for path in files:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with (
        checkpoint.Checkpoints(tmp_path) as checkpoints,
        pytest.raises(UserError, match=r"checkpoint 2 in .* cannot be restored: ") as caught,
    ):
        checkpoints.restore(2, abstract_of(awkward_state()))
    assert "\n" not in str(caught.value)


def test_restoring_a_step_that_is_not_there(tmp_path):
    with (
        checkpoint.Checkpoints(tmp_path) as checkpoints,
        pytest.raises(UserError, match=r"checkpoint 4 in .* cannot be restored: "),
    ):
        checkpoints.restore(4, abstract_of(awkward_state()))


# --- the best ------------------------------------------------------------------------------------


def test_the_best_is_kept_besides_the_newest(tmp_path):
    scores = {2: 0.5, 4: 0.1, 6: None, 8: float("nan"), 10: 0.3, 12: 0.2}
    with checkpoint.Checkpoints(tmp_path, keep=2, best_by="g/loss") as checkpoints:
        assert checkpoints.best is None
        for step, score in scores.items():
            checkpoints.save(step, awkward_state(step), score)
        checkpoints.wait()
        assert checkpoints.steps == [4, 10, 12]
        assert checkpoints.best == 4
    # By another metric none of these is the best.
    with checkpoint.Checkpoints(tmp_path, keep=2, best_by="g/l1") as checkpoints:
        assert checkpoints.best is None
    with checkpoint.Checkpoints(tmp_path, keep=2, best_by="g/loss") as checkpoints:
        checkpoints.save(14, awkward_state(14), 0.1)
        checkpoints.wait()
        assert checkpoints.best == 14, "of equal ones the newest"
        assert checkpoints.steps == [12, 14]


# --- of whom, and which part ---------------------------------------------------------------------


def _run_file(workdir, config):
    workdir.mkdir(parents=True, exist_ok=True)
    run_record.claim_workdir(workdir, config, "data")


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    config = {"seed": 0, "data": {"dir": "a"}}
    _run_file(tmp_path / "a", config)
    _run_file(tmp_path / "b", {**config, "seed": 1})
    _run_file(tmp_path / "c", {**config, "data": {"dir": "b"}})
    folder = save_three(tmp_path / "a")
    message = r"checkpoint 6 .* cannot be restored: it is of another run \(seed: 0 there, 1 here\)"
    shutil.copytree(folder, tmp_path / "b" / "checkpoints")
    with checkpoint.Checkpoints(tmp_path / "b") as checkpoints:
        for ask in (
            checkpoints.step_to_resume,
            lambda: checkpoints.restore(6, abstract_of(awkward_state())),
            lambda: checkpoints.restore_averages(None, abstract_of(awkward_state().averages)),
        ):
            with pytest.raises(UserError, match=message):
                ask()
        assert checkpoints.steps == [2, 4, 6]
    # What is free may differ.
    shutil.copytree(folder, tmp_path / "c" / "checkpoints")
    with checkpoint.Checkpoints(tmp_path / "c") as checkpoints:
        assert checkpoints.step_to_resume() == 6


def test_a_step_under_another_number_is_damaged(tmp_path):
    folder = save_three(tmp_path)
    (folder / "6").rename(folder / "8")
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(UserError, match=r"checkpoint 8 .*: it was saved as 6"):
            checkpoints.restore(8, abstract_of(awkward_state()))
        assert checkpoints.step_to_resume() == 4


def test_averages_come_without_the_rest(tmp_path):
    folder = save_three(tmp_path)
    abstract = abstract_of(awkward_state()).averages
    # Of the same size and unreadable: whoever looked into it would notice.
    for path in (folder / "6" / "state").rglob("*"):
        if path.is_file():
            path.write_bytes(b"x" * path.stat().st_size)
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        step, averages = checkpoints.restore_averages(None, abstract)
        assert step == 6
        jax.tree.map(np.testing.assert_array_equal, averages, awkward_state(6).averages)
        weight = jax.ShapeDtypeStruct((3,), jnp.float32, sharding=SHARDING)
        other = {"generator": {"params": {"w": weight}}}
        with pytest.raises(
            UserError, match=r"averages\.generator\.params\.w has shape \(\) in it, \(3,\)"
        ):
            checkpoints.restore_averages(4, other)


def test_averages_of_the_newest_good_step(tmp_path):
    folder = save_three(tmp_path)
    flip(array_file(folder / "6", "averages"))
    lines, abstract = [], abstract_of(awkward_state()).averages
    with checkpoint.Checkpoints(tmp_path, say=lines.append) as checkpoints:
        assert checkpoints.restore_averages(None, abstract)[0] == 4
        assert re.fullmatch(r"checkpoint 6 is damaged \(the SHA-256 of .*\); 4 instead\.", *lines)
        with pytest.raises(UserError, match=r"checkpoint 6 .* cannot be restored: the SHA-256 of"):
            checkpoints.restore_averages(6, abstract)
    assert (folder / "6").is_dir(), "whoever only reads moves nothing"
