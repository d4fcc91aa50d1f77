#!/bin/bash
# A run that is stopped and resumed on other numbers of ranks and threads, in the middle of epochs, ends in the same
# files as one that was never stopped, byte for byte: resume.sh PROGRAM FOLDER MPIRUN…, a scratch folder and the
# words that start MPI up to the number of ranks.
set -euo pipefail
program=$1 folder=$2
shift 2
mpirun=("$@")
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"

fail() {
  echo "resume.sh: $*" >&2
  exit 1
}

# mnist-mini has 40 batches of 100 an epoch: every stop below is inside one, and so are those of 2 batches a step.
common=(train --data mnist-mini --generator-hidden 40 --discriminator-hidden 40,24 --latent 16 --reproducible
  --d-steps 2 --seed 5 --checkpoint-every 7 --sample-every 0 --log-every 10)

run_on() {  # run_on RANKS OUT STEPS [OPTION…]
  local ranks=$1 out=$2 steps=$3
  shift 3
  local start=()
  if [ "$ranks" -gt 1 ]; then start=("${mpirun[@]}" "$ranks"); fi
  "${start[@]}" "$program" "${common[@]}" --steps "$steps" --out "$out" "$@" >"$out.log" 2>&1 ||
    fail "$ranks ranks to step $steps ended with $?: $(tail -n 5 "$out.log")"
}

same() {  # same A B: all that the trajectory determines
  local file checkpoint
  for file in generator.safetensors discriminator.safetensors; do
    cmp "$1/$file" "$2/$file" || fail "$file of $1 and $2 differ"
  done
  checkpoint=$(ls "$1/checkpoints" | tail -n 1)
  [ -f "$1/checkpoints/$checkpoint/manifest.json" ] || fail "$1 has no checkpoint"
  for file in "$1/checkpoints/$checkpoint"/*; do
    cmp "$file" "$2/checkpoints/$checkpoint/$(basename "$file")" || fail "$file and that of $2 differ"
  done
}

run_on 1 whole 60 --threads 2
run_on 4 whole-on-4 60 --threads 1
same whole whole-on-4

# Nine and a half checkpoints of 7 steps; 25 and 47 are none of them, 42 is one.
run_on 1 parts 25
run_on 3 parts 42 --resume
run_on 2 parts 47 --resume --threads 2
run_on 4 parts 60 --resume
same whole parts

# The state of every optimiser is in a checkpoint, and all that an update can have beside it in the options.
for optimizer in sgd rmsprop adam adamw; do
  options=(--optimizer "$optimizer" --weight-decay 0.001 --clip-gradient 0.5 --clip-weights 0.05)
  [ "$optimizer" != sgd ] || options+=(--momentum 0.9)
  run_on 1 "$optimizer" 14 "${options[@]}"
  run_on 1 "$optimizer-parts" 9 "${options[@]}"
  run_on 2 "$optimizer-parts" 14 "${options[@]}" --resume
  same "$optimizer" "$optimizer-parts"
done

# Where the learning rate depends on the length of the training, that stays what it was.
run_on 1 cosine 10 --schedule cosine
code=0
"$program" "${common[@]}" --schedule cosine --steps 12 --out cosine --resume >cosine.log 2>&1 || code=$?
[ $code -eq 2 ] && grep -q "steps 10 → 12" cosine.log || fail "a longer schedule ended with $code: $(tail -n 5 cosine.log)"

# Stopped by a signal, wherever that is: 75, a complete checkpoint, and on from there.
"$program" "${common[@]}" --steps 1000000 --out stopped >stopped.log 2>&1 &
pid=$!
for _ in $(seq 600); do
  if [ -s stopped/metrics.jsonl ]; then break; fi
  kill -0 $pid 2>/dev/null || fail "the training to be stopped ended by itself: $(tail -n 5 stopped.log)"
  sleep 0.05
done
kill -TERM $pid
code=0
wait $pid || code=$?
[ $code -eq 75 ] || fail "a stopped training ended with $code, not 75: $(tail -n 5 stopped.log)"
step=$(ls stopped/checkpoints | tail -n 1 | sed 's/^step-0*//')
[ "$step" -ge 10 ] || fail "stopped at step '$step'"
run_on 3 stopped $((step + 5)) --resume
run_on 2 unstopped $((step + 5))
same unstopped stopped
echo "the same bytes on 1, 2, 3 and 4 ranks, stopped at steps 25, 42, 47 and $step"

# Weights that a training starts from are so on all ranks, and are not needed any more once there is a checkpoint.
common=(train --data mnist-mini --generator-hidden 24 --discriminator-hidden 24 --latent 8 --reproducible --seed 5
  --checkpoint-every 7 --sample-every 0 --log-every 10)
run_on 1 first 9
mkdir moved
cp first/*.safetensors moved/
from=(--init-from moved/generator.safetensors,moved/discriminator.safetensors)
run_on 1 tuned 20 "${from[@]}"
run_on 3 tuned-parts 9 "${from[@]}"
rm -r moved
run_on 2 tuned-parts 20 --resume
same tuned tuned-parts
run_on 1 drawn 20
if cmp -s tuned/generator.safetensors drawn/generator.safetensors; then fail "--init-from did nothing"; fi

# Batch normalisation's running statistics and classes too.
common=(train --data mnist-mini --recipe dcgan --schedule constant --channels 3,4 --fully-connected 6 --latent 5 --batch 24
  --reproducible --seed 5 --checkpoint-every 7 --sample-every 0 --log-every 10)
run_on 1 dcgan 20 --threads 2
run_on 3 dcgan-parts 9
run_on 2 dcgan-parts 16 --resume
run_on 4 dcgan-parts 20 --resume
same dcgan dcgan-parts

# Singular vectors, and masks that are drawn by sample.
common=(train --data mnist-mini --generator-hidden 24 --discriminator-hidden 24,16 --latent 8 --reproducible
  --spectral-norm --dropout 0.3 --input-dropout 0.2 --discriminator-activation leaky-relu --d-steps 2 --seed 5
  --checkpoint-every 7 --sample-every 0 --log-every 10)
run_on 1 regularised 20 --threads 2
run_on 3 regularised-parts 9
run_on 2 regularised-parts 16 --resume
run_on 4 regularised-parts 20 --resume
same regularised regularised-parts
