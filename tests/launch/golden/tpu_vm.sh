#!/bin/bash
set -u
name=warp
common=(--zone=us-east5-b)

create() {
  gcloud compute tpus queued-resources create "$name" --node-id="$name" "${common[@]}" \
    --accelerator-type=v6e-16 \
    --runtime-version=v2-alpha-tpuv6e --spot
}

state() {
  gcloud compute tpus queued-resources describe "$name" "${common[@]}" \
    --format="value(state.state)" 2>/dev/null
}

on_workers() {  # In the background, so that a signal to this script is heard at once.
  gcloud compute tpus tpu-vm ssh "$name" "${common[@]}" --worker=all --command="$1" &
  wait $!
}

until_active() {
  while true; do
    case "$(state)" in
      ACTIVE) return 0 ;;
      "") create || [ -n "$(state)" ] || return 1 ;;
      SUSPENDED|FAILED)  # Taken away: only deleting it makes room for another.
        gcloud compute tpus queued-resources delete "$name" "${common[@]}" --force --quiet \
          || return 1
        fresh=1 ;;
    esac
    [ "$(state)" = ACTIVE ] || sleep "${VOLSYNTH_POLL:-30}"
  done
}

stop() {
  trap - INT TERM
  on_workers 'if grep -qs volsynth "/proc/$(cat volsynth.pid 2>/dev/null)/cmdline"; then kill -TERM $(cat volsynth.pid); fi'
  exit 3
}
trap stop INT TERM

fresh=1
restarts=0
while true; do
  until_active || exit 1
  status=0
  if [ "$fresh" = 1 ]; then
    on_workers 'echo '"'"'a  b'"'"''
    status=$?
    [ "$status" = 0 ] && fresh=0
  fi
  if [ "$status" = 0 ]; then
    on_workers 'if grep -qs volsynth "/proc/$(cat volsynth.pid 2>/dev/null)/cmdline"; then kill -TERM $(cat volsynth.pid); fi; for i in $(seq 60); do grep -qs volsynth "/proc/$(cat volsynth.pid 2>/dev/null)/cmdline" || break; sleep 2; done; echo $$ > volsynth.pid; exec volsynth train --config configs/volumetric.py:full --workdir '"'"'/runs/it'"'"'"'"'"'"'"'"'s here'"'"' --distributed'
    status=$?
    case $status in
      0) exit 0 ;;
      2) exit 2 ;;  # A mistake of the user: trying again is useless.
    esac
  fi
  restarts=$((restarts + 1))
  if [ "$restarts" -gt 10 ]; then
    echo "status $status; giving up after 10 restart(s)" >&2
    exit "$status"
  fi
  wait=$((restarts < 6 ? 1 << restarts : 60))
  echo "status $status; starting again in $wait s (restart $restarts of 10)" >&2
  sleep "$wait" &
  wait $!
done
