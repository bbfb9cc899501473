#!/usr/bin/env python3
"""Loads adapter folders that peftgraph wrote with Hugging Face PEFT and compares the outputs.

    pip install torch==2.15.0 transformers==4.57.6 peft==0.21.2
    PEFTGRAPH_WRITE=/tmp/written go test ./inject/format -run TestWritten -count=1
    inject/format/testdata/check_peft.py /tmp/written/*

Each folder holds adapter_config.json, adapter_model.safetensors and expected.json: which base, one batch, and the outputs
that peftgraph computed in float64. The bases are those of make_peft.py. Fails when an output is off by more than 1e-4, or
when PEFT found a key missing, one too many, or a setting that it doesn't know.
"""

import argparse
import json
import pathlib
import sys
import warnings

import peft
import torch
import transformers

HERE = pathlib.Path(__file__).parent
WORST = 1e-4


def check(folder):
    expected = json.loads((folder / "expected.json").read_text())
    model = transformers.BertForSequenceClassification.from_pretrained(HERE / "base", attn_implementation="eager")
    if expected["base"] == "encoder.onnx":
        model = model.bert
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = peft.PeftModel.from_pretrained(model, folder).eval()
    complaints = [str(w.message) for w in caught if "missing" in str(w.message) or "unexpected" in str(w.message).lower()]
    inputs = {k: torch.tensor(v["data"]).reshape(v["shape"]) for k, v in expected["inputs"].items()}
    with torch.no_grad():
        out = model(**inputs)
    worst = 0.0
    for name, want in expected["with"].items():
        if torch.is_tensor(out.get(name)):
            got = out[name].double()
            worst = max(worst, float((got - torch.tensor(want["data"], dtype=torch.double).reshape(want["shape"])).abs().max()))
    return worst, complaints


def main():
    transformers.logging.set_verbosity_error()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    failed = 0
    for folder in parser.parse_args().folders:
        worst, complaints = check(folder)
        ok = worst <= WORST and not complaints
        failed += not ok
        print(f"{'ok  ' if ok else 'FAIL'} {folder.name}: max |Δ| {worst:.1g}", *complaints)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
