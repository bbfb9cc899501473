#!/usr/bin/env python3
"""Writes adapter folders with Hugging Face PEFT itself, for a tiny random BERT.

    pip install torch==2.15.0 transformers==4.57.6 peft==0.21.2 onnx==1.23.2 onnxruntime==1.32.0
    ./make_peft.py [NAME ...]

base/      the base: encoder.onnx (BertModel) and seqcls.onnx (BertForSequenceClassification, whose
           `bert.` part has the same weights), and the checkpoint that both came from
NAME/      adapter_config.json and adapter_model.safetensors as save_pretrained wrote them, and
           expected.json: which base, one batch, PyTorch's outputs without and with the adapter as
           loaded back from the folder, the modules that carry it and the trainable parameters
targets.json  which modules PEFT adapts, with rank and scaling, for many ways to name them
"""

import argparse
import json
import pathlib
import shutil
import warnings

import numpy as np
import onnxruntime
import peft
import torch
import transformers
from peft import IA3Config, LoraConfig, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig
from transformers import BertConfig, BertForSequenceClassification

HERE = pathlib.Path(__file__).parent
SEED = 20260102
NAME = "tiny-bert"
LABELS = 3

CONFIG = dict(
    vocab_size=60,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=40,
    max_position_embeddings=32,
    num_labels=LABELS,
    attn_implementation="eager",
)

LORA = dict(r=4, lora_alpha=8, target_modules=["query", "value"])
SEQ_CLS = dict(task_type="SEQ_CLS")
FEATURES = dict(task_type="FEATURE_EXTRACTION")

CASES = {
    "lora_seqcls": LoraConfig(**LORA, **SEQ_CLS),
    "lora_encoder": LoraConfig(**LORA, **FEATURES),
    "lora_no_task": LoraConfig(**LORA),
    "lora_patterns": LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=["query", "key", "value", "output.dense"],
        exclude_modules=["0.attention.output.dense"],
        use_rslora=True,
        rank_pattern={"value": 2, r"layer\.1\.output\.dense": 6},
        alpha_pattern={"key": 32, "layer.1.attention.self.query": 3},
        **SEQ_CLS,
    ),
    "lora_all_linear": LoraConfig(r=2, lora_alpha=4, target_modules="all-linear", **SEQ_CLS),
    "lora_layers": LoraConfig(r=4, target_modules=["query", "intermediate.dense"], layers_to_transform=[1], **SEQ_CLS),
    "lora_regex": LoraConfig(r=4, target_modules=r".*layer\.0\..*(query|output\.dense)", **SEQ_CLS),
    "lora_bias_only": LoraConfig(**LORA, bias="lora_only", **SEQ_CLS),
    "lora_bias_all": LoraConfig(**LORA, bias="all", **SEQ_CLS),
    "lora_pooler_saved": LoraConfig(**LORA, modules_to_save=["pooler"], **SEQ_CLS),
    "lora_b_bias": LoraConfig(**LORA, lora_bias=True, **SEQ_CLS),
    "lora_embedding": LoraConfig(r=4, lora_alpha=8, target_modules=["word_embeddings", "query"], **SEQ_CLS),
    "lora_pickle": LoraConfig(**LORA, **SEQ_CLS),
    "dora": LoraConfig(**LORA, use_dora=True, **SEQ_CLS),
    "pissa": LoraConfig(**LORA, init_lora_weights="pissa", **SEQ_CLS),
    "pissa_converted": LoraConfig(**LORA, init_lora_weights="pissa", **FEATURES),
    "olora": LoraConfig(**LORA, init_lora_weights="olora", **SEQ_CLS),
    "olora_converted": LoraConfig(**LORA, init_lora_weights="olora", **FEATURES),
    "ia3": IA3Config(**SEQ_CLS),
    "ia3_outputs": IA3Config(target_modules=["key", "value", "intermediate.dense"], feedforward_modules=[], **SEQ_CLS),
    "prefix": PrefixTuningConfig(num_virtual_tokens=3, **SEQ_CLS),
    "prefix_projection": PrefixTuningConfig(
        num_virtual_tokens=3, prefix_projection=True, encoder_hidden_size=12, **SEQ_CLS
    ),
    "prompt": PromptTuningConfig(num_virtual_tokens=3, **SEQ_CLS),
    "p_tuning": PromptEncoderConfig(num_virtual_tokens=3, encoder_hidden_size=12, **SEQ_CLS),
}

