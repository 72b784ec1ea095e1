"""A script for Cloud TPU VMs: it creates a queued resource and runs the command on all workers."""

import dataclasses
import shlex
from collections.abc import Sequence

_PID = "volsynth.pid"
"""The file in which a worker keeps the number of its training process."""


@dataclasses.dataclass(frozen=True)
class Tpu:
    """A Cloud TPU; None leaves a setting to the defaults of gcloud.

    Attributes:
      name: the name of the queued resource and of its node.
      zone: the zone that it is in.
      accelerator_type: such as v6e-16.
      runtime_version: the image of the VMs, such as v2-alpha-tpuv6e.
      project: the project that pays for it.
      spot: whether it may be taken away at any time, for a lower price.
      setup: a line of shell that is run once on every new worker.
      max_restarts: how many times the command is run again after a fault.
    """

    name: str
    zone: str
    accelerator_type: str
    runtime_version: str
    project: str | None = None
    spot: bool = False
    setup: str | None = None
    max_restarts: int = 10


def render(tpu: Tpu, argv: Sequence[str]) -> str:
    """Renders the script, which needs bash and gcloud.

    It creates the TPU where there is none, creates it anew when it was taken away, runs the command
    on all workers and runs it again after a fault. The TPU stays when the command has finished.

    Args:
      tpu: what is asked of Google Cloud.
      argv: the command of every worker.
    """
    where = {"zone": tpu.zone, "project": tpu.project}
    # Of every call of gcloud; a missing project is that of its configuration.
    common = " ".join(f"--{key}={shlex.quote(value)}" for key, value in where.items() if value)
    start, stop = _worker_commands(argv)
    setup = tpu.setup or "true"
    return f"""#!/bin/bash
set -u
name={shlex.quote(tpu.name)}
common=({common})

{_functions(tpu)}
stop() {{
  trap - INT TERM
  on_workers {shlex.quote(stop)}
  exit 3
}}
trap stop INT TERM

fresh=1
restarts=0
while true; do
  until_active || exit 1
  status=0
  if [ "$fresh" = 1 ]; then
    on_workers {shlex.quote(setup)}
    status=$?
    [ "$status" = 0 ] && fresh=0
  fi
  if [ "$status" = 0 ]; then
    on_workers {shlex.quote(start)}
    status=$?
    case $status in
      0) exit 0 ;;
      2) exit 2 ;;  # A mistake of the user: trying again is useless.
    esac
  fi
  restarts=$((restarts + 1))
  if [ "$restarts" -gt {tpu.max_restarts} ]; then
    echo "status $status; giving up after {tpu.max_restarts} restart(s)" >&2
    exit "$status"
  fi
  wait=$((restarts < 6 ? 1 << restarts : 60))
  echo "status $status; starting again in $wait s (restart $restarts of {tpu.max_restarts})" >&2
  sleep "$wait" &
  wait $!
done
"""


def _functions(tpu: Tpu) -> str:
    """Functions of shell that create the TPU, look at it, wait for it, and run on its workers."""
    return f"""create() {{
  gcloud compute tpus queued-resources create "$name" --node-id="$name" "${{common[@]}}" \\
    --accelerator-type={shlex.quote(tpu.accelerator_type)} \\
    --runtime-version={shlex.quote(tpu.runtime_version)}{" --spot" if tpu.spot else ""}
}}

state() {{
  gcloud compute tpus queued-resources describe "$name" "${{common[@]}}" \\
    --format="value(state.state)" 2>/dev/null
}}

on_workers() {{  # In the background, so that a signal to this script is heard at once.
  gcloud compute tpus tpu-vm ssh "$name" "${{common[@]}}" --worker=all --command="$1" &
  wait $!
}}

until_active() {{
  while true; do
    case "$(state)" in
      ACTIVE) return 0 ;;
      "") create || [ -n "$(state)" ] || return 1 ;;
      SUSPENDED|FAILED)  # Taken away: only deleting it makes room for another.
        gcloud compute tpus queued-resources delete "$name" "${{common[@]}}" --force --quiet \\
          || return 1
        fresh=1 ;;
    esac
    [ "$(state)" = ACTIVE ] || sleep "${{VOLSYNTH_POLL:-30}}"
  done
}}
"""


def _worker_commands(argv: Sequence[str]) -> tuple[str, str]:
    """Lines of shell that start and that stop the command on a worker."""
    # The number alone is not enough: after a restart of the VM it may be another process's.
    running = f'grep -qs volsynth "/proc/$(cat {_PID} 2>/dev/null)/cmdline"'
    stop = f"if {running}; then kill -TERM $(cat {_PID}); fi"
    # What an attempt whose connection broke has left running is ended before the next one. One
    # SIGTERM only: a second one would not wait for the checkpoint.
    leftover = f"{stop}; for i in $(seq 60); do {running} || break; sleep 2; done"
    # `exec` keeps the number of the shell, which is what was written to the file.
    start = f"{leftover}; echo $$ > {_PID}; exec {shlex.join(argv)}"
    return start, stop
