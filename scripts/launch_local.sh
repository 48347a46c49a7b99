#!/usr/bin/env bash
# Trains on this machine with all its GPUs, a rank for each; arguments are training flags:
#
#   bash scripts/launch_local.sh --dataset_name=flowers --dataset_dir=/data/flowers ...
#
# RANKS chooses another number of ranks, and is needed without a GPU: the ranks then share
# the processor's cores evenly.
set -euo pipefail
source "$(dirname "$0")/launch_env.sh"

check_horovod
gpus=$({ nvidia-smi --list-gpus 2> /dev/null || true; } | wc -l)
ranks=${RANKS:-$gpus}
[ "$ranks" -gt 0 ] || fail 'no GPU here: set the number of ranks, such as RANKS=2'
launch horovodrun --gloo -np "$ranks" python train_image_classifiers.py "$@"
