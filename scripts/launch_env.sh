# Sourced by the launch_*.sh scripts: goes to the project, activates its .venv unless there
# is a Horovod already, and defines how to check what a launch needs, and to show and run it.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

fail() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# Prints the command and becomes it.
launch() {
  printf '+'
  printf ' %q' "$@"
  printf '\n'
  exec "$@"
}

# Prints the number of ranks in a list of hosts such as host1:4,host2:4.
ranks_of() {
  local host ranks=0 IFS=,
  for host in $1; do
    [[ $host =~ ^[^:[:space:]]+:[1-9][0-9]*$ ]] || fail \
      "HOSTS=$1: '$host' is not host:ranks, such as node1:4"
    ranks=$((ranks + ${host##*:}))
  done
  echo "$ranks"
}

# Every host must let us in without a password and have the project at the same path.
check_hosts() {
  local host names
  [ -n "${HOSTS:-}" ] || fail 'set HOSTS to the hosts and their ranks, such as HOSTS=node1:4,node2:4'
  names=$(hostname; hostname -I 2> /dev/null || true)
  for host in ${HOSTS//,/ }; do
    host=${host%%:*}
    if [[ " localhost $(echo $names) " == *" $host "* ]]; then continue; fi
    ssh -n -o BatchMode=yes -o StrictHostKeyChecking=no -o ConnectTimeout=10 \
      ${SSH_PORT:+-p "$SSH_PORT"} "$host" \
      "test -e $(printf %q "$PWD/train_image_classifiers.py")" || fail \
      "$host: no login by ssh without a password (ssh-copy-id $host), or no" \
      "$PWD/train_image_classifiers.py there (copy or mount the project at the same path)"
  done
}

check_horovod() {
  command -v horovodrun > /dev/null || fail 'no Horovod: bash scripts/quickstart.sh installs it'
}

# This takes seconds, so launch_local.sh passes the result to launch_mpirun.sh (MPI_FOUND);
# TF_USE_LEGACY_KERAS avoids loading Keras 3.
horovod_has_mpi() {
  local said
  if [ -n "${MPI_FOUND:-}" ]; then return; fi
  said=$(TF_USE_LEGACY_KERAS=1 python -c \
    'import horovod.tensorflow as hvd; print("built", bool(hvd.mpi_built()))' 2>&1 | tail -n 1) || true
  case $said in
    'built True') return 0 ;;
    'built False') return 1 ;;
    *) fail "Horovod is installed, but not usable: $said" ;;
  esac
}

# Prints the number of GPUs that TensorFlow may see. Output of a failing nvidia-smi does not count.
count_gpus() {
  local gpus
  gpus=$({ nvidia-smi --list-gpus 2> /dev/null || true; } | grep -c '^GPU ') || true
  if [ "$gpus" != 0 ] && [ -n "${CUDA_VISIBLE_DEVICES+set}" ]; then
    # Numbers, GPU-... or MIG-...; -1, NoDevFiles or nothing mean that there are none.
    gpus=$(tr , '\n' <<< "$CUDA_VISIBLE_DEVICES" | grep -c '^[0-9GM]') || true
  fi
  echo "$gpus"
}

# Whether ranks on this machine do best with mpirun: without a GPU, Open MPI exchanges gradients
# through memory, faster than Gloo through TCP.
suits_mpi() {
  [ "$(count_gpus)" = 0 ] && mpirun --version 2> /dev/null | grep -q 'Open MPI' && horovod_has_mpi
}

check_horovod_with_mpi() {
  check_horovod
  horovod_has_mpi || fail \
    "this Horovod was built without Open MPI. Install it ('sudo apt-get install openmpi-bin" \
    "libopenmpi-dev'), remove .venv and run scripts/quickstart.sh again"
}

if [ -e .venv/bin/activate ] && ! command -v horovodrun > /dev/null; then
  source .venv/bin/activate
fi
[ -e train_image_classifiers.py ] || fail "no train_image_classifiers.py in $PWD"
