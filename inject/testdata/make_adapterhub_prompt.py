#!/usr/bin/env python3
"""Runs prefix and prompt tuning of AdapterHub's library itself on the tiny BERT of ../format/testdata/base.

    pip install torch==2.15.0 transformers==4.57.6 adapters==1.3.0 safetensors
    ./make_adapterhub_prompt.py

adapterhub_prompt.json  by case: the configuration, its tensors by the library's names below the adapter's, and the last
                        hidden state, which has rows for the virtual tokens where there are any; a batch; and the numbers of
                        parameters on a model of BERT-base's size
"""

import json
import pathlib

import adapters
import safetensors.torch
import torch
import transformers
from adapters import BertAdapterModel, PrefixTuningConfig, PromptTuningConfig

HERE = pathlib.Path(__file__).parent
BASE = HERE.parent / "format" / "testdata" / "base"
NAME = "sst-2"

CASES = {
    "prefix": PrefixTuningConfig(prefix_length=3, bottleneck_size=6),
    "prefix_flat": PrefixTuningConfig(prefix_length=2, flat=True),
    "prefix_one_layer": PrefixTuningConfig(prefix_length=2, flat=True, leave_out=[0]),
    "prompt": PromptTuningConfig(prompt_length=3),
    "prompt_after_bos": PromptTuningConfig(prompt_length=3, combine="prefix_after_bos"),
}

COUNTS = {
    "prefix": PrefixTuningConfig(),
    "prefix_flat": PrefixTuningConfig(flat=True),
    "prompt": PromptTuningConfig(),
}


def array(t):
    return {"shape": list(t.shape), "data": [float(f"{x:.8g}") if t.is_floating_point() else x for x in t.flatten().tolist()]}


def own(model, name):
    return {key.split(f".{name}.", 1)[1]: p for key, p in model.named_parameters() if f"_tunings.{name}." in key}


def base():
    model = BertAdapterModel(transformers.BertConfig.from_pretrained(BASE, attn_implementation="eager"))
    state = safetensors.torch.load_file(BASE / "model.safetensors")
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert set(missing) <= {"bert.prompt_tuning.base_model_embeddings.weight"}, missing
    assert all(k.startswith("classifier.") for k in unexpected), unexpected
    return model.eval()


def batch():
    g = torch.Generator().manual_seed(11)
    ids = torch.randint(1, 60, (2, 6), generator=g)
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    types = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 0, 0]])
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def make(config):
    torch.manual_seed(20260104)
    model = base()
    with torch.no_grad():
        model.add_adapter(NAME, config=config)
        for p in own(model, NAME).values():
            p.copy_(torch.randn_like(p) * 0.6)
        model.set_active_adapters(NAME)
        hidden = model.eval().bert(**batch()).last_hidden_state
    return {
        "config": config.to_dict(),
        "tensors": {key: array(p) for key, p in own(model, NAME).items()},
        "hidden": array(hidden),
    }


def counts():
    found = {}
    with torch.device("meta"):
        model = BertAdapterModel(transformers.BertConfig())
        for name, config in COUNTS.items():
            model.add_adapter(name, config=config)
            found[name] = sum(p.numel() for p in own(model, name).values())
    return found


def main():
    out = {
        "adapters": adapters.__version__,
        "inputs": {k: array(v) for k, v in batch().items()},
        "cases": {name: make(config) for name, config in CASES.items()},
        "counts": counts(),
    }
    path = HERE / "adapterhub_prompt.json"
    path.write_text(json.dumps(out) + "\n")
    print({name: list(c["tensors"]) for name, c in out["cases"].items()}, out["counts"], path.stat().st_size)


main()
