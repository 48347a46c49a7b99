#!/usr/bin/env bash
# Trains on this machine with all its GPUs, a rank for each; arguments are training flags:
#
#   bash scripts/launch_local.sh --dataset_name=flowers --dataset_dir=/data/flowers ...
#
# RANKS chooses another number of ranks, and is needed without a GPU: the ranks then share
# the processor's cores evenly, and are started by launch_mpirun.sh if Horovod has Open MPI.
set -euo pipefail
source "$(dirname "$0")/launch_env.sh"

check_horovod
ranks=${RANKS:-$(count_gpus)}
[[ $ranks =~ ^[0-9]+$ ]] || fail "RANKS=$ranks is not a number of ranks, such as RANKS=2"
[ "$ranks" -gt 0 ] || fail 'no GPU here: set the number of ranks, such as RANKS=2'
if suits_mpi; then
  MPI_FOUND=1 HOSTS=localhost:$ranks exec bash scripts/launch_mpirun.sh "$@"
fi
launch horovodrun --gloo -np "$ranks" python train_image_classifiers.py "$@"
