#!/bin/sh
# The whole road on a real pretrained encoder: install the runtime, get the model, inject, train, export, verify.
# Usage: demo.sh PEFTGRAPH OUTPUT-FOLDER; QUICK=1 trains one epoch on a part of the data.
set -eu

peftgraph=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
out=$2
data=$(cd "$(dirname "$0")" && pwd)

say() { printf '\n\033[1m%s\033[0m\n' "$*" ; }
run() { printf '$ peftgraph %s\n' "$*" ; "$peftgraph" "$@" ; }

rm -rf "$out"
mkdir -p "$out"

say "1. onnxruntime, a stock build"
run runtime info 2>/dev/null || run runtime install

say "2. all-MiniLM-L6-v2, a pretrained encoder"
run pull all-MiniLM-L6-v2 -o "$out/model"

say "3. LoRA and a classifier beside its frozen weights"
run inspect "$out/model/model.onnx"
run inject --method lora --rank 8 --alpha 16 --target query,value --head mean \
	--labels billing,delivery,praise,technical "$out/model/model.onnx" -o "$out/model/model.lora.onnx"

say "4. Accuracy before training"
run eval --data "$data/test.tsv" "$out/model/model.lora.onnx"

say "5. Training"
if [ -n "${QUICK:-}" ]; then epochs=1 ; else epochs=4 ; fi
run train --data "$data/train.tsv" --eval "$data/dev.tsv" --epochs "$epochs" --batch-size 16 --lr 2e-3 --max-length 64 \
	"$out/model/model.lora.onnx" -o "$out/run"

say "6. Accuracy after training"
run eval --data "$data/test.tsv" "$out/run"
run predict --text "the parcel never came, where is it?" --text "you charged my card twice" "$out/run"

say "7. Deployable models, each proven against the trained one"
run export --all "$out/run" --data "$data/test.tsv" -o "$out/deploy"
run verify --data "$data/test.tsv" --tokenizer "$out/run" "$out/deploy/merged.onnx" "$out/deploy/unmerged.onnx"

say "Sizes"
ls -l "$out/run/adapter_model.safetensors" "$out/deploy/merged.onnx" "$out/model/model.lora.onnx" | awk '{ print $5 " bytes  " $NF }'
