#!/usr/bin/env python3
"""The runs that docs/RESULTS.md compares with: LoRA by Hugging Face PEFT (pip install torch transformers peft numpy).

    peft_baseline.py --model FOLDER --data FOLDER --seed 1 --dropout 0

FOLDER of the model is a checkpoint with its tokenizer; that of the data has train.tsv, dev.tsv and test.tsv, a text, a tab and a label
of 0 or 1 a line. Prints a line of JSON for each epoch and for the run, and appends it to --out.
"""

import argparse, json, os, random, time, warnings, sys

warnings.filterwarnings("ignore")
import torch, transformers, peft, numpy as np
from transformers import AutoTokenizer, AutoModelForSequenceClassification, get_linear_schedule_with_warmup
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

p = argparse.ArgumentParser()
p.add_argument("--model", required=True)
p.add_argument("--data", required=True)
p.add_argument("--seed", type=int, default=1)
p.add_argument("--lr", type=float, default=1e-3)
p.add_argument("--dropout", type=float, default=0.0)
p.add_argument("--epochs", type=int, default=3)
p.add_argument("--batch", type=int, default=32)
p.add_argument("--save", default="")
p.add_argument("--train-pooler", action="store_true")
p.add_argument("--random-batches", action="store_true")
p.add_argument("--out", default="peft_baseline.jsonl")
p.add_argument("--max-steps", type=int, default=0)
a = p.parse_args()
torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
random.seed(a.seed)
np.random.seed(a.seed)
torch.manual_seed(a.seed)
tok = AutoTokenizer.from_pretrained(a.model)


def load(split):
    rows = [l.rstrip("\n").rsplit("\t", 1) for l in open(f"{a.data}/{split}.tsv", encoding="utf-8") if l.strip()]
    return [(tok(t, truncation=True, max_length=128)["input_ids"], int(y)) for t, y in rows]


train, dev, test = load("train"), load("dev"), load("test")
model = AutoModelForSequenceClassification.from_pretrained(
    a.model, num_labels=2, hidden_dropout_prob=a.dropout, attention_probs_dropout_prob=a.dropout
)
model = get_peft_model(
    model,
    LoraConfig(
        task_type="SEQ_CLS",
        r=8,
        lora_alpha=16,
        lora_dropout=0.0,
        target_modules=["query", "value"],
        modules_to_save=["pooler"] if a.train_pooler else None,
    ),
)
trainable = [q for q in model.parameters() if q.requires_grad]


def collate(rows):
    n = max(len(r[0]) for r in rows)
    ids = torch.zeros(len(rows), n, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, (r, _) in enumerate(rows):
        ids[i, : len(r)] = torch.tensor(r)
        mask[i, : len(r)] = 1
    return dict(input_ids=ids, attention_mask=mask, token_type_ids=torch.zeros_like(ids)), torch.tensor(
        [y for _, y in rows]
    )


def batches(rng):
    idx = list(range(len(train)))
    rng.shuffle(idx)
    if a.random_batches:
        return [idx[i : i + a.batch] for i in range(0, len(idx), a.batch)]
    mega = a.batch * 50
    out = []
    for i in range(0, len(idx), mega):
        c = sorted(idx[i : i + mega], key=lambda j: len(train[j][0]))
        out += [c[k : k + a.batch] for k in range(0, len(c), a.batch)]
    rng.shuffle(out)
    return out


@torch.no_grad()
def evaluate(rows):
    model.eval()
    ok = 0
    loss = 0.0
    order = sorted(range(len(rows)), key=lambda j: len(rows[j][0]))
    for i in range(0, len(order), 64):
        b, y = collate([rows[j] for j in order[i : i + 64]])
        l = model(**b).logits
        ok += int((l.argmax(-1) == y).sum())
        loss += float(torch.nn.functional.cross_entropy(l, y, reduction="sum"))
    return ok / len(rows), loss / len(rows)


opt = torch.optim.AdamW(trainable, lr=a.lr, weight_decay=0.01)
per = (len(train) + a.batch - 1) // a.batch
total = per * a.epochs
sched = get_linear_schedule_with_warmup(opt, int(0.06 * total), total)
rng = random.Random(a.seed)
best = (-1, None, 0)
t0 = time.time()
base = dict(
    seed=a.seed,
    lr=a.lr,
    dropout=a.dropout,
    batching="random" if a.random_batches else "by length",
    model=os.path.basename(a.model.rstrip("/")),
    pooler="trained" if a.train_pooler else "frozen",
)
log = lambda **k: (
    print(json.dumps({**base, **k}), flush=True),
    open(a.out, "a").write(json.dumps({**base, **k}) + "\n"),
)
for epoch in range(a.epochs):
    model.train()
    run = 0.0
    for step, idx in enumerate(batches(rng)):
        b, y = collate([train[j] for j in idx])
        loss = torch.nn.functional.cross_entropy(model(**b).logits, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        opt.step()
        sched.step()
        opt.zero_grad()
        run += loss.item()
        if a.max_steps and step >= a.max_steps:
            print("s/step", (time.time() - t0) / (step + 1))
            sys.exit()
    acc, dl = evaluate(dev)
    if acc > best[0]:
        best = (acc, {k: v.clone() for k, v in get_peft_model_state_dict(model).items()}, epoch + 1)
    log(
        epoch=epoch + 1,
        train_loss=round(run / per, 4),
        dev_acc=acc,
        dev_loss=round(dl, 4),
        seconds=round(time.time() - t0),
    )
last = evaluate(test)
set_peft_model_state_dict(model, best[1])
acc, tl = evaluate(test)
log(
    final=True,
    best_epoch=best[2],
    dev_acc=best[0],
    test_acc=acc,
    test_loss=round(tl, 4),
    last_epoch_test_acc=last[0],
    seconds=round(time.time() - t0),
    trainable=sum(q.numel() for q in trainable),
    torch=torch.__version__,
    transformers=transformers.__version__,
    peft=peft.__version__,
)
if a.save:
    model.save_pretrained(a.save)
