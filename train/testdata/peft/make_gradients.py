#!/usr/bin/env python3
"""Writes PyTorch's gradients of adapters that Hugging Face PEFT wrote.

    pip install torch==2.15.0 transformers==4.57.6 peft==0.21.2
    ./make_gradients.py

NAME.json: for the adapter ../../../inject/format/testdata/NAME on the base beside it, the mean cross entropy of the
batch in its expected.json with the labels given here, and the gradient of every trained tensor by its key in PEFT's file.
"""

import json
import pathlib
import warnings

import peft
import torch
import transformers

HERE = pathlib.Path(__file__).parent
ADAPTERS = HERE / "../../../inject/format/testdata"
LABELS = [2, 0]


def key(name):
    for suffix in (".default.weight", ".modules_to_save.default.weight"):
        if name.endswith("lora_magnitude_vector" + suffix):
            return name.removesuffix(suffix)
    return name.replace(".modules_to_save.default", "").replace(".default", "")


def write(name):
    base = transformers.BertForSequenceClassification.from_pretrained(ADAPTERS / "base", attn_implementation="eager")
    model = peft.PeftModel.from_pretrained(base, ADAPTERS / name, is_trainable=True).eval()
    given = json.loads((ADAPTERS / name / "expected.json").read_text())["inputs"]
    inputs = {k: torch.tensor(v["data"]).reshape(v["shape"]) for k, v in given.items()}
    loss = torch.nn.functional.cross_entropy(model(**inputs).logits, torch.tensor(LABELS))
    loss.backward()
    grads = {key(n): p.grad for n, p in model.named_parameters() if p.requires_grad}
    out = {
        "peft": peft.__version__,
        "torch": torch.__version__,
        "labels": LABELS,
        "loss": float(loss),
        "gradients": {
            k: {"shape": list(g.shape), "data": [float(f"{v:.7g}") for v in g.flatten().tolist()]} for k, g in grads.items()
        },
    }
    path = HERE / f"{name}.json"
    path.write_text(json.dumps(out) + "\n")
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB, {len(grads)} gradients, loss {float(loss):.6f}")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    for adapter in ("dora", "lora_b_bias", "lora_embedding"):
        write(adapter)
