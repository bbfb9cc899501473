#!/usr/bin/env python3
"""The Python runs that docs/RESULTS.md compares with: LoRA by Hugging Face PEFT on the same data with the same settings
(pip install torch transformers peft sentence-transformers seqeval scikit-learn scipy).

    peers.py TASK --model FOLDER --train FILE --dev FILE --test FILE --seed 1 [--epochs 3 --lr 1e-3 --rank 8 --alpha 16]

TASK is classification, regression, multi-label, token-classification, question-answering or embeddings. FILE is JSONL with the columns that
peftgraph reads: text[,pair],label; tokens,tags; or question,context,answers as datasets has SQuAD. The head of the first three is a linear map
of the mean of a text's tokens, as peftgraph's default. Batches are of similar lengths, dropout of the base is off, as in an exported graph.
Prints one line of JSON.
"""

import argparse, json, random, time, warnings

warnings.filterwarnings("ignore")
import numpy as np
import torch
import transformers
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import AutoModel, AutoModelForQuestionAnswering, AutoModelForTokenClassification, AutoTokenizer, get_linear_schedule_with_warmup

p = argparse.ArgumentParser()
p.add_argument("task")
for name in ["model", "train", "dev", "test"]:
    p.add_argument("--" + name, required=True)
p.add_argument("--seed", type=int, default=1)
p.add_argument("--lr", type=float, default=1e-3)
p.add_argument("--epochs", type=int, default=3)
p.add_argument("--batch", type=int, default=32)
p.add_argument("--rank", type=int, default=8)
p.add_argument("--alpha", type=float, default=16)
p.add_argument("--max-length", type=int, default=128)
p.add_argument("--doc-stride", type=int, default=64)
p.add_argument("--threads", type=int, default=2)
a = p.parse_args()
torch.set_num_threads(a.threads)
transformers.logging.set_verbosity_error()
random.seed(a.seed)
np.random.seed(a.seed)
torch.manual_seed(a.seed)
tok = AutoTokenizer.from_pretrained(a.model)
off = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def read(path):
    return [json.loads(line) for line in open(path, encoding="utf-8") if line.strip()]


rows = {part: read(getattr(a, part)) for part in ["train", "dev", "test"]}


class Pooled(torch.nn.Module):
    """A linear map of the mean of the tokens."""

    def __init__(self, outputs):
        super().__init__()
        self.base = lora(AutoModel.from_pretrained(a.model, add_pooling_layer=False, **off), "FEATURE_EXTRACTION")
        self.classifier = torch.nn.Linear(self.base.config.hidden_size, outputs)
        torch.nn.init.normal_(self.classifier.weight, std=0.02)
        torch.nn.init.zeros_(self.classifier.bias)

    def forward(self, **b):
        h = self.base(**b).last_hidden_state
        m = b["attention_mask"].unsqueeze(-1).float()
        return self.classifier((h * m).sum(1) / m.sum(1).clamp(min=1e-9))


def lora(model, task):
    return get_peft_model(model, LoraConfig(task_type=task, r=a.rank, lora_alpha=a.alpha, lora_dropout=0.0, target_modules=["query", "value"]))


def encode(rs):
    return [tok(r["text"], r.get("pair"), truncation=True, max_length=a.max_length) for r in rs]


class Sequence:
    def __init__(self):
        self.labels = None
        if a.task == "classification":
            self.labels = sorted({r["label"] for r in rows["train"]})
        elif a.task == "multi-label":
            self.labels = sorted({l for r in rows["train"] for l in r["label"]})
        self.model = Pooled(len(self.labels) if self.labels else 1)
        if a.task == "regression":
            self.model.classifier.bias.data.fill_(float(np.mean([float(r["label"]) for r in rows["train"]])))
        self.data = {k: encode(v) for k, v in rows.items()}
        self.targets = {k: [self.target(r["label"]) for r in v] for k, v in rows.items()}

    def target(self, label):
        if a.task == "classification":
            return self.labels.index(label)
        if a.task == "regression":
            return float(label)
        return [float(l in label) for l in self.labels]

    def loss(self, part, idx):
        logits = self.model(**collate([self.data[part][i] for i in idx]))
        y = [self.targets[part][i] for i in idx]
        if a.task == "classification":
            return torch.nn.functional.cross_entropy(logits, torch.tensor(y))
        if a.task == "regression":
            return torch.nn.functional.mse_loss(logits[:, 0], torch.tensor(y))
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor(y))

    def judge(self, part):
        out = predict(self, part, lambda b: self.model(**b))
        y = self.targets[part]
        if a.task == "classification":
            from sklearn.metrics import f1_score, matthews_corrcoef

            guess = [int(o.argmax()) for o in out]
            return {"accuracy": float(np.mean(np.array(guess) == y)), "f1": f1_score(y, guess, average="macro"), "mcc": matthews_corrcoef(y, guess)}
        if a.task == "regression":
            from scipy.stats import pearsonr, spearmanr

            x = [float(o[0]) for o in out]
            return {"pearson": pearsonr(x, y)[0], "spearman": spearmanr(x, y)[0]}
        from sklearn.metrics import f1_score

        guess = np.array([o.numpy() > 0 for o in out])
        return {"micro_f1": f1_score(np.array(y), guess, average="micro"), "macro_f1": f1_score(np.array(y), guess, average="macro")}


