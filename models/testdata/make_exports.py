#!/usr/bin/env python3
"""Writes tiny, randomly initialised encoders through the real exporters.

Each case gives NAME.onnx and NAME.json. The JSON holds the ground truth (layers,
hidden, heads, ..., and the Hugging Face module name of every linear map) and, for
two batches, the inputs and PyTorch's outputs, so that a reader of the graph can be
checked for structure and for numbers without Python.

The forms that a graph takes depend on transformers as much as on the exporter, so
the cases are made with three releases of it. A run makes the cases that belong to
the transformers it finds:

    pip install torch==2.15.0 onnx==1.23.2 onnxruntime==1.32.0 onnxscript==0.7.2
    pip install transformers==4.36.2          && ./make_exports.py
    pip install transformers==4.57.6 optimum==2.3.0 optimum-onnx==0.1.0 && ./make_exports.py
    pip install transformers==5.23.0          && ./make_exports.py

    ./make_exports.py --all --out DIR [NAME ...]    also the variants that are not committed
"""

import argparse
import json
import pathlib
import tempfile
import warnings
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime
import torch
import transformers

SEED = 20260101
TOLERANCE = 2e-5

# Heads differ from head size, and the two weights of the feed-forward from the square ones, so a mix-up of axes can't pass.
BERT = dict(
    vocab_size=60,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=40,
    max_position_embeddings=32,
)
ONE_LAYER = dict(BERT, num_hidden_layers=1)
ODD = dict(BERT, hidden_size=12, num_hidden_layers=3, num_attention_heads=3, intermediate_size=20)


@dataclass
class Case:
    name: str
    release: str  # of transformers, as a prefix
    exporter: str = "legacy"  # legacy, dynamo, optimum, ort-basic, ort-layernorm-gelu, ort-all
    model: str = "BertModel"
    config: dict = field(default_factory=lambda: dict(BERT))
    opset: int | None = 14
    attention: str | None = "eager"
    fold: bool = True
    optimize: bool = True
    token_types: bool = True
    gemm: bool = False  # linear maps on [batch*sequence, hidden], which export as Reshape, Gemm, Reshape
    fresh: bool = False  # keep the default init, where all biases are one shared zero tensor
    commit: bool = False


def legacy_cases():
    for opset in (11, 12, 13, 14, 17):
        yield Case(
            f"bert_torch2_legacy_op{opset}_tf436",
            "4.36",
            opset=opset,
            config=ODD if opset == 11 else BERT,
            commit=opset in (11, 17),
        )
    for opset in (11, 12, 13, 14, 17, 18, 20):
        yield Case(f"bert_torch2_legacy_op{opset}_eager", "4.57", opset=opset, commit=opset == 20)
    for opset in (14, 17, 20):
        yield Case(f"bert_torch2_legacy_op{opset}_sdpa", "4.57", opset=opset, attention="sdpa", commit=opset == 14)
    yield Case("bert_torch2_legacy_op13_nofold", "4.57", opset=13, fold=False, commit=True)
    yield Case("bert_torch2_legacy_op17_sdpa_nofold", "4.57", opset=17, attention="sdpa", fold=False)
    yield Case("bert_torch2_legacy_op14_notypes", "4.57", config=ONE_LAYER, token_types=False, commit=True)
    fresh = dict(BERT, hidden_act="relu")
    yield Case("bert_torch2_legacy_op14_relu_fresh", "4.57", config=fresh, fresh=True, commit=True)
    yield Case("bert_torch2_legacy_op14_seqcls", "4.57", model="BertForSequenceClassification", commit=True)
    yield Case("bert_torch2_legacy_op14_mlm", "4.57", model="BertForMaskedLM", commit=True)
    yield Case("bert_torch2_legacy_op13_mlm_nofold", "4.57", model="BertForMaskedLM", opset=13, fold=False, config=ONE_LAYER)
    yield Case("bert_torch2_legacy_op14_tokencls", "4.57", model="BertForTokenClassification", commit=True)
    yield Case("bert_torch2_dynamo_op18_tokencls", "4.57", "dynamo", opset=18, model="BertForTokenClassification", commit=True)
    yield Case("bert_torch2_legacy_op14_nopooler", "4.57", config=dict(BERT, pooler=False))
    yield Case("bert_torch2_legacy_op14_gemm", "4.57", gemm=True, config=ONE_LAYER, commit=True)
    for kind in ("relative_key", "relative_key_query"):
        # Distances between tokens instead of positions; as many positions as a table of 2·32-1 distances allows.
        config = dict(BERT, position_embedding_type=kind)
        yield Case(f"bert_torch2_legacy_op14_{kind}", "4.57", config=config, commit=kind == "relative_key_query")
    for act in ("gelu_new", "gelu_fast", "silu"):
        yield Case(
            f"bert_torch2_legacy_op14_{act}", "4.57", config=dict(ONE_LAYER, hidden_act=act), commit=act == "gelu_new"
        )
    for opset, attention in ((14, "eager"), (14, "sdpa"), (17, "sdpa")):
        yield Case(f"bert_torch2_legacy_op{opset}_{attention}_tf5", "5.", opset=opset, attention=attention)


