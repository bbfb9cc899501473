"""Writes the fixtures beside it: what seqeval, transformers, scikit-learn, scipy, torch and sentence-transformers compute
(pip install seqeval transformers scikit-learn scipy torch sentence-transformers). Undefined numbers are null."""
import json
import math
import os
import random
import warnings

import numpy as np
import scipy
import sklearn
import torch
import transformers
import sentence_transformers
from scipy.optimize import brentq
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.util import cos_sim
from seqeval import scheme as seqeval_scheme
from seqeval.metrics import accuracy_score as token_accuracy
from seqeval.metrics.sequence_labeling import get_entities, precision_recall_fscore_support as lenient_scores
from seqeval.metrics.v1 import precision_recall_fscore_support as strict_scores
from sklearn import metrics
from transformers.data.metrics import squad_metrics

warnings.simplefilter("ignore")
random.seed(0)
rng = np.random.default_rng(0)


def plain(x):
    """numpy to JSON; NaN and infinities to null"""
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple, np.ndarray)):
        return [plain(v) for v in x]
    if isinstance(x, (bool, np.bool_)):
        return bool(x)
    if isinstance(x, (int, np.integer)):
        return int(x)
    if isinstance(x, (float, np.floating)):
        return float(x) if math.isfinite(x) else None
    return x


def write(name, cases):
    made = dict(scikit_learn=sklearn.__version__, scipy=scipy.__version__, transformers=transformers.__version__,
                sentence_transformers=sentence_transformers.__version__, seqeval="1.2.2", numpy=np.__version__)
    rows = ",\n".join(f" {json.dumps(k)}: [\n" + ",\n".join("  " + json.dumps(plain(c)) for c in v) + "\n ]" for k, v in cases.items())
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name), "w") as f:
        f.write("{\n \"made_with\": " + json.dumps(made) + ",\n" + rows + "\n}\n")


def score(p, r, f, s):
    return dict(precision=p, recall=r, f1=f, support=int(s or 0))


def averaged(of, names):
    """of(average) is a precision_recall_fscore_support; None for each of names"""
    each = of(None)
    return dict(micro=score(*of("micro")), macro=score(*of("macro")), weighted=score(*of("weighted")),
                types={n: score(*(c[i] for c in each)) for i, n in enumerate(names)})


# --- entities

def lenient(true, pred):
    names = sorted({t for s in true + pred for t, _, _ in get_entities(s)})
    return averaged(lambda a: lenient_scores(true, pred, average=a, zero_division=0), names)


def strict(true, pred, scheme):
    names = sorted({t for x in (true, pred) for t in seqeval_scheme.Entities(x, scheme).unique_tags})
    return averaged(lambda a: strict_scores(true, pred, average=a, zero_division=0, scheme=scheme), names)


def per_token(true, pred):
    t, p = sum(true, []), sum(pred, [])
    names = sorted(set(t + p) - {"O"})
    each = metrics.precision_recall_fscore_support
    out = averaged(lambda a: each(t, p, average=a, labels=names, zero_division=0), names)
    for a in "micro", "macro", "weighted":
        out[a]["support"] = sum(s["support"] for s in out["types"].values())
    return out


def spans(tags, scheme):
    if scheme is None:
        return [f"{t}:{s}:{e + 1}" for t, s, e in get_entities(tags)]
    found = seqeval_scheme.Entities([tags], scheme).entities[0]
    return [f"{e.tag}:{e.start}:{e.end}" for e in found]


def joined(sentences):
    return [" ".join(s) for s in sentences]


def as_iobes(tags):
    return [{"L": "E", "U": "S"}.get(t[0], t[0]) + t[1:] for t in tags]


schemes = {"BIO": (seqeval_scheme.IOB2, "BI"), "IOB1": (seqeval_scheme.IOB1, "BI"),
           "IOBES": (seqeval_scheme.IOBES, "BIES"), "BILOU": (seqeval_scheme.BILOU, "BILU")}
