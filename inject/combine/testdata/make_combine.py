#!/usr/bin/env python3
"""Writes LoRA adapters with Hugging Face PEFT, and what its add_weighted_adapter makes of them.

    pip install torch==2.15.0 transformers==4.57.6 peft==0.21.2
    ./make_combine.py

one/ two/ wide/  adapters on the encoder of inject/format's make_peft.py, whose files these are
expected.json    for each combination: adapters, weights, options, and ΔW of a module as PEFT adds it
"""

import json
import pathlib
import shutil
import sys
import warnings

import peft
import torch
import transformers
from peft import LoraConfig

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE / "../../format/testdata"))
import make_peft  # noqa: E402

MODULES = ["encoder.layer.1.attention.self.value"]

ADAPTERS = {
    "one": LoraConfig(r=4, lora_alpha=8, target_modules=["query", "value"], task_type="FEATURE_EXTRACTION"),
    "two": LoraConfig(r=4, lora_alpha=2, target_modules=["query", "value"], task_type="FEATURE_EXTRACTION"),
    "wide": LoraConfig(r=6, lora_alpha=3, target_modules=["query", "value"], task_type="FEATURE_EXTRACTION"),
}

CASES = [
    dict(adapters=["one", "two"], weights=[0.7, 0.3], combination_type="cat"),
    dict(adapters=["one", "two", "wide"], weights=[1.0, 0.5, -0.25], combination_type="cat"),
    dict(adapters=["one", "two", "wide"], weights=[1.0, 0.5, -0.25], combination_type="svd", svd_rank=3),
    dict(adapters=["one", "wide"], weights=[1.0, 1.0], combination_type="svd", svd_rank=12),
    dict(adapters=["one", "two"], weights=[0.7, 0.3], combination_type="linear"),
    dict(adapters=["one", "two"], weights=[1.0, -0.5], combination_type="linear"),
    dict(adapters=["one", "two"], weights=[0.7, 0.3], combination_type="ties", density=0.5),
    dict(adapters=["one", "two"], weights=[0.7, 0.3], combination_type="ties", density=0.4, majority_sign_method="frequency"),
    dict(adapters=["one", "two", "wide"], weights=[0.7, 0.3, 0.6], combination_type="ties_svd", density=0.3, svd_rank=5),
    dict(adapters=["one", "two"], weights=[0.7, 0.3], combination_type="magnitude_prune", density=0.5),
    dict(adapters=["one", "two"], weights=[0.7, 0.3], combination_type="magnitude_prune_svd", density=0.5, svd_rank=4),
]


def main():
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    model = None
    for i, (name, config) in enumerate(ADAPTERS.items()):
        if model is None:
            model = peft.get_peft_model(make_peft.fresh(True), config, adapter_name=name)
        else:
            model.add_adapter(name, config)
        torch.manual_seed(i)
        with torch.no_grad():
            for key, p in model.named_parameters():
                if f".{name}." in key:
                    p.add_(0.3 * torch.randn_like(p))
    for name in ADAPTERS:
        shutil.rmtree(HERE / name, ignore_errors=True)
        model.save_pretrained(HERE, selected_adapters=[name])
        (HERE / name / "README.md").unlink(missing_ok=True)
    (HERE / "README.md").unlink(missing_ok=True)
    rows = []
    for i, case in enumerate(CASES):
        model.add_weighted_adapter(adapter_name=f"case{i}", **case)
        deltas = {}
        for key in MODULES:
            delta = model.base_model.model.get_submodule(key).get_delta_weight(f"case{i}")
            deltas[key] = [float(f"{v:.7g}") for v in delta.flatten().tolist()]
        rows.append({**case, "delta": deltas})
    (HERE / "expected.json").write_text(json.dumps({"peft": peft.__version__, "rows": rows}) + "\n")
    print(len(rows), "combinations,", (HERE / "expected.json").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
