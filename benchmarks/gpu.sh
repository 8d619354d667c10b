#!/usr/bin/env bash
# What one GPU shows in ten minutes, in the order of what matters most; whatever time is left trains one system and scores it.
#
#   benchmarks/gpu.sh [--device cuda|cpu] [--tiny] [--minutes 10] [--out DIR] [--python PYTHON]
#
# It uses the interpreter's own torch and installs nothing: what is missing is said and left out. Results go to --out, else to $OUT, else to
# gpu-results/: machine.json, tests.txt, profile.json, systems-PRECISION.json, run/ with its card, and log.txt. A step that
# fails or runs out of time does not stop the others; the last lines say which did. `--device cpu --tiny` shows that all of it runs.
set -u -o pipefail

device=cuda minutes=10 tiny= out=${OUT:-gpu-results} python=${PYTHON:-python3}
while [ $# -gt 0 ]; do
  case $1 in
    --device) device=$2; shift 2 ;;
    --minutes) minutes=$2; shift 2 ;;
    --tiny) tiny=--tiny; shift ;;
    --out) out=$2; shift 2 ;;
    --python) python=$2; shift 2 ;;
    *) echo "gpu.sh: unknown option $1: expected --device, --tiny, --minutes, --out or --python" >&2; exit 2 ;;
  esac
done
case $device in cuda | cpu) ;; *) echo "gpu.sh: --device $device: expected cuda or cpu" >&2; exit 2 ;; esac
mkdir -p "$out" && out=$(realpath "$out")
cd "$(dirname "$0")/.." || exit 1
export PYTHONPATH=$PWD RETOUCH_CACHE=$out/cache RETOUCH_RUNS=$out
began=$SECONDS failed=() slower=1
[ "$device" = cpu ] && slower=6                                  # a rehearsal shares its cores

left() { echo $((minutes * 60 - (SECONDS - began))); }

# step NAME SECONDS COMMAND…: at most so long and never longer than what is left
step() {
  local name=$1 most=$(($2 * slower)) rest
  shift 2
  rest=$(left)
  if [ "$rest" -lt 10 ]; then failed+=("$name (no time left)"); return 1; fi
  [ "$most" -gt "$rest" ] && most=$rest
  echo "== $name, at most $most s: $*" | tee -a "$out/log.txt"
  if timeout --signal=INT --kill-after=20 "$most" "$@" 2>&1 | tee -a "$out/log.txt"; then return 0; fi
  failed+=("$name")
  return 1
}

missing=$("$python" - <<'PY'
import importlib.util
needed = ('torch', 'numpy', 'PIL', 'pydantic', 'safetensors', 'tyro', 'rich', 'filelock', 'platformdirs', 'lightning_fabric')
print(*(name for name in needed if importlib.util.find_spec(name) is None))
PY
) || { echo "gpu.sh: $python cannot be run: name an interpreter that has torch with --python" >&2; exit 2; }
if [ -n "$missing" ]; then
  echo "gpu.sh: $python lacks $missing: expected an interpreter with torch and the packages of pyproject.toml; nothing is installed" >&2
  exit 2
fi

step machine 90 "$python" benchmarks/gpu.py machine --device "$device" --out "$out/machine.json" || exit 1
export CUBLAS_WORKSPACE_CONFIG=:4096:8 RETOUCH_TEST_DEVICE=$device
if "$python" -c 'import pytest' 2> /dev/null; then
  step tests 120 "$python" -m pytest -q -p no:cacheprovider tests/unit/test_device.py
else
  failed+=('tests (no pytest here)')
fi
step profile 90 "$python" benchmarks/gpu.py profile --device "$device" $tiny --out "$out/profile.json"
for precision in 32-true bf16-mixed; do
  step "systems $precision" 150 "$python" benchmarks/gpu.py systems --device "$device" $tiny --precision "$precision" --out "$out/systems-$precision.json"
done

if [ -n "$tiny" ]; then keep=30 n=20; else keep=90 n=200; fi         # seconds that the card needs
seconds=$(($(left) - keep))
step training "$((seconds + keep / 2))" "$python" benchmarks/gpu.py train --device "$device" $tiny --seconds "$seconds" --out "$out/run"
step card 300 "$python" -m retouch evaluate "$out/run" --n "$n" --device "$device"
echo "== $((SECONDS - began)) s; results in $out" | tee -a "$out/log.txt"
[ ${#failed[@]} -eq 0 ] || { printf 'not done: %s\n' "${failed[@]}" | tee -a "$out/log.txt"; exit 1; }
