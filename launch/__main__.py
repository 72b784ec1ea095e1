"""`python -m launch`: starts `volsynth train` here, on Slurm, TPU VMs or Kubernetes."""

import argparse
import json
import os
import pathlib
import sys
from collections.abc import Sequence

from launch import command, devices, jobset, local, slurm, submit, tpu_vm
from launch.sweeps import runner, spec
from volsynth import files
from volsynth.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    parser = _parser()
    options, rest = parser.parse_known_args(arguments[:cut])
    options.given = arguments[cut + 1 :]
    options.overrides = [a for a in rest if a.startswith("--config.")]
    if unknown := [a for a in rest if a not in options.overrides]:
        parser.error(f"unrecognised argument {unknown[0]!r}; see launch {options.launcher} --help")
    try:
        return options.run(options)
    except UserError as error:
        print("launch: error: " + " ".join(str(error).splitlines()), file=sys.stderr)
        return command.MISTAKE


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m launch",
        description="Starts `volsynth train` where it is to run. The command is given by --config "
        "and --workdir, or whole, after --.",
    )
    launchers = parser.add_subparsers(dest="launcher", required=True, metavar="LAUNCHER")

    here = _launcher(launchers, "local", _local, "processes on this machine, restarted on a fault")
    policy = local.Policy()
    here.add_argument("--processes", type=_positive, default=1, metavar="N", help="default: 1")
    here.add_argument(
        "--devices-per-process", type=_positive, metavar="N",
        help="default: an equal share of the GPUs, or one CPU device",
    )  # fmt: skip
    here.add_argument(
        "--platform", choices=("auto", "cpu", "cuda"), default="auto",
        help="default: auto, which is cuda where there are GPUs",
    )  # fmt: skip
    _restarts(here)
    for name, kind, text in (
        ("grace", float, "seconds that the others have to end when a process died"),
        ("backoff", float, "seconds before the first restart; doubled each time"),
        ("max_backoff", float, "seconds between restarts at most"),
        ("healthy_after", float, "seconds after which earlier restarts are forgotten"),
    ):
        default = getattr(policy, name)
        here.add_argument(
            f"--{name.replace('_', '-')}", type=kind, default=default, metavar="S",
            help=f"{text}; default: {default:g}",
        )  # fmt: skip

    batch = _launcher(launchers, "slurm", _slurm, "a batch job, requeued when its time is over")
    job = slurm.Job()
    batch.add_argument("--name", default=job.name, help=f"default: {job.name}")
    batch.add_argument("--nodes", type=_positive, default=1, help="default: 1")
    batch.add_argument("--gpus-per-node", type=int, default=0, help="default: 0")
    batch.add_argument("--cpus-per-task", type=_positive)
    batch.add_argument("--time", default=job.time, help=f"default: {job.time}")
    batch.add_argument("--partition")
    batch.add_argument("--account")
    batch.add_argument(
        "--output", default=job.output, help=f"default: {job.output.replace('%', '%%')}"
    )
    batch.add_argument("--setup", help="a line of shell before it, such as '. .venv/bin/activate'")
    batch.add_argument("--grace", type=_positive, default=job.grace, help="seconds; default: 30")
    _restarts(batch)

    vm = _launcher(launchers, "tpu-vm", _tpu_vm, "a Cloud TPU, created anew when it is taken away")
    vm.add_argument("--name", required=True)
    vm.add_argument("--zone", required=True)
    vm.add_argument("--project")
    vm.add_argument("--accelerator-type", required=True, help="such as v6e-16")
    vm.add_argument("--runtime-version", required=True, help="such as v2-alpha-tpuv6e")
    vm.add_argument("--spot", action="store_true")
    vm.add_argument("--setup", help="a line of shell on each new worker: fetch and install")
    _restarts(vm)

    pods = _launcher(launchers, "jobset", _jobset, "a Kubernetes JobSet, for TPUs or GPUs")
    pods.add_argument("--name", default="volsynth", help="default: volsynth")
    pods.add_argument("--image", required=True, help="built from launch/Dockerfile")
    pods.add_argument("--namespace")
    pods.add_argument("--accelerator", help="TPU: such as tpu-v6e-slice")
    pods.add_argument("--topology", help="TPU: chips of a slice, such as 4x4")
    pods.add_argument("--chips-per-host", type=_positive, default=4, help="TPU; default: 4")
    pods.add_argument("--slices", type=_positive, default=1, help="TPU; default: 1")
    pods.add_argument("--nodes", type=_positive, default=1, help="GPU; default: 1")
    pods.add_argument("--gpus-per-node", type=_positive, metavar="N", help="GPU")
    pods.add_argument(
        "--volume", action="append", default=[], metavar="CLAIM:PATH",
        help="a persistent volume claim, for data and workdir; may be given several times",
    )  # fmt: skip
    pods.add_argument("--grace", type=_positive, default=120, help="seconds to save; default: 120")
    pods.add_argument(
        "--exclusive-topology", metavar="LABEL", help="default for TPUs: the node pool"
    )
    pods.add_argument("--queue", help="of Kueue")
    _restarts(pods)

    many = launchers.add_parser("sweep", help="the runs of a table", description="Runs a table.")
    many.set_defaults(run=_sweep)
    many.add_argument("table", type=pathlib.Path, help="such as configs/sweeps/precision.yaml")
    many.add_argument("--root", type=pathlib.Path, help="of workdirs; default: runs/TABLE")
    many.add_argument("--parallel", type=_positive, default=1, metavar="N", help="default: 1")
    many.add_argument("--evaluate", action="store_true", help="score each finished run, too")
    many.add_argument(
        "--estimator", metavar="WORKDIR", help="of a pose estimator, for --evaluate: PoseEst"
    )
    many.add_argument(
        "--gather",
        type=pathlib.Path,
        metavar="FILE.json",
        help="write the results of the finished runs, side by side",
    )
    many.add_argument("--status", action="store_true", help="print the state of each; run nothing")
    many.add_argument("--json", action="store_true", help="print the states as one JSON object")
    many.add_argument("--dry-run", action="store_true", help="print the commands; run nothing")
    many.epilog = "After -- stands what replaces `volsynth train`."

    drawn = launchers.add_parser(
        "tables",
        help="tables and plots of gathered results",
        description="Puts tables and plots of gathered results into a page.",
    )
    drawn.set_defaults(run=_tables)
    results, page = pathlib.Path("docs/results"), pathlib.Path("docs/comparison.md")
    drawn.add_argument("--results", type=pathlib.Path, default=results, help=f"default: {results}")
    drawn.add_argument(
        "--page", type=pathlib.Path, default=page, help=f"with a mark for each; default: {page}"
    )
    return parser