hand = {
    "BIO": ["O", "I-A O", "O I-A", "B-A I-B", "B-A I-A I-B I-A", "B-A B-A", "I-A B-A I-A", "B-A I-A O B-B", "B-x-y I-x-y", "B I I O B", "I I",
            "B- I-", "BA IA", "O O O", "B-A O I-A", "B-é I-é"],
    "IOB1": ["I-A I-A", "I-A B-A", "B-A I-A", "I-A I-B", "B-A B-B", "B-A I-B I-B", "O B-A", "I-A O I-A", "B-A B-A B-A"],
    "IOBES": ["S-A", "B-A E-A", "B-A I-A E-A", "B-A I-A", "I-A E-A", "E-A E-A", "S-A I-A", "S-A E-A", "B-A E-B", "B-A S-A", "E-A I-A E-A",
              "B-A I-B E-B", "S-A S-A", "O E-A O"],
    "BILOU": ["U-A", "B-A L-A", "B-A I-A L-A", "B-A I-A", "I-A L-A", "L-A L-A", "U-A I-A", "U-A L-A", "B-A L-B", "B-A U-A", "O L-A O"],
}
odd = ["X-A O", "X-A X-A", "X-A X-B O", "U-A I-A", "I-A U-A", "I-A . I-A", ". B-A .", "B-A X-A I-A O", "E X I", "B-A X-B E-B S-B I-B"]
cases = dict(odd=[dict(tags=t, lenient=spans(t.split(), None)) for t in odd], spans=[], scores=[], detect=[])
for name, (cls, letters) in schemes.items():
    tags = ["O"] + [f"{x}-{t}" for x in letters for t in ("A", "B")]
    random_tags = lambda n: [random.choice(tags + ["O"]) for _ in range(n)]
    for s in [h.split() for h in hand[name]] + [random_tags(n) for n in (1, 2, 3, 5, 8, 13, 21, 34)]:
        loose = as_iobes(s) if name == "BILOU" else s
        cases["spans"].append(dict(scheme=name, tags=" ".join(s), lenient=spans(loose, None), strict=spans(s, cls)))
    true = [random_tags(n) for n in (9, 1, 15, 4)]
    pred = [[t if random.random() < 0.7 else random.choice(tags) for t in s] for s in true]
    flat = [["O"] * len(s) for s in true]
    only = [[t if "A" in t else "O" for t in s] for s in true]
    for t, p in (true, pred), (true, flat), (flat, pred), (true, true), (only, pred), (true, only):
        convert = (lambda x: [as_iobes(s) for s in x]) if name == "BILOU" else (lambda x: x)
        accuracy = token_accuracy(t, p)
        cases["scores"].append(dict(scheme=name, true=joined(t), pred=joined(p), lenient=dict(lenient(convert(t), convert(p)), accuracy=accuracy),
                                    strict=dict(strict(t, p, cls), accuracy=accuracy)))
true = [["DET", "NOUN", "VERB", "O"], ["NOUN"], ["VERB", "ADV", "O", "I-thing"]]
pred = [["DET", "VERB", "VERB", "NOUN"], ["NOUN"], ["O", "ADV", "O", "ADJ"]]
cases["scores"].append(dict(scheme="plain", true=joined(true), pred=joined(pred),
                            lenient=dict(per_token(true, pred), accuracy=token_accuracy(true, pred))))
for s in ["B-A I-A O", "B-A O", "B-A", "B-A I-A E-A S-A O", "S-A", "B-A E-A O", "B-A I-A L-A U-A O", "U-A", "B-A L-A"]:
    cases["detect"].append(dict(tags=s, scheme=seqeval_scheme.auto_detect([s.split()]).__name__))
write("entities.json", cases)

# --- answers

texts = ["The cat", "a an the", "  An  apple, the pear; a plum. ", "U.S.A.", "((a)) 'the' !!!", "x-the-y", "theatre", "the_a", "“the” end", "a’s",
         "the² a", "aº", "a\u0301b a\u0301 a", "ΟΔΥΣΣΕΥΣ", "ΑΣ. Σ ΣΑΣ", "ΑΣ\u0301 ΑΣ'Α ΑΣ\u00adΒ", "\u02b0Σ 1Σ", "İstanbul İ", "STRASSE ẞ ß ﬀ",
         "ǅungla Ǆ", "one\u00a0two\u2003three\x1cfour\x1ffive\u200bsix", "\t\n", "", "¿Qué?", "...", "日本 the 語the", "٣the ٣ the", "A\u00a0The", "½ a½ ½a",
         "K Å Ω", "Ⅻ ⓐ Ⓐ", "snow\ufefffall the\ufeff"]