class Tokens:
    def __init__(self):
        self.labels = sorted({t for r in rows["train"] for t in r["tags"]})
        self.model = lora(AutoModelForTokenClassification.from_pretrained(a.model, num_labels=len(self.labels), **off), "TOKEN_CLS")
        self.data, self.targets = {}, {}
        for part, rs in rows.items():
            self.data[part] = [tok(r["tokens"], is_split_into_words=True, truncation=True, max_length=a.max_length) for r in rs]
            self.targets[part] = [self.align(e, r["tags"]) for e, r in zip(self.data[part], rs)]

    def align(self, e, tags):
        out, seen = [], set()
        for w in e.word_ids():
            out.append(-100 if w is None or w in seen or tags[w] not in self.labels else self.labels.index(tags[w]))
            seen.add(w)
        return out

    def loss(self, part, idx):
        b = collate([self.data[part][i] for i in idx])
        n = b["input_ids"].shape[1]
        y = torch.tensor([t + [-100] * (n - len(t)) for t in (self.targets[part][i] for i in idx)])
        return torch.nn.functional.cross_entropy(self.model(**b).logits.flatten(0, 1), y.flatten(), ignore_index=-100)

    def judge(self, part):
        from seqeval.metrics import f1_score, precision_score, recall_score

        out = predict(self, part, lambda b: self.model(**b).logits)
        truth, guess = [], []
        for o, e, r in zip(out, self.data[part], rows[part]):
            t, g, seen = [], [], set()
            for i, w in enumerate(e.word_ids()):
                if w is not None and w not in seen:
                    seen.add(w)
                    t.append(r["tags"][w])
                    g.append(self.labels[int(o[i].argmax())])
            truth.append(t), guess.append(g)
        return {"f1": f1_score(truth, guess), "precision": precision_score(truth, guess), "recall": recall_score(truth, guess)}


class Answers:
    def __init__(self):
        self.model = lora(AutoModelForQuestionAnswering.from_pretrained(a.model, **off), "QUESTION_ANS")
        self.data, self.targets, self.origin = {}, {}, {}
        for part, rs in rows.items():
            data, targets, origin = [], [], []
            for n, r in enumerate(rs):
                e = tok(r["question"], r["context"], truncation="only_second", max_length=a.max_length, stride=a.doc_stride,
                        return_overflowing_tokens=True, return_offsets_mapping=True)
                for w in range(len(e["input_ids"])):
                    f = {k: e[k][w] for k in ["input_ids", "attention_mask", "token_type_ids"]}
                    f["offsets"], f["sequence"] = e["offset_mapping"][w], e.sequence_ids(w)
                    data.append(f), origin.append(n), targets.append(self.span(f, r))
            self.data[part], self.targets[part], self.origin[part] = data, targets, origin

    def span(self, f, r):
        if not r["answers"]["text"]:
            return 0, 0
        s = r["answers"]["answer_start"][0]
        t = s + len(r["answers"]["text"][0])
        inside = [i for i, q in enumerate(f["sequence"]) if q == 1]
        if f["offsets"][inside[0]][0] > s or f["offsets"][inside[-1]][1] < t:
            return 0, 0
        return max(i for i in inside if f["offsets"][i][0] <= s), min(i for i in inside if f["offsets"][i][1] >= t)

    def loss(self, part, idx):
        b = collate([self.data[part][i] for i in idx])
        y = torch.tensor([self.targets[part][i] for i in idx])
        o = self.model(**b)
        return (torch.nn.functional.cross_entropy(o.start_logits, y[:, 0]) + torch.nn.functional.cross_entropy(o.end_logits, y[:, 1])) / 2

    def judge(self, part):
        from transformers.data.metrics.squad_metrics import compute_exact, compute_f1

        def both(b):
            o = self.model(**b)
            return torch.stack([o.start_logits, o.end_logits], -1)

        best = {}
        for f, o, n in zip(self.data[part], predict(self, part, both), self.origin[part]):
            top = lambda k: sorted(range(len(f["input_ids"])), key=lambda i: -float(o[i, k]))[:20]
            for s in top(0):
                for e in top(1):
                    if f["sequence"][s] != 1 or f["sequence"][e] != 1 or e < s or e - s >= 30:
                        continue
                    score = float(o[s, 0] + o[e, 1])
                    if n not in best or score > best[n][0]:
                        best[n] = score, f["offsets"][s][0], f["offsets"][e][1]
        exact, f1 = [], []
        for n, r in enumerate(rows[part]):
            text = r["context"][best[n][1] : best[n][2]] if n in best else ""
            exact.append(max(compute_exact(g, text) for g in r["answers"]["text"]))
            f1.append(max(compute_f1(g, text) for g in r["answers"]["text"]))
        return {"f1": 100 * float(np.mean(f1)), "exact": 100 * float(np.mean(exact))}


