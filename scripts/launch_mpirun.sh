#!/usr/bin/env bash
# Trains on several machines with Open MPI's mpirun; arguments are training flags:
#
#   HOSTS=node1:4,node2:4 bash scripts/launch_mpirun.sh --dataset_name=flowers ...
#
# HOSTS and SSH_PORT as in launch_horovodrun.sh; HOSTS=localhost:2 stays on this machine.
# MPI_FLAGS adds to mpirun's own, such as MPI_FLAGS='-mca btl_tcp_if_include eth0' if
# there are several networks.
set -euo pipefail
source "$(dirname "$0")/launch_env.sh"

command -v mpirun > /dev/null || fail \
  "no mpirun: 'sudo apt-get install openmpi-bin libopenmpi-dev' (Debian, Ubuntu)"
check_horovod_with_mpi
check_hosts
ranks=$(ranks_of "$HOSTS")
flags=(-np "$ranks" -H "$HOSTS" --tag-output)
flags+=(-bind-to none -map-by slot)           # A rank's threads may use all of its cores.
flags+=(-mca pml ob1 -mca btl '^openib')      # No InfiniBand of its own: NCCL has that on GPUs.
flags+=(-mca mpi_yield_when_idle 1)           # Waiting ranks yield the core to those that compute.
flags+=(-mca odls_base_sigkill_timeout 5)     # From SIGTERM to SIGKILL, seconds, to save in.
# A machine that is out of reach for half a minute ends the others.
flags+=(-mca oob_tcp_keepalive_time 10 -mca oob_tcp_keepalive_intvl 5 -mca oob_tcp_keepalive_probes 4)
flags+=(-x PATH -x LD_LIBRARY_PATH -x NCCL_DEBUG)
if [ "$(id -u)" = 0 ]; then flags+=(--allow-run-as-root); fi
if [ -n "${SSH_PORT:-}" ]; then flags+=(-mca plm_rsh_args "-p $SSH_PORT"); fi
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}
export NCCL_DEBUG=${NCCL_DEBUG:-INFO}              # NCCL logs at startup which transport it uses.
# shellcheck disable=SC2086 - several words are wanted.
launch mpirun "${flags[@]}" ${MPI_FLAGS:-} \
  "$(command -v python)" "$PWD/train_image_classifiers.py" "$@"
