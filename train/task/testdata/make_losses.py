"""Writes losses.json beside it: losses and their gradients as PyTorch computes them, in float64 (pip install torch).

A case names a task with its settings, as they stand in a plan, the labels, each example's target as a file would have it, and
the logits. The loss is PyTorch's with reduction "mean": of weighted classes the sum divided by the weights' sum.
"""
import json
import os

import torch
import torch.nn.functional as F

torch.manual_seed(20260102)
LABELS = ["a", "b", "c"]
CLASSES = ["b", "a", "c", "b", "b", "a"]
LISTS = [["a", "c"], [], ["b"], ["a", "b", "c"], ["a"], ["c"]]
NUMBERS = [4.75, 0.2, -1.5, 0.0, 2.25, 3.0]


def case(task, settings, targets, logits, loss):
    logits = logits.clone().requires_grad_()
    value = loss(logits)
    value.backward()
    return dict(task=task, settings=settings, labels=[] if task == "regression" else LABELS, targets=targets,
                logits=logits.tolist(), loss=value.item(), gradient=logits.grad.tolist())


def classes():
    x = torch.randn(6, 3, dtype=torch.double) * 3
    y = torch.tensor([LABELS.index(c) for c in CLASSES])
    balanced = torch.tensor([6 / (3 * CLASSES.count(c)) for c in LABELS], dtype=torch.double)  # scikit-learn's
    named = torch.tensor([1, 0.25, 3], dtype=torch.double)

    def focal(logits, smoothing):
        each = F.cross_entropy(logits, y, reduction="none", label_smoothing=smoothing)
        p = logits.softmax(-1).gather(1, y[:, None])[:, 0]
        return ((1 - p) ** 2 * each).mean()

    yield {}, x, lambda v: F.cross_entropy(v, y)
    yield {"class_weights": "balanced"}, x, lambda v: F.cross_entropy(v, y, balanced)
    yield {"class_weights": "b=0.25,c=3"}, x, lambda v: F.cross_entropy(v, y, named)
    yield {"label_smoothing": 0.1}, x, lambda v: F.cross_entropy(v, y, label_smoothing=0.1)
    yield {"focal_gamma": 2}, x, lambda v: focal(v, 0)
    yield {"focal_gamma": 2, "label_smoothing": 0.1}, x, lambda v: focal(v, 0.1)


def labels():
    x = torch.randn(6, 3, dtype=torch.double) * 3
    x[0, 0], x[1, 0], x[2, 1] = 90, -90, -95  # where exp overflows in float32, or a logarithm of 1 + exp loses all
    y = torch.tensor([[float(l in row) for l in LABELS] for row in LISTS], dtype=torch.double)
    balanced = (len(LISTS) - y.sum(0)) / y.sum(0)
    named = torch.tensor([1, 0.25, 3], dtype=torch.double)
    soft = y * 0.9 + 0.05
    bce = F.binary_cross_entropy_with_logits
    yield {}, x, lambda v: bce(v, y)
    yield {"class_weights": "balanced"}, x, lambda v: bce(v, y, pos_weight=balanced)
    yield {"class_weights": "b=0.25,c=3"}, x, lambda v: bce(v, y, pos_weight=named)
    yield {"label_smoothing": 0.1}, x, lambda v: bce(v, soft)
    yield {"label_smoothing": 0.1, "class_weights": "b=0.25,c=3"}, x, lambda v: bce(v, soft, pos_weight=named)


def main():
    out = [case("classification", s, CLASSES, x, f) for s, x, f in classes()]
    out += [case("multi-label", s, LISTS, x, f) for s, x, f in labels()]
    numbers = torch.tensor(NUMBERS, dtype=torch.double)
    out.append(case("regression", {}, NUMBERS, torch.randn(6, 1, dtype=torch.double), lambda v: F.mse_loss(v[:, 0], numbers)))
    rows = ",\n".join("  " + json.dumps(c) for c in out)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "losses.json"), "w") as f:
        f.write('{\n "torch": ' + json.dumps(torch.__version__) + ',\n "cases": [\n' + rows + "\n ]\n}\n")


if __name__ == "__main__":
    main()
