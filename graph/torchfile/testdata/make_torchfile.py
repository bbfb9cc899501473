#!/usr/bin/env python3
"""Writes the files that the tests of torchfile read, with torch.save itself.

    pip install torch==2.15.0
    ./make_torchfile.py

zip.bin and legacy.bin hold one state dict in the two formats, expected.json says what is in it.
evil_*.bin would run a command if a pickle were trusted.
"""

import collections
import json
import os
import pathlib
import pickle
import zipfile

import torch

HERE = pathlib.Path(__file__).parent


class Evil:
    def __reduce__(self):
        return (os.system, ("touch torchfile-was-here",))


class EvilByState(collections.OrderedDict):
    def __reduce__(self):
        return (eval, ("1+1",), {"a": 1})


def tensors():
    torch.manual_seed(20260102)
    whole = torch.randn(4, 6)
    state = collections.OrderedDict()
    state["float"] = torch.randn(2, 3)
    state["transposed"] = whole[:3].t()
    state["part"] = whole[1:3]
    state["strided"] = whole[:, ::2]
    state["expanded"] = torch.randn(1, 2)
    state["parameter"] = torch.nn.Parameter(torch.randn(5))
    state["scalar"] = torch.tensor(1.25)
    state["empty"] = torch.zeros(0, 3)
    state["half"] = torch.randn(3).half()
    state["brain"] = torch.randn(3).bfloat16()
    state["double"] = torch.randn(2, dtype=torch.float64)
    state["long"] = torch.tensor([1 << 40, -1])
    state["int"] = torch.tensor([7, -7], dtype=torch.int32)
    state["byte"] = torch.tensor([0, 255], dtype=torch.uint8)
    state["bool"] = torch.tensor([True, False])
    return state


def in_archive(name, program):
    with zipfile.ZipFile(HERE / name, "w") as z:
        z.writestr("archive/data.pkl", program)
        z.writestr("archive/version", "3\n")


def main():
    state = tensors()
    torch.save(state, HERE / "zip.bin")
    torch.save(state, HERE / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save(dict(state), HERE / "plain_dict.bin")
    expected = {k: {"shape": list(v.shape), "data": v.detach().double().flatten().tolist()} for k, v in state.items()}
    (HERE / "expected.json").write_text(json.dumps(expected) + "\n")
    torch.save({"weight": torch.zeros(2), "more": Evil()}, HERE / "evil_zip.bin")
    torch.save({"weight": torch.zeros(2), "more": Evil()}, HERE / "evil_legacy.bin", _use_new_zipfile_serialization=False)
    in_archive("evil_eval.bin", pickle.dumps(EvilByState(), protocol=2))
    in_archive("evil_protocol0.bin", pickle.dumps(Evil(), protocol=0))
    in_archive("evil_protocol4.bin", pickle.dumps(Evil(), protocol=4))
    torch.save([torch.zeros(2)], HERE / "list.bin")
    torch.save({"epoch": 3, "weight": torch.zeros(2)}, HERE / "checkpoint.bin")


if __name__ == "__main__":
    main()
