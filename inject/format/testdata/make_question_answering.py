#!/usr/bin/env python3
"""Writes adapter folders with heads of question answering, with Hugging Face PEFT and with AdapterHub's library.

    pip install torch==2.15.0 transformers==4.57.6 peft==0.21.2 adapters==1.3.0 safetensors
    ./make_question_answering.py [NAME ...]

families/FAMILY_LIBRARY_qa_METHOD/  as make_families.py writes them; logits are both outputs of each token. PEFT's prompts have
                                    outputs too, before the text's, which are left out. PEFT 0.21.2 doesn't pass token types on
                                    to a model for question answering, so they are zero.
"""

import sys
import warnings

import peft
import torch
import transformers
from adapters import AutoAdapterModel, LoRAConfig, SeqBnConfig

import make_families as families

QA = dict(task_type="QUESTION_ANS")
SIZES = dict(num_virtual_tokens=3, token_dim=16, num_attention_heads=2, num_layers=2)
CASES = {
    "bert_peft_qa_lora": peft.LoraConfig(r=4, lora_alpha=8, target_modules=["query", "value"], **QA),
    "bert_peft_qa_prompt": peft.PromptTuningConfig(**SIZES, **QA),
    "distilbert_peft_qa_lora": peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_lin", "v_lin"], **QA),
    "roberta_peft_qa_ia3": peft.IA3Config(**QA),
    "bert_hub_qa_seq_bn": SeqBnConfig(reduction_factor=4),
    "distilbert_hub_qa_lora": LoRAConfig(r=2, alpha=6),
    "roberta_hub_qa_seq_bn": SeqBnConfig(reduction_factor=4),
}


def batch(family, plain=families.batch):
    inputs = plain(family)
    if family == "bert":
        inputs["token_type_ids"] = torch.zeros_like(inputs["input_ids"])
    return inputs


def outputs(out, length):
    """Both outputs of each of the text's tokens."""
    return torch.stack((out.start_logits, out.end_logits), -1)[:, -length:]


def forward(model, family):
    inputs = families.batch(family)
    with torch.no_grad():
        return {"logits": outputs(model.eval()(**inputs), inputs["input_ids"].shape[1])}


def peft_base(family, _):
    torch.manual_seed(families.SEED)
    folder = families.CHECKPOINTS / family
    return transformers.AutoModelForQuestionAnswering.from_pretrained(folder, attn_implementation="eager").eval()


def hub_base(family):
    """The encoder in the class whose heads can be exchanged; where write_hub adds a classifier, this head is added."""
    torch.manual_seed(families.SEED)
    model = AutoAdapterModel.from_pretrained(families.CHECKPOINTS / family, attn_implementation="eager").eval()
    model.add_classification_head = lambda name, **_: model.add_qa_head(name)
    return model


def main():
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    families.batch, families.forward, families.peft_base, families.hub_base = batch, forward, peft_base, hub_base
    for name in sys.argv[1:] or CASES:
        family, library, _ = name.split("_", 2)
        if library == "peft":
            families.write(name, family, families.write_peft, CASES[name], base=family)
        else:
            families.write(name, family, families.write_hub, CASES[name], True, {}, base=family)


if __name__ == "__main__":
    main()
