#!/usr/bin/env python3
"""Lists the settings that PEFT's and AdapterHub's configurations have, each with a value that is not its default.

    pip install peft==0.21.2 adapters==1.3.0
    ./make_settings.py

Writes settings.json, from the libraries' own dataclasses: a new version's new settings show up in the Go test that goes
through it, which wants each to be read, to be refused by name, or to be listed as one without effect.
"""

import dataclasses
import json
import pathlib

import adapters
import peft

HERE = pathlib.Path(__file__).parent

# What a type doesn't tell. Everything else: the other truth value, one more, a half.
SAMPLES = {
    "peft_type": "SHIRA",
    "task_type": "TOKEN_CLS",
    "auto_mapping": {"base_model_class": "BertModel", "parent_library": "transformers.models.bert.modeling_bert"},
    "peft_version": "0.1.0",
    "base_model_name_or_path": "bert-base-uncased",
    "revision": "main",
    "target_modules": ["key"],
    "exclude_modules": ["0.attention.self.query"],
    "feedforward_modules": ["key"],
    "modules_to_save": ["pooler"],
    "bias": "all",
    "init_lora_weights": "gaussian",
    "layers_to_transform": [1],
    "layers_pattern": "layer",
    "rank_pattern": {"query": 2},
    "alpha_pattern": {"query": 2},
    "megatron_config": {"tensor_model_parallel_size": 2},
    "megatron_core": "other.core",
    "trainable_token_indices": [1],
    "loftq_config": {"loftq_bits": 4},
    "eva_config": {"rho": 2.0},
    "corda_config": {"corda_method": "ipm"},
    "lora_ga_config": {"direction": "ArB2r"},
    "velora_config": {"rank": 1},
    "alora_invocation_tokens": [1, 2],
    "monteclora_config": {"n": 1},
    "layer_replication": [[0, 2]],
    "runtime_config": {"ephemeral_gpu_offload": True},
    "target_parameters": ["encoder.weight"],
    "use_bdlora": {"nblocks": 2},
    "arrow_config": {"top_k": 3},
    "kasa_config": {"beta": 1.0},
    "init_weights": "zero",
    "prompt_tuning_init": "SAMPLE_VOCAB",
    "prompt_tuning_init_text": "Is it good?",
    "tokenizer_name_or_path": "bert-base-uncased",
    "tokenizer_kwargs": {"trust_remote_code": False, "x": 1},
    "encoder_reparameterization_type": "LSTM",
    "num_virtual_tokens": 5,
    "token_dim": 32,
    "num_transformer_submodules": 2,
    "num_attention_heads": 4,
    "num_layers": 3,
    "encoder_hidden_size": 7,
}

HUB_SAMPLES = {
    "mh_adapter": True,
    "output_adapter": False,
    "reduction_factor": 2,
    "non_linearity": "gelu",
    "init_weights": "houlsby",
    "init_weights_seed": 3,
    "scaling": 2.0,
    "residual_before_ln": False,
    "inv_adapter": "nice",
    "inv_adapter_reduction_factor": 2,
    "leave_out": [1],
    "phm_c_init": "uniform",
    "hypercomplex_nonlinearity": "phm",
    "architecture": "reft",
    "attn_matrices": ["q"],
    "composition_mode": "twist",
    "vera_d": 0.1,
    "vera_b": 0.1,
    "dtype": "float16",
    "prompt_init": "from_string",
    "prompt_init_text": "Is it good?",
    "combine": "prefix_after_bos",
}

# The fixture whose configuration each is a variation of.
PEFT = {
    "lora_seqcls": peft.LoraConfig,
    "ia3": peft.IA3Config,
    "prefix": peft.PrefixTuningConfig,
    "prompt": peft.PromptTuningConfig,
    "p_tuning": peft.PromptEncoderConfig,
}
HUB = {
    "adapterhub/seq_bn": adapters.SeqBnConfig,
    "adapterhub/lora": adapters.LoRAConfig,
    "adapterhub/ia3": adapters.IA3Config,
    "adapterhub/prefix": adapters.PrefixTuningConfig,
    "adapterhub/prompt": adapters.PromptTuningConfig,
}


def other(key, default, samples):
    if key in samples:
        return samples[key]
    if isinstance(default, bool):
        return not default
    if isinstance(default, int):
        return default + 1
    if isinstance(default, float):
        return default + 0.5
    raise SystemExit(f"{key}: give it a sample that is not {default!r}")


def settings(config, samples):
    out = {}
    for f in dataclasses.fields(config):
        default = f.default
        if default is dataclasses.MISSING and f.default_factory is not dataclasses.MISSING:
            default = f.default_factory()
        out[f.name] = other(f.name, default, samples)
    return dict(sorted(out.items()))


def main():
    text = {
        "peft": peft.__version__,
        "adapters": adapters.__version__,
        "settings": {k: settings(c, SAMPLES) for k, c in PEFT.items()}
        | {k: settings(c, HUB_SAMPLES) for k, c in HUB.items()},
    }
    (HERE / "settings.json").write_text(json.dumps(text, indent=1) + "\n")
    print({k: len(v) for k, v in text["settings"].items()})


if __name__ == "__main__":
    main()
