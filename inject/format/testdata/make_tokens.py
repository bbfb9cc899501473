#!/usr/bin/env python3
"""Writes adapter folders for token classification, with Hugging Face PEFT and with AdapterHub's library.

    pip install torch==2.15.0 transformers==4.57.6 peft==0.21.2 adapters==1.3.0 safetensors
    ./make_tokens.py [NAME ...]

families/FAMILY_LIBRARY_tokens_METHOD/  as make_families.py has it, on the checkpoint of models/testdata that
                                        expected.json names, with the outputs of the model for token classification
"""

import argparse
import warnings

import peft
import torch
import transformers
from adapters import LoRAConfig, PrefixTuningConfig, SeqBnConfig

import make_families as families

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
LINEARS = {"bert": ["query", "value"], **families.FAMILIES}
BASES = {"bert": "bert_token", "distilbert": "distilbert", "roberta": "roberta"}
TOKEN_CLS = dict(task_type="TOKEN_CLS")


def peft_cases(family):
    cases = {"lora": peft.LoraConfig(r=4, lora_alpha=8, target_modules=LINEARS[family], **TOKEN_CLS)}
    if family == "bert":
        cases["ia3"] = peft.IA3Config(**TOKEN_CLS)
        cases["prefix"] = peft.PrefixTuningConfig(num_virtual_tokens=3, **TOKEN_CLS)
        cases["dora"] = peft.LoraConfig(r=2, use_dora=True, bias="lora_only", target_modules=["key", "dense"], **TOKEN_CLS)
    return cases


HUB_CASES = {
    "seq_bn": (SeqBnConfig(reduction_factor=4), True),
    "lora": (LoRAConfig(r=2, alpha=6), True),
    "prefix": (PrefixTuningConfig(prefix_length=3, bottleneck_size=6), False),
}


batch_without_types = families.batch


def batch(family):
    inputs = batch_without_types(family)
    if family == "bert":
        inputs["token_type_ids"] = torch.tensor([[0, 0, 0, 1, 1, 1], [0] * 6])
    return inputs


def peft_base(family, config):
    torch.manual_seed(families.SEED)
    own = {"num_labels": len(TAGS), "ignore_mismatched_sizes": True}
    path = families.CHECKPOINTS / BASES[family]
    return transformers.AutoModelForTokenClassification.from_pretrained(path, attn_implementation="eager", **own).eval()


class Tagger:
    """What make_families.write_hub asks for a head, answered with one of each token."""

    def __init__(self, model):
        self.__dict__["model"] = model

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, **inputs):
        return self.model(**inputs)

    def add_classification_head(self, name, num_labels, id2label):
        self.model.add_tagging_head(name, num_labels=len(TAGS), id2label=dict(enumerate(TAGS)))


def hub_base(family):
    torch.manual_seed(families.SEED)
    return families.AutoAdapterModel.from_pretrained(families.CHECKPOINTS / family, attn_implementation="eager").eval()


def main():
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    names = parser.parse_args().names
    families.batch, families.peft_base = batch, peft_base
    families.hub_base = lambda family: Tagger(hub_base(family))
    for family, base in BASES.items():
        cases = {f"{family}_peft_tokens_{k}": (base, families.write_peft, v) for k, v in peft_cases(family).items()}
        cases |= {f"{family}_hub_tokens_{k}": (family, families.write_hub, *v, {}) for k, v in HUB_CASES.items()}
        for name, (on, make, *args) in cases.items():
            if not names or name in names:
                families.write(name, family, make, *args, base=on)


if __name__ == "__main__":
    main()
