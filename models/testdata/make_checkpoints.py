"""Writes tiny Hugging Face checkpoint folders with what PyTorch computes from them.

    python make_checkpoints.py [FOLDER]        needs torch, transformers and safetensors

Each folder holds config.json, model.safetensors and expected.json: the inputs and outputs of one batch with padding.
"""

import json
import pathlib
import sys

import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file

SMALL = dict(
    vocab_size=50,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=40,
    max_position_embeddings=20,
)
LABELS = {0: "negative", 1: "neutral", 2: "positive"}
DISTIL = dict(vocab_size=50, dim=16, n_layers=2, n_heads=2, hidden_dim=40, max_position_embeddings=20)


def bert(**kw):
    return transformers.BertConfig(**SMALL, **kw)


def roberta(**kw):
    return transformers.RobertaConfig(**SMALL, type_vocab_size=1, layer_norm_eps=1e-5, **kw)


def checkpoints():
    t = transformers
    yield "bert", t.BertModel(bert())
    yield "bert_gelu_new_mlm", t.BertForMaskedLM(bert(hidden_act="gelu_new"))
    yield "bert_sequence", t.BertForSequenceClassification(bert(hidden_act="relu", id2label=LABELS))
    yield "bert_token", t.BertForTokenClassification(bert(hidden_act="silu", num_labels=5))
    yield "distilbert", t.DistilBertModel(t.DistilBertConfig(**DISTIL))
    yield "distilbert_sequence", t.DistilBertForSequenceClassification(t.DistilBertConfig(**DISTIL, id2label=LABELS))
    yield "roberta", t.RobertaModel(roberta())
    yield "roberta_sequence", t.RobertaForSequenceClassification(roberta(id2label=LABELS))


def randomise(model):
    """Gives every parameter a value of its own: fresh models have equal biases and norms, which would hide a mix-up."""
    generator = torch.Generator().manual_seed(len(list(model.parameters())))
    for name, p in model.named_parameters():
        around = 1.0 if "LayerNorm.weight" in name or "layer_norm.weight" in name else 0.0
        p.data = around + 0.3 * torch.randn(p.shape, generator=generator)


def inputs(model, roberta):
    ids = torch.tensor([[2, 11, 30, 49, 7, 3, 0], [2, 5, 40, 3, 0, 0, 0]])
    mask = (ids != 0).long()
    if roberta:
        ids[mask == 0] = 1  # RoBERTa's positions depend on its padding id
    feeds = {"input_ids": ids, "attention_mask": mask}
    if "bert" == model.config.model_type:
        feeds["token_type_ids"] = torch.tensor([[0, 0, 0, 1, 1, 1, 0], [0, 0, 1, 1, 0, 0, 0]])
    return feeds


def array(tensor):
    return {"shape": list(tensor.shape), "data": [float(f"{x:.8g}") for x in tensor.flatten().tolist()]}


def main(out):
    for name, model in checkpoints():
        randomise(model.eval())
        folder = out / name
        model.save_pretrained(folder, safe_serialization=True)
        (folder / "generation_config.json").unlink(missing_ok=True)
        encoder = getattr(model, model.base_model_prefix, model)
        feeds = inputs(model, "roberta" in name)
        with torch.no_grad():
            hidden = encoder(**feeds)
            outputs = {k: array(hidden[k]) for k in ("last_hidden_state", "pooler_output") if hidden.get(k) is not None}
            if "MaskedLM" not in type(model).__name__ and encoder is not model:
                outputs["logits"] = array(model(**feeds).logits)
        expected = {"inputs": {k: array(v) for k, v in feeds.items()}, "outputs": outputs}
        (folder / "expected.json").write_text(json.dumps(expected))
    variants(out)


def variants(out):
    """The same weights under the names of 2018's checkpoints, in two shards, and in half precision."""
    tensors = {}
    with safe_open(out / "bert" / "model.safetensors", "pt") as f:
        for key in f.keys():
            tensors[key] = f.get_tensor(key)
    legacy = {
        "bert." + k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
        for k, v in tensors.items()
    }
    folder = copy(out, "bert_legacy_sharded")
    keys, weight_map = sorted(legacy), {}
    for i, part in enumerate((keys[::2], keys[1::2]), 1):
        file = f"model-{i:05d}-of-00002.safetensors"
        save_file({k: legacy[k] for k in part}, folder / file, metadata={"format": "pt"})
        weight_map |= {k: file for k in part}
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))
    folder = copy(out, "bert_half")
    half = {k: v.half() for k, v in tensors.items()}
    save_file(half, folder / "model.safetensors", metadata={"format": "pt"})
    model = transformers.BertModel(bert()).eval()
    model.load_state_dict({k: v.float() for k, v in half.items()})
    expected = json.loads((folder / "expected.json").read_text())
    feeds = {k: torch.tensor(v["data"]).long().reshape(v["shape"]) for k, v in expected["inputs"].items()}
    with torch.no_grad():
        hidden = model(**feeds)
    expected["outputs"] = {k: array(hidden[k]) for k in ("last_hidden_state", "pooler_output")}
    (folder / "expected.json").write_text(json.dumps(expected))


def copy(out, name):
    folder = out / name
    folder.mkdir(exist_ok=True)
    for file in ("config.json", "expected.json"):
        (folder / file).write_text((out / "bert" / file).read_text())
    return folder


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "checkpoints"))
