#!/usr/bin/env bash
# From a fresh clone to a trained network: sets up .venv, converts the digits data set,
# trains lenet on it with two data-parallel ranks, evaluates, and says what to try next.
#
# PYTHON chooses the interpreter for a new .venv. Needs no network once .venv is there.
set -euo pipefail
source "$(dirname "$0")/setup_env.sh"
[ $# = 0 ] || fail \
  "takes no arguments, but got $*: to pass training flags, use scripts/launch_local.sh"
set_up

data=runs/quickstart/digits
run=runs/quickstart/$(date +%Y%m%d-%H%M%S)-lenet
log=$run/train.log
common=(--dataset_name=digits --dataset_dir="$data" --num_classes=10 --model_name=lenet
        --output_dir="$run")
mkdir -p "$run"

if [ ! -e "$data/manifest.json" ]; then
  say "converting digits to TFRecords in $data"
  python images/datasets/download_and_convert_data.py --dataset_name=digits --dataset_dir="$data"
fi

say "training lenet with two ranks, log in $log"
started=$SECONDS
horovodrun --gloo -np 2 python train_image_classifiers.py --task_type=pretrain "${common[@]}" \
  --batch_size=32 --optimizer=adam --opt_epsilon=1e-8 --learning_rate=0.001 \
  --stop_at_step=500 --log_loss_every_n_iters=100 2>&1 \
  | tee "$log" | { grep --line-buffered ' images/s' || true; } || {
    tail -n 30 "$log" >&2
    fail "training failed, see above; the whole log is $log"
  }
trained=$((SECONDS - started))

say 'evaluating'
python train_image_classifiers.py --task_type=evaluate --enable_paisoar=False "${common[@]}" \
  > "$run/evaluate.log" 2>&1 || { cat "$run/evaluate.log"; exit 1; }

accuracy=$(python -c "import json; r = json.load(open('$run/evaluation.json'))
print(f\"{100 * r['top_1']:.1f} % ({r['top_1_count']} of {r['images']} held-out digits)\")")
speed=$(grep -o '[0-9,.]* images/s' "$log" | tail -n 1)
cat <<TEXT

top-1 accuracy  $accuracy
speed           $speed over two ranks; $trained s from launch to the last step
run directory   $run

Try next: your own photos (README.md, "Your own photos"), or start from this run:

  source .venv/bin/activate
  python train_image_classifiers.py --task_type=finetune --enable_paisoar=False \\
    --dataset_name=digits --dataset_dir=$data --num_classes=10 --model_name=lenet \\
    --model_dir=$run --ckpt_file_name=model.ckpt-500 \\
    --optimizer=adam --opt_epsilon=1e-8 --learning_rate=0.0001
TEXT
