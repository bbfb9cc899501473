#!/usr/bin/env python3
"""Writes what Hugging Face makes of questions, with a tiny tokenizer and made-up outputs.

    pip install torch transformers==4.57.6 tokenizers==0.22.2 numpy
    ./make_question_answering.py UTILS_QA

UTILS_QA is utils_qa.py of transformers' examples/pytorch/question-answering; what was committed is of the function in revision
31f57e9efd761882d1296f7f6ade11ee87a3900e.

tokenizer.json  a lower-casing WordPiece of single letters and some words
squad.json      the questions, as SQuAD 2.0 has them
expected.json   the windows with their first and last tokens (run_qa.py's prepare_train_features), outputs, the answers to them
                with no-answer scores (postprocess_qa_predictions), the probabilities (the question-answering pipeline's), the
                loss (transformers' ForQuestionAnsweringLoss) and the evaluation (transformers' squad_evaluate)
"""

import importlib.util
import json
import pathlib
import string
import sys
import tempfile

import numpy as np
import torch
import transformers
from transformers.data.metrics.squad_metrics import squad_evaluate
from transformers.loss.loss_utils import ForQuestionAnsweringLoss
from transformers.pipelines.question_answering import select_starts_ends

HERE = pathlib.Path(__file__).parent
MAX_LENGTH, STRIDE, MAX_ANSWER = 40, 10, 5
WORDS = "the of in and was by a is it who what when where which city river year did not old new long".split()

CONTEXTS = [
    ("Naïve café by the Seine: in 1889 the “old” tower — 300 m tall — was new. It is 😀 in Zoë’s city, and it is not the long river.", [
        ("When was the tower new?", ["1889", "in 1889"]),
        ("Whose city is it?", ["Zoë", "Zoë’s city"]),
        ("What is not it?", ["the long river", "river"]),
        ("What was the tower?", ["“old” tower"]),
        ("Who was the king of the river?", []),
    ]),
    ("a b c", [("   which is old?", ["b"]), ("What did it?", ["a b c"]), ("Where?", [])]),
]


def squad():
    paragraphs, n = [], 0
    for context, questions in CONTEXTS:
        qas = []
        for question, answers in questions:
            n += 1
            found = [{"text": a, "answer_start": context.index(a)} for a in answers]
            qas.append({"id": f"q{n}", "question": question, "answers": found, "is_impossible": not found})
        paragraphs.append({"qas": qas, "context": context})  # the order of SQuAD 2.0
    return {"version": "v2.0", "data": [{"title": "made up", "paragraphs": paragraphs}]}


def tokenizer():
    letters = list(string.ascii_lowercase + string.digits + "?.,:“”’—ïéë")
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + c for c in letters), *(w for w in WORDS if len(w) > 1)]
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "vocab.txt"
        file.write_text("\n".join(vocab) + "\n")
        tok = transformers.BertTokenizerFast(str(file), do_lower_case=True)
    tok.backend_tokenizer.save(str(HERE / "tokenizer.json"), pretty=False)
    return tok


def prepare(tok, examples):
    """prepare_train_features of run_qa.py, but for the last context token, past which its first loop runs into [SEP]."""
    encoded = tok([e["question"].lstrip() for e in examples], [e["context"] for e in examples], truncation="only_second",
                  max_length=MAX_LENGTH, stride=STRIDE, return_overflowing_tokens=True, return_offsets_mapping=True)
    features = []
    for i, offsets in enumerate(encoded["offset_mapping"]):
        origin = encoded["overflow_to_sample_mapping"][i]
        sequence, answers = encoded.sequence_ids(i), examples[origin]["answers"]
        first, last = sequence.index(1), len(sequence) - 1 - sequence[::-1].index(1)
        start = end = 0
        if answers["answer_start"]:
            start_char = answers["answer_start"][0]
            end_char = start_char + len(answers["text"][0])
            if offsets[first][0] <= start_char and offsets[last][1] >= end_char:
                token = first
                while token <= last and offsets[token][0] <= start_char:
                    token += 1
                start, token = token - 1, last
                while offsets[token][1] >= end_char:
                    token -= 1
                end = token + 1
        features.append({
            "example_id": examples[origin]["id"], "origin": origin, "ids": encoded["input_ids"][i], "start": start, "end": end,
            "offset_mapping": [o if s == 1 else None for o, s in zip(offsets, sequence)],
        })
    return features


