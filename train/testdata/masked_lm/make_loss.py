#!/usr/bin/env python3
"""Writes the losses of Hugging Face's own masked language models for masks that are fed to them.

The models are those that models/testdata/make_exports.py exports (same seed), so that the .onnx files there are the same
models; loss.json holds, for each, the ids with masks, the targets (-100 where nothing is to be guessed) and the loss, in
float64, with the attention mask and token types of the exported batch.

    pip install torch transformers==4.57.6 && ./make_loss.py
"""

import json
import pathlib
import sys

import torch

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2] / "models" / "testdata"))
import make_exports  # noqa: E402

MODELS = (
    "bert_torch2_legacy_op14_mlm",
    "bert_torch2_dynamo_op18_mlm",
    "distilbert_torch2_legacy_op14_mlm",
    "roberta_torch2_legacy_op14_mlm",
)
MASK = 4


def main():
    out = []
    for case in make_exports.cases():
        if case.name not in MODELS:
            continue
        model = make_exports.build(case).double()
        inputs = make_exports.batch(case, 2, 7)
        labels = torch.full_like(inputs["input_ids"], -100)
        for row, at in ((0, 1), (0, 2), (0, 5), (1, 3)):
            labels[row, at] = inputs["input_ids"][row, at]
            inputs["input_ids"][row, at] = MASK
        inputs["input_ids"][0, 5] = 9  # a random token in the place of one
        with torch.no_grad():
            loss = model(**inputs, labels=labels).loss
        record = {"model": case.name, "loss": loss.item(), "labels": labels.tolist()}
        record.update({k: v.tolist() for k, v in inputs.items()})
        out.append(record)
    (HERE / "loss.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
