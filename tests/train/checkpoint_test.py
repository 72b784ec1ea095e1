"""Checkpoints come back bit for bit, or with one clear error."""

import errno
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toy

from volsynth.errors import UserError
from volsynth.train import checkpoint, manifest, state
from volsynth.train import workdir as workdirs

SHARDING = jax.sharding.SingleDeviceSharding(jax.devices()[0])


def _state(seed=0):
    """A state with awkward numbers in it: subnormal, NaN, infinite, negative zero."""
    optimisers = {name: optax.adam(0.1) for name in ("generator", "critic")}
    init = state.initialiser(toy.system(), optimisers)
    made = init(jax.random.key(seed), toy.batch())
    odd = jnp.array([1e-42, np.nan, -np.inf, -0.0, 1 / 3], jnp.float32)
    return made.replace(
        step=jnp.array(seed, jnp.int32),
        variables={**made.variables, "odd": {"values": odd, "half": odd.astype(jnp.bfloat16)}},
    )


def _abstract(value):
    return checkpoint.abstract(jax.eval_shape(lambda: value), SHARDING)


def _bits(leaf):
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf).tobytes()


# --- checkpoints ---------------------------------------------------------------------------------


def test_a_state_comes_back_bit_for_bit(tmp_path):
    saved = _state(seed=7)
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest is None
        assert checkpoints.steps == []
        checkpoints.save(7, saved)
        checkpoints.wait()
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest == 7
        restored = checkpoints.restore(7, _abstract(saved))
    assert jax.tree.structure(restored) == jax.tree.structure(saved)
    for new, old in zip(jax.tree.leaves(restored), jax.tree.leaves(saved)):
        assert (new.dtype, new.shape, _bits(new)) == (old.dtype, old.shape, _bits(old))
    # The key is a key, and what one derives from it is the same.
    folded = [jax.random.fold_in(s.rng, 3) for s in (restored, saved)]
    assert _bits(folded[0]) == _bits(folded[1])
    assert _bits(restored.rng) != _bits(_state(seed=8).rng)


def test_leaving_the_context_waits_for_saves(tmp_path):
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, _state())
    assert (tmp_path / "checkpoints" / "3").is_dir()


def test_only_the_newest_are_kept(tmp_path):
    with checkpoint.Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (2, 4, 6, 8):
            checkpoints.save(step, _state(step))
        checkpoints.wait()
        assert sorted(checkpoints.steps) == [6, 8]
        assert checkpoints.restore(6, _abstract(_state())).step == 6


def test_saving_a_step_again_changes_nothing(tmp_path):
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, _state(1))
        checkpoints.wait()
        checkpoints.save(2, _state(5))
        checkpoints.wait()
        assert checkpoints.restore(2, _abstract(_state())).step == 1


def _other_shape(value):
    return value.replace(variables={**value.variables, "generator": {"w": jnp.zeros((3,))}})


def _other_names(value):
    return value.replace(variables={**value.variables, "generator": {"weight": jnp.zeros(())}})


def _fewer_networks(value):
    return value.replace(variables={"generator": value.variables["generator"]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_other_shape, "variables.generator.w has shape () in it, (3,) in the config."),
        (_other_names, "variables.generator.w is only in it."),
        (_fewer_networks, "variables.critic.v is only in it."),
    ],
)
def test_a_checkpoint_of_another_structure_is_refused(tmp_path, change, message):
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, _state())
    # As a new process would: nothing is known but what is on disk.
    with (
        checkpoint.Checkpoints(tmp_path) as checkpoints,
        pytest.raises(UserError, match=f"cannot be restored: {re.escape(message)}$") as caught,
    ):
        checkpoints.restore(2, _abstract(change(_state())))
    assert "\n" not in str(caught.value)


def test_a_network_that_the_checkpoint_lacks_is_named(tmp_path):
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, _fewer_networks(_state()))
    with (
        checkpoint.Checkpoints(tmp_path) as checkpoints,
        pytest.raises(UserError, match=r"variables\.critic\.v is only in the config\."),
    ):
        checkpoints.restore(2, _abstract(_state()))


@pytest.mark.parametrize(
    "pattern", ["**/*", "state/**/d/*", "state/manifest.ocdbt", "**/_METADATA"]
)
def test_a_damaged_checkpoint_is_refused(tmp_path, pattern):
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, _state())
    files = [p for p in (tmp_path / "checkpoints" / "2").glob(pattern) if p.is_file()]
    assert files
    for path in files:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with (
        checkpoint.Checkpoints(tmp_path) as checkpoints,
        pytest.raises(UserError, match=r"checkpoint 2 in .* cannot be restored: ") as caught,
    ):
        checkpoints.restore(2, _abstract(_state()))
    assert "\n" not in str(caught.value)


