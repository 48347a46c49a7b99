#!/usr/bin/env bash
# Trains as a SLURM job, a task for each rank; arguments are training flags:
#
#   sbatch --nodes=2 --ntasks-per-node=4 --gpus-per-node=4 scripts/launch_slurm.sh \
#     --output_dir=/shared/runs/resnet --dataset_name=flowers ...
#
# Submit it from the project's directory, which all nodes have to see. Two minutes before
# its time is over the job saves and ends with code 75, and is requeued and resumes.
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
scripts=$(dirname "$0")
if [ ! -e "$scripts/launch_env.sh" ]; then scripts=$SLURM_SUBMIT_DIR/scripts; fi  # sbatch runs a copy.
source "$scripts/launch_env.sh"

command -v srun > /dev/null || fail 'no srun: this script is for sbatch on a SLURM cluster'
[ -n "${SLURM_NTASKS:-}" ] || fail 'no SLURM_NTASKS: submit with sbatch --ntasks-per-node=...'
# Asked of the flags themselves, as there are several ways to write one, and flagfiles.
python -c 'import sys; from flags import flags; flags.FLAGS(sys.argv, known_only=True)
sys.exit(0 if flags.FLAGS.output_dir else 3)' "$@" || {
  [ $? != 3 ] || fail 'a job needs --output_dir, to resume when it is queued again'
  exit 1  # Python has said which flag is wrong.
}
check_horovod_with_mpi
code=0
(launch srun --label --mpi="${SLURM_MPI:-pmix}" --kill-on-bad-exit=1 --cpu-bind=none \
  "$(command -v python)" "$PWD/train_image_classifiers.py" "$@") || code=$?
if [ "$code" = 75 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"
