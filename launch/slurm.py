"""A batch script for Slurm that runs training, tries again after faults and requeues itself."""

import dataclasses
import re
import shlex
from collections.abc import Sequence

from volsynth.errors import UserError

_PLAIN = re.compile(r"[A-Za-z0-9_.,:/@%+=\[\]-]+")
"""The characters that a value in a line of #SBATCH may have: it knows no quotes."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A batch job of Slurm; None leaves a setting to the defaults of the cluster.

    Attributes:
      name: the name of the job.
      nodes: how many nodes it has.
      gpus_per_node: GPUs of each node; each gets a process. Without GPUs a node has one process.
      cpus_per_task: processors of each process.
      time: the time limit.
      partition: the partition that it runs in.
      account: the account that pays for it.
      output: the file of its output; %j is the number of the job.
      setup: a line of shell before the command.
      max_restarts: how many times it starts again after a fault.
      grace: seconds that the other processes have to end after the first one has ended.
    """

    name: str = "volsynth"
    nodes: int = 1
    gpus_per_node: int = 0
    cpus_per_task: int | None = None
    time: str = "24:00:00"
    partition: str | None = None
    account: str | None = None
    output: str = "slurm-%j.log"
    setup: str | None = None
    max_restarts: int = 10
    grace: int = 30


def render(job: Job, argv: Sequence[str]) -> str:
    """Renders the script for sbatch.

    Args:
      job: what is asked of Slurm.
      argv: the command of every process.

    Raises:
      UserError: an option has characters that a line of #SBATCH cannot hold.
    """
    # JAX gives a process under Slurm the one GPU that has the number of its task.
    tasks = max(job.gpus_per_node, 1)
    options = {
        "job-name": job.name,
        "nodes": job.nodes,
        "ntasks-per-node": tasks,
        "gpus-per-node": job.gpus_per_node or None,
        "cpus-per-task": job.cpus_per_task,
        "time": job.time,
        "partition": job.partition,
        "account": job.account,
        "output": job.output,
        # A requeued job goes on with the output of its last run.
        "open-mode": "append",
        # No "B:": it goes to the processes of srun, and this script lives to requeue the job.
        "signal": "TERM@120",
    }
    header = "".join(_directive(key, value) for key, value in options.items() if value is not None)
    # Before the loop, as it holds for all attempts.
    setup = f"{job.setup}\n" if job.setup else ""
    return f"""#!/bin/bash
{header}#SBATCH --requeue

set -u
{setup}
restarts=0
while true; do
  # After the first process has ended, the others have --wait seconds: to save, or to abort.
  srun --kill-on-bad-exit=0 --wait={job.grace} {shlex.join(argv)}
  status=$?
  case $status in
    0) exit 0 ;;
    2) exit 2 ;;  # A mistake of the user: trying again is useless.
    3)  # Stopped, for instance 120 s before the time limit, with its checkpoint saved.
      scontrol requeue "$SLURM_JOB_ID" || exit 3
      exit 0 ;;
  esac
  restarts=$((restarts + 1))
  if [ "$restarts" -gt {job.max_restarts} ]; then
    echo "status $status; giving up after {job.max_restarts} restart(s)" >&2
    exit "$status"
  fi
  wait=$((restarts < 6 ? 1 << restarts : 60))
  echo "status $status; starting again in $wait s (restart $restarts of {job.max_restarts})" >&2
  sleep "$wait"
done
"""


def _directive(key: str, value: object) -> str:
    """A line of #SBATCH."""
    if not _PLAIN.fullmatch(str(value)):
        raise UserError(
            f"--{key} {str(value)!r}: #SBATCH takes letters, digits and _.,:/@%+=[]- only."
        )
    return f"#SBATCH --{key}={value}\n"
