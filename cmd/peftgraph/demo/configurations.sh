#!/bin/sh
# Four configurations, each from the model to a proven export in one command, on the demo's data.
# Usage: configurations.sh PEFTGRAPH MODEL.onnx OUTPUT-FOLDER [MORE FLAGS OF TRAIN]
set -eu

peftgraph=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
model=$2
out=$3
shift 3
data=$(cd "$(dirname "$0")" && pwd)
more="$*"

road() {
	name=$1
	shift
	# shellcheck disable=SC2086 # more is a list of flags
	set -- train --quiet --head mean --batch-size 16 --max-length 64 $more "$@" --data "$data/train.tsv" --eval "$data/dev.tsv" \
		--export "$out/$name.onnx" "$model" -o "$out/$name"
	printf '\n$ peftgraph %s\n' "$*"
	"$peftgraph" "$@"
	"$peftgraph" eval --quiet --data "$data/test.tsv" "$out/$name"
}

rm -rf "$out"
mkdir -p "$out"
road adapter --method adapter --config pfeiffer --reduction-factor 16 --lr 2e-3
road prefix --method prefix --num-virtual-tokens 10 --encoder-hidden-size 768 --prefix-projection --lr 5e-4
road prompt --method prompt --num-virtual-tokens 20 --lr 1e-2
road lora --method lora --rank 4 --alpha 32 --dropout 0.05 --target query,value --lr 2e-3
