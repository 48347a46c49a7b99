#!/usr/bin/env bash
# Trains on several machines with horovodrun; arguments are training flags:
#
#   HOSTS=node1:4,node2:4 bash scripts/launch_horovodrun.sh --dataset_name=flowers ...
#
# HOSTS names each machine with its number of ranks, one for each GPU. Start it on the first
# of them, which writes --output_dir. Every machine needs the project with its .venv and the
# data at the same paths, and ssh without a password; SSH_PORT chooses another port.
set -euo pipefail
source "$(dirname "$0")/launch_env.sh"

check_horovod
check_hosts
ranks=$(ranks_of "$HOSTS")
launch horovodrun --gloo -np "$ranks" -H "$HOSTS" ${SSH_PORT:+--ssh-port "$SSH_PORT"} \
  "$(command -v python)" "$PWD/train_image_classifiers.py" "$@"
