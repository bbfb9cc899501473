#!/usr/bin/env python3
"""Proves the .onnx_adapter files with onnxruntime itself, in both directions.

    pip install onnxruntime==1.32.0 numpy
    ./check_onnxadapter.py

First writes onnxadapter/ort.onnx_adapter with onnxruntime's AdapterFormat, for the Go tests to read, and
onnxadapter/ort.json, which says what is in it. Then lets the Go test write a model with adapter inputs,
the same model with the adapter as constants, and the adapter's file; reads that file with onnxruntime,
writes it again, and activates it: the outputs must be those of the model with constants, for every method.
"""

import json
import os
import pathlib
import subprocess
import tempfile

import numpy as np
import onnxruntime as ort

HERE = pathlib.Path(__file__).parent
LIMIT = 1e-6
PARITY = 1e-4


def value(array):
    return ort.OrtValue.ortvalue_from_numpy(array)


def write_fixture():
    rng = np.random.default_rng(20260102)
    tensors = {
        "peft/lora/encoder.layer.0.attention.self.query/A": rng.standard_normal((2, 3), np.float32),
        "peft/lora/encoder.layer.0.attention.self.query/B": rng.standard_normal((3, 2), np.float32),
        "classifier/bias": np.array([0.5, -0.25, 3], np.float32),
        "ids": np.array([[1, -2, 1 << 40]], np.int64),
        "half": np.array([1.5, -2], np.float16),
    }
    folder = HERE / "onnxadapter"
    folder.mkdir(exist_ok=True)
    adapter = ort.AdapterFormat()
    adapter.set_parameters({k: value(v) for k, v in tensors.items()})
    adapter.set_adapter_version(3)
    adapter.set_model_version(5)
    adapter.export_adapter(str(folder / "ort.onnx_adapter"))
    expected = {k: {"shape": v.shape, "dtype": str(v.dtype), "data": v.flatten().tolist()} for k, v in tensors.items()}
    (folder / "ort.json").write_text(json.dumps(expected) + "\n")


def read(path):
    adapter = ort.AdapterFormat.read_adapter(str(path))
    assert adapter.get_format_version() == 1
    return {k: np.array(v.numpy()) for k, v in adapter.get_parameters().items()}


def same(a, b):
    return a.keys() == b.keys() and all(x.dtype == b[k].dtype and x.shape == b[k].shape and (x == b[k]).all() for k, x in a.items())


def check(folder):
    ours = folder / "ours.onnx_adapter"
    tensors = read(ours)
    again = ort.AdapterFormat()
    again.set_parameters({k: value(v) for k, v in tensors.items()})
    again.export_adapter(str(folder / "again.onnx_adapter"))
    assert same(tensors, read(folder / "again.onnx_adapter")), "written again by onnxruntime it is another"

    inputs = ort.InferenceSession(folder / "inputs.onnx", providers=["CPUExecutionProvider"])
    constants = ort.InferenceSession(folder / "constants.onnx", providers=["CPUExecutionProvider"])
    expected = json.loads((folder / "expected.json").read_text())
    feeds = {k: np.array(v["data"], np.int64).reshape(v["shape"]) for k, v in expected["inputs"].items()}
    adapter = ort.LoraAdapter()
    adapter.Load(str(ours))
    options = ort.RunOptions()
    options.add_active_adapter(adapter)
    names = list(expected["with"])
    want = constants.run(names, feeds)
    without = inputs.run(names, feeds)
    got = inputs.run(names, feeds, options)
    worst = max(np.abs(g - w).max() for g, w in zip(got, want))
    effect = max(np.abs(g - w).max() for g, w in zip(got, without))
    library = max(np.abs(g - np.array(w["data"]).reshape(w["shape"])).max() for g, w in zip(got, expected["with"].values()))
    print(
        f"{folder.name}: {len(tensors)} tensors, {ours.stat().st_size} bytes; activated, max |Δ| "
        f"from the constants {worst:.2g}, from the library that wrote it {library:.2g}; effect {effect:.2g}"
    )
    assert worst <= LIMIT and library <= PARITY and effect > 1e-2, folder.name


def main():
    write_fixture()
    ort.set_default_logger_severity(3)  # it warns of every initializer that is an input
    with tempfile.TemporaryDirectory() as folder:
        test = ["go", "test", "-count=1", "-run", "^TestONNXAdapterRuns$", "."]
        subprocess.run(test, cwd=HERE.parent, check=True, env=os.environ | {"PEFTGRAPH_WRITE": folder})
        for path in sorted((pathlib.Path(folder) / "onnx-adapter").iterdir()):
            check(path)


if __name__ == "__main__":
    main()