def test_restoring_a_step_that_is_not_there(tmp_path):
    with (
        checkpoint.Checkpoints(tmp_path) as checkpoints,
        pytest.raises(UserError, match=r"checkpoint 4 in .* cannot be restored: "),
    ):
        checkpoints.restore(4, _abstract(_state()))


# --- the best ------------------------------------------------------------------------------------


def test_the_best_is_kept_besides_the_newest(tmp_path):
    scores = {2: 0.5, 4: 0.1, 6: None, 8: float("nan"), 10: 0.3, 12: 0.2}
    with checkpoint.Checkpoints(tmp_path, keep=2, best_by="g/loss") as checkpoints:
        assert checkpoints.best is None
        for step, score in scores.items():
            checkpoints.save(step, _state(step), score)
        checkpoints.wait()
        assert checkpoints.steps == [4, 10, 12]
        assert checkpoints.best == 4
    # By another metric none of these is the best.
    with checkpoint.Checkpoints(tmp_path, keep=2, best_by="g/l1") as checkpoints:
        assert checkpoints.best is None
    with checkpoint.Checkpoints(tmp_path, keep=2, best_by="g/loss") as checkpoints:
        checkpoints.save(14, _state(14), 0.1)
        checkpoints.wait()
        assert checkpoints.best == 14, "of equal ones the newest"
        assert checkpoints.steps == [12, 14]


# --- damage --------------------------------------------------------------------------------------


def _three(workdir):
    with checkpoint.Checkpoints(workdir, keep=3) as checkpoints:
        for step in (2, 4, 6):
            checkpoints.save(step, _state(step))
    return workdir / "checkpoints"


def _flip(path, place=-1, bit=0):
    contents = bytearray(path.read_bytes())
    contents[place] ^= 1 << bit
    path.write_bytes(contents)


def _array_file(folder, item="state"):
    return max((folder / item).glob("**/d/*"), key=lambda path: path.stat().st_size)


def test_damaged_steps_are_passed_over_loudly_and_moved_aside(tmp_path):
    folder = _three(tmp_path)
    damaged = _array_file(folder / "6").relative_to(folder / "6")
    _flip(folder / "6" / damaged)
    (folder / "4" / "manifest.json").unlink()
    lines = []
    with checkpoint.Checkpoints(tmp_path, keep=3, say=lines.append) as checkpoints:
        assert checkpoints.usable() == 2
        assert checkpoints.restore(2, _abstract(_state())).step == 2
        assert [line.partition("; moved")[0] for line in lines] == [
            f"checkpoint 6 is damaged (the SHA-256 of {damaged} is another)",
            "checkpoint 4 is damaged (manifest.json is missing)",
        ]
        assert all("Going on from checkpoint 2 instead." in line for line in lines)
        # The same numbers again, and damaged again: nothing is lost.
        for step in (4, 6):
            checkpoints.save(step, _state(step))
        checkpoints.wait()
        assert checkpoints.steps == [2, 4, 6]
    (folder / "6" / "state" / "more").touch()
    with checkpoint.Checkpoints(tmp_path, say=lines.append) as checkpoints:
        assert checkpoints.usable() == 4
    assert sorted(path.name for path in (folder / "damaged").iterdir()) == ["4", "6", "6-2"]


def test_without_a_good_step_nothing_begins_and_nothing_moves(tmp_path):
    folder = _three(tmp_path)
    for step in (2, 4, 6):
        (folder / str(step) / "manifest.json").write_text("")
    lines = []
    with checkpoint.Checkpoints(tmp_path, say=lines.append) as checkpoints:
        for ask in (checkpoints.usable, lambda: checkpoints.averages(None, None)):
            with pytest.raises(UserError, match=r"no checkpoint in .* is good \(6: manifest\.json"):
                ask()
        assert checkpoints.steps == [2, 4, 6]
    assert lines == []


def test_without_any_step_there_is_none_to_use(tmp_path):
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.usable() is None
        assert checkpoints.best is None


def test_what_an_unfinished_save_leaves_is_no_checkpoint(tmp_path, monkeypatch):
    """Killed after Orbax was done and before the manifest was: as if it had not been saved."""
    folder = _three(tmp_path)
    (folder / "6" / "manifest.json").unlink()
    (folder / "6").rename(folder / "6.saving")
    (folder / "8.saving.orbax-checkpoint-tmp").mkdir()
    (folder / "0.deleted").mkdir()
    with checkpoint.Checkpoints(tmp_path, keep=3) as checkpoints:
        assert checkpoints.latest == 4
        checkpoints.averages(None, _abstract(_state().averages))
        assert (folder / "6.saving").exists(), "whoever reads leaves a running save alone"
        assert checkpoints.usable() == 4
        assert sorted(path.name for path in folder.iterdir()) == ["2", "4"]
        checkpoints.save(6, _state(6))
        checkpoints.wait()
        assert checkpoints.usable() == 6