def dynamo_cases():
    for opset in (18, 19, 20, 21, 23):
        for attention in ("eager", "sdpa"):
            name = f"bert_torch2_dynamo_op{opset}_{attention}"
            yield Case(
                name, "4.57", "dynamo", opset=opset, attention=attention, commit=(opset, attention) == (18, "eager")
            )
            yield Case(
                name + "_tf5",
                "5.",
                "dynamo",
                opset=opset,
                attention=attention,
                commit=(opset, attention) in ((20, "sdpa"), (23, "sdpa")),
            )
    for attention in ("eager", "sdpa"):
        yield Case(
            f"bert_torch2_dynamo_op18_{attention}_noopt",
            "4.57",
            "dynamo",
            opset=18,
            attention=attention,
            optimize=False,
            config=ONE_LAYER,
            commit=attention == "sdpa",
        )
    relative = dict(BERT, position_embedding_type="relative_key_query")
    yield Case("bert_torch2_dynamo_op18_relative_key_query", "4.57", "dynamo", opset=18, config=relative)
    yield Case("bert_torch2_dynamo_op20_gelu_new", "4.57", "dynamo", opset=20, config=dict(BERT, hidden_act="gelu_new"))
    yield Case("bert_torch2_dynamo_op18_seqcls", "4.57", "dynamo", opset=18, model="BertForSequenceClassification")
    yield Case("bert_torch2_dynamo_op18_mlm", "4.57", "dynamo", opset=18, model="BertForMaskedLM", commit=True)
    yield Case("bert_torch2_dynamo_op20_notypes_tf5", "5.", "dynamo", opset=20, attention="sdpa", token_types=False)


def family_cases():
    distil = dict(vocab_size=60, dim=16, n_layers=2, n_heads=2, hidden_dim=40, max_position_embeddings=32)
    roberta = dict(BERT, max_position_embeddings=34, pad_token_id=1)
    yield Case(
        "distilbert_torch2_legacy_op14_eager",
        "4.57",
        model="DistilBertModel",
        config=distil,
        token_types=False,
        commit=True,
    )
    yield Case(
        "distilbert_torch2_dynamo_op20_sdpa_tf5",
        "5.",
        "dynamo",
        "DistilBertModel",
        distil,
        20,
        "sdpa",
        token_types=False,
    )
    yield Case(
        "roberta_torch2_legacy_op14_sdpa",
        "4.57",
        model="RobertaModel",
        config=roberta,
        attention="sdpa",
        token_types=False,
        commit=True,
    )
    yield Case(
        "roberta_torch2_dynamo_op20_sdpa_tf5", "5.", "dynamo", "RobertaModel", roberta, 20, "sdpa", token_types=False
    )
    for name, model, config, commit in (
        ("distilbert", "DistilBertForMaskedLM", distil, True),
        ("roberta", "RobertaForMaskedLM", roberta, True),
        ("electra", "ElectraForMaskedLM", dict(ONE_LAYER, embedding_size=8), False),
        ("mpnet", "MPNetForMaskedLM", dict(ONE_LAYER, max_position_embeddings=34), False),
    ):
        yield Case(
            f"{name}_torch2_legacy_op14_mlm",
            "4.57",
            model=model,
            config=config,
            attention=None if name == "mpnet" else "eager",
            token_types=name == "electra",
            commit=commit,
        )
    yield Case("electra_torch2_legacy_op14_eager", "4.57", model="ElectraModel", config=dict(BERT, embedding_size=8))
    albert = dict(BERT, embedding_size=8, num_hidden_groups=1)
    yield Case("albert_torch2_legacy_op14_eager", "4.57", model="AlbertModel", config=albert)
    mpnet = dict(BERT, max_position_embeddings=34)
    yield Case(
        "mpnet_torch2_legacy_op14_eager",
        "4.57",
        model="MPNetModel",
        config=mpnet,
        attention=None,
        token_types=False,
        commit=True,
    )
    for opset in (14, 18):
        yield Case(f"bert_optimum_op{opset}", "4.57", "optimum", opset=opset, attention=None, commit=opset == 18)