def _launcher(launchers, name, run, summary):
    parser = launchers.add_parser(name, help=summary, description=summary.capitalize() + ".")
    parser.set_defaults(run=run)
    parser.add_argument("--config", metavar="FILE[:VARIANT]", help="of volsynth train")
    parser.add_argument("--workdir", help="of volsynth train")
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be run or submitted"
    )
    return parser


def _restarts(parser):
    parser.add_argument(
        "--max-restarts", type=int, default=10, metavar="N", help="after faults; default: 10"
    )


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def _say(line):
    print(f"launch: {line}", file=sys.stderr, flush=True)


def _command(options, program):
    return command.train_command(
        program, options.config, options.workdir, options.overrides, options.given
    )


def _fields(options, *names):
    return {name: getattr(options, name) for name in names}


def _local(options):
    argv = _command(options, command.HERE)
    shares = devices.shares(
        devices.gpus(os.environ), options.processes, options.platform, options.devices_per_process
    )
    if options.dry_run:
        print(local.render(argv, shares), end="")
        return 0
    names = ("max_restarts", "backoff", "max_backoff", "healthy_after", "grace")
    return local.run(argv, shares, os.environ, local.Policy(**_fields(options, *names)), _say)


def _slurm(options):
    names = (
        *("name", "nodes", "gpus_per_node", "cpus_per_task", "time", "partition", "account"),
        *("output", "setup", "max_restarts", "grace"),
    )
    text = slurm.render(slurm.Job(**_fields(options, *names)), _command(options, command.INSTALLED))
    return _submit(options, ["sbatch"], text)


