#!/usr/bin/env bash
# Trains on a TPU slice: asks for it, installs, starts on all hosts, and starts again when preempted.
#
#   BUCKET=gs://my-bucket PROJECT=my-project ZONE=us-east5-a SOURCE=git+https://... deploy/tpu_vm.sh
#
# SOURCE is where pip finds this repository: the address of a fork, or of a wheel. The bucket holds
# weights/wan22_5b.safetensors and weights/vae.safetensors (docs/wan.md) and sets/latents, which
# `full4d data encode` wrote. The run goes there, too; the same line goes on.
set -euo pipefail

NAME=${NAME:-full4d}
TYPE=${TYPE:-v5p-256}  # 128 chips, 4x4x8
RUNTIME=${RUNTIME:-v2-alpha-tpuv5}
TRIES=${TRIES:-100}
HERE=(--project "$PROJECT" --zone "$ZONE")
: "${BUCKET:?}" "${SOURCE:?}"

on_all_hosts() {
  gcloud compute tpus tpu-vm ssh "$NAME" "${HERE[@]}" --worker=all --command "$1"
}

state() {
  gcloud compute tpus queued-resources describe "$NAME" "${HERE[@]}" \
    --format 'value(state.state)' 2>/dev/null || echo NONE
}

give_back() {
  gcloud compute tpus queued-resources delete "$NAME" "${HERE[@]}" --quiet --force || true
}

# Each of these fails where the slice is preempted meanwhile, or the training saves before its end.
train() {
  on_all_hosts "sudo apt-get install --yes --quiet python3.11-venv
    python3.11 -m venv full4d && full4d/bin/pip install --quiet 'full4d-jax[buckets,tpu] @ $SOURCE'" &&
    on_all_hosts "full4d/bin/full4d train --config wan22_5b --distributed \
      --init $BUCKET/weights/wan22_5b.safetensors --codec_weights $BUCKET/weights/vae.safetensors \
      --data.records $BUCKET/sets/latents --out $BUCKET/run"
}

while [ "$TRIES" -gt 0 ]; do
  case $(state) in
    NONE)
      gcloud compute tpus queued-resources create "$NAME" "${HERE[@]}" --node-id "$NAME" \
        --accelerator-type "$TYPE" --runtime-version "$RUNTIME" --spot || true
      ;;
    SUSPENDED | FAILED)  # preempted
      give_back
      ;;
    ACTIVE)
      TRIES=$((TRIES - 1))
      if train; then
        give_back
        exit 0
      fi
      ;;
  esac
  sleep 60
done
echo "gave up; the slice $NAME is still there" >&2
exit 1
