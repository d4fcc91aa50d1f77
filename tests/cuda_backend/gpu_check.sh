#!/bin/bash
# launch/gpu-check on a simulated GPU, with networks small enough for it. The stage parity passes, and it fails where
# one side trains with another learning rate, ends a step early, or has losses that are no numbers. The stage bench says
# what a step's phases took, and what they take at least.
# usage: gpu_check.sh PROGRAM SIMULATED_MODULE
set -uo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/driver" "$scratch/tree/bin"
# A driver is looked for, and no more: any library will do.
ln -s "$2" "$scratch/driver/libcuda.so.1"
printf '#!/bin/bash\necho "GPU 0: simulated (UUID: GPU-0)"\n' > "$scratch/driver/nvidia-smi"
cat > "$scratch/tree/bin/ganymede" <<END
#!/bin/bash
export LD_LIBRARY_PATH='$scratch/driver' GANYMEDE_CUDA_MODULE='$2' GANYMEDE_CUDA_SIM_LEAVES_ALL=1
small=()
case " \$* " in
  *' --recipe gan '* | *' --recipe gan-literal '*)
    small=(--batch 8 --latent 4 --generator-hidden 8 --discriminator-hidden 8)
    ;;
  *' --recipe dcgan '*) small=(--batch 4 --latent 4 --channels 3,4 --fully-connected 6) ;;
esac
[ "\$1" != bench ] || { set -- "\${@/#20/1}"; set -- "\${@/#500/1}"; set -- "\${@/#50/1}"; }
program() { '$1' "\$@" "\${small[@]}" || exit; }
# From here on each case has a line of its own.
. '$scratch/amiss'
program "\$@"
END
chmod +x "$scratch/driver/nvidia-smi" "$scratch/tree/bin/ganymede"
failures=0

# expect CODE TEXT AMISS [STAGE]: the stage (parity) ends so and its report says that, where AMISS comes before each
# command of the program's
expect() {
  local code=0 report=$scratch/report.md
  printf '%s\n' "$3" > "$scratch/amiss"
  PATH=$scratch/driver:$PATH "$source/launch/gpu-check" --build "$scratch/tree" --out "$report" --only "${4:-parity}" \
    > "$scratch/said" 2>&1 || code=$?
  [ $code -ne "$1" ] || ! grep -qE -- "$2" "$report" || return 0
  printf 'gpu-check with "%s": ended with %s, not %s, or did not say "%s" but:\n' "$3" $code "$1" "$2" >&2
  cat "$report" >&2
  failures=$((failures + 1))
}

expect 0 '^- gan, 50 steps: largest difference of a loss [0-9.e-]+(, in step [0-9]+)?, bound 0.0001$' ''
if ! grep -qE '^- dcgan, 5 steps: largest difference of a loss [0-9.e-]+(, in step 2[1-5])?, bound 0.001$' \
  "$scratch/report.md"; then
  echo "gpu-check's report has no comparison of dcgan" >&2
  failures=$((failures + 1))
fi
if ! grep -qE '^\| CUDA as loaded \| driver .*, cuBLASLt [0-9.]+, cuDNN simulated, NCCL [0-9.]+ \|$' \
  "$scratch/report.md"; then
  echo "gpu-check's report does not say which libraries were loaded" >&2
  failures=$((failures + 1))
fi
faster='*--device\ cuda*) small+=(--learning-rate 0.000202'
expect 1 '^- gan, 50 steps: largest .* 0.0001$' "case \"\$*\" in $faster) ;; esac
  [[ \$* != *dcgan* ]] || exit 0"
expect 1 '^- dcgan, 5 steps: largest .* 0.001$' "case \"\$*\" in *'--recipe gan'*) exit 0 ;;
  $faster --discriminator-learning-rate 0.0004 --allow-change learning-rate,discriminator-learning-rate) ;; esac"
expect 1 'gan, 50 steps: the records are not' \
  '[[ $* != *"--device cuda"* ]] || set -- "${@/#50/49}"; [[ $* != *dcgan* ]] || exit 0'
expect 1 'gan, 50 steps: the records are not' \
  '[[ $* != "metrics "*cuda* ]] || { '"'$1'"' metrics "$2" --csv | sed "5s/,0\.[0-9]*,/,nan,/g" > "$5"; exit; }
  [[ $* != *dcgan* ]] || exit 0'

expect 0 '^\| D backward \| [0-9.]*[1-9][0-9.]* \| [0-9.]+ \| [1-9][0-9]* \|$' '' bench
for text in 'sheet of an NVIDIA H100' '`gan-literal`, graph:' '`gan`, graph:' '`dcgan`, graph:' '`dcgan`, bf16:'; do
  grep -qF -- "$text" "$scratch/report.md" && continue
  echo "gpu-check's report of its stage bench does not say '$text':" >&2
  cat "$scratch/report.md" >&2
  failures=$((failures + 1))
done
expect 1 'gan, graph: no phases were measured, or have no roofline' '[[ $* != *"bench "*--roofline* ]] ||
  { set -- "${@/--roofline/--seed}"; set -- "${@/#H100/1}"; }' bench

[ $failures -eq 0 ]
