"""Loads a folder with Optimum and transformers' pipelines and compares their answers with peftgraph's.

    peftgraph predict --json FOLDER < texts.txt > answers.jsonl
    python check_optimum.py FOLDER answers.jsonl [LARGEST DIFFERENCE]

Made and tried with optimum 2.1.0, optimum-onnx 0.1.0, transformers 4.57.6, onnxruntime 1.32.0.
"""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import optimum.onnxruntime as ort
from transformers import AutoConfig, AutoTokenizer, pipeline

folder, answers = sys.argv[1], [json.loads(line) for line in open(sys.argv[2], encoding="utf-8")]
limit = float(sys.argv[3]) if len(sys.argv) > 3 else 1e-5
config = AutoConfig.from_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)
head = config.architectures[0].split("For")[-1] if "For" in config.architectures[0] else "FeatureExtraction"
model = getattr(ort, "ORTModelFor" + head).from_pretrained(folder)
worst, wrong = 0.0, []


def compare(text, ours, theirs, label="", its_label=""):
    global worst
    worst = max(worst, abs(ours - theirs))
    if label != its_label or not abs(ours - theirs) <= limit:
        wrong.append(f"{text[:60]!r}: ours {label} {ours}, theirs {its_label} {theirs}")


def inputs(a):
    return {"text": a["text"], "text_pair": a["pair"]} if a.get("pair") else a["text"]


def text_classification():
    pipe = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)
    for a in answers:
        scores = pipe(inputs(a), truncation=True)
        scores = scores[0] if isinstance(scores[0], list) else scores
        if "probability" in a:
            compare(a["text"], a["probability"], scores[0]["score"], a["label"], scores[0]["label"])
        elif "value" in a:
            compare(a["text"], a["value"], scores[0]["score"])
        else:
            by_label = {s["label"]: s["score"] for s in scores}
            for label, p in a["probabilities"].items():
                compare(a["text"], p, by_label[label])


def token_classification():
    """An entity's score is ours to define, so words' logits are not compared but the entities are, and where they stand."""
    pipe = pipeline("token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="first")
    for a in answers:
        theirs = [(e["entity_group"], e["start"], e["end"]) for e in pipe(a["text"])]
        ours = [(e["label"], e["start"], e["end"]) for e in a["entities"]]
        if ours != theirs:
            wrong.append(f"{a['text'][:60]!r}: ours {ours}, theirs {theirs}")


def question_answering():
    pipe = pipeline("question-answering", model=model, tokenizer=tokenizer)
    for a in answers:
        theirs = pipe(question=a["text"], context=a["pair"])
        if theirs["answer"] != a["answer"]:
            wrong.append(f"{a['text'][:60]!r}: ours {a['answer']!r}, theirs {theirs['answer']!r}")


{"SequenceClassification": text_classification, "TokenClassification": token_classification, "QuestionAnswering": question_answering}[head]()
print("\n".join(wrong))
print(f"{type(model).__name__} from {model.path}: {len(answers)} texts, {len(wrong)} differ, largest difference {worst:.2g}")
sys.exit(1 if wrong else 0)
