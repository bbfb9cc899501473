#!/usr/bin/env python3
"""Makes the JSONL files that the runs of docs/RESULTS.md read, from a folder of the original data sets.

    results_data.py FOLDER OUT

Writes OUT/NAME.train.jsonl, .dev.jsonl and .test.jsonl. Where a set has no labelled part for one of them, it is split off with a fixed seed,
as said below. Needs nothing but Python.
"""

import csv, json, os, random, sys

source, out = sys.argv[1:3]
os.makedirs(out, exist_ok=True)


def write(name, **parts):
    for part, rows in parts.items():
        with open(f"{out}/{name}.{part}.jsonl", "w", encoding="utf-8") as f:
            for r in rows:
                f.write(json.dumps(r, ensure_ascii=False) + "\n")
    print(name, {k: len(v) for k, v in parts.items()})


def lines(path, encoding="utf-8"):
    return [l.rstrip("\n") for l in open(f"{source}/{path}", encoding=encoding) if l.strip()]


def table(path):
    return [l.split("\t") for l in lines(path)]


def shuffled(rows, seed=1):
    rows = list(rows)
    random.Random(seed).shuffle(rows)
    return rows


write("sst", **{k: [{"text": t[0], "label": t[1]} for t in table(f"SST-2-labelled-test/{k}.tsv") if t[1] in "01"] for k in ["train", "dev", "test"]})

# TREC's six classes; the last 500 questions of the training file judge the epochs.
trec = lambda path: [{"text": t, "label": l.split(":")[0]} for l, t in (x.split(" ", 1) for x in lines(path, "latin1"))]
questions = trec("TREC/train_5500.label")
write("trec", train=questions[:4952], dev=questions[4952:], test=trec("TREC/TREC_10.label"))

sms = shuffled({"text": t, "label": l} for l, t in (x.split("\t", 1) for x in lines("SMS-spam/sms.tsv")))
write("sms", train=sms[:4000], dev=sms[4000:4700], test=sms[4700:])

# CoLA's dev set is the test set here, since its own has no labels.
cola = lambda path: [{"text": t[3], "label": t[1]} for t in table(path)]
acceptable = shuffled(cola("CoLA/train.tsv"))
write("cola", train=acceptable[:-800], dev=acceptable[-800:], test=cola("CoLA/dev.tsv"))

rte = lambda path: [{"text": t[1], "pair": t[2], "label": t[3]} for t in table(path)[1:]]
entailed = rte("RTE/train.tsv")
write("rte", train=entailed[:2240], dev=entailed[2240:], test=rte("RTE/dev.tsv"))

sts = lambda path: [{"text": t[7], "pair": t[8], "label": t[9]} for t in table(path)[1:] if len(t) > 9]
# STS-B's test file has no scores: its dev set is the test set here, and 500 pairs of the training set judge.
scored = shuffled(sts("STS-B/train.tsv"))
write("stsb", train=scored[:-500], dev=scored[-500:], test=sts("STS-B/dev.tsv"))

# AG-News: 10,000 labelled texts to train on, the last 1,000 of them to judge; the first 2,000 of the test file.
names = lines("AG-News/classes.txt")
news = [{"text": t[0], "label": t[1]} for t in table("AG-News/alps_dev.tsv") if len(t) == 2 and t[1] in names]
tests = [{"text": r[1] + " " + r[2], "label": names[int(r[0]) - 1]} for r in csv.reader(open(f"{source}/AG-News/test.csv", encoding="utf-8"))]
news = shuffled(news)
write("agnews", train=news[:-1000], dev=news[-1000:], test=tests[:2000])


# Several labels a text: one, two or three news items of AG-News in a row (seeded), labelled with all their classes; half of each item's words.
def several(rows, n, seed):
    rng, made = random.Random(seed), []
    for _ in range(n):
        some = rng.sample(rows, rng.randint(1, 3))
        words = [" ".join(r["text"].split()[:16]) for r in some]
        made.append({"text": " ".join(words), "label": sorted({r["label"] for r in some})})
    return made


write("agmulti", train=several(news[:-1000], 4000, 1), dev=several(news[-1000:], 500, 2), test=several(tests[:2000], 1000, 3))


# WikiANN: the first 5,000 sentences to train on, 1,000 to judge, 2,000 to test.
def wikiann(part, n):
    rows, words, tags = [], [], []
    for line in open(f"{source}/WikiANN-en/{part}", encoding="utf-8"):
        if not line.strip():
            if words:
                rows.append({"tokens": words, "tags": tags})
            words, tags = [], []
            continue
        word, tag = line.rstrip("\n").split("\t")
        words.append(word.split(":", 1)[1]), tags.append(tag)
    return rows[:n]


write("wikiann", train=wikiann("train", 5000), dev=wikiann("dev", 1000), test=wikiann("test", 2000))

# XQuAD, split by article: 32 to train on, 6 to judge, 10 to test.
articles = shuffled(json.load(open(f"{source}/XQuAD-en/xquad.en.json", encoding="utf-8"))["data"])


def squad(some):
    return [
        {"id": q["id"], "question": q["question"], "context": p["context"],
         "answers": {"text": [x["text"] for x in q["answers"]], "answer_start": [x["answer_start"] for x in q["answers"]]}}
        for a in some for p in a["paragraphs"] for q in p["qas"]
    ]


write("xquad", train=squad(articles[:32]), dev=squad(articles[32:38]), test=squad(articles[38:]))