def optimised_cases():
    for exporter in ("ort-basic", "ort-layernorm-gelu", "ort-all"):
        name = "bert_" + exporter.replace("-", "_") + "_op14"
        yield Case(name, "4.57", exporter, commit=True)
    yield Case(
        "bert_ort_layernorm_gelu_op14_gelu_new", "4.57", "ort-layernorm-gelu", config=dict(BERT, hidden_act="gelu_new")
    )


def negative_cases():
    gpt2 = dict(vocab_size=60, n_embd=16, n_layer=1, n_head=2, n_positions=32, n_inner=40)
    t5 = dict(vocab_size=60, d_model=16, num_layers=2, num_heads=2, d_ff=40, d_kv=8)
    yield Case(
        "negative_gpt2_torch2_legacy_op14", "4.36", model="GPT2Model", config=gpt2, token_types=False, commit=True
    )
    yield Case(
        "negative_t5_encoder_torch2_legacy_op14",
        "4.57",
        model="T5EncoderModel",
        config=t5,
        attention=None,
        token_types=False,
    )
    yield Case("negative_mlp_torch2_legacy_op14", "4.57", model="MLP", config=dict(hidden_size=8), commit=True)
    yield Case(
        "negative_prenorm_torch2_legacy_op14",
        "4.57",
        model="PreNorm",
        config=dict(hidden_size=16),
        token_types=False,
        commit=True,
    )


def cases():
    for make in (legacy_cases, dynamo_cases, family_cases, optimised_cases, negative_cases):
        yield from make()


class MLP(torch.nn.Module):
    """Softmax and linear maps, but no attention."""

    def __init__(self, hidden_size):
        super().__init__()
        self.up = torch.nn.Linear(hidden_size, 2 * hidden_size)
        self.down = torch.nn.Linear(2 * hidden_size, 3)

    def forward(self, x):
        return torch.softmax(self.down(torch.nn.functional.gelu(self.up(x))), -1)


class PreNorm(torch.nn.Module):
    """A near miss: an encoder of the same operators whose LayerNorms come before the sublayers."""

    def __init__(self, hidden_size):
        super().__init__()
        self.embed = torch.nn.Embedding(60, hidden_size)
        self.norm1 = torch.nn.LayerNorm(hidden_size)
        self.query = torch.nn.Linear(hidden_size, hidden_size)
        self.key = torch.nn.Linear(hidden_size, hidden_size)
        self.value = torch.nn.Linear(hidden_size, hidden_size)
        self.out = torch.nn.Linear(hidden_size, hidden_size)
        self.norm2 = torch.nn.LayerNorm(hidden_size)
        self.up = torch.nn.Linear(hidden_size, 40)
        self.down = torch.nn.Linear(40, hidden_size)

    def forward(self, input_ids, attention_mask):
        x = self.embed(input_ids)
        h = self.norm1(x)
        q, k, v = (f(h).view(*h.shape[:2], 2, -1).transpose(1, 2) for f in (self.query, self.key, self.value))
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        scores = scores + (1 - attention_mask[:, None, None].float()) * -1e4
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(h.shape)
        x = x + self.out(y)
        return x + self.down(torch.nn.functional.gelu(self.up(self.norm2(x))))


class FlatLinear(torch.nn.Linear):
    """A linear map that flattens its input first, as transformers' Conv1D does."""

    def forward(self, x):
        y = torch.addmm(self.bias, x.reshape(-1, x.shape[-1]), self.weight.t())
        return y.view(*x.shape[:-1], self.out_features)


def build(case):
    torch.manual_seed(SEED)
    if case.model == "MLP":
        model = MLP(**case.config)
    elif case.model == "PreNorm":
        model = PreNorm(**case.config)
    else:
        model = build_transformer(case)
    if not case.fresh:
        randomise(model)
    if case.gemm:
        for module in model.modules():
            if isinstance(module, torch.nn.Linear):
                module.__class__ = FlatLinear
    return model.eval()


def build_transformer(case):
    cls = getattr(transformers, case.model)
    settings = dict(case.config)
    extra = {} if settings.pop("pooler", True) else {"add_pooling_layer": False}
    config = cls.config_class(**settings)
    if case.model.endswith("ForSequenceClassification"):
        config.num_labels = 3
    if case.model.endswith("ForTokenClassification"):
        config.num_labels = 5
    if hasattr(config, "use_cache"):
        config.use_cache = False
    if case.attention and hasattr(cls, "_from_config") and not case.release.startswith("4.36"):
        return cls._from_config(config, attn_implementation=case.attention, **extra)
    return cls(config, **extra)