def _tpu_vm(options):
    names = ("name", "zone", "accelerator_type", "runtime_version", "project", "spot", "setup")
    tpu = tpu_vm.Tpu(**_fields(options, *names, "max_restarts"))
    text = tpu_vm.render(tpu, _command(options, command.INSTALLED))
    if options.dry_run:
        print(text, end="")
        return 0
    submit.require("gcloud")
    # In our place: signals reach the script, which ends what it started.
    os.execvp("bash", ["bash", "-c", text])


def _jobset(options):
    argv = _command(options, command.INSTALLED)
    if bool(options.accelerator) != bool(options.topology) or bool(options.topology) == bool(
        options.gpus_per_node
    ):
        raise UserError("give either --accelerator and --topology (TPU), or --gpus-per-node (GPU).")
    exclusive = options.exclusive_topology
    if options.topology:
        names = ("accelerator", "topology", "chips_per_host", "slices")
        hardware = jobset.TpuSlices(**_fields(options, *names))
        exclusive = exclusive or "cloud.google.com/gke-nodepool"
    else:
        hardware = jobset.GpuNodes(options.nodes, options.gpus_per_node)
    volumes = []
    for volume in options.volume:
        claim, _, path = volume.partition(":")
        if not claim or not path.startswith("/"):
            raise UserError(f"--volume {volume!r}: write CLAIM:/PATH.")
        volumes.append((claim, path))
    names = ("name", "image", "namespace", "max_restarts", "grace", "queue")
    workload = jobset.Workload(
        **_fields(options, *names), volumes=tuple(volumes), exclusive=exclusive
    )
    return _submit(
        options, ["kubectl", "apply", "-f", "-"], jobset.render(workload, hardware, argv)
    )


def _submit(options, argv, text):
    if options.dry_run:
        print(text, end="")
        return 0
    return submit.submit(argv, text)


def _sweep(options):
    if options.overrides:
        raise UserError(f"{options.overrides[0]}: a sweep has its overrides in its table.")
    runs = spec.read_runs(options.table)
    root = options.root or pathlib.Path("runs") / options.table.stem
    train = options.given or [*command.HERE, "train"]
    status, score = 0, None
    if options.estimator and not options.evaluate:
        raise UserError("--estimator is for --evaluate; give both.")
    if options.evaluate:
        score = ["--estimator", options.estimator] if options.estimator else []
    if options.dry_run:
        print(runner.plan(runs, root, train, score), end="")
        return 0
    if not options.status:
        share = [{}]
        if options.parallel > 1:
            share = devices.shares(devices.gpus(os.environ), options.parallel, "auto")
        status = runner.run_all(runs, root, train, score, share, os.environ, _say)
    if options.gather:
        # Late, as below: scores bring JAX, which launching has no need of.
        from launch.sweeps import results

        found = results.gather(runs, root, spec.read_presentation(options.table))
        try:
            files.write_text(options.gather, json.dumps(found, indent=1) + "\n")
        except OSError as error:
            raise UserError(f"cannot write {options.gather}: {error.strerror}.") from error
        _say(f"{options.gather}: results of {len(found['runs'])} of {len(runs)} runs")
    rows = runner.status(runs, root)
    print(json.dumps({"runs": rows}) + "\n" if options.json else runner.render(rows), end="")
    return status


def _tables(options):
    from launch.sweeps import pages

    written, missing = pages.write(options.results, options.page)
    for path in written:
        print(path)
    for name in missing:
        _say(f"{options.results / name}.json is not there: its table was left as it is")
    return 0


if __name__ == "__main__":
    sys.exit(main())
