"""Writes ops.json: single nodes with inputs and the outputs that an independent implementation gives.

ai.onnx operators are computed by onnx's own reference evaluator in float64, com.microsoft's by onnxruntime in float32.
Run with onnx and onnxruntime installed: python make_ops.py
"""

import json
import os

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

rng = np.random.default_rng(1)
cases = []


def r(*dims, dtype=np.float64):
    return np.round(rng.standard_normal(dims), 3).astype(dtype)


def f32(*dims):
    return r(*dims, dtype=np.float32)


def i64(*values):
    return np.array(values, dtype=np.int64)


def dump(a):
    if a is None:
        return None
    a = np.asarray(a)
    data = [v if np.isfinite(v) else str(v) for v in a.astype(object).ravel()]
    data = [int(v) if isinstance(v, bool) else v for v in data]
    return {"dtype": onnx.TensorProto.DataType.Name(helper.np_dtype_to_tensor_dtype(a.dtype)).lower(), "dims": list(a.shape), "data": data}


def dump_attr(v):
    if isinstance(v, TensorProto):
        return {"tensor": dump(onnx.numpy_helper.to_array(v))}
    kind = {int: "int", float: "float", str: "string"}[type(v[0] if isinstance(v, list) else v)]
    return {kind + ("s" if isinstance(v, list) else ""): v}


def case(opset, op, inputs, outputs=1, domain="", note="", ort=False, **attrs):
    names = ["" if x is None else f"x{k}" for k, x in enumerate(inputs)]
    # outputs is a number, or a list of 0 and 1 that says which outputs exist
    present = outputs if isinstance(outputs, list) else [1] * outputs
    outs = [f"y{k}" if p else "" for k, p in enumerate(present)]
    node = helper.make_node(op, names, outs, domain=domain, **attrs)
    info = lambda n, x: helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
    graph = helper.make_graph(
        [node], "g",
        [info(n, x) for n, x in zip(names, inputs) if n],
        [onnx.ValueInfoProto(name=o) for o in outs if o])
    opsets = [helper.make_opsetid("", opset if domain == "" else 20)]
    if domain:
        opsets.append(helper.make_opsetid(domain, opset))
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    feeds = {n: x for n, x in zip(names, inputs) if n}
    if ort:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        run = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run
    else:
        run = ReferenceEvaluator(model).run
    got = iter(run([o for o in outs if o], feeds))
    cases.append({
        "name": " ".join([op, str(opset)] + ([note] if note else [])), "op": op, "domain": domain, "opset": opset,
        "attrs": {k: dump_attr(v) for k, v in attrs.items()},
        "inputs": [dump(x) for x in inputs],
        "outputs": [dump(next(got)) if o else None for o in outs],
    })


# Normalisation and activation
case(17, "LayerNormalization", [f32(2, 3, 4), f32(4), f32(4)], 3, note="three outputs", epsilon=1e-5)
case(17, "LayerNormalization", [f32(2, 3, 4), f32(3, 4), f32(3, 4)], 3, note="three outputs of two axes", axis=1)
case(17, "LayerNormalization", [r(2, 3, 4), r(3, 4), r(3, 4)], note="two axes", axis=1)
case(17, "LayerNormalization", [r(2, 4), r(4)], note="no bias", axis=-1, epsilon=0.5)
case(23, "RMSNormalization", [f32(2, 3), f32(3)], epsilon=1e-4)
case(24, "Swish", [f32(4)], alpha=0.5)
case(20, "Gelu", [r(3, 4)])
case(20, "Gelu", [r(3, 4)], note="tanh", approximate="tanh")
case(13, "Softmax", [r(2, 3, 4)])
case(13, "Softmax", [r(2, 3, 4)], note="axis 1", axis=1)
case(13, "LogSoftmax", [r(2, 3, 4)], axis=0)
case(13, "Erf", [r(5)])
case(14, "HardSwish", [r(5)])
case(18, "Mish", [r(5)])
case(12, "Clip", [r(6), np.array(-0.5), None], note="low only")
case(12, "Clip", [np.arange(6, dtype=np.int64), np.array(1), np.array(3)], note="integers")