cases = dict(normalize=[dict(text=t, want=squad_metrics.normalize_answer(t)) for t in texts], pairs=[], evaluate=[])
pairs = [("the cat sat", "a cat sat down"), ("cat cat dog", "cat dog dog dog"), ("the", "a"), ("", ""), ("the", ""), ("", "x"), ("x", ""), ("Denver Broncos", "The Denver Broncos!"),
         ("42", "42."), ("a b c d", "d c b a"), ("one", "two"), ("ΑΣ", "ας")]
for g, p in pairs:
    cases["pairs"].append(dict(gold=g, pred=p, exact=squad_metrics.compute_exact(g, p), f1=squad_metrics.compute_f1(g, p)))


class Example:
    def __init__(self, qas_id, answers):
        self.qas_id, self.answers = qas_id, [{"text": a} for a in answers]


def squad(answers, preds, none=None, threshold=1.0):
    ids = [f"q{i}" for i in range(len(answers))]
    named = dict(zip(ids, preds))
    want = squad_metrics.squad_evaluate([Example(i, a) for i, a in zip(ids, answers)], named,
                                        None if none is None else dict(zip(ids, none)), threshold)
    cases["evaluate"].append(dict(answers=answers, pred=preds, none=none, threshold=threshold, want=want))


words = "the red green blue fox, dog. jumps over".split()
phrase = lambda: " ".join(random.choice(words) for _ in range(random.randint(1, 4)))
squad([["Denver Broncos", "the Broncos"], ["gold", "Gold anniversary"]], ["Broncos", "silver"])
squad([["x"]], [""])
squad([[]], [""])
squad([[]], ["x"], [0.3], 0.5)
squad([["the"], ["a", "x"], [""]], ["", "a", ""])
squad([["x"], [], ["y"], []], ["x", "z", "n", ""], [0.5, 0.5, 0.5, 0.5], 0.5)
squad([["x"], [], ["y z"], [], ["w"]], ["x", "z", "y", "", "w"], [0.1, 0.9, 0.4, 0.4, 0.95], 0.6)
squad([["x"], ["y"]], ["x", "y"], [2.0, -3.5], -1.0)
for _ in range(3):
    n = 25
    answers = [[phrase() for _ in range(random.randint(1, 3))] if random.random() < 0.6 else [] for _ in range(n)]
    preds = [random.choice(a) + random.choice(["", " fox"]) if a and random.random() < 0.6 else random.choice(["", phrase()]) for a in answers]
    squad(answers, preds, [round(random.random(), 1) for _ in range(n)], 0.5)
n = 40  # equal no-answer scores: the order of the questions decides
squad([["x"] if i < 20 else [] for i in range(n)], ["x"] * n, [[0.6, 0.4, 0.2][i * 7 % 3] for i in range(n)], 0.5)
squad([["x"] if i < 20 else [] for i in range(n)], ["x"] * n, [0.5] * n, 0.5)
write("squad.json", cases)

# --- labels

cases = dict(labels=[], precision=[])


def labels(truth, scores, thresholds):
    truth, scores = np.array(truth), np.array(scores, dtype=float)
    pred = (scores >= np.array(thresholds)).astype(int)
    k = truth.shape[1]
    of = lambda a: metrics.precision_recall_fscore_support(truth, pred, average=a, zero_division=0)
    want = averaged(of, range(k))
    want["labels"] = list(want.pop("types").values())
    want["samples"] = score(*of("samples"))
    for a in "micro", "macro", "weighted", "samples":
        want[a]["support"] = int(truth.sum())
    ap = lambda a: metrics.average_precision_score(truth, scores, average=a)
    want.update(accuracy=metrics.accuracy_score(truth, pred), hamming=metrics.hamming_loss(truth, pred))
    cases["labels"].append(dict(truth=truth.tolist(), scores=scores, thresholds=thresholds, want=want,
                                precisions=dict(labels=ap(None), macro=ap("macro"), micro=ap("micro"))))


for n, k, digits in (12, 3, 1), (25, 4, 2), (1, 3, 2), (6, 2, 0):
    labels(rng.integers(0, 2, (n, k)), rng.random((n, k)).round(digits), [0.5, 0.3, 0.7, 0.5][:k])