def randomise(model):
    """Trained models have no two equal tensors and no LayerNorm at its identity; neither have these."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            lower = name.lower()
            if p.dim() == 1:
                is_scale = lower.endswith("weight")
                p.copy_(float(is_scale) + 0.1 * torch.randn_like(p))
            elif "embed" in lower or "wte" in lower or "wpe" in lower:
                p.copy_(0.5 * torch.randn_like(p))
            else:
                p.copy_(torch.randn_like(p) / p.shape[-1] ** 0.5)


def batch(case, rows, columns):
    """Token ids, a mask with padding at the end of the last row, and token types."""
    rng = np.random.default_rng(SEED + 100 * rows + columns)
    if case.model == "MLP":
        return {"x": torch.from_numpy(rng.normal(size=(rows, columns, case.config["hidden_size"])).astype("float32"))}
    ids = torch.from_numpy(rng.integers(3, 60, (rows, columns)))
    mask = torch.ones_like(ids)
    mask[-1, columns - 2 :] = 0
    pad = 1 if case.model.startswith(("Roberta", "MPNet")) else 0
    ids = ids.masked_fill(mask == 0, pad)
    inputs = {"input_ids": ids, "attention_mask": mask}
    if case.token_types:
        types = torch.zeros_like(ids)
        types[:, columns // 2 :] = 1
        inputs["token_type_ids"] = types
    return inputs


def run_torch(model, inputs):
    with torch.no_grad():
        out = model(**inputs)
    if torch.is_tensor(out):
        return {"output": out}
    return {k: v for k, v in out.items() if torch.is_tensor(v)}


class Positional(torch.nn.Module):
    """The legacy exporter wants positional inputs and a plain tuple of outputs."""

    def __init__(self, model, names):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *args):
        out = self.model(**dict(zip(self.names, args)))
        return out if torch.is_tensor(out) else tuple(v for v in out.values() if torch.is_tensor(v))


def is_bert_order(model, inputs):
    """Whether forward's leading parameters are the inputs in order, so that no wrapper renames the scopes."""
    names = model.forward.__code__.co_varnames[1 : 1 + len(inputs)]
    return list(names) == list(inputs)


def export_legacy(case, model, inputs, outputs, path):
    target = model if is_bert_order(model, inputs) else Positional(model, list(inputs))
    axes = {k: {0: "batch", 1: "sequence"} for k in inputs}
    axes.update({k: {0: "batch"} if v.dim() == 2 else {0: "batch", 1: "sequence"} for k, v in outputs.items()})
    torch.onnx.export(
        target,
        tuple(inputs.values()),
        path,
        input_names=list(inputs),
        output_names=list(outputs),
        dynamic_axes=axes,
        opset_version=case.opset,
        do_constant_folding=case.fold,
        dynamo=False,
    )


def export_dynamo(case, model, inputs, outputs, path):
    torch.onnx.export(
        model,
        (),
        path,
        kwargs=inputs,
        output_names=list(outputs),
        dynamic_shapes={k: {0: "batch", 1: "sequence"} for k in inputs},
        opset_version=case.opset,
        dynamo=True,
        optimize=case.optimize,
        external_data=False,
        verbose=False,
    )


def export_optimum(case, model, inputs, outputs, path):
    from optimum.exporters.onnx import onnx_export_from_model

    with tempfile.TemporaryDirectory() as d:
        onnx_export_from_model(model, d, opset=case.opset, task="feature-extraction", do_validation=False)
        pathlib.Path(path).write_bytes((pathlib.Path(d) / "model.onnx").read_bytes())


def export_ort(case, model, inputs, outputs, path):
    """The legacy graph, rewritten by onnxruntime's own optimisers as people ship them."""
    with tempfile.TemporaryDirectory() as d:
        plain = str(pathlib.Path(d) / "plain.onnx")
        export_legacy(case, model, inputs, outputs, plain)
        if case.exporter == "ort-basic":
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
            options.optimized_model_filepath = str(path)
            onnxruntime.InferenceSession(plain, options, providers=["CPUExecutionProvider"])
            return
        from onnxruntime.transformers import fusion_options, optimizer

        fusions = fusion_options.FusionOptions("bert")
        if case.exporter == "ort-layernorm-gelu":
            fusions.enable_attention = False
            fusions.enable_embed_layer_norm = False
            fusions.enable_skip_layer_norm = False
            fusions.enable_bias_skip_layer_norm = False
            fusions.enable_bias_gelu = False
        fused = optimizer.optimize_model(
            plain,
            model_type="bert",
            num_heads=case.config["num_attention_heads"],
            hidden_size=case.config["hidden_size"],
            optimization_options=fusions,
            opt_level=0,
        )
        fused.save_model_to_file(str(path))