# Reductions
x = r(2, 3, 4)
case(13, "ReduceSum", [x, i64(1)])
case(13, "ReduceSum", [x, i64(-1, 0)], note="flat", keepdims=0)
case(13, "ReduceSum", [x], note="all")
case(13, "ReduceSum", [x, i64()], note="noop", noop_with_empty_axes=1)
case(13, "ReduceSum", [np.arange(6, dtype=np.int64).reshape(2, 3), i64(1)], note="integers")
case(13, "ReduceMean", [x], note="attribute", axes=[1, 2])
case(18, "ReduceMean", [x, i64(2)])
for op in ["ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"]:
    case(18, op, [x, i64(0, 2)], keepdims=0)
case(13, "ReduceMax", [x], note="attribute", axes=[-2])
case(13, "ArgMax", [np.array([[1.0, 3, 3], [5, 2, 5]])], axis=1)
case(13, "ArgMax", [np.array([[1.0, 3, 3], [5, 2, 5]])], note="last", axis=1, select_last_index=1, keepdims=0)
case(14, "CumSum", [r(2, 3), np.array(1)])
case(14, "CumSum", [r(2, 3), np.array(0)], note="exclusive reverse", exclusive=1, reverse=1)

# Shapes
case(15, "Shape", [r(2, 3, 4)], note="range", start=-2, end=3)
case(14, "Reshape", [np.zeros((0, 3)), i64(3, 0)], note="allowzero", allowzero=1)
case(14, "Reshape", [r(2, 3, 4), i64(0, -1)])
case(13, "Squeeze", [r(1, 3, 1), i64(-1)])
case(13, "Squeeze", [r(1, 3, 1)], note="all")
case(13, "Unsqueeze", [r(2, 3), i64(0, -1)])
case(13, "Unsqueeze", [np.array(2.5), i64(0)], note="scalar")
case(13, "Expand", [r(3, 1), i64(2, 1, 4)])
case(13, "Expand", [r(3, 1), i64(1)], note="input larger")
case(13, "Transpose", [r(2, 3, 4)], perm=[2, 0, 1])
case(13, "Flatten", [r(2, 3, 4)], axis=-1)
case(13, "Concat", [r(2, 1), r(2, 3)], axis=-1)
case(13, "Split", [r(5, 2), i64(2, 0, 3)], 3)
case(18, "Split", [r(5, 2)], 3, note="uneven", num_outputs=3)
case(18, "Split", [r(2, 4)], 2, note="even", num_outputs=2, axis=1)
case(13, "Slice", [r(4, 5), i64(-1, 1), i64(-9, 4), i64(0, 1), i64(-2, 2)])
case(13, "Slice", [r(4, 5), i64(1), i64(2**63 - 1)], note="open end")
case(19, "Pad", [r(2, 3), i64(1, -1, 0, 2), np.array(7.0)], ort=True)  # the evaluator has no negative pads
case(19, "Pad", [r(2, 3), i64(2, 1), None, i64(1)], note="reflect", mode="reflect")
case(19, "Pad", [r(2, 3), i64(1, 2, 1, 1)], note="edge", mode="edge")
case(13, "Tile", [r(2, 1), i64(2, 3)])
case(14, "Trilu", [r(2, 3, 4)])
case(14, "Trilu", [r(3, 4), np.array(1)], note="lower", upper=0)

