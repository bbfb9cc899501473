#!/usr/bin/env python3
"""Proves that Hugging Face PEFT and AdapterHub's library load the taggers that peftgraph writes for them.

    pip install torch==2.15.0 transformers==4.57.6 peft==0.21.2 adapters==1.3.0 safetensors
    ./check_tokens.py

Lets the Go tests write adapters for token classification, loads each with its library and compares the logits with those in
its expected.json. Fails when one is off by more than 1e-4, or when PEFT complains about the keys.
"""

import json
import logging
import os
import pathlib
import subprocess
import tempfile
import warnings

import peft
import torch
import transformers

import make_families as families

LIMIT = 1e-4
TAGS = 5


def peft_model(folder, base):
    own = {"num_labels": TAGS, "ignore_mismatched_sizes": True}
    model = transformers.AutoModelForTokenClassification.from_pretrained(families.CHECKPOINTS / base, attn_implementation="eager", **own)
    return peft.PeftModel.from_pretrained(model, folder)


def hub_model(folder, base):
    config = transformers.AutoConfig.from_pretrained(families.CHECKPOINTS / base, attn_implementation="eager")
    model = families.AutoAdapterModel.from_config(config)
    state = families.load_file(families.CHECKPOINTS / base / "model.safetensors")
    encoder = config.model_type + "."
    state = {encoder + k.removeprefix(encoder): v for k, v in state.items() if not k.startswith("classifier.")}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(".pooler." in k or "prompt_tuning" in k for k in missing), (missing, unexpected)
    model.active_head = model.load_adapter(str(folder), set_active=True, use_safetensors=True)
    return model


def check(folder, load):
    expected = json.loads((folder / "expected.json").read_text())
    inputs = {k: torch.tensor(v["data"]).reshape(v["shape"]) for k, v in expected["inputs"].items()}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = load(folder, expected["base"])
    complaints = [str(w.message) for w in caught if "missing" in str(w.message) or "unexpected" in str(w.message).lower()]
    assert not complaints, (folder.name, complaints)
    with torch.no_grad():
        logits = model.eval()(**inputs).logits
    want = torch.tensor(expected["with"]["logits"]["data"]).view(expected["with"]["logits"]["shape"])
    logits = logits[:, logits.shape[1] - want.shape[1] :]  # PEFT tags the virtual tokens of a prompt too
    worst = float((logits - want).abs().max())
    print(f"{folder.parent.name}/{folder.name}: max |Δlogits| {worst:.2g}")
    assert worst <= LIMIT, folder.name


def main():
    logging.disable(logging.WARNING)
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        test = ["go", "test", "-count=1", "-run", "^TestTaggersWritten$", "."]
        subprocess.run(test, cwd=families.HERE.parent, check=True, env=os.environ | {"PEFTGRAPH_WRITE": folder})
        for kind, load in (("hf-peft", peft_model), ("adapterhub", hub_model)):
            for path in sorted((pathlib.Path(folder) / kind).iterdir()):
                check(path, load)


if __name__ == "__main__":
    main()
