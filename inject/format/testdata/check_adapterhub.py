#!/usr/bin/env python3
"""Proves that AdapterHub's library loads what peftgraph writes for it.

    pip install torch==2.15.0 transformers==4.57.6 adapters==1.3.0 peft==0.21.2 safetensors
    ./check_adapterhub.py

Lets the Go tests write every fixture of make_adapterhub.py and make_families.py again, and those of
PEFT that AdapterHub can hold. Loads each with load_adapter and compares the outputs with those in its
expected.json, which are those of the library that the adapter came from.
"""

import json
import logging
import os
import pathlib
import subprocess
import tempfile
import warnings

import torch
import transformers

import make_adapterhub
import make_families

LIMIT = 1e-4


def base_of(expected):
    if expected["base"].endswith(".onnx"):
        return make_adapterhub.fresh()
    return make_families.hub_base(expected["base"].removesuffix("_sequence"))


def check(folder):
    expected = json.loads((folder / "expected.json").read_text())
    model = base_of(expected)
    head = (folder / "head_config.json").exists()
    adapter = model.load_adapter(str(folder), set_active=True, with_head=head, use_safetensors=True)
    if head:
        model.active_head = adapter
    inputs = {k: torch.tensor(v["data"]).reshape(v["shape"]) for k, v in expected["inputs"].items()}
    with torch.no_grad():
        out = model.eval()(**inputs)
    key = "logits" if head else "last_hidden_state"
    want = expected["with"][key]
    worst = float((out[key] - torch.tensor(want["data"]).view(want["shape"])).abs().max())
    print(f"{folder.name}: max |Δ{key}| {worst:.2g}")
    assert worst <= LIMIT, folder.name


def main():
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        test = ["go", "test", "-count=1", "-run", "^(TestAdapterHubFolders|TestAdapterHubMaskedLM|TestFamilies|TestConversions|TestWrittenEmbeddings)$", "."]
        subprocess.run(test, cwd=make_adapterhub.HERE.parent, check=True, env=os.environ | {"PEFTGRAPH_WRITE": folder})
        for path in sorted((pathlib.Path(folder) / "adapterhub").iterdir()):
            check(path)


if __name__ == "__main__":
    main()