# Indexing
case(13, "Gather", [r(3, 4), np.array([[0, -1], [1, 1]])], axis=1)
case(13, "Gather", [r(3, 4), np.array(2)], note="scalar index")
case(13, "GatherElements", [r(3, 3), np.array([[2, -1, 0], [0, 1, 2]])], axis=0)
case(13, "GatherND", [r(2, 3, 4), np.array([[0, 1], [1, -1]])])
case(13, "GatherND", [r(2, 3, 4), np.array([[1], [0]])], note="batch", batch_dims=1)
case(16, "ScatterElements", [np.zeros((3, 3)), np.array([[1, 0, 2], [1, 0, 2]]), r(2, 3)], note="add", axis=0, reduction="add")
case(16, "ScatterElements", [r(2, 4), np.array([[1, -1]]), r(1, 2)], axis=1)
case(16, "ScatterND", [r(4, 2), np.array([[1], [3], [1]]), r(3, 2)], note="add", reduction="add")
case(16, "ScatterND", [r(3, 3), np.array([[0, 1], [2, 2]]), r(2)])
case(11, "OneHot", [np.array([1, -1, 7]), np.array(3), np.array([0.0, 2.0])], axis=0)
case(13, "NonZero", [np.array([[1, 0], [2, 3]])])
case(11, "TopK", [r(2, 5), i64(2)], 2, axis=1)
case(11, "TopK", [r(5, 2), i64(3)], 2, note="smallest", axis=0, largest=0)

# Elementwise
case(15, "CastLike", [r(3), np.zeros(1, dtype=np.int64)])
case(13, "Cast", [np.array([-1.7, 0.0, 2.9])], note="bool", to=TensorProto.BOOL)
case(13, "Cast", [np.array([-1.7, 0.0, 2.9])], note="int32", to=TensorProto.INT32)
case(13, "Cast", [np.array([True, False])], note="from bool", to=TensorProto.DOUBLE)
case(16, "Where", [np.array([[True], [False]]), r(3), r(2, 3)])
case(13, "Equal", [np.array([1, 2]), np.array([[1], [2]])])
case(16, "LessOrEqual", [np.array([1.0, np.nan, 3.0]), np.array([1.0, 1.0, 2.0])])
case(16, "GreaterOrEqual", [np.array([1.0, np.nan, 3.0]), np.array([1.0, 1.0, 2.0])])
case(13, "Less", [np.array([1.0, np.nan, 0.0]), np.array([1.0, 1.0, 2.0])])
case(13, "Greater", [np.array([1, 5]), np.array([[1], [2]])])
for op in ["And", "Or", "Xor"]:
    case(13, op, [np.array([True, False]), np.array([[True], [False]])])
case(13, "Not", [np.array([True, False])])
case(13, "IsNaN", [np.array([1.0, np.nan, np.inf])])
case(20, "IsInf", [np.array([-np.inf, np.nan, np.inf])], detect_negative=0)
case(15, "Pow", [np.array([2, 3]), np.array([2.0, 0.5])], note="integer base")
case(14, "Div", [np.array([-7, 7]), np.array([2, -2])], note="integers")
case(11, "Round", [np.array([0.5, 1.5, -2.5, 2.4])])
case(13, "Mean", [r(2, 3), r(2, 1), r(3)])
case(13, "Max", [r(2, 1), r(3)])
case(13, "Min", [r(2, 1), np.array(0.0)])
case(11, "Range", [np.array(5), np.array(-1), np.array(-2)])
case(13, "ConstantOfShape", [i64(2, 0, 3)], note="empty", value=helper.make_tensor("v", TensorProto.INT64, [1], [4]))
case(13, "Constant", [], note="floats", value_floats=[1.5, 2.5])
case(13, "Constant", [], note="int", value_int=7)