# Names that must differ in what they reach, on BertForSequenceClassification.
TARGETS = [
    dict(target_modules=None),
    dict(target_modules=["query", "value"]),
    dict(target_modules=["dense"]),
    dict(target_modules=["output.dense"]),
    dict(target_modules=["attention.output.dense"]),
    dict(target_modules=["bert.encoder.layer.0.attention.self.key"]),
    dict(target_modules=["0.attention.self.key"]),
    dict(target_modules=["pooler.dense", "classifier"]),
    dict(target_modules="all-linear"),
    dict(target_modules="All-Linear", exclude_modules=["pooler.dense"]),
    dict(target_modules=["query", "key"], exclude_modules=["0.attention.self.key"]),
    dict(target_modules=["query", "key"], exclude_modules=r".*layer\.1.*"),
    dict(target_modules=["dense"], modules_to_save=["pooler"]),
    dict(target_modules=r".*\.(query|key)"),
    dict(target_modules=r"bert\.encoder\.layer\.1\.output\.dense"),
    dict(target_modules=["query"], layers_to_transform=1),
    dict(target_modules=["dense"], layers_to_transform=[0], layers_pattern="layer"),
    dict(target_modules=["query", "value"], rank_pattern={"value": 2}, alpha_pattern={"query": 32}),
    dict(target_modules=["query"], rank_pattern={"layer.0.attention.self.query": 2, "query": 6}),
    dict(target_modules=["query"], rank_pattern={r"^bert\.encoder\.layer\.1.*query": 2}),
    dict(target_modules=["output.dense"], rank_pattern={"output.dense": 3}, use_rslora=True),
]


def build_base():
    """Distinct values everywhere, large enough that an adapter in the wrong place shows."""
    torch.manual_seed(SEED)
    model = BertForSequenceClassification(BertConfig(**CONFIG)).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                p.copy_(float("LayerNorm.weight" in name) + 0.1 * torch.randn_like(p))
            else:
                p.copy_(torch.randn_like(p) * (0.5 if "embeddings" in name else p.shape[-1] ** -0.5))
    model.config._name_or_path = NAME
    return model


def fresh(encoder):
    model = build_base()
    if not encoder:
        return model
    model.bert.config._name_or_path = NAME
    return model.bert


