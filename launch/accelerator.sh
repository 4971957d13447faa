#!/usr/bin/env bash
# Uses a rented accelerator for MINUTES: smoke runs, the speed of training steps, the ISIC 2017 table, a profile.
#
#   bash launch/accelerator.sh MINUTES OUT
#
# The machine needs CUDA jax and no network. It takes from the folder .accelerator/ of the checkout (or
# $ACCELERATOR_FILES), which git ignores:
#   wheels/*.whl     packages that the machine lacks (grain, array-record, clu, ml-collections, portpicker)
#   data/isic2017.tar    the raw data set: as JPEG it is a seventh of the packed arrays
#   earlier/         OUT of an earlier call on another machine, to go on from
# Results are written to OUT after every case. The same command with the same OUT skips what is done; the last
# line says what is done and what is next. Nets, checkpoints and a copy of OUT stay in $ACCELERATOR_WORK, so that
# a second call on the same machine goes on even where OUT was emptied in between.
# Small stand-ins for a trial on a CPU: ACCELERATOR_TRIAL=1.
set -uo pipefail
cd "$(dirname "$0")/.."
minutes=${1:?usage: bash launch/accelerator.sh MINUTES OUT}
out=${2:?usage: bash launch/accelerator.sh MINUTES OUT}
files=${ACCELERATOR_FILES:-.accelerator}
work=${ACCELERATOR_WORK:-/tmp/imjax-accelerator}
trial=${ACCELERATOR_TRIAL:-}
python=${PYTHON:-python3}
# For what comes after the table and for writing OUT.
reserve=45
[ -z "$trial" ] || reserve=20
deadline=$(awk -v m="$minutes" -v s="$(date +%s)" 'BEGIN { printf "%d", s + 60 * m }')
mkdir -p "$out" "$work"
out=$(cd "$out" && pwd)
for earlier in "$work/earlier" "$files/earlier"; do
  if [ -d "$earlier" ] && [ -z "$(ls -A "$out")" ]; then cp -r "$earlier/." "$out/"; fi
