#!/usr/bin/env python3
"""Proves that sentence-transformers loads the folders that peftgraph writes for it, and computes our vectors.

    pip install torch sentence-transformers optimum-onnx onnxruntime
    ./check_sentence_transformers.py [FOLDER PREDICTIONS.jsonl]

Lets the Go test write folders of tiny models and loads each with SentenceTransformer(folder, backend="onnx"). With a folder and
what `peftgraph predict --json` said of some texts, that one is compared instead. Fails when a number is off by more than 1e-5.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy
from sentence_transformers import SentenceTransformer

HERE = pathlib.Path(__file__).parent.resolve()
WORST = 1e-5


def check(folder, texts, vectors):
    model = SentenceTransformer(str(folder), backend="onnx", model_kwargs={"provider": "CPUExecutionProvider"})
    got = model.encode(texts, batch_size=3)
    worst = float(numpy.abs(got - numpy.array(vectors, dtype=numpy.float64)).max())
    print(f"{'ok  ' if worst <= WORST else 'FAIL'} {folder.name}: {len(texts)} texts, max |Δ| {worst:.1g}; modules {[type(m).__name__ for m in model]}")
    return worst <= WORST


def main():
    if len(sys.argv) == 3:
        lines = [json.loads(line) for line in open(sys.argv[2])]
        sys.exit(not check(pathlib.Path(sys.argv[1]), [l["text"] for l in lines], [l["embedding"] for l in lines]))
    with tempfile.TemporaryDirectory() as folder:
        test = ["go", "test", "-count=1", "-run", "^TestWrittenSentenceTransformers$", "."]
        subprocess.run(test, cwd=HERE.parent, check=True, env=os.environ | {"PEFTGRAPH_WRITE": folder})
        failed = 0
        for path in sorted(pathlib.Path(folder).iterdir()):
            expected = json.loads((path / "expected.json").read_text())
            failed += not check(path, expected["texts"], expected["vectors"])
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