def pipeline(features, logits, span, text_of):
    """The pipeline's probability of an answer that was chosen otherwise, and that of no answer."""
    found, none = [], 1000000
    for f, x in zip(features, logits):
        mask = np.array([[o is None for o in f["offset_mapping"]]]).astype(int)
        mask[0, 0] = 0  # the pipeline keeps [CLS]
        start, end = x[None, :, 0].astype(float), x[None, :, 1].astype(float)
        *spans, none = select_starts_ends(start, end, mask, np.ones_like(mask), none, len(x) ** 2 + 1, True, MAX_ANSWER)
        for s, e, p in zip(*spans):
            if 0 < s <= e < s + MAX_ANSWER and text_of(f, s, e) == span:
                found.append((float(x[s, 0] + x[e, 1]), float(p)))
    return max(found)[1], float(none)


class Example:
    """What squad_evaluate reads."""

    def __init__(self, e):
        self.qas_id, self.answers = e["id"], [{"text": t} for t in e["answers"]["text"]]


class Table(list):
    """A list of rows with the columns that postprocess_qa_predictions asks for."""

    def __getitem__(self, key):
        return [e[key] for e in self] if isinstance(key, str) else super().__getitem__(key)


def main():
    spec = importlib.util.spec_from_file_location("utils_qa", sys.argv[1])
    utils = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(utils)
    file = squad()
    (HERE / "squad.json").write_text(json.dumps(file, ensure_ascii=False, indent=1) + "\n")
    examples = Table()
    for p in file["data"][0]["paragraphs"]:
        for q in p["qas"]:
            answers = {k: [a[k] for a in q["answers"]] for k in ("text", "answer_start")}
            examples.append({"id": q["id"], "question": q["question"], "context": p["context"], "answers": answers})
    features = prepare(tokenizer(), examples)
    rng, rounds = np.random.default_rng(7), []
    for n in range(4):
        logits = [(rng.normal(size=(len(f["ids"]), 2)) * 4).astype(np.float32).round(3) for f in features]
        for x in logits:
            x[0] = (x[0] + 2 * n).round(3)  # no answer is likelier each time
        both = [[x[:, k] for x in logits] for k in (0, 1)]
        options = dict(n_best_size=20, max_answer_length=MAX_ANSWER)
        without = utils.postprocess_qa_predictions(examples, features, both, **options)
        with tempfile.TemporaryDirectory() as folder:
            utils.postprocess_qa_predictions(examples, features, both, version_2_with_negative=True, output_dir=folder, **options)
            difference = json.loads((pathlib.Path(folder) / "null_odds.json").read_text())
        answers = []
        for e in examples:
            mine = [i for i, f in enumerate(features) if f["example_id"] == e["id"]]
            text_of = lambda f, s, t: e["context"][f["offset_mapping"][s][0]:f["offset_mapping"][t][1]]
            p, none = pipeline([features[i] for i in mine], [logits[i] for i in mine], without[e["id"]], text_of)
            answers.append({"text": without[e["id"]], "difference": difference[e["id"]], "score": p, "none": none})
        evaluated = squad_evaluate([Example(e) for e in examples], without, difference, 0.5)
        loss = sum(float(ForQuestionAnsweringLoss(torch.tensor(x[None, :, 0]), torch.tensor(x[None, :, 1]), torch.tensor([f["start"]]),
                                                  torch.tensor([f["end"]]))) for f, x in zip(features, logits))
        rounds.append({"logits": [x.flatten().tolist() for x in logits], "answers": answers, "loss": loss, "squad": evaluated})
        rounds[-1]["logits"] = [[float(f"{v:.6g}") for v in x] for x in rounds[-1]["logits"]]
    windows = [{k: f[k] for k in ("origin", "ids", "start", "end")} | {"offsets": [o or [0, 0] for o in f["offset_mapping"]]} for f in features]
    out = {"max_length": MAX_LENGTH, "stride": STRIDE, "max_answer": MAX_ANSWER, "threshold": 0.5, "windows": windows, "rounds": rounds}
    (HERE / "expected.json").write_text(json.dumps(out, ensure_ascii=False) + "\n")
    print(len(features), "windows of", len(examples), "questions;", sum(f["start"] > 0 for f in features), "hold the answer")


if __name__ == "__main__":
    main()
