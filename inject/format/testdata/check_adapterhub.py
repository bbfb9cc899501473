#!/usr/bin/env python3
"""Proves that AdapterHub's library loads what peftgraph writes for it.

    pip install torch==2.15.0 transformers==4.57.6 adapters==1.3.0 safetensors
    ./check_adapterhub.py

Lets the Go test write every fixture of make_adapterhub.py again, loads each with load_adapter, and
compares the outputs with those that expected.json has.
"""

import json
import logging
import pathlib
import subprocess
import tempfile
import warnings

import torch
import transformers

from make_adapterhub import HERE, OUT, forward, fresh

LIMIT = 1e-4


def check(name, folder):
    expected = json.loads((OUT / name / "expected.json").read_text())["with"]
    (key, want), = expected.items()
    model = fresh()
    head = key == "logits"
    adapter = model.load_adapter(str(folder), set_active=True, with_head=head, use_safetensors=True)
    if head:
        model.active_head = adapter
    worst = float((forward(model) - torch.tensor(want["data"]).view(want["shape"])).abs().max())
    print(f"{name}: max |Δ{key}| {worst:.2g}")
    assert worst <= LIMIT, name


def main():
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        test = ["go", "test", "-count=1", "-run", "^TestAdapterHubFolders$", ".", "-args", "-adapterhub", folder]
        subprocess.run(test, cwd=HERE.parent, check=True)
        for path in sorted(pathlib.Path(folder).iterdir()):
            check(path.name, path)


if __name__ == "__main__":
    main()
