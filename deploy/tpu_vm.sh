#!/usr/bin/env bash
# Trains on a TPU slice: asks for it, installs, encodes the data, trains on all hosts, and starts
# again when preempted. It ends where the training is done, or an option or a file is unusable.
#
#   BUCKET=gs://my-bucket PROJECT=my-project ZONE=us-east5-a SOURCE=git+https://... deploy/tpu_vm.sh
#   tail --follow full4d.log          # of all hosts; metrics and sheets are in the bucket
#
# SOURCE is where pip finds this repository: the address of a fork, or of a wheel. The bucket holds
# weights/wan22_5b.safetensors and weights/vae.safetensors (docs/wan.md) and sets/deep, which
# `full4d data import` and `data depth` wrote (docs/pods.md). The run goes there, too; the same line
# goes on.
set -euo pipefail

NAME=${NAME:-full4d}
TYPE=${TYPE:-v5p-256}  # 128 chips, 4x4x8
RUNTIME=${RUNTIME:-v2-alpha-tpuv5}
TRIES=${TRIES:-200}  # of asking for a slice, and of training
PAUSE=${PAUSE:-60}  # seconds
GRACE=${GRACE:-120}  # seconds in which all save the same step
OURS='[f]ull4d/bin/full4d'  # of processes; it does not match the line that asks
HERE=(--project "$PROJECT" --zone "$ZONE")
# Gathers of parameters overlap with products (docs/pods.md).
FLAGS='--xla_enable_async_all_gather=true --xla_tpu_enable_async_collective_fusion=true'
FLAGS+=' --xla_tpu_enable_async_collective_fusion_fuse_all_gather=true'
: "${BUCKET:?}" "${SOURCE:?}"
exec > >(tee --append "$NAME.log") 2>&1

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

# Processes that outlived a broken connection hold the chips: they save what they have, and end.
install() {
  on_all_hosts "pkill --full '$OURS' && sleep $GRACE && pkill --signal KILL --full '$OURS'
    sudo apt-get install --yes --quiet python3.11-venv
    python3.11 -m venv full4d && full4d/bin/pip install --quiet 'full4d-jax[buckets,tpu] @ $SOURCE'"
}

# What is encoded already is left as it is.
encode() {
  on_all_hosts "full4d/bin/full4d data encode --config wan22_5b --distributed \
    --codec_weights $BUCKET/weights/vae.safetensors --dataset $BUCKET/sets/deep \
    --out $BUCKET/sets/latents"
}

train() {
  on_all_hosts "LIBTPU_INIT_ARGS='$FLAGS' full4d/bin/full4d train --config wan22_5b --distributed \
    --init $BUCKET/weights/wan22_5b.safetensors --codec_weights $BUCKET/weights/vae.safetensors \
    --data.records $BUCKET/sets/latents --out $BUCKET/run"
}

while [ "$TRIES" -gt 0 ]; do
  case $(state) in
    NONE)
      TRIES=$((TRIES - 1))
      gcloud compute tpus queued-resources create "$NAME" "${HERE[@]}" --node-id "$NAME" \
        --accelerator-type "$TYPE" --runtime-version "$RUNTIME" --spot || true
      ;;
    SUSPENDED | FAILED)  # preempted
      give_back
      ;;
    ACTIVE)
      TRIES=$((TRIES - 1))
      code=0
      if install; then
        encode && train || code=$?
        if [ "$code" -eq 0 ] || [ "$code" -eq 2 ]; then  # done, or it would end so again
          give_back
          exit "$code"
        fi
      fi
      ;;
  esac
  sleep "$PAUSE"
done
echo "gave up; if there is a slice $NAME, it is still there" >&2
exit 1
