#!/bin/bash
# usage: readme_examples.sh PROGRAM
# Runs the README's examples: the lines of its ```console blocks that begin with "$ ", one after another in one
# scratch folder, each of which must end with 0. So that this takes seconds, trainings are cut to 20 steps
# (--steps 20 in place of --steps or --epochs), eval to 300 samples and bench to 2 rounds of 5 steps. Not run, and
# listed: what installs, builds or tests, what needs Slurm, a GPU or containers, and what needs the full MNIST where that
# is not at hand.
set -euo pipefail
program=$(realpath "$1")
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# Lines that end in a backslash go on in the next.
mapfile -t examples < <(awk '
  /^```/ { inside = ($0 == "```console"); next }
  inside { line = line $0; if (sub(/\\$/, "", line)) next; if (line ~ /^\$ /) print substr(line, 3); line = "" }
' "$source/README.md")
[ ${#examples[@]} -gt 0 ] || { echo "README.md holds no examples" >&2; exit 1; }

# shellcheck source=launch/common.sh
. "$source/launch/common.sh"
find_mnist

ran=0
for example in "${examples[@]}"; do
  case $example in
    launch/install* | launch/quickstart* | launch/test* | launch/gpu-* | launch/mpirun-hosts* | srun\ * | sbatch\ * \
      | docker\ * | apptainer\ * | ninja\ *)
      echo "not run   $example"
      continue
      ;;
    *--data\ mnist | *--data\ mnist\ * | *ganymede\ judge*)
      if [ -z "$mnist" ]; then
        echo "no MNIST  $example"
        continue
      fi
      ;;
    ganymede\ * | launch/mpirun\ * | mpirun\ *) ;;
    *)
      echo "readme_examples.sh does not know how to run: $example" >&2
      exit 1
      ;;
  esac
  short=$example
  case " $example " in
    *" ganymede train "*)
      short="$(sed -E 's/ --(steps|epochs)[ =][^ ]+//g' <<< "$example") --steps 20"
      ;;
    *" ganymede eval "*)
      short="$example --samples 300"
      ;;
    *" ganymede bench "*)
      short="$(sed -E 's/ --(rounds|round-steps)[ =][^ ]+//g' <<< "$example") --rounds 2 --round-steps 5"
      ;;
  esac
  short=${short/#ganymede /$program }
  short=${short/ ganymede / $program }
  short=${short/#launch\//$source/launch/}
  echo "run       $example"
  bash -c "$short" > output 2>&1 < /dev/null || {
    code=$?
    echo "README.md: this example ended with $code: $short" >&2
    cat output >&2
    exit 1
  }
  ran=$((ran + 1))
done
echo "$ran of ${#examples[@]} examples ran"
[ $ran -gt 0 ]
