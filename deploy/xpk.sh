#!/usr/bin/env bash
# Trains on a TPU slice of a cluster that xpk made (`xpk cluster create`), queued by its Kueue. A
# preempted job starts again and goes on; exit code 2, an option or a file that is unusable, ends it.
#
#   pip install xpk
#   BUCKET=gs://my-bucket PROJECT=my-project ZONE=us-east5-a CLUSTER=mine IMAGE=... deploy/xpk.sh
#   kubectl logs --follow --prefix --max-log-requests 32 --selector jobset.sigs.k8s.io/jobset-name=full4d
#
# IMAGE is of deploy/Dockerfile with EXTRA=tpu; the bucket is that of deploy/jobset.yaml. With
# --dry-run --output-manifest-file job.yaml behind it, the job is written to a file only.
set -euo pipefail

: "${BUCKET:?}"
# Gathers of parameters overlap with products (docs/pods.md).
FLAGS='--xla_enable_async_all_gather=true --xla_tpu_enable_async_collective_fusion=true'
FLAGS+=' --xla_tpu_enable_async_collective_fusion_fuse_all_gather=true'

# Grace is for saving one step on all hosts; what is encoded already is left as it is.
xpk workload create --workload "${NAME:-full4d}" --cluster "$CLUSTER" \
  --project "$PROJECT" --zone "$ZONE" --tpu-type "${TYPE:-v5p-256}" --docker-image "$IMAGE" \
  --max-restarts 100 --restart-on-exit-codes 75 --termination-grace-period-seconds 120 \
  --env "LIBTPU_INIT_ARGS=$FLAGS" \
  --command "full4d data encode --config wan22_5b --distributed \
    --codec_weights $BUCKET/weights/vae.safetensors \
    --dataset $BUCKET/sets/deep --out $BUCKET/sets/latents && \
    exec full4d train --config wan22_5b --distributed \
    --init $BUCKET/weights/wan22_5b.safetensors --codec_weights $BUCKET/weights/vae.safetensors \
    --data.records $BUCKET/sets/latents --out $BUCKET/run" "$@"