def test_earlier_steps_go_only_when_the_new_one_is_complete(tmp_path, monkeypatch):
    def stopped(folder, about):
        raise OSError(errno.ENOSPC, "No space left on device")

    with checkpoint.Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(2, _state(2))
        checkpoints.wait()
        with monkeypatch.context() as patch:
            patch.setattr(manifest, "write", stopped)
            checkpoints.save(4, _state(4))
            with pytest.raises(UserError, match=r"checkpoint 4 could not be saved in .* no space"):
                checkpoints.wait()
        assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["2"]
        checkpoints.save(4, _state(4))
        checkpoints.wait()
        assert checkpoints.steps == [4]


def _check_for_ten_seconds(checkpoints):
    for _ in range(1000):
        checkpoints.check()
        time.sleep(0.01)


def test_a_failed_save_is_found_without_waiting(tmp_path, monkeypatch):
    gate, failed = threading.Event(), threading.Event()

    def stopped(folder, about):
        gate.wait(20)
        failed.set()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(manifest, "write", stopped)
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, _state(2))
        checkpoints.check()
        gate.set()
        assert failed.wait(20)
        with pytest.raises(UserError, match="could not be saved"):
            _check_for_ten_seconds(checkpoints)


def test_what_ends_a_run_is_not_hidden_by_a_failed_save(tmp_path, monkeypatch):
    def stopped(folder, about):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(manifest, "write", stopped)

    def end(error):
        with checkpoint.Checkpoints(tmp_path, say=lines.append) as checkpoints:
            checkpoints.save(2, _state(2))
            if error:
                raise error

    lines = []
    with pytest.raises(KeyboardInterrupt):
        end(KeyboardInterrupt())
    assert [line.partition(" in ")[0] for line in lines] == ["checkpoint 2 could not be saved"]
    with pytest.raises(UserError, match="could not be saved"):
        end(None)


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for one checkpoint of `_wide` and some more, not for two."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    try:
        subprocess.run(options, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a file system is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _wide(seed):
    numbers = np.random.default_rng(seed).normal(size=(1024, 1024)).astype(np.float32)
    made = _state(seed)
    return made.replace(variables={**made.variables, "odd": jnp.asarray(numbers)})


def _save_and_wait(checkpoints, step, state):
    checkpoints.save(step, state)
    checkpoints.wait()


def test_a_full_disk_is_one_error_and_costs_no_earlier_step(small_disk):
    # In a process of its own: threads of TensorStore may still complain when all is over.
    code = "import pathlib, sys, checkpoint_test as t; t.fill(pathlib.Path(sys.argv[1]))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", code, str(small_disk)]
    subprocess.run(command, env=environment, check=True, timeout=120)


def fill(small_disk):
    """Saves more than there is room for."""
    with checkpoint.Checkpoints(small_disk) as checkpoints:
        checkpoints.save(2, _wide(2))
        checkpoints.wait()
        # The error comes with the save itself or with the wait for it.
        with pytest.raises(
            UserError,
            match=r"checkpoint 4 could not be saved in .*: no space left on the disk\. Those",
        ):
            _save_and_wait(checkpoints, 4, _wide(4))
    with checkpoint.Checkpoints(small_disk) as checkpoints:
        assert checkpoints.usable() == 2
        restored = checkpoints.restore(2, _abstract(_wide(2)))
        assert _bits(restored.variables["odd"]) == _bits(_wide(2).variables["odd"])
        checkpoints.save(4, _state(4))
        checkpoints.wait()
        assert checkpoints.steps == [4]


# --- of whom, and which part ---------------------------------------------------------------------


