#!/usr/bin/env python3
"""Writes what transformers makes of tagged sentences: features, loss and the pipeline's answers.

    pip install torch==2.15.0 transformers==4.57.6
    ./make_token_classification.py

expected.json has the tags in their order and
  features  sentences in words with their tags, and token ids and labels as examples/pytorch/token-classification/run_ner.py
            makes them (tokenize_and_align_labels), labelling first tokens alone and all tokens; -100 is no label
  loss      logits of a BertForTokenClassification for these, padded, and its loss
  answers   texts with ids and logits, and what the pipeline answers with aggregation_strategy="first"
The vocabulary is that of train/data/testdata.
"""

import json
import pathlib

import torch
import transformers

HERE = pathlib.Path(__file__).parent
VOCAB = HERE / "../../../data/testdata/tokenizer/vocab-cased.txt"
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
IGNORED = -100

SENTENCES = [
    (["Angela", "Merkel", "visited", "San", "Francisco", "."], ["B-PER", "I-PER", "O", "B-LOC", "I-LOC", "O"]),
    (["O'Neill-Smith", "\u200b\u0007", "wasn't", "there"], ["B-PER", "I-PER", "O", "O"]),
    (["naïve", "Zürich"], ["O", "B-LOC"]),
    (["x"], ["O"]),
]
TEXTS = [
    "Angela Merkel visited San Francisco, unbelievably.",
    "  O'Neill-Smith's U.S. trip:\tNew-York (NY) and back!",
    "The quick brown fox jumps over the lazy dog near Zürich in 1999",
    "a",
    "東京 Tokyo",
    "tokenization unaffable internationalization of embeddings",
]


def model(seed):
    torch.manual_seed(seed)
    names = dict(enumerate(TAGS))
    sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24, max_position_embeddings=64)
    m = transformers.BertForTokenClassification(
        transformers.BertConfig(vocab_size=len(VOCAB.read_text().split("\n")), num_labels=len(TAGS), id2label=names, **sizes)
    )
    with torch.no_grad():
        m.classifier.weight.mul_(60)  # confident, and of many minds
    return m.eval()


def features(tokenizer, words, tags, all_tokens):
    """tokenize_and_align_labels of run_ner.py, for one sentence."""
    b_to_i = [TAGS.index(t.replace("B-", "I-")) if t.startswith("B-") else i for i, t in enumerate(TAGS)]
    encoded = tokenizer(words, is_split_into_words=True)
    labels, previous = [], None
    for word in encoded.word_ids():
        if word is None:
            labels.append(IGNORED)
        elif word != previous:
            labels.append(TAGS.index(tags[word]))
        else:
            labels.append(b_to_i[TAGS.index(tags[word])] if all_tokens else IGNORED)
        previous = word
    return encoded["input_ids"], labels


def loss(rows):
    """The model's loss for rows of ids and labels, padded as DataCollatorForTokenClassification pads them."""
    longest = max(len(r["ids"]) for r in rows)
    ids = torch.tensor([r["ids"] + [0] * (longest - len(r["ids"])) for r in rows])
    labels = torch.tensor([r["labels"] + [IGNORED] * (longest - len(r["ids"])) for r in rows])
    with torch.no_grad():
        out = model(3)(input_ids=ids, attention_mask=(ids != 0).long(), labels=labels)
    return out.logits, float(out.loss)


def rounded(x):
    return [float(f"{v:.7g}") for v in x.flatten().tolist()]


def main():
    tokenizer = transformers.BertTokenizerFast(str(VOCAB), do_lower_case=False)
    out = {"transformers": transformers.__version__, "tags": TAGS, "features": [], "answers": []}
    for words, tags in SENTENCES:
        ids, labels = features(tokenizer, words, tags, False)
        out["features"].append(
            {"words": words, "tags": tags, "ids": ids, "labels": labels, "all_labels": features(tokenizer, words, tags, True)[1]}
        )
    logits, value = loss(out["features"])
    out["loss"] = {"shape": list(logits.shape), "logits": rounded(logits), "loss": value}

    for seed, text in enumerate(TEXTS):
        m = model(seed + 10)
        pipe = transformers.pipeline("token-classification", model=m, tokenizer=tokenizer, aggregation_strategy="first")
        encoded = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            logits = m(**encoded).logits[0]
        found = [
            {"label": e["entity_group"], "score": float(e["score"]), "start": e["start"], "end": e["end"]} for e in pipe(text)
        ]
        out["answers"].append({"text": text, "ids": encoded["input_ids"][0].tolist(), "logits": rounded(logits), "entities": found})
    (HERE / "expected.json").write_text(json.dumps(out, ensure_ascii=False) + "\n")
    print([len(a["entities"]) for a in out["answers"]], value)


if __name__ == "__main__":
    main()