def collate(es):
    n = max(len(e["input_ids"]) for e in es)
    pad = lambda key, fill: torch.tensor([list(e[key]) + [fill] * (n - len(e[key])) for e in es])
    return dict(input_ids=pad("input_ids", tok.pad_token_id), attention_mask=pad("attention_mask", 0), token_type_ids=pad("token_type_ids", 0))


@torch.no_grad()
def predict(job, part, run):
    job.model.eval()
    data = job.data[part]
    out = [None] * len(data)
    order = sorted(range(len(data)), key=lambda i: len(data[i]["input_ids"]))
    for k in range(0, len(order), 64):
        idx = order[k : k + 64]
        for i, o in zip(idx, run(collate([data[i] for i in idx]))):
            out[i] = o
    return out


def batches(data, rng):
    idx = list(range(len(data)))
    rng.shuffle(idx)
    out = []
    for i in range(0, len(idx), a.batch * 50):
        c = sorted(idx[i : i + a.batch * 50], key=lambda j: len(data[j]["input_ids"]))
        out += [c[k : k + a.batch] for k in range(0, len(c), a.batch)]
    rng.shuffle(out)
    return out


def embeddings():
    """Cosine similarity of scored pairs by sentence-transformers."""
    from datasets import Dataset
    from scipy.stats import pearsonr, spearmanr
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments, losses

    st = SentenceTransformer(a.model, device="cpu")
    st.max_seq_length = a.max_length
    st[0].auto_model.config.update(off)
    for m in st.modules():
        if isinstance(m, torch.nn.Dropout):
            m.p = 0.0
    st.add_adapter(LoraConfig(task_type="FEATURE_EXTRACTION", r=a.rank, lora_alpha=a.alpha, lora_dropout=0.0, target_modules=["query", "value"]))

    def judge(part):
        x, y = (st.encode([r[k] for r in rows[part]], convert_to_numpy=True, show_progress_bar=False) for k in ["text", "pair"])
        cos = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
        score = [float(r["label"]) for r in rows[part]]
        return {"spearman": spearmanr(cos, score)[0], "pearson": pearsonr(cos, score)[0]}

    before = judge("test")
    data = Dataset.from_dict({"sentence1": [r["text"] for r in rows["train"]], "sentence2": [r["pair"] for r in rows["train"]],
                              "score": [float(r["label"]) / 5 for r in rows["train"]]})
    args = SentenceTransformerTrainingArguments(output_dir="/dev/shm/peers-st", num_train_epochs=a.epochs, per_device_train_batch_size=a.batch,
                                                learning_rate=a.lr, warmup_ratio=0.06, weight_decay=0.01, seed=a.seed, report_to=[], save_strategy="no",
                                                logging_strategy="no", disable_tqdm=True, use_cpu=True)
    SentenceTransformerTrainer(model=st, args=args, train_dataset=data, loss=losses.CosineSimilarityLoss(st)).train()
    return {"before": before, "test": judge("test"), "dev": judge("dev")}


start = time.time()
if a.task == "embeddings":
    result = embeddings()
else:
    job = {"token-classification": Tokens, "question-answering": Answers}.get(a.task, Sequence)()
    first = {"classification": "accuracy", "regression": "pearson", "multi-label": "micro_f1"}.get(a.task, "f1")
    trainable = [q for q in job.model.parameters() if q.requires_grad]
    opt = torch.optim.AdamW(trainable, lr=a.lr, weight_decay=0.01)
    total = a.epochs * ((len(job.data["train"]) + a.batch - 1) // a.batch)
    sched = get_linear_schedule_with_warmup(opt, int(0.06 * total), total)
    rng, best = random.Random(a.seed), None
    for epoch in range(a.epochs):
        job.model.train()
        for idx in batches(job.data["train"], rng):
            job.loss("train", idx).backward()
            torch.nn.utils.clip_grad_norm_(trainable, 1.0)
            opt.step(), sched.step(), opt.zero_grad()
        dev = job.judge("dev")
        if best is None or dev[first] > best[0][first]:
            best = dev, {k: v.detach().clone() for k, v in job.model.state_dict().items() if "lora_" in k or "classifier" in k or "qa_outputs" in k}, epoch + 1
    job.model.load_state_dict(best[1], strict=False)
    result = {"dev": best[0], "test": job.judge("test"), "best_epoch": best[2], "trainable": sum(q.numel() for q in trainable)}
print(json.dumps({"task": a.task, "seed": a.seed, **result, "seconds": round(time.time() - start), "torch": torch.__version__,
                  "transformers": transformers.__version__}, default=float), flush=True)