def _run_file(workdir, config):
    workdir.mkdir(parents=True, exist_ok=True)
    workdirs.claim_workdir(workdir, config, "data")


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    config = {"seed": 0, "data": {"dir": "a"}}
    _run_file(tmp_path / "a", config)
    _run_file(tmp_path / "b", {**config, "seed": 1})
    _run_file(tmp_path / "c", {**config, "data": {"dir": "b"}})
    folder = _three(tmp_path / "a")
    message = r"checkpoint 6 .* cannot be restored: it is of another run \(seed: 0 there, 1 here\)"
    shutil.copytree(folder, tmp_path / "b" / "checkpoints")
    with checkpoint.Checkpoints(tmp_path / "b") as checkpoints:
        for ask in (
            checkpoints.usable,
            lambda: checkpoints.restore(6, _abstract(_state())),
            lambda: checkpoints.averages(None, _abstract(_state().averages)),
        ):
            with pytest.raises(UserError, match=message):
                ask()
        assert checkpoints.steps == [2, 4, 6]
    # What is free may differ.
    shutil.copytree(folder, tmp_path / "c" / "checkpoints")
    with checkpoint.Checkpoints(tmp_path / "c") as checkpoints:
        assert checkpoints.usable() == 6


def test_a_step_under_another_number_is_damaged(tmp_path):
    folder = _three(tmp_path)
    (folder / "6").rename(folder / "8")
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(UserError, match=r"checkpoint 8 .*: it was saved as 6"):
            checkpoints.restore(8, _abstract(_state()))
        assert checkpoints.usable() == 4


def test_averages_come_without_the_rest(tmp_path):
    folder = _three(tmp_path)
    abstract = _abstract(_state()).averages
    # Of the same size and unreadable: whoever looked into it would notice.
    for path in (folder / "6" / "state").rglob("*"):
        if path.is_file():
            path.write_bytes(b"x" * path.stat().st_size)
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        step, averages = checkpoints.averages(None, abstract)
        assert step == 6
        jax.tree.map(np.testing.assert_array_equal, averages, _state(6).averages)
        other = {"generator": {"w": jax.ShapeDtypeStruct((3,), jnp.float32, sharding=SHARDING)}}
        with pytest.raises(UserError, match=r"averages\.generator\.w has shape \(\) in it, \(3,\)"):
            checkpoints.averages(4, other)


def test_averages_of_the_newest_good_step(tmp_path):
    folder = _three(tmp_path)
    _flip(_array_file(folder / "6", "averages"))
    lines, abstract = [], _abstract(_state()).averages
    with checkpoint.Checkpoints(tmp_path, say=lines.append) as checkpoints:
        assert checkpoints.averages(None, abstract)[0] == 4
        assert re.fullmatch(r"checkpoint 6 is damaged \(the SHA-256 of .*\); 4 instead\.", *lines)
        with pytest.raises(UserError, match=r"checkpoint 6 .* cannot be restored: the SHA-256 of"):
            checkpoints.averages(6, abstract)
    assert (folder / "6").is_dir(), "whoever only reads moves nothing"


# --- many faults ---------------------------------------------------------------------------------


def _fault(chance, step):
    """Does something to one file of a step; says what."""
    path = chance.choice(sorted(path for path in step.rglob("*") if path.is_file()))
    size = path.stat().st_size
    kind = chance.choice(["flip", "cut", "missing"])
    if kind == "missing" or not size:
        path.unlink()
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[: chance.randrange(size)])
    else:
        _flip(path, chance.randrange(size), chance.randrange(8))
    return f"{kind} {path.relative_to(step)}"


def _random_faults(tmp_path, count):
    folder = _three(tmp_path / "good")
    wanted = [_bits(leaf) for leaf in jax.tree.leaves(_state(4))]
    chance = random.Random(0)
    for number in range(count):
        workdir = tmp_path / f"fault-{number}"
        shutil.copytree(folder, workdir / "checkpoints")
        what = _fault(chance, workdir / "checkpoints" / "6")
        lines = []
        with checkpoint.Checkpoints(workdir, say=lines.append) as checkpoints:
            assert checkpoints.usable() == 4, what
            restored = checkpoints.restore(4, _abstract(_state()))
        assert [_bits(leaf) for leaf in jax.tree.leaves(restored)] == wanted, what
        assert len(lines) == 1, what
        shutil.rmtree(workdir)


def test_random_faults_are_found_before_use(tmp_path):
    _random_faults(tmp_path, 10)


@pytest.mark.slow
def test_two_hundred_random_faults_are_found_before_use(tmp_path):
    _random_faults(tmp_path, 200)


@pytest.mark.slow
def test_a_run_killed_at_a_hundred_moments_ends_where_an_uncut_one_does(tmp_path):
    """Ten to twenty minutes on two cores."""
    script = pathlib.Path(__file__).with_name("killed.py")
    path = os.pathsep.join([".", str(script.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, tmp_path / "runs", "100"],
        env={**os.environ, "PYTHONPATH": path, "JAX_NUM_CPU_DEVICES": "1"},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    found = json.loads(done.stdout)
    assert found["resumptions"] >= 100
    assert found["while_saving"] > 0
    assert found["wrong"] == []