# Products and losses
case(13, "MatMul", [r(2, 1, 3, 4), r(3, 4, 2)])
case(13, "MatMul", [r(4), r(2, 4, 3)], note="vector left")
case(13, "MatMul", [r(2, 3, 4), r(4)], note="vector right")
case(13, "MatMul", [r(4), r(4)], note="dot")
case(13, "MatMul", [np.zeros((2, 0)), np.zeros((0, 3))], note="empty sum")
case(13, "Gemm", [r(4, 3), r(2, 4), r(2)], alpha=0.5, beta=2.0, transA=1, transB=1)
case(12, "Einsum", [r(2, 3, 4, 5), r(2, 3, 6, 5)], equation="bhqd,bhkd->bhqk")
case(12, "Einsum", [r(3, 4), r(4)], note="implicit", equation="ij, j")
case(12, "Einsum", [r(3, 3)], note="trace", equation="ii->")
labels = np.array([0, 2, 1, 2])
case(13, "SoftmaxCrossEntropyLoss", [r(4, 3), labels], 2)
case(13, "SoftmaxCrossEntropyLoss", [r(4, 3), labels, np.abs(r(3))], note="weights, ignored", ignore_index=2)
case(13, "SoftmaxCrossEntropyLoss", [r(2, 3, 2), labels.reshape(2, 2)], note="none", reduction="none")
case(13, "NegativeLogLikelihoodLoss", [r(4, 3), labels], reduction="sum")

# Attention
q, k = r(2, 3, 4), r(2, 5, 4)
case(23, "Attention", [q, k, r(2, 5, 6), r(3, 5)], q_num_heads=2, kv_num_heads=2)
case(23, "Attention", [r(2, 4, 3, 2), r(2, 2, 5, 2), r(2, 2, 5, 2)], note="shared heads, causal", is_causal=1, scale=0.25)
case(23, "Attention", [q, k, k, np.arange(15).reshape(3, 5) % 4 != 1], note="bool mask", q_num_heads=1, kv_num_heads=1)

# onnxruntime's own
ms = "com.microsoft"
case(1, "FusedMatMul", [f32(2, 4, 3), f32(2, 5, 4)], domain=ms, ort=True, alpha=0.5, transA=1, transB=1)
case(1, "FusedMatMul", [f32(3, 2, 4), f32(2, 4, 5)], domain=ms, ort=True, note="batch", transBatchA=1)
case(1, "Gelu", [f32(6)], domain=ms, ort=True)
case(1, "FastGelu", [f32(2, 3), f32(3)], domain=ms, ort=True)
case(1, "QuickGelu", [f32(6)], domain=ms, ort=True, alpha=1.5)
case(1, "BiasGelu", [f32(2, 3), f32(3)], domain=ms, ort=True)
case(1, "SkipLayerNormalization", [f32(1, 2, 4), f32(1, 2, 4), f32(4), f32(4), f32(4)], [1, 0, 0, 1], domain=ms, ort=True, epsilon=1e-5)
case(1, "SkipSimplifiedLayerNormalization", [f32(1, 2, 4), f32(1, 2, 4), f32(4)], domain=ms, ort=True, epsilon=1e-5)
packed = [f32(2, 3, 4), f32(4, 12), f32(12)]
case(1, "Attention", packed + [np.array([[1, 1, 0], [1, 1, 1]], dtype=np.int32)], domain=ms, ort=True, num_heads=2)
case(1, "Attention", packed + [np.array([2, 3], dtype=np.int32)], domain=ms, note="lengths", ort=True, num_heads=2)
ids = np.array([[1, 2, 0], [4, 3, 3]], dtype=np.int32)
tables = [f32(5, 4), f32(3, 4), f32(2, 4), f32(4), f32(4)]
case(1, "EmbedLayerNormalization", [ids, ids % 2] + tables + [(ids > 0).astype(np.int32)], 3, domain=ms, ort=True, epsilon=1e-5)
case(1, "EmbedLayerNormalization", [ids, None] + tables[:2] + [None] + tables[3:], [1, 1], domain=ms, note="no segments", ort=True)
case(17, "SimplifiedLayerNormalization", [f32(2, 4), f32(4)], ort=True, axis=-1, epsilon=1e-5)

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "ops.json"), "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
print(len(cases), "cases")
