#!/usr/bin/env bash
# The runs of docs/RESULTS.md's table of tasks: results.sh PEFTGRAPH MODEL.onnx CHECKPOINT DATA OUT [SEED …]
# DATA is what results_data.py wrote, CHECKPOINT the same model for Python, PYTHON (python3) has what peers.py needs; with PYTHON= nothing of
# Python runs. One line of JSON for each run goes to OUT/ours.jsonl and OUT/peers.jsonl.
set -uo pipefail
peftgraph=$1 model=$2 checkpoint=$3 data=$4 out=$5
shift 5
here=$(cd "$(dirname "$0")" && pwd)
threads=${THREADS:-1}
mkdir -p "$out"

# NAME TASK EPOCHS LR BATCH and further flags of peftgraph; of Python's where they differ, behind a bar.
runs=(
	"trec classification 3 1e-3 32"
	"wikiann token-classification 3 1e-3 32"
	"agmulti multi-label 3 1e-3 32"
	"stsb embedding 2 1e-3 32 --loss cosine --score-range 0,5 --text-column text --pair-column pair --label-column label | "
	"stsb regression 3 1e-3 32"
	"xquad question-answering 6 2e-3 16 --max-length 256 --doc-stride 64"
	"sms classification 2 1e-3 32"
	"cola classification 2 1e-3 32"
	"sst classification 3 1e-3 32"
	"rte classification 2 1e-3 32"
	"agnews classification 1 1e-3 32"
)

ours() {
	local name=$1 task=$2 epochs=$3 lr=$4 batch=$5 seed=$6
	shift 6
	local run="$out/$name.$task.$seed"
	rm -rf "$run"
	local start=$SECONDS
	"$peftgraph" train -q --task "$task" --method lora --rank 8 --alpha 16 --epochs "$epochs" --lr "$lr" --batch-size "$batch" --seed "$seed" \
		--threads "$threads" --data "$data/$name.train.jsonl" --eval "$data/$name.dev.jsonl" "$@" "$model" -o "$run" >"$run.log" 2>&1 || { tail -n 2 "$run.log"; return; }
	local took=$((SECONDS - start))
	"$peftgraph" eval -q --json --threads "$threads" --data "$data/$name.test.jsonl" "$run" |
		python3 -c "import json,sys; d=json.load(sys.stdin); print(json.dumps({'data':'$name','task':'$task','seed':$seed,'test':d['metrics'],'seconds':$took}))" |
		tee -a "$out/ours.jsonl"
}

peers() {
	local name=$1 task=$2 epochs=$3 lr=$4 batch=$5 seed=$6
	shift 6
	[ "$task" = embedding ] && task=embeddings
	"$PYTHON" "$here/peers.py" "$task" --model "$checkpoint" --train "$data/$name.train.jsonl" --dev "$data/$name.dev.jsonl" --test "$data/$name.test.jsonl" \
		--epochs "$epochs" --lr "$lr" --batch "$batch" --seed "$seed" --threads "$threads" "$@" 2>/dev/null |
		sed "s/^{/{\"data\": \"$name\", /" | tee -a "$out/peers.jsonl"
}

for seed in "${@:-1}"; do
	for line in "${runs[@]}"; do
		own=${line%%|*}
		read -ra a <<<"$own"
		common=("${a[@]:0:5}") more=("${a[@]:5}")
		theirs=("${more[@]}")
		[[ $line == *"|"* ]] && theirs=()
		[ -n "${PYTHON-python3}" ] && { peers "${common[@]}" "$seed" "${theirs[@]}" & }
		[ -n "${peftgraph}" ] && ours "${common[@]}" "$seed" "${more[@]}"
		wait
	done
done
