"""`python -m launch`: starts `volsynth train` here, on Slurm, TPU VMs or Kubernetes."""

import argparse
import json
import os
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from launch import arguments, command, devices, jobset, local, slurm, submit, tpu_vm
from launch.sweeps import runner, spec
from volsynth import files
from volsynth.errors import UserError, os_errors_explained


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    options = arguments.parse(sys.argv[1:] if argv is None else argv)
    try:
        return _COMMANDS[options.launcher](options)
    except UserError as error:
        print("launch: error: " + " ".join(str(error).splitlines()), file=sys.stderr)
        return command.MISTAKE


def _say(line: str) -> None:
    """Prints a line about what happens; the standard output is for what the user asked for."""
    print(f"launch: {line}", file=sys.stderr, flush=True)


def _command(options: argparse.Namespace, program: Sequence[str]) -> list[str]:
    return command.train_command(
        program, options.config, options.workdir, options.overrides, options.given
    )


def _fields(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Options that have the names of fields, as keyword arguments."""
    return {name: getattr(options, name) for name in names}


def _local(options: argparse.Namespace) -> int:
    argv = _command(options, command.HERE)
    shares = devices.shares(
        devices.gpus(os.environ), options.processes, options.platform, options.devices_per_process
    )
    if options.dry_run:
        print(local.render(argv, shares), end="")
        return 0
    # Options have the names of the fields, so that they are handed on as they are.
    names = ("max_restarts", "backoff", "max_backoff", "healthy_after", "grace")
    return local.run(argv, shares, os.environ, local.Policy(**_fields(options, *names)), _say)


def _slurm(options: argparse.Namespace) -> int:
    names = (
        *("name", "nodes", "gpus_per_node", "cpus_per_task", "time", "partition", "account"),
        *("output", "setup", "max_restarts", "grace"),
    )
    text = slurm.render(slurm.Job(**_fields(options, *names)), _command(options, command.INSTALLED))
    return _submit(options, ["sbatch"], text)


def _tpu_vm(options: argparse.Namespace) -> int:
    names = ("name", "zone", "accelerator_type", "runtime_version", "project", "spot", "setup")
    tpu = tpu_vm.Tpu(**_fields(options, *names, "max_restarts"))
    text = tpu_vm.render(tpu, _command(options, command.INSTALLED))
    if options.dry_run:
        print(text, end="")
        return 0
    submit.require("gcloud")
    # In the place of this process: signals reach the script, which ends what it has started.
    os.execvp("bash", ["bash", "-c", text])


def _jobset(options: argparse.Namespace) -> int:
    argv = _command(options, command.INSTALLED)
    if bool(options.accelerator) != bool(options.topology) or bool(options.topology) == bool(
        options.gpus_per_node
    ):
        raise UserError("give either --accelerator and --topology (TPU), or --gpus-per-node (GPU).")
    exclusive = options.exclusive_topology
    if options.topology:
        names = ("accelerator", "topology", "chips_per_host", "slices")
        hardware = jobset.TpuSlices(**_fields(options, *names))
        # A slice is a node pool of GKE, and each job of the set needs one for itself.
        exclusive = exclusive or "cloud.google.com/gke-nodepool"
    else:
        hardware = jobset.GpuNodes(options.nodes, options.gpus_per_node)
    names = ("name", "image", "namespace", "max_restarts", "grace", "queue")
    workload = jobset.Workload(
        **_fields(options, *names), volumes=_volumes(options.volume), exclusive=exclusive
    )
    return _submit(
        options, ["kubectl", "apply", "-f", "-"], jobset.render(workload, hardware, argv)
    )


def _volumes(given: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The pairs (claim, path) of volumes given as CLAIM:/PATH."""
    volumes = []
    for volume in given:
        claim, _, path = volume.partition(":")
        if not claim or not path.startswith("/"):
            raise UserError(f"--volume {volume!r}: write CLAIM:/PATH.")
        volumes.append((claim, path))
    return tuple(volumes)


def _submit(options: argparse.Namespace, argv: Sequence[str], text: str) -> int:
    """Hands a text to a program, or prints it for --dry-run."""
    if options.dry_run:
        print(text, end="")
        return 0
    return submit.submit(argv, text)


def _sweep(options: argparse.Namespace) -> int:
    if options.overrides:
        raise UserError(f"{options.overrides[0]}: a sweep has its overrides in its table.")
    runs = spec.read_runs(options.table)
    root = options.root or pathlib.Path("runs") / options.table.stem
    # What stands after -- replaces the program and `train`, not their options.
    train = options.given or [*command.HERE, "train"]
    status, score = 0, None
    # Not ignored: whoever gives it expects scores.
    if options.estimator and not options.evaluate:
        raise UserError("--estimator is for --evaluate; give both.")
    if options.evaluate:
        score = ["--estimator", options.estimator] if options.estimator else []
    if options.dry_run:
        print(runner.plan(runs, root, train, score), end="")
        return 0
    if not options.status:
        # A single run may have all devices, as without a sweep.
        share = [{}]
        if options.parallel > 1:
            share = devices.shares(devices.gpus(os.environ), options.parallel, "auto")
        status = runner.run_all(runs, root, train, score, share, os.environ, _say)
    if options.gather:
        _gather(options, runs, root)
    # After a sweep as well: the last lines say what became of each run.
    rows = runner.status(runs, root)
    print(json.dumps({"runs": rows}) + "\n" if options.json else runner.render(rows), end="")
    return status


def _gather(options: argparse.Namespace, runs: Sequence[spec.Run], root: pathlib.Path) -> None:
    """Writes the results of a sweep's runs to the file that --gather names."""
    # Late, as below: scores bring JAX, which launching has no need of.
    from launch.sweeps import results

    found = results.gather(runs, root, spec.read_presentation(options.table))
    with os_errors_explained("write", options.gather):
        files.write_text(options.gather, json.dumps(found, indent=1) + "\n")
    _say(f"{options.gather}: results of {len(found['runs'])} of {len(runs)} runs")


def _tables(options: argparse.Namespace) -> int:
    from launch.sweeps import pages

    written, missing = pages.write(options.results, options.page)
    for path in written:
        print(path)
    for name in missing:
        _say(f"{options.results / name}.json is not there: its table was left as it is")
    return 0


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "local": _local,
    "slurm": _slurm,
    "tpu-vm": _tpu_vm,
    "jobset": _jobset,
    "sweep": _sweep,
    "tables": _tables,
}
"""The function that runs each launcher, by the launcher's name on the command line."""


if __name__ == "__main__":
    sys.exit(main())
