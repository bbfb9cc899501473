#!/usr/bin/env python3
"""Writes masked_lm/: LoRA that PEFT itself put on AutoModelForMaskedLM, for which it has no task type.

The model is the one that models/testdata/make_exports.py exports as bert_torch2_legacy_op14_mlm. expected.json holds one batch
and the logits with the adapter as loaded back from the folder. With --check DIR, the folder that TestPEFTMaskedLM wrote is
loaded by PEFT and its logits compared:

    pip install torch transformers==4.57.6 peft==0.21.2
    ./make_masked_lm.py
    PEFTGRAPH_WRITE=DIR go test -run TestPEFTMaskedLM .. && ./make_masked_lm.py --check DIR/hf-peft/masked_lm
"""

import argparse
import json
import pathlib
import shutil
import sys
import warnings

import peft
import torch

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2] / "models" / "testdata"))
import make_exports  # noqa: E402

BASE = "bert_torch2_legacy_op14_mlm"
CASE = next(c for c in make_exports.cases() if c.name == BASE)


def logits(model, inputs):
    with torch.no_grad():
        return model.eval()(**inputs).logits


def make():
    folder = HERE / "masked_lm"
    shutil.rmtree(folder, ignore_errors=True)
    config = peft.LoraConfig(r=3, lora_alpha=6, target_modules=["query", "value"])
    model = peft.get_peft_model(make_exports.build(CASE), config)
    generator = torch.Generator().manual_seed(make_exports.SEED)
    trainable = [p for p in model.parameters() if p.requires_grad]
    with torch.no_grad():
        for p in trainable:
            p.add_(0.3 * torch.randn(p.shape, generator=generator))
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    inputs = make_exports.batch(CASE, 2, 7)
    out = logits(peft.PeftModel.from_pretrained(make_exports.build(CASE), folder), inputs)
    assert float((out - logits(model, inputs)).abs().max()) < 1e-5
    assert float((out - logits(make_exports.build(CASE), inputs)).abs().max()) > 1e-2
    record = {
        "base": BASE,
        "peft": peft.__version__,
        "trainable": sum(p.numel() for p in trainable),
        "inputs": {k: make_exports.as_json(v) for k, v in inputs.items()},
        "with": make_exports.as_json(out),
    }
    (folder / "expected.json").write_text(json.dumps(record) + "\n")


def check(folder):
    expected = json.loads((folder / "expected.json").read_text())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = peft.PeftModel.from_pretrained(make_exports.build(CASE), folder)
    complaints = [str(w.message) for w in caught if "missing" in str(w.message) or "unexpected" in str(w.message).lower()]
    assert not complaints, complaints
    inputs = {k: torch.tensor(v["data"]).reshape(v["shape"]) for k, v in expected["inputs"].items()}
    want = torch.tensor(expected["with"]["data"]).reshape(expected["with"]["shape"])
    worst = float((logits(model, inputs) - want).abs().max())
    print(f"{folder.name}: max |Δ| {worst:.2g}")
    assert worst < 1e-4


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", type=pathlib.Path)
    args = parser.parse_args()
    check(args.check) if args.check else make()