labels([[1, 0, 0], [1, 0, 1], [0, 0, 0]], [[0.9, 0.1, 0.2], [0.2, 0.8, 0.6], [0.3, 0.3, 0.3]], [0.5, 0.5, 0.5])  # one never true
labels([[1, 0, 1], [1, 0, 1]], [[0.1, 0.1, 0.2], [0.2, 0.3, 0.4]], [0.5, 0.5, 0.5])  # nothing predicted
labels([[1, 1], [1, 1]], [[0.9, 0.8], [0.7, 0.7]], [0.5, 0.5])  # everything
for n, digits in (10, 1), (40, 1), (40, 3), (5, 0):
    truth, scores = rng.integers(0, 2, n), rng.normal(size=n).round(digits)
    p, r, t = metrics.precision_recall_curve(truth, scores)
    f = np.divide(2 * p * r, p + r, out=np.zeros_like(p), where=p + r > 0)
    cases["precision"].append(dict(truth=truth.tolist(), scores=scores, average_precision=metrics.average_precision_score(truth, scores),
                                   best_f1=f.max(), auc=metrics.roc_auc_score(truth, scores)))
write("labels.json", cases)

# --- classes

cases = dict(classes=[], auc=[], probabilities=[])


def classes(truth, pred, k):
    all_labels = list(range(k))
    of = lambda a: metrics.precision_recall_fscore_support(truth, pred, average=a, labels=all_labels, zero_division=0)
    want = averaged(of, all_labels)
    want["classes"] = list(want.pop("types").values())
    for a in "micro", "macro", "weighted":
        want[a]["support"] = len(truth)
    want.update(confusion=metrics.confusion_matrix(truth, pred, labels=all_labels), accuracy=metrics.accuracy_score(truth, pred),
                balanced=metrics.balanced_accuracy_score(truth, pred), mcc=metrics.matthews_corrcoef(truth, pred),
                kappa=metrics.cohen_kappa_score(truth, pred))
    cases["classes"].append(dict(truth=truth, pred=pred, classes=k, want=want))


for n, k in (20, 2), (50, 3), (60, 6), (7, 5):
    truth = rng.integers(0, k, n).tolist()
    classes(truth, [t if rng.random() < 0.6 else int(rng.integers(0, k)) for t in truth], k)
classes([0], [0], 2)  # one row
classes([1], [0], 2)
classes([0, 0, 0], [0, 0, 0], 3)  # one class
classes([0, 1, 0], [1, 1, 1], 2)  # one prediction
classes([1, 1, 1], [0, 1, 0], 2)  # one truth
classes([0, 0, 2, 2], [0, 1, 2, 1], 3)  # a class absent from the truth
classes([0, 1, 0, 1], [1, 0, 1, 0], 2)  # all wrong
classes([0, 1, 1, 0], [0, 1, 1, 0], 4)  # two classes that nobody has

for truth, scores in ([0, 1], [0.1, 0.9]), ([0, 1], [0.9, 0.1]), ([0, 1, 1, 0], [0.5] * 4), ([1, 1, 1], [0.1, 0.2, 0.3]), ([0, 0], [1, 2]), \
        ([0, 1, 0, 1, 1], [0.3, 0.3, 0.1, 0.7, 0.3]):
    cases["auc"].append(dict(truth=truth, scores=scores, want=metrics.roc_auc_score(truth, scores)))


def calibration_error(p, y, bins):
    confidence, right = p.max(1), p.argmax(1) == y
    which = np.clip(np.digitize(confidence, np.arange(bins + 1) / bins, right=True), 1, bins)
    return sum(abs(right[which == b].mean() - confidence[which == b].mean()) * (which == b).mean() for b in range(1, bins + 1) if (which == b).any())


def probabilities(logits, y):
    z, t = torch.tensor(logits, dtype=torch.float64), torch.tensor(y)
    p = z.softmax(1).numpy()

    def slope(beta):
        b = torch.tensor(beta, dtype=torch.float64, requires_grad=True)
        torch.nn.functional.cross_entropy(z * b, t).backward()
        return float(b.grad)

    inside = slope(0.01) < 0 < slope(100)
    cases["probabilities"].append(dict(
        logits=logits, truth=y, probabilities=p, log_loss=metrics.log_loss(y, p, labels=list(range(p.shape[1]))),
        ece=calibration_error(p, np.array(y), 15), ece10=calibration_error(p, np.array(y), 10),
        temperature=1 / brentq(slope, 0.01, 100, xtol=1e-15, rtol=1e-15) if inside else None))


