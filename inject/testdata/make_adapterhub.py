#!/usr/bin/env python3
"""Writes bottleneck adapters with AdapterHub's library itself, on the tiny BERT of ../format/testdata/base.

    pip install torch==2.15.0 transformers==4.57.6 adapters==1.3.0 safetensors
    ./make_adapterhub.py

adapterhub/NAME/  the folder that save_adapter wrote, and expected.json: a batch, the last hidden state without and with the
                  adapter, and the number of its parameters
adapterhub/counts.json  the number of parameters on a model of BERT-base's size
"""

import json
import pathlib
import shutil

import adapters
import safetensors.torch
import torch
import transformers
from adapters import BertAdapterModel, DoubleSeqBnConfig, ParBnConfig, SeqBnConfig

HERE = pathlib.Path(__file__).parent
BASE = HERE.parent / "format" / "testdata" / "base"
OUT = HERE / "adapterhub"
NAME = "sst-2"

CASES = {
    "seq_bn": "seq_bn",
    "double_seq_bn": "double_seq_bn",
    "par_bn": "par_bn",
    "scaled_par_bn": "scaled_par_bn",
    "pfeiffer_by_layer": SeqBnConfig(reduction_factor={"0": 8, "default": 3}, non_linearity="gelu"),
    "pfeiffer_one_layer": SeqBnConfig(reduction_factor=0.5, leave_out=[0], scaling=2.0),
    "houlsby_tanh": DoubleSeqBnConfig(reduction_factor=4, non_linearity="tanh", init_weights="houlsby"),
    "parallel_gelu_new": ParBnConfig(reduction_factor=5, non_linearity="gelu_new", scaling=0.5),
}


def array(t):
    return {"shape": list(t.shape), "data": [round(x, 7) if t.is_floating_point() else x for x in t.flatten().tolist()]}


def base():
    config = transformers.BertConfig.from_pretrained(BASE)
    model = BertAdapterModel(config)
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


def make(name, config):
    torch.manual_seed(20260103)
    model = base()
    inputs = batch()
    with torch.no_grad():
        without = model.bert(**inputs).last_hidden_state
        model.add_adapter(NAME, config=config)
        for key, p in model.named_parameters():
            if f".adapters.{NAME}." in key:
                p.copy_(torch.randn_like(p) * (0.3 if p.dim() > 1 else 0.2) + (1.0 if key.endswith("scaling") else 0.0))
        model.set_active_adapters(NAME)
        model.eval()
        with_adapter = model.bert(**inputs).last_hidden_state
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_adapter(str(folder), NAME, with_head=False, use_safetensors=True)
    trainable = sum(p.numel() for key, p in model.named_parameters() if f".adapters.{NAME}." in key)
    expected = {
        "adapters": adapters.__version__,
        "trainable": trainable,
        "inputs": {k: array(v) for k, v in inputs.items()},
        "without": array(without),
        "with": array(with_adapter),
    }
    (folder / "expected.json").write_text(json.dumps(expected))


def counts():
    with torch.device("meta"):
        model = BertAdapterModel(transformers.BertConfig())
    found = {}
    for name in ["seq_bn", "double_seq_bn", "par_bn", "scaled_par_bn"]:
        with torch.device("meta"):
            model.add_adapter(name, config=name)
        found[name] = sum(p.numel() for key, p in model.named_parameters() if f".adapters.{name}." in key)
    (OUT / "counts.json").write_text(json.dumps(found, indent=1) + "\n")


def main():
    OUT.mkdir(exist_ok=True)
    for name, config in CASES.items():
        make(name, config)
    counts()


main()