done
if [ -n "$(ls "$files"/wheels/*.whl 2>/dev/null)" ] && [ ! -d "$work/site" ]; then
  "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$work/site" \
    "$files"/wheels/*.whl || exit 1
fi
[ ! -d "$work/site" ] || export PYTHONPATH="$work/site${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONUNBUFFERED=1 XDG_CACHE_HOME="$work/cache"
status="$out/status.txt"
touch "$status"

left() { echo $((deadline - $(date +%s))); }
say() { echo "[$(left) s left] $*"; }
is_done() { grep -qx "$1" "$status"; }
mark() { is_done "$1" || echo "$1" >>"$status"; }
# limit SECONDS COMMAND...: no longer than that, nor than is left; SIGTERM lets runs save themselves.
limit() {
  local seconds=$1
  shift
  [ "$(left)" -ge "$seconds" ] || seconds=$(left)
  [ "$seconds" -gt 5 ] || return 124
  timeout --signal=TERM --kill-after=20 "$seconds" "$@"
}

smoke() {
  local overrides=(--config.train.epochs=1 --config.train.steps_per_epoch=3)
  local pids=() name code=0
  for name in aim_pp cps; do
    limit "$1" "$python" -m imjax.main --config=configs/demo.py:tiny --config.method=$name --config.generations=1 \
      --config.baselines='()' "${overrides[@]}" --config.num_nets=4 --config.num_baseline_nets=4 \
      --workdir="$work/smoke_$name" >"$out/smoke_$name.log" 2>&1 &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || code=$?; done
  tail -qn 3 "$out"/smoke_*.log
  tar czf "$out/smoke_logs.tgz" -C "$out" $(cd "$out" && ls smoke_*.log) && rm -f "$out"/smoke_*.log
  return $code
}

steps() {
  local more=()
  [ -z "$trial" ] || more=(--shapes=32x2x0.25 --members=2,1 --dtype=float32 --wave=2 --norest --notorch)
  limit "$1" "$python" -m benchmarks.gpu --out="$out" --minutes="$(awk -v s="$1" 'BEGIN { print (s - 10) / 60 }')" \
    "${more[@]}" 2>&1 | grep -v '^{'
}

# The faster way to run four members at 128², by what was measured.
fastest() {
  "$python" - "$out/gpu.json" <<'PY' 2>/dev/null
import json, sys
rows = json.load(open(sys.argv[1]))["rows"]
sets = {"products": ("products", "batched"), "split products": ("split_products", "batched")}
rates = {r["strategy"]: r["rate"]["median"] for r in rows
         if r["size"] == 128 and r["members"] == 4 and r["strategy"] in sets and "rate" in r}
if rates:
    convolution, execution = sets[max(rates, key=rates.get)]
    print(f"--set=model.convolution={convolution} --set=member_execution={execution}")
PY
}

# What a report needs of every run, without nets.
keep_runs() {
  (cd "$work/runs" && find . \( -name results.csv -o -name config.json -o -name metrics.jsonl -o -name DONE.json \
    -o -name sweep.log -o -name rows.json -o -name report.html \) -size -2M -print0 |
    tar czf "$out/runs.part" --null -T - && mv "$out/runs.part" "$out/runs.tgz")
}

table() {
  local set=(--set=data.dir="$work/isic2017" --set=data.cache="$work/cache/imjax" --set=generations=2
    --set=data.height=128 --set=data.width=128 --set=model.width=0.5 --set="model.width_per_generation=(0.5,0.625)"
    --set=train.epochs=20 --set=train.steps_per_epoch=100 --set=train.batch_size=32 --set=eval_batch_size=128
    --set=consistency.epochs=20)
  local jobs=14 methods seeds=0,1,2
  if [ -n "$trial" ]; then
    set=(--set=data.dir="$work/isic2017" --set=data.cache="$work/cache/imjax" --set=data.height=32
      --set=data.width=32 --set=train.epochs=1 --set=train.steps_per_epoch=2 --set=num_baseline_nets=2
      --set=num_nets=2 --set=generations=1)
    jobs=1 seeds=0
  fi
  # shellcheck disable=SC2207
  set+=($(fastest))
  say "table: ${set[*]}"
  mkdir -p "$work/runs"
  [ -d "$work/isic2017" ] || tar xf "$files/data/isic2017.tar" -C "$work"
  # Packed once, before runs side by side would each do it.
  limit 60 "$python" -m imjax.prepare --dataset=isic2017 --raw="$work/isic2017" --out="$work/cache/imjax" \
    --size="$([ -z "$trial" ] && echo 128,128 || echo 32,32)" >/dev/null 2>&1
  if [ -z "$trial" ] && command -v nvidia-cuda-mps-control >/dev/null; then nvidia-cuda-mps-control -d; fi
  # What others start from first, so that it is trained once; then by seed, the most important methods first.
  local code=0
  for methods in "ldt aldt fdt" "ldt aldt fdt im aim_pp" \
    "ldt aldt fdt im aim_pp model_ensemble noisy_student im_p aim_p im_pp evalnet"; do
    local configs=()
    for method in $methods; do configs+=("--config=configs/isic2017_$method.py:small"); done
    [ -z "$trial" ] || configs=(--config=configs/isic2017_ldt.py:tiny)
    limit $(($(left) - reserve)) "$python" -m launch.sweep "${configs[@]}" --sweep=seed:$seeds "${set[@]}" --root="$work/runs" \
      --jobs=$jobs || code=$?
    keep_runs
    [ $code -eq 0 ] || break
  done
  if [ -z "$trial" ] && command -v nvidia-cuda-mps-control >/dev/null; then
    echo quit | timeout 5 nvidia-cuda-mps-control
  fi
  return $code
}

profile() {
  local shape=(--size=256 --batch=32 --alpha=1 --members=4)
  [ -z "$trial" ] || shape=(--size=32 --batch=2 --alpha=0.25 --members=2 --dtype=float32 --steps=1)
  local code=0
  for strategy in split_products products; do
    limit 40 "$python" -m benchmarks.profile --out="$out/profile_$strategy" "${shape[@]}" --strategy="${strategy//_/ }" 2>&1 |
      cut -c1-150 | head -25 || code=$?
  done
  return $code
}

# run NAME SECONDS: a part that is not done, within its time.
run() {
  if is_done "$1"; then return; fi
  if [ "$(left)" -lt 20 ]; then return; fi
  say "begin $1"
  if "$1" "$2"; then mark "$1"; fi
  mkdir -p "$work/earlier" && cp -r "$out/." "$work/earlier/"
  say "end $1"
}

say "machine: $(nvidia-smi --query-gpu=name,memory.total --format=csv,noheader 2>/dev/null || echo none)"
# A CPU compiles for minutes what an accelerator's host compiles in seconds.
run smoke "$([ -z "$trial" ] && echo 110 || echo 400)"
run steps "${ACCELERATOR_STEPS:-240}"
run table $(($(left) - reserve))
run profile 80
next=""
for part in smoke steps table profile; do is_done $part || next="$next $part"; done
echo "done: $(tr '\n' ' ' <"$status")| next:${next:- nothing}"