for n, k, scale in (30, 2, 1), (40, 4, 5), (25, 3, 0.2):
    y = rng.integers(0, k, n)
    probabilities((scale * (rng.normal(size=(n, k)) + np.eye(k)[y])).round(3).tolist(), y.tolist())
probabilities([[3.0, -1.0]], [0])  # right: no best temperature
probabilities([[3.0, -1.0]], [1])  # wrong
probabilities([[800.0, 0.0], [0.0, 800.0], [800.0, 0.0], [800.0, 0.0]], [0, 1, 0, 1])  # clipped
probabilities([[0.0, 0.0], [1.0, 1.0]], [0, 1])
probabilities([[0.0, 0.0], [0.2, 0.0]], [0, 1])  # a probability on the border of two of ten bins
write("classes.json", cases)

# --- correlation

cases = dict(correlation=[])


def correlation(truth, pred):
    defined = len(set(truth)) > 1
    both = defined and len(set(pred)) > 1
    cases["correlation"].append(dict(
        truth=truth, pred=pred, pearson=scipy.stats.pearsonr(truth, pred)[0] if both else None,
        spearman=scipy.stats.spearmanr(truth, pred)[0] if both else None, mse=metrics.mean_squared_error(truth, pred),
        mae=metrics.mean_absolute_error(truth, pred), r2=metrics.r2_score(truth, pred, force_finite=False) if defined else None))


for n, digits in (30, 3), (30, 0), (2, 2), (3, 1):
    x = rng.normal(size=n).round(digits)
    correlation((2.5 + x).tolist(), (1 + x + rng.normal(size=n).round(digits)).tolist())
correlation([1, 2, 3], [2, 4, 6])
correlation([1, 2, 3], [3, 2, 1])
correlation([0.1] * 10, list(range(10)))  # the mean of ten times 0.1 isn't 0.1
correlation(list(range(10)), [0.1] * 10)
correlation([0.7] * 3, [0.7] * 3)
correlation([1.0], [2.0])
correlation([1e200, -3e200, 2e200], [1e-200, 2e-200, 5e-200])
correlation([0, 0, 1, 1, 5, 5, 5], [3, 1, 1, 2, 2, 2, 9])
write("correlation.json", cases)

# --- retrieval, language

cases = dict(retrieval=[], cosine=[], perplexity=[])
ks = [1, 3, 10]
for queries, documents, depth in (8, 12, 12), (5, 30, 10), (1, 4, 4):
    relevant = [sorted(rng.choice(documents, size=rng.integers(1, 4), replace=False).tolist()) for _ in range(queries)]
    ranked = [rng.permutation(documents)[:depth].tolist() for _ in range(queries)]
    evaluator = InformationRetrievalEvaluator({str(q): "" for q in range(queries)}, {str(d): "" for d in range(documents)},
                                              {str(q): {str(d) for d in r} for q, r in enumerate(relevant)},
                                              mrr_at_k=ks, ndcg_at_k=ks, accuracy_at_k=ks, precision_recall_at_k=ks, map_at_k=ks)
    got = evaluator.compute_metrics([[dict(corpus_id=str(d), score=-i) for i, d in enumerate(r)] for r in ranked])
    cases["retrieval"].append(dict(ranked=ranked, relevant=relevant, want=[
        dict(k=k, accuracy=got["accuracy@k"][k], precision=got["precision@k"][k], recall=got["recall@k"][k], mrr=got["mrr@k"][k],
             ndcg=got["ndcg@k"][k], map=got["map@k"][k]) for k in ks]))
for a, b in ([1, 2, 3], [3, -2, 1]), ([0, 0], [1, 2]), ([1e-3, 2], [4, 0.5]), ([2, 2], [4, 4]), ([1, 0], [-5, 0]):
    want = cos_sim(torch.tensor([a], dtype=torch.float64), torch.tensor([b], dtype=torch.float64)).item()
    cases["cosine"].append(dict(a=a, b=b, want=want))
logits, tokens = torch.randn(9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3, 4, 0, 1, 2, 3])
nll = torch.nn.functional.cross_entropy(logits, tokens, reduction="none")
cases["perplexity"].append(dict(nll=nll.tolist(), want=torch.exp(torch.nn.functional.cross_entropy(logits, tokens)).item()))
write("retrieval.json", cases)
