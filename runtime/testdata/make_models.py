"""Writes the tiny models of this package's tests. Needs onnx and numpy: python make_models.py"""

import os

import numpy as np
from onnx import TensorProto as T, checker, helper as h, numpy_helper, save

HERE = os.path.dirname(os.path.abspath(__file__))


def write(name, nodes, inputs, outputs, initializers=(), folder="", check=True, **kw):
    graph = h.make_graph(nodes, name, inputs, outputs, list(initializers))
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8, producer_name="make_models.py")
    if check:
        checker.check_model(model)
    os.makedirs(os.path.join(HERE, folder), exist_ok=True)
    if "location" in kw and os.path.exists(old := os.path.join(HERE, folder, kw["location"])):
        os.remove(old)  # onnx would append to it
    save(model, os.path.join(HERE, folder, name + ".onnx"), **kw)


def value(name, dtype, shape):
    return h.make_tensor_value_info(name, dtype, shape)


def tensor(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


w = np.arange(12, dtype=np.float32).reshape(3, 4)

# y = x·w, rowsum = Σ y, total = Σ rowsum (a scalar): outputs of known, derivable and rank-0 shape.
write("matmul",
      [h.make_node("MatMul", ["x", "w"], ["y"]), h.make_node("ReduceSum", ["y", "axis"], ["rowsum"], keepdims=0),
       h.make_node("ReduceSum", ["y"], ["total"], keepdims=0)],
      [value("x", T.FLOAT, ["batch", 3])],
      [value("y", T.FLOAT, ["batch", 4]), value("rowsum", T.FLOAT, ["rows"]), value("total", T.FLOAT, [])],
      [tensor("w", w), tensor("axis", np.array([1], np.int64))])

# The same product with w in another file, in a folder.
write("external", [h.make_node("MatMul", ["x", "w"], ["y"])],
      [value("x", T.FLOAT, ["batch", 3])], [value("y", T.FLOAT, ["batch", 4])], [tensor("w", w)], folder="external",
      save_as_external_data=True, all_tensors_to_one_file=True, location="weights.bin", size_threshold=0)

# Each element type through Identity, with a scalar of each; Identity of a scalar has rank 0.
types = {"float": T.FLOAT, "double": T.DOUBLE, "int8": T.INT8, "int16": T.INT16, "int32": T.INT32, "int64": T.INT64,
         "uint8": T.UINT8, "uint16": T.UINT16, "uint32": T.UINT32, "uint64": T.UINT64, "bool": T.BOOL}
write("types",
      [h.make_node("Identity", [n], [n + "_out"]) for n in types] + [h.make_node("Identity", [n + "0"], [n + "0_out"]) for n in types],
      [value(n, t, ["n", 2]) for n, t in types.items()] + [value(n + "0", t, []) for n, t in types.items()],
      [value(n + "_out", t, ["n", 2]) for n, t in types.items()] + [value(n + "0_out", t, []) for n, t in types.items()])

# float16, which Go has no type for.
write("half", [h.make_node("Neg", ["x"], ["y"])], [value("x", T.FLOAT16, ["n"])], [value("y", T.FLOAT16, ["n"])])

# An input with a value in the model, which a run may replace; and no other input.
write("defaults", [h.make_node("Add", ["a", "b"], ["y"])], [value("a", T.FLOAT, [2]), value("b", T.FLOAT, [2])],
      [value("y", T.FLOAT, [2])], [tensor("a", np.array([1, 2], np.float32)), tensor("b", np.array([10, 20], np.float32))])

# The number of rows of y depends on the values of x.
write("nonzero", [h.make_node("NonZero", ["x"], ["y"])], [value("x", T.FLOAT, ["n"])], [value("y", T.INT64, [1, "found"])])

# y is declared to be as long as x, and is twice as long.
write("liar", [h.make_node("Concat", ["x", "x"], ["y"], axis=0)], [value("x", T.FLOAT, ["n"])], [value("y", T.FLOAT, ["n"])])

# y is declared to be too large for any memory.
write("huge", [h.make_node("Neg", ["x"], ["y"])], [value("x", T.FLOAT, ["n"])], [value("y", T.FLOAT, [2**40])])

# Fails while it runs: an index that is out of bounds.
write("fails", [h.make_node("Gather", ["table", "i"], ["y"], name="lookup")], [value("i", T.INT64, ["n"])], [value("y", T.FLOAT, ["n"])],
      [tensor("table", np.zeros(3, np.float32))])

# Does not load: no such operator.
write("unknown_op", [h.make_node("Frobnicate", ["x"], ["y"], name="odd")], [value("x", T.FLOAT, [1])], [value("y", T.FLOAT, [1])],
      check=False)

# Runs for minutes unless stopped: x·m, 2^31 times.
body = h.make_graph([h.make_node("MatMul", ["state", "m"], ["next"]), h.make_node("Identity", ["go"], ["go_on"])], "body",
                    [value("i", T.INT64, []), value("go", T.BOOL, []), value("state", T.FLOAT, [64, 64])],
                    [value("go_on", T.BOOL, []), value("next", T.FLOAT, [64, 64])])
write("endless", [h.make_node("Loop", ["times", "", "m"], ["y"], body=body)], [value("m", T.FLOAT, [64, 64])],
      [value("y", T.FLOAT, [64, 64])], [tensor("times", np.array(2**31, np.int64))])

# y = x + 1, for any length: large outputs with next to no work.
write("copy", [h.make_node("Add", ["x", "one"], ["y"])], [value("x", T.FLOAT, ["n"])], [value("y", T.FLOAT, ["n"])],
      [tensor("one", np.array(1, np.float32))])
