"""A toy run, killed again and again at random moments: does it end where an uncut one does?

    python tests/train/killed.py FOLDER RESUMPTIONS [SEED]

Prints one JSON object. JAX is imported once and each session is a fork, made before any backend is
there, so that a session costs about a second.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import random
import signal
import sys
import time
import traceback

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "1")

import jax
import jax.numpy as jnp
import numpy as np
import toy
from PIL import Image

from volsynth.system import System
from volsynth.train import run_record

WEIGHTS, STEPS, EVERY = 200_000, 60, 2
"""Weights enough for a save to take a while."""


def _init(rng, batch):
    return {
        **toy.init(rng, batch),
        "generator": {"params": {"w": jax.random.normal(rng, (WEIGHTS,))}},
    }


def _forward(variables, batch, context):
    weights = variables["generator"]["params"]["w"].astype(jnp.float16)
    mean = jnp.sum(weights * jnp.sin(jnp.arange(WEIGHTS)).astype(jnp.float16), dtype=jnp.float32)
    noise = jax.random.normal(context.rng, batch["source_image"].shape)
    return {"image": (mean / 100 + 0.1 * noise) * batch["source_image"]}, {}


def _generator_loss(variables, outputs, batch, context):
    error = jnp.mean((outputs["image"] - batch["target_image"]) ** 2)
    game = variables["critic"]["params"]["v"] * jnp.mean(outputs["image"])
    return {"l2": error, "game": game}, {}


def _system():
    players = dict(toy.system().phases["main"])
    players["generator"] = players["generator"]._replace(loss=_generator_loss)
    return System("killed", "-", _init, _forward, {"main": players})


def _config():
    return toy.config(
        STEPS,
        learning_rate=0.01,
        precision="float16",
        log_every=1,
        sample_every=10 * STEPS,
        checkpoint_every=EVERY,
        keep_checkpoints=2,
        best_by="generator/l2",
    )


def _batches(start, stop):
    for step in range(start, stop):
        values = np.random.default_rng([7, step]).normal(size=(2, 2, 1, 1, 1))
        yield dict(zip(("source_image", "target_image"), values.astype(np.float32)))


def _digest(tree):
    """The digest of every bit of every leaf, with its place, shape and dtype."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        leaf = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)}{leaf.shape}{leaf.dtype}".encode())
        digest.update(leaf.tobytes())
    return digest.hexdigest()


def _session(workdir, started):
    """Trains; writes down with which batch it began, and how it ended. Runs in a fork."""
    run_record.claim_workdir(workdir, json.loads(_config().to_json()), "made up")

    def batches(start, stop):
        stream = _batches(start, stop)
        if stop > start + 1:
            first = next(_batches(start, stop))
            with (workdir / "attempts.jsonl").open("a") as file:
                file.write(json.dumps([start, _digest(first)]) + "\n")
        return stream

    os.write(started, b".")
    picture = Image.new("RGB", (4, 4))
    state = toy.train(_system(), _config(), batches, workdir, lambda averages: picture)
    fields = ("variables", "optimisers", "averages", "scales", "skipped", "rng", "step")
    digests = {name: _digest(getattr(state, name)) for name in fields}
    (workdir / "end.json").write_text(json.dumps(digests))


def _fork(workdir, after):
    """One session, killed so many seconds after its start; True if it ended before."""
    begun, started = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            with (workdir / "stderr.txt").open("a") as file:
                os.dup2(file.fileno(), 2)
            os.close(begun)
            _session(workdir, started)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(started)
    os.read(begun, 1)
    os.close(begun)
    deadline = time.monotonic() + after
    while time.monotonic() < deadline:
        if (done := os.waitpid(child, os.WNOHANG)) != (0, 0):
            break
        time.sleep(0.002)
    else:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        done = os.waitpid(child, 0)
    status = os.waitstatus_to_exitcode(done[1])
    if status not in (0, -signal.SIGKILL):
        raise RuntimeError(f"a session failed: {(workdir / 'stderr.txt').read_text()[-2000:]}")
    return status == 0


def main(folder, resumptions, seed):
    # What one session compiled, the next ones read.
    jax.config.update("jax_compilation_cache_dir", str(folder / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    chance = random.Random(seed)
    whole = folder / "whole"
    whole.mkdir(parents=True)
    before = time.monotonic()
    assert _fork(whole, after=600.0)
    duration = time.monotonic() - before
    wanted = json.loads((whole / "end.json").read_text())
    batches = {step: _digest(batch) for step, batch in enumerate(_batches(0, STEPS))}
    found = {"kills": 0, "while_saving": 0, "resumptions": 0, "runs": 0, "wrong": []}
    while found["resumptions"] < resumptions:
        workdir = folder / f"run-{found['runs']}"
        workdir.mkdir()
        while not _fork(workdir, chance.uniform(0.0, 0.6 * duration)):
            found["kills"] += 1
            names = [path.name for path in (workdir / "checkpoints").glob("*")]
            found["while_saving"] += any(".saving" in name for name in names)
        starts = [json.loads(line) for line in (workdir / "attempts.jsonl").open()]
        found["resumptions"] += sum(start > 0 for start, _ in starts)
        ended = json.loads((workdir / "end.json").read_text())
        wrong = [name for name in wanted if ended[name] != wanted[name]]
        wrong += [f"batch {start}" for start, digest in starts if batches[start] != digest]
        if wrong or "damaged" in (workdir / "stderr.txt").read_text():
            found["wrong"].append({"run": str(workdir), "what": wrong})
        found["runs"] += 1
    print(json.dumps({**found, "seconds": round(time.monotonic() - before)}))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
