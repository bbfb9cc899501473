#!/usr/bin/env python3
"""Writes adapter folders with AdapterHub's library itself, on the tiny random BERT that make_peft.py made.

    pip install torch==2.15.0 transformers==4.57.6 adapters==1.3.0 safetensors
    ./make_adapterhub.py [NAME ...]

adapterhub/NAME/   adapter_config.json with its tensors and, where there is a head, head_config.json with
                   its own, as save_adapter and save_head wrote them, and expected.json: one batch and
                   PyTorch's outputs without and with the adapter as loaded back from the folder
"""

import argparse
import json
import pathlib
import shutil
import warnings

import numpy as np
import torch
import transformers
import adapters
from adapters import (
    BertAdapterModel,
    DoRAConfig,
    DoubleSeqBnConfig,
    IA3Config,
    LoRAConfig,
    ParBnConfig,
    PrefixTuningConfig,
    PromptTuningConfig,
    SeqBnConfig,
)
from safetensors.torch import load_file

HERE = pathlib.Path(__file__).parent
OUT = HERE / "adapterhub"
SEED = 20260102
TASK = "sst-2"
LABELS = {0: "negative", 1: "neutral", 2: "positive"}

# Prefixes are saved as pickles only: the library gives safetensors one tensor under several names, which that refuses.
# name: configuration, use_safetensors, what the head is (None is none, a dict adds to two tanh layers on [CLS], a name is
# another head's)
CASES = {
    "seq_bn": (SeqBnConfig(reduction_factor=4), True, {}),
    "seq_bn_bin": (SeqBnConfig(reduction_factor={"0": 2, "default": 8}, non_linearity="gelu"), False, {}),
    "seq_bn_multilabel": (SeqBnConfig(reduction_factor=4), True, {"layers": 1, "multilabel": True}),
    "double_seq_bn": (DoubleSeqBnConfig(reduction_factor=4), True, {"layers": 1}),
    "par_bn": (ParBnConfig(reduction_factor=4), True, {"use_pooler": True, "layers": 1}),
    "scaled_par_bn": (ParBnConfig(reduction_factor=4, scaling="learned", leave_out=[0]), True, None),
    "lora": (LoRAConfig(r=4, alpha=8), True, {}),
    "lora_everywhere": (
        LoRAConfig(r=2, alpha=6, attn_matrices=["q", "k", "v"], intermediate_lora=True, output_lora=True, leave_out=[1]),
        False,
        {},
    ),
    "dora": (DoRAConfig(r=4, alpha=8), True, None),
    "ia3": (IA3Config(), True, {}),
    "prefix": (PrefixTuningConfig(prefix_length=3, bottleneck_size=6), False, {}),
    "prefix_flat": (PrefixTuningConfig(prefix_length=3, flat=True), False, {}),
    "prompt": (PromptTuningConfig(prompt_length=3), True, {}),
    "prompt_bos": (PromptTuningConfig(prompt_length=3, combine="prefix_after_bos"), True, {}),
    "masked_lm": (LoRAConfig(r=4, alpha=8), True, "masked_lm"),
}


def fresh():
    """The base of make_peft.py, without its classifier."""
    config = transformers.BertConfig.from_pretrained(HERE / "base", attn_implementation="eager")
    torch.manual_seed(SEED)
    model = BertAdapterModel(config)
    state = {k: v for k, v in load_file(HERE / "base" / "model.safetensors").items() if k.startswith("bert.")}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and not [k for k in missing if k.startswith("bert.") and not k.startswith("bert.prompt_tuning.")], (missing, unexpected)
    return model.eval()


def batch():
    rng = np.random.default_rng(SEED)
    ids = torch.from_numpy(rng.integers(3, 60, (2, 6)))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    types = torch.zeros_like(ids)
    types[:, 3:] = 1
    return {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": types}


def forward(model):
    """Logits, or the text's hidden states where there is no head."""
    with torch.no_grad():
        out = model.eval()(**batch())
    return out.logits if hasattr(out, "logits") else out.last_hidden_state


def as_json(tensor):
    data = tensor.flatten().tolist()
    if tensor.dtype == torch.float32:
        data = [float(f"{v:.8g}") for v in data]
    return {"shape": list(tensor.shape), "data": data}


def disturb(model):
    """Stands in for training: nothing that was trainable keeps its initial value."""
    generator = torch.Generator().manual_seed(SEED)
    model.train_adapter(TASK)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(0.3 * torch.randn(p.shape, generator=generator))


def write(name):
    config, safe, head = CASES[name]
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model = fresh()
    model.add_adapter(TASK, config=config)
    if head == "masked_lm":
        model.add_masked_lm_head(TASK)
    elif head is not None:
        model.add_classification_head(TASK, num_labels=len(LABELS), id2label=LABELS, **head)
    disturb(model)
    model.set_active_adapters(TASK)
    trained = forward(model)
    model.save_adapter(str(folder), TASK, with_head=head is not None, use_safetensors=safe)

    again = fresh()
    again.load_adapter(str(folder), set_active=True, with_head=head is not None, use_safetensors=safe)
    adapted = forward(again)
    assert float((adapted - trained).abs().max()) < 1e-5, name
    again.set_active_adapters(None)
    if head is not None:
        again.active_head = TASK
    effect = float((adapted - forward(again)).abs().max())
    assert effect > 1e-2, f"{name}: the adapter does nothing"
    text = {
        "base": "encoder.onnx",
        "adapters": adapters.__version__,
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "inputs": {k: as_json(v) for k, v in batch().items()},
        "with": {"logits" if head is not None else "last_hidden_state": as_json(adapted)},
    }
    (folder / "expected.json").write_text(json.dumps(text) + "\n")
    print(f"{name}: {sum(f.stat().st_size for f in folder.iterdir()) / 1000:.0f} kB, effect {effect:.2g}")


def main():
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    for name in parser.parse_args().names or CASES:
        write(name)


if __name__ == "__main__":
    main()