def export(case, model, inputs, outputs, path):
    if case.exporter.startswith("ort-"):
        export_ort(case, model, inputs, outputs, path)
    else:
        globals()["export_" + case.exporter](case, model, inputs, outputs, path)
    strip_paths(path)


def strip_paths(path):
    """Drops stack traces: they are bulky and name the machine that exported."""
    model = onnx.load(path)
    for node in model.graph.node:
        kept = [p for p in node.metadata_props if p.key == "namespace"]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    for value in list(model.graph.value_info) + list(model.graph.input) + list(model.graph.output):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    onnx.checker.check_model(model) if not uses_contrib(model) else None
    onnx.save(model, path)


def uses_contrib(model):
    return any(o.domain.startswith("com.microsoft") for o in model.opset_import)


def linears(model):
    """Every linear map with its module name, in the order of the modules, which is the order of execution."""
    found = []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            found.append(
                {"module": name, "in": module.in_features, "out": module.out_features, "bias": module.bias is not None}
            )
    return found


def truth(case, model):
    config = getattr(model, "config", None)
    get = lambda *names: next((getattr(config, n) for n in names if getattr(config, n, None) is not None), None)
    family = None if case.name.startswith("negative") else config.model_type
    return {
        "family": family,
        "class": case.model,
        "layers": get("num_hidden_layers", "n_layers"),
        "hidden": get("hidden_size", "dim"),
        "heads": get("num_attention_heads", "n_heads"),
        "intermediate": get("intermediate_size", "hidden_dim"),
        "vocab": get("vocab_size"),
        "max_positions": get("max_position_embeddings"),
        "type_vocab": get("type_vocab_size"),
        "layer_norm_eps": get("layer_norm_eps") or 1e-12,
        "activation": get("hidden_act", "activation"),
        "linears": linears(model),
    }


def as_json(tensor):
    if tensor.dtype == torch.float32:
        data = [float(f"{v:.8g}") for v in tensor.flatten().tolist()]
    else:
        data = tensor.flatten().tolist()
    return {"shape": list(tensor.shape), "data": data}


def check(path, runs, names):
    """The exported file must give PyTorch's numbers on batches that it was not traced with."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = [i.name for i in session.get_inputs()]
    worst = 0.0
    for inputs, outputs in runs:
        got = session.run(names, {k: inputs[k].numpy() for k in wanted})
        for g, name in zip(got, names):
            worst = max(worst, float(np.abs(g - outputs[name].numpy()).max()))
    if worst > TOLERANCE:
        raise RuntimeError(f"{path.name}: differs from PyTorch by {worst:.2g}")
    return worst


def make(case, folder):
    model = build(case)
    runs = [(b, run_torch(model, b)) for b in (batch(case, 2, 7), batch(case, 1, 4))]
    path = folder / (case.name + ".onnx")
    export(case, model, *runs[0], path)
    names = [o.name for o in onnx.load(path).graph.output]
    worst = check(path, runs, names)
    record = truth(case, model)
    record["exporter"] = (
        f"{case.exporter}, torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}"
    )
    record["opset"] = {o.domain: o.version for o in onnx.load(path).opset_import}
    record["runs"] = [
        {
            "inputs": {k: as_json(v) for k, v in inputs.items()},
            "outputs": {k: as_json(outputs[k]) for k in names},
        }
        for inputs, outputs in runs
    ]
    path.with_suffix(".json").write_text(json.dumps(record) + "\n")
    print(f"{case.name}: {path.stat().st_size / 1000:.0f} kB, max |Δ| {worst:.1g}", flush=True)


def main():
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("--all", action="store_true", help="also the variants that are not committed")
    parser.add_argument("names", nargs="*", help="only these cases")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    failed = []
    for case in cases():
        if not transformers.__version__.startswith(case.release):
            continue
        if case.name not in args.names if args.names else not (args.all or case.commit):
            continue
        try:
            make(case, args.out)
        except Exception as error:  # one exporter's limits must not hide the other cases
            failed.append(case.name)
            print(f"{case.name}: FAILED: {type(error).__name__}: {str(error).splitlines()[0][:300]}", flush=True)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