def batch():
    rng = np.random.default_rng(SEED)
    ids = torch.from_numpy(rng.integers(3, CONFIG["vocab_size"], (2, 6)))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    types = torch.zeros_like(ids)
    types[:, 3:] = 1
    return {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": types}


def forward(model):
    with torch.no_grad():
        out = model.eval()(**batch())
    return {k: v for k, v in out.items() if torch.is_tensor(v)}


def as_json(tensor):
    data = tensor.flatten().tolist()
    if tensor.dtype == torch.float32:
        data = [float(f"{v:.8g}") for v in data]
    return {"shape": list(tensor.shape), "data": data}


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n" if path.name == "targets.json" else json.dumps(value) + "\n")


def write_base():
    folder = HERE / "base"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    fresh(False).save_pretrained(folder)
    for name, encoder in (("encoder", True), ("seqcls", False)):
        model, inputs = fresh(encoder), batch()
        outputs = forward(model)
        axes = {k: {0: "batch", 1: "sequence"} for k in inputs}
        axes |= {k: {0: "batch", 1: "sequence"} if v.dim() == 3 else {0: "batch"} for k, v in outputs.items()}
        path = folder / f"{name}.onnx"
        torch.onnx.export(
            model,
            (inputs["input_ids"], inputs["attention_mask"], inputs["token_type_ids"]),
            path,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=axes,
            opset_version=14,
            dynamo=False,
        )
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        got = session.run(list(outputs), {k: v.numpy() for k, v in inputs.items()})
        worst = max(float(np.abs(g - o.numpy()).max()) for g, o in zip(got, outputs.values()))
        assert worst < 1e-5, worst
        print(f"base/{name}.onnx: {path.stat().st_size / 1000:.0f} kB, max |Δ| {worst:.1g}")


def disturb(model):
    """Stands in for training: nothing that was trainable keeps its initial value."""
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(0.3 * torch.randn(p.shape, generator=generator))


def adapted_modules(model):
    """The modules that carry an adapter of their own, by the base model's names, with rank and scaling."""
    found = []
    for name, module in model.named_modules():
        name = name.removeprefix("base_model.model.")
        if isinstance(module, peft.tuners.lora.LoraLayer) and module.r:
            found.append({"module": name, "r": module.r["default"], "scaling": module.scaling["default"]})
        elif isinstance(module, peft.tuners.ia3.IA3Layer):
            found.append({"module": name})
    return found


def write_case(name, config):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    encoder = config.task_type != "SEQ_CLS"
    torch.manual_seed(SEED)
    model = peft.get_peft_model(fresh(encoder), config)
    if name.endswith("_converted"):
        model.peft_config["default"].init_lora_weights = True
        model.save_pretrained(folder / "initial")
        model.peft_config["default"].init_lora_weights = name.split("_")[0]
    disturb(model)
    if name.endswith("_converted"):
        model.save_pretrained(folder, path_initial_model_for_weight_conversion=str(folder / "initial"))
        shutil.rmtree(folder / "initial")
    else:
        model.save_pretrained(folder, safe_serialization=name != "lora_pickle")
    (folder / "README.md").unlink(missing_ok=True)

    loaded = peft.PeftModel.from_pretrained(fresh(encoder), folder)
    base, adapted, trained = forward(fresh(encoder)), forward(loaded), forward(model)
    key = next(iter(adapted))
    drift = max(float((adapted[k] - trained[k]).abs().max()) for k in adapted)
    effect = float((adapted[key] - base[key]).abs().max())
    assert drift < 1e-4, f"{name}: reloading changes the outputs by {drift}"
    assert effect > 1e-2, f"{name}: the adapter does nothing"
    write_json(
        folder / "expected.json",
        {
            "base": "encoder.onnx" if encoder else "seqcls.onnx",
            "peft": peft.__version__,
            "trainable": model.get_nb_trainable_parameters()[0],
            "modules": adapted_modules(loaded),
            "inputs": {k: as_json(v) for k, v in batch().items()},
            "without": {k: as_json(v) for k, v in base.items()},
            "with": {k: as_json(v) for k, v in adapted.items()},
        },
    )
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{name}: {size / 1000:.0f} kB, effect {effect:.2g}, reload drift {drift:.1g}")


def write_targets():
    rows = []
    for spec in TARGETS:
        config = LoraConfig(r=4, lora_alpha=8, **SEQ_CLS, **json.loads(json.dumps(spec)))
        model = peft.get_peft_model(fresh(False), config)
        rows.append({"config": {"r": 4, "lora_alpha": 8, **spec}, "modules": adapted_modules(model)})
    write_json(HERE / "targets.json", {"peft": peft.__version__, "rows": rows})
    print(f"targets.json: {len(rows)} rows")


def main():
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    names = parser.parse_args().names
    if not names:
        write_base()
        write_targets()
    for name in names or CASES:
        write_case(name, CASES[name])


if __name__ == "__main__":
    main()
