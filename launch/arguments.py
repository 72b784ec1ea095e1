"""The command line of `python -m launch`: a parser for each launcher, and what it accepts."""

import argparse
import pathlib
from collections.abc import Sequence
from typing import Any

from launch import local, slurm

# argparse has no public name for what `add_subparsers` returns.
_Launchers = Any


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads the arguments of `python -m launch`.

    Args:
      arguments: the arguments, without the name of the program.

    Returns:
      The options of the chosen launcher; besides them `launcher` (its name), `given` (the command
      after `--`, empty if there is none) and `overrides` (every `--config.KEY=VALUE`).
    """
    # Cut off first: what stands after `--` is a command of its own, with options of its own.
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    parser = _parser()
    options, rest = parser.parse_known_args(arguments[:cut])
    options.given = list(arguments[cut + 1 :])
    # argparse cannot know these: which keys there are depends on the config.
    options.overrides = [a for a in rest if a.startswith("--config.")]
    if unknown := [a for a in rest if a not in options.overrides]:
        parser.error(f"unrecognised argument {unknown[0]!r}; see launch {options.launcher} --help")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m launch",
        description="Starts `volsynth train` where it is to run. The command is given by --config "
        "and --workdir, or whole, after --.",
    )
    launchers = parser.add_subparsers(dest="launcher", required=True, metavar="LAUNCHER")
    _add_local(launchers)
    _add_slurm(launchers)
    _add_tpu_vm(launchers)
    _add_jobset(launchers)
    _add_sweep(launchers)
    _add_tables(launchers)
    return parser


def _add_local(launchers: _Launchers) -> None:
    parser = _launcher(launchers, "local", "processes on this machine, restarted on a fault")
    # Defaults stand in one place, where what uses them has them.
    policy = local.Policy()
    parser.add_argument("--processes", type=_positive, default=1, metavar="N", help="default: 1")
    parser.add_argument(
        "--devices-per-process", type=_positive, metavar="N",
        help="default: an equal share of the GPUs, or one CPU device",
    )  # fmt: skip
    parser.add_argument(
        "--platform", choices=("auto", "cpu", "cuda"), default="auto",
        help="default: auto, which is cuda where there are GPUs",
    )  # fmt: skip
    _add_max_restarts(parser)
    for name, kind, text in (
        ("grace", float, "seconds that the others have to end when a process died"),
        ("backoff", float, "seconds before the first restart; doubled each time"),
        ("max_backoff", float, "seconds between restarts at most"),
        ("healthy_after", float, "seconds after which earlier restarts are forgotten"),
    ):
        default = getattr(policy, name)
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=kind, default=default, metavar="S",
            help=f"{text}; default: {default:g}",
        )  # fmt: skip


def _add_slurm(launchers: _Launchers) -> None:
    parser = _launcher(launchers, "slurm", "a batch job, requeued when its time is over")
    job = slurm.Job()
    parser.add_argument("--name", default=job.name, help=f"default: {job.name}")
    parser.add_argument("--nodes", type=_positive, default=1, help="default: 1")
    parser.add_argument("--gpus-per-node", type=int, default=0, help="default: 0")
    parser.add_argument("--cpus-per-task", type=_positive)
    parser.add_argument("--time", default=job.time, help=f"default: {job.time}")
    parser.add_argument("--partition")
    parser.add_argument("--account")
    parser.add_argument(
        "--output", default=job.output, help=f"default: {job.output.replace('%', '%%')}"
    )
    parser.add_argument("--setup", help="a line of shell before it, such as '. .venv/bin/activate'")
    parser.add_argument("--grace", type=_positive, default=job.grace, help="seconds; default: 30")
    _add_max_restarts(parser)


def _add_tpu_vm(launchers: _Launchers) -> None:
    parser = _launcher(launchers, "tpu-vm", "a Cloud TPU, created anew when it is taken away")
    parser.add_argument("--name", required=True)
    parser.add_argument("--zone", required=True)
    parser.add_argument("--project")
    parser.add_argument("--accelerator-type", required=True, help="such as v6e-16")
    parser.add_argument("--runtime-version", required=True, help="such as v2-alpha-tpuv6e")
    # Off by default: such a TPU may be taken away at any time.
    parser.add_argument("--spot", action="store_true")
    parser.add_argument("--setup", help="a line of shell on each new worker: fetch and install")
    _add_max_restarts(parser)


def _add_jobset(launchers: _Launchers) -> None:
    parser = _launcher(launchers, "jobset", "a Kubernetes JobSet, for TPUs or GPUs")
    parser.add_argument("--name", default="volsynth", help="default: volsynth")
    parser.add_argument("--image", required=True, help="built from launch/Dockerfile")
    parser.add_argument("--namespace")
    parser.add_argument("--accelerator", help="TPU: such as tpu-v6e-slice")
    parser.add_argument("--topology", help="TPU: chips of a slice, such as 4x4")
    parser.add_argument("--chips-per-host", type=_positive, default=4, help="TPU; default: 4")
    parser.add_argument("--slices", type=_positive, default=1, help="TPU; default: 1")
    parser.add_argument("--nodes", type=_positive, default=1, help="GPU; default: 1")
    parser.add_argument("--gpus-per-node", type=_positive, metavar="N", help="GPU")
    parser.add_argument(
        "--volume", action="append", default=[], metavar="CLAIM:PATH",
        help="a persistent volume claim, for data and workdir; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--grace", type=_positive, default=120, help="seconds to save; default: 120"
    )
    parser.add_argument(
        "--exclusive-topology", metavar="LABEL", help="default for TPUs: the node pool"
    )
    parser.add_argument("--queue", help="of Kueue")
    _add_max_restarts(parser)


def _add_sweep(launchers: _Launchers) -> None:
    parser = launchers.add_parser("sweep", help="the runs of a table", description="Runs a table.")
    parser.add_argument("table", type=pathlib.Path, help="such as configs/sweeps/precision.yaml")
    parser.add_argument("--root", type=pathlib.Path, help="of workdirs; default: runs/TABLE")
    parser.add_argument("--parallel", type=_positive, default=1, metavar="N", help="default: 1")
    parser.add_argument("--evaluate", action="store_true", help="score each finished run, too")
    parser.add_argument(
        "--estimator", metavar="WORKDIR", help="of a pose estimator, for --evaluate: PoseEst"
    )
    parser.add_argument(
        "--gather",
        type=pathlib.Path,
        metavar="FILE.json",
        help="write the results of the finished runs, side by side",
    )
    parser.add_argument(
        "--status", action="store_true", help="print the state of each; run nothing"
    )
    parser.add_argument("--json", action="store_true", help="print the states as one JSON object")
    parser.add_argument("--dry-run", action="store_true", help="print the commands; run nothing")
    parser.epilog = "After -- stands what replaces `volsynth train`."


def _add_tables(launchers: _Launchers) -> None:
    parser = launchers.add_parser(
        "tables",
        help="tables and plots of gathered results",
        description="Puts tables and plots of gathered results into a page.",
    )
    results, page = pathlib.Path("docs/results"), pathlib.Path("docs/comparison.md")
    parser.add_argument("--results", type=pathlib.Path, default=results, help=f"default: {results}")
    parser.add_argument(
        "--page", type=pathlib.Path, default=page, help=f"with a mark for each; default: {page}"
    )


def _launcher(launchers: _Launchers, name: str, summary: str) -> argparse.ArgumentParser:
    """A parser with the options that all launchers of one command share."""
    parser = launchers.add_parser(name, help=summary, description=summary.capitalize() + ".")
    parser.add_argument("--config", metavar="FILE[:VARIANT]", help="of volsynth train")
    parser.add_argument("--workdir", help="of volsynth train")
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be run or submitted"
    )
    return parser


def _add_max_restarts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-restarts", type=int, default=10, metavar="N", help="after faults; default: 10"
    )


def _positive(text: str) -> int:
    """A whole number from 1 on; argparse shows the error with the option's name."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value
