#!/usr/bin/env bash
# Trains on a TPU slice: asks for it, installs, starts on all hosts, and starts again when preempted.
#
#   BUCKET=gs://my-bucket PROJECT=my-project ZONE=us-east5-a SOURCE=git+https://... deploy/tpu_vm.sh
#
# SOURCE is where pip finds this repository: the address of a fork, or a wheel.
# The bucket holds weights/wan22_5b.safetensors and weights/vae.safetensors (docs/wan.md) and
# sets/latents, which `full4d data encode` wrote. Checkpoints go there; the same line goes on.
set -euo pipefail

NAME=${NAME:-full4d}
TYPE=${TYPE:-v5p-256}  # 128 chips, 4x4x8
RUNTIME=${RUNTIME:-v2-alpha-tpuv5}
HERE=(--project "$PROJECT" --zone "$ZONE")

on_all_hosts() {
  gcloud compute tpus tpu-vm ssh "$NAME" "${HERE[@]}" --worker=all --command "$1"
}

state() {
  gcloud compute tpus queued-resources describe "$NAME" "${HERE[@]}" \
    --format 'value(state.state)' 2>/dev/null || echo NONE
}

while true; do
  case $(state) in
    NONE)
      gcloud compute tpus queued-resources create "$NAME" "${HERE[@]}" --node-id "$NAME" \
        --accelerator-type "$TYPE" --runtime-version "$RUNTIME" --spot
      ;;
    SUSPENDED | FAILED)  # preempted
      gcloud compute tpus queued-resources delete "$NAME" "${HERE[@]}" --quiet --force
      ;;
    ACTIVE)
      on_all_hosts "python3 -m pip install --quiet 'full4d-jax[tpu] @ $SOURCE' gcsfs
        mkdir -p weights && gsutil -m -q cp -n '$BUCKET/weights/*' weights/"
      if on_all_hosts "full4d train --config wan22_5b --distributed \
        --init weights/wan22_5b.safetensors --codec_weights weights/vae.safetensors \
        --data.records $BUCKET/sets/latents --training.checkpoints $BUCKET/run"; then
        break
      fi
      ;;
  esac
  sleep 60
done
