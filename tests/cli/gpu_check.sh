#!/bin/bash
# What launch/gpu-check does where nothing works: it refuses without a driver or a GPU before it builds anything, and a
# stage that fails is a failure in its report and in its exit code. nvidia-smi is a script here; no GPU is used.
set -uo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tree=$scratch/tree
failures=0

# A path with what scripts need, and no nvidia-smi of this machine's.
mkdir "$scratch/tools" "$scratch/driver"
for tool in bash sh awk basename cat cmp cp date dirname env find git grep gzip head ls mkdir nproc paste realpath rm sed \
  sleep sort tail tar tee timeout tr uname; do
  ln -s "$(command -v $tool)" "$scratch/tools/$tool"
done
driver() {  # driver LINE…: nvidia-smi is this script
  printf '%s\n' '#!/bin/bash' "$@" > "$scratch/driver/nvidia-smi"
  chmod +x "$scratch/driver/nvidia-smi"
}

expect() {  # expect CODE TEXT OPTIONS…: launch/gpu-check ends so and says that
  local code=0
  said=$(PATH=$scratch/driver:$scratch/tools "$source/launch/gpu-check" --build "$tree" "${@:3}" 2>&1) || code=$?
  if [ $code -ne "$1" ] || ! grep -qF -- "$2" <<< "$said"; then
    printf 'gpu-check %s: ended with %s, not %s, or did not say "%s" but:\n%s\n' "${*:3}" $code "$1" "$2" "$said" >&2
    failures=$((failures + 1))
  fi
}
unset CUDA_VISIBLE_DEVICES

expect 4 "there is no NVIDIA driver here"
driver 'echo "NVIDIA-SMI has failed because it could not talk to the driver"; exit 9'
expect 4 "could not talk to the driver"
driver 'echo "No devices were found"'
expect 4 "no GPU to use"
capabilities() {  # capabilities N.N…: of the driver's GPUs
  driver "[ \$1 = -L ] && for ((i = 0; i < $#; ++i)); do echo \"GPU \$i: Some GPU (UUID: GPU-\$i)\"; done && exit" \
    "printf '%s\\n' $*"
}
capabilities 6.0 7.0
expect 4 "no GPU here has compute capability 7.5"
driver 'echo "GPU 0: Some GPU (UUID: GPU-0)"'
CUDA_VISIBLE_DEVICES='' expect 4 "no GPU to use"
expect 2 "unknown option --fast" --fast
expect 2 "there is no stage 'speed'" --only speed
expect 2 "--within takes seconds from 1 to 99999, not '0'" --within 0
expect 2 "cannot write the report to /nowhere/report.md" --out /nowhere/report.md
if [ "$(wc -l <<< "$said")" != 1 ]; then
  printf 'gpu-check --out said more than one line:\n%s\n' "$said" >&2
  failures=$((failures + 1))
fi
if [ -e "$tree" ]; then
  echo "gpu-check wrote to the build's folder before it knew of a GPU" >&2
  failures=$((failures + 1))
fi

# Nothing is built: no stage that needs the program can pass, and each is run and named.
while read -r stage _; do
  case $stage in
    toolchain | build) ;;
    *) unbuilt+=(--only "$stage") ;;
  esac
done < <(PATH=$scratch/tools "$source/launch/gpu-check" --list)
expect 1 "failed: tests parity bits bench peers sanitizer train" "${unbuilt[@]}"
if [ "$(grep -c '| FAILED |' "$tree/gpu-check-report.md")" != 7 ] || grep -q 'passed' "$tree/gpu-check-report.md"; then
  echo "gpu-check's report does not say that seven stages failed:" >&2
  cat "$tree/gpu-check-report.md" >&2
  failures=$((failures + 1))
fi

# A program that always fails, and one that ends well without doing anything: neither passes.
mkdir -p "$tree/bin"
printf '#!/bin/bash\necho no GPU for me >&2\nexit 4\n' > "$tree/bin/ganymede"
chmod +x "$tree/bin/ganymede"
expect 1 "failed: parity bits train bench" --only parity --only bits --only train --only bench
for text in 'failed with exit code 4' 'no GPU for me'; do
  grep -qF "$text" "$tree/gpu-check-report.md" && continue
  echo "gpu-check's report does not say '$text'" >&2
  failures=$((failures + 1))
done
printf '#!/bin/bash\n' > "$tree/bin/ganymede"
expect 1 "failed: parity bits train bench" --only parity --only bits --only train --only bench

# GPUs that are too old are neither counted nor built for (CMake's `auto` leaves them out), and take nothing from others.
printf '#!/bin/bash\necho "cmake $*"; exit 1\n' > "$scratch/driver/cmake"
chmod +x "$scratch/driver/cmake"
capabilities 6.1 9.0 10.0
expect 1 "-DGANYMEDE_CUDA_ARCHITECTURES=auto" --only build
rm "$scratch/driver/cmake"
expect 1 "-n 2 $tree/bin/ganymede bench" --only bench
expect 1 "--precision bf16" --only bench
capabilities 7.5
expect 1 "failed: bench" --only bench
if ! grep -qF -- '- bench: tf32 and bf16:' "$tree/gpu-check-report.md"; then
  echo "gpu-check does not say that a Turing's tensor cores are not tried" >&2
  failures=$((failures + 1))
