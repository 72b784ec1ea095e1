#!/bin/bash
#SBATCH --job-name=volsynth
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --time=2-00:00:00
#SBATCH --partition=gpu
#SBATCH --account=vision
#SBATCH --output=slurm-%j.log
#SBATCH --open-mode=append
#SBATCH --signal=TERM@120
#SBATCH --requeue

set -u
. .venv/bin/activate

restarts=0
while true; do
  # After the first process has ended, the others have --wait seconds: to save, or to abort.
  srun --kill-on-bad-exit=0 --wait=30 volsynth train --config configs/volumetric.py:full --workdir '/runs/it'"'"'s here' --config.train.steps=300_000 --distributed
  status=$?
  case $status in
    0) exit 0 ;;
    2) exit 2 ;;  # A mistake of the user: trying again is useless.
    3)  # Stopped, for instance 120 s before the time limit, with its checkpoint saved.
      scontrol requeue "$SLURM_JOB_ID" || exit 3
      exit 0 ;;
  esac
  restarts=$((restarts + 1))
  if [ "$restarts" -gt 10 ]; then
    echo "status $status; giving up after 10 restart(s)" >&2
    exit "$status"
  fi
  wait=$((restarts < 6 ? 1 << restarts : 60))
  echo "status $status; starting again in $wait s (restart $restarts of 10)" >&2
  sleep "$wait"
done
