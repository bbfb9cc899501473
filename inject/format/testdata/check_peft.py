#!/usr/bin/env python3
"""Proves that Hugging Face PEFT loads what peftgraph writes for it.

    pip install torch==2.15.0 transformers==4.57.6 peft==0.21.2 safetensors
    ./check_peft.py

Lets the Go tests write adapters of their own, and again each of those that AdapterHub's library wrote and PEFT can hold.
Loads each with PeftModel.from_pretrained and compares the outputs with those in its expected.json. A head that no model of
Hugging Face's has is applied here to what PEFT's encoder gives. Fails when an output is off by more than 1e-4, or when PEFT
found a key missing, one too many, or a setting that it doesn't know.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

import peft
import torch
import transformers
from safetensors import safe_open

HERE = pathlib.Path(__file__).parent
CHECKPOINTS = HERE / "../../../models/testdata/checkpoints"
WORST = 1e-4


def base_of(expected, task):
    folder = HERE / "base" if expected["base"].endswith(".onnx") else CHECKPOINTS / expected["base"]
    if task == "SEQ_CLS":
        auto, more = transformers.AutoModelForSequenceClassification, {"num_labels": expected["with"]["logits"]["shape"][1]}
    elif task == "QUESTION_ANS":
        auto, more = transformers.AutoModelForQuestionAnswering, {"num_labels": 2}
    else:
        auto, more = transformers.AutoModel, {}
    return auto.from_pretrained(folder, attn_implementation="eager", **more)


def head(folder, hidden, mask):
    """The classifier that PEFT reads over, on the encoder's last hidden state."""
    with safe_open(folder / "adapter_model.safetensors", "pt") as f:
        kind = f.metadata()["peftgraph.head"]
        t = {k.removeprefix("base_model.").removeprefix("model."): f.get_tensor(k) for k in f.keys()}
    if kind == "mean":
        weights = mask.unsqueeze(-1).float()
        x = (hidden * weights).sum(1) / weights.sum(1)
    else:
        x = hidden[:, 0]
    for name, activation in (("pooler.dense", torch.tanh), ("pre_classifier", torch.relu)):
        if f"{name}.weight" in t:
            x = activation(x @ t[f"{name}.weight"].T + t[f"{name}.bias"])
    return x @ t["classifier.weight"].T + t["classifier.bias"]


def check(folder):
    expected = json.loads((folder / "expected.json").read_text())
    task = json.loads((folder / "adapter_config.json").read_text())["task_type"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = peft.PeftModel.from_pretrained(base_of(expected, task), folder).eval()
    complaints = [str(w.message) for w in caught if "missing" in str(w.message) or "unexpected" in str(w.message).lower()]
    inputs = {k: torch.tensor(v["data"]).reshape(v["shape"]) for k, v in expected["inputs"].items()}
    with torch.no_grad():
        out = dict(model(**inputs))
        if "start_logits" in out:
            length = inputs["input_ids"].shape[1]  # a prompt's tokens have outputs too, before the text's
            out["logits"] = torch.stack((out["start_logits"], out["end_logits"]), -1)[:, -length:]
        if "logits" in expected["with"] and "logits" not in out:
            out["logits"] = head(folder, out["last_hidden_state"], inputs["attention_mask"])
    worst, compared = 0.0, 0
    for name, want in expected["with"].items():
        if torch.is_tensor(out.get(name)):
            got = out[name].double()
            worst = max(worst, float((got - torch.tensor(want["data"], dtype=torch.double).reshape(want["shape"])).abs().max()))
            compared += 1
    return worst, complaints if compared else ["nothing to compare"]


def main():
    transformers.logging.set_verbosity_error()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        test = ["go", "test", "-count=1", "-run", "^(TestWritten.*|TestConversions)$", "."]
        subprocess.run(test, cwd=HERE.parent, check=True, env=os.environ | {"PEFTGRAPH_WRITE": folder})
        for path in sorted((pathlib.Path(folder) / "hf-peft").iterdir()):
            worst, complaints = check(path)
            ok = worst <= WORST and not complaints
            failed += not ok
            print(f"{'ok  ' if ok else 'FAIL'} {path.name}: max |Δ| {worst:.1g}", *complaints)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