fi
driver 'echo "GPU 0: Some GPU (UUID: GPU-0)"'

# A training is judged: what stands in for Python says what its samples' score is.
mkdir -p "$scratch/data/mnist" "$scratch/venv/bin"
: > "$scratch/data/mnist/train-images-idx3-ubyte"
cat > "$tree/bin/ganymede" <<'END'
#!/bin/bash
[ "$1" = train ] || exit 0
mkdir -p "${@: -1}/samples"
echo '{}' | tee "${@: -1}/metrics.jsonl" > "${@: -1}/samples/step-00020000.png"
END
for score in '160.3 ± 1.3' '99.9 ± 1.3' '-300.0 ± 9.1' 'nan ± nan'; do
  printf '#!/bin/bash\n[ "$1" = -c ] || echo "| generator | %s | 0.2 |"\n' "$score" > "$scratch/venv/bin/python"
  chmod +x "$scratch/venv/bin/python"
  code=1
  [ "${score%%.*}" != 160 ] || code=0
  GANYMEDE_DATA=$scratch/data expect $code "$score" --only train --venv "$scratch/venv"
done

# One that never ends: --within ends it, and what it left no time for has not passed.
printf '#!/bin/bash\n[ "$1" = --version ] || [ "$1" = doctor ] || exec sleep 60\n' > "$tree/bin/ganymede"
began=$SECONDS
expect 1 "failed: train bits" --only train --only bits --within 2
if [ $((SECONDS - began)) -ge 30 ]; then
  echo "gpu-check --within 2 went on for $((SECONDS - began)) s" >&2
  failures=$((failures + 1))
fi
for text in '| train | FAILED |' 'no end within 2 s' '| bits | NOT RUN |'; do
  grep -qF "$text" "$tree/gpu-check-report.md" && continue
  echo "gpu-check --within: its report does not say '$text'" >&2
  failures=$((failures + 1))
done
# Who is killed then leaves a report of the stages before.
: > "$scratch/said"
PATH=$scratch/driver:$scratch/tools "$source/launch/gpu-check" --build "$tree" --only sanitizer --only train \
  > "$scratch/said" 2>&1 &
for ((tries = 0; tries < 200; tries++)); do
  ! grep -qF '=== train' "$scratch/said" || break
  sleep .1
done
disown
kill -KILL $!
pkill -KILL -f "$tree/bin/ganymede" || true
for text in '**Not ended yet, or cut short: train.**' '| sanitizer | FAILED |'; do
  grep -qF "$text" "$tree/gpu-check-report.md" && continue
  echo "gpu-check: a report that was cut short does not say '$text'" >&2
  failures=$((failures + 1))
done

# What was packed elsewhere is run from where it was unpacked, and what does not run here is said before anything else.
expect 2 "there is no file $scratch/pack" --packed "$scratch/pack"
mkdir -p "$scratch/packed/bin"
echo "revision 7" > "$scratch/packed/source"
pack() { tar -C "$scratch/packed" -cf "$scratch/pack" .; }
pack
expect 4 "what was packed does not run here" --packed "$scratch/pack"
printf '#!/bin/bash\n[ "$1" = --version ] || { echo "no GPU for ${BASH_SOURCE[0]} $*"; exit 4; }\n' \
  > "$scratch/packed/bin/ganymede"
chmod +x "$scratch/packed/bin/ganymede"
pack
expect 2 "leaves nothing for the stage build" --packed "$scratch/pack" --only build
expect 1 "no GPU for $tree/packed/bin/ganymede train" --packed "$scratch/pack" --only bits --out "$scratch/found.md"
if ! grep -qF 'revision 7' "$scratch/found.md" || ! tar -xzOf "$scratch/found-logs.tar.gz" bits.log | grep -qF 'no GPU for'; then
  echo "gpu-check --packed: the report, or the logs beside it, do not say what was packed or how it failed" >&2
  failures=$((failures + 1))
fi

# The compute-sanitizer that launch/install --cuda fetched decides.
mkdir -p "$scratch/cache/ganymede/compute-sanitizer/bin"
fetched=$scratch/cache/ganymede/compute-sanitizer/bin/compute-sanitizer
for code in 0 99; do
  printf '#!/bin/bash\necho "the fetched one ends with %s"\nexit %s\n' $code $code > "$fetched"
  chmod +x "$fetched"
  XDG_CACHE_HOME=$scratch/cache expect $((code > 0)) "the fetched one ends with $code" --only sanitizer
done

[ $failures -eq 0 ]
