#!/usr/bin/env python3
"""Writes fixture.json, vocab-*.txt and tokenizer*.json: hard lines and the ids Hugging Face gives them.

  make_tokenizer_fixture.py                       the fixture in this folder
  make_tokenizer_fixture.py --compare TEXTS --tokenizer FILE --out IDS
        ids for each line of TEXTS with any BERT tokenizer.json or vocab.txt, to be
        compared with ours by
        PEFTGRAPH_TOKENIZER=FILE PEFTGRAPH_TOKENIZER_IDS=IDS go test -run TestCompare

Needs: pip install tokenizers==0.22.2 transformers
"""

import argparse
import hashlib
import json
import pathlib
import random

from tokenizers import Tokenizer
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from transformers import BertTokenizerFast

HERE = pathlib.Path(__file__).parent
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SENTENCES = """\
The quick brown fox doesn't jump over 12,345.67 lazy dogs (twice)!
L’été dernier, Zoë mangea une crème brûlée à Besançon — « délicieuse ».
Größe und Maße: Straße ẞtatt STRASSE, Käse für 3,50 €.
¿Dónde está el niño? ¡Qué vergüenza, señor Ibáñez!
Příliš žluťoučký kůň úpěl ďábelské ódy.
Zażółć gęślą jaźń; Łódź, Kraków, Wrocław.
İstanbul'da ISPARTA ılık, İĞNE IŞIK.
Съешь же ещё этих мягких французских булок, да выпей чаю. Її їжак.
Ὁ Ἀχιλλεὺς ἔφη· Σίσυφος ΟΔΥΣΣΕΥΣ, ΣΑΣ.
שָׁלוֹם עֲלֵיכֶם, מה שלומך?
السَّلامُ عَلَيْكُم، كيف حالك؟ ٣٤٥
नमस्ते, आप कैसे हैं? १२३ क्षत्रिय।
สวัสดีครับ วันนี้อากาศดีมาก
今天天气很好，我们去公园吧。繁體中文也行！𠀀𪜀𫠠㐀豈
吾輩は猫である。名前はまだ無い。カタカナ ガギグ ｶﾀｶﾅ がぎぐ
안녕하세요, 세계! 각힣 각
Xin chào thế giới, đường phố Việt Nam ở đâu?
გამარჯობა Ⴀ Ა Ꭰ Ԑ Բարեւ Ձեզ։
😀 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪 1️⃣ ✈️ ❤️ 🫠
½ ² Ⅻ ﬁ ﬀ Å K Ω ™ № ǅ ŉ ﷺ
$5 a+b=c <tag> x^2 `code` ~/home | §¶†‡ °C ± ×÷ ©®
a_b c-d e/f g\\h i@j.k #tag ##tag [CLS] [SEP] [sep] [MASK]ing x[PAD]y [UNK [UNK] [ MASK ]
zero\u200bwidth \u200ejoin\u200der soft\u00adhyphen \ufeffbom a\u2060b
tab\there\r\nline\u2028sep\u2029par nbsp\u00a0thin\u2009ideo\u3000ogham\u1680nel\u0085vt\u000bff\u000c
nul\u0000 bell\u0007 del\u007f c1\u0080\u009f fffd\ufffd pua\ue000\U000f0000 nonchar\ufffe\U0010ffff
e\u0301 E\u0301 a\u0323\u0302 a\u0302\u0323 q\u0301\u0323\u0327 \u0301x \u1b44\u0301 \u302e\u0301\u302a
\u166d \u1734 \u08d4a\u0301 \u11938 \U00011938 \U000105c9 \u08e2x \ua7cb \U00010d50 \u1c89 \u180e
sun don\u2019t \u201cquote\u201d \u2026 \u2014\u2013\u2010 \u3001\u3002 \uff01\uff1f \u0e2f \u061d \u2e52
"""


def lines():
    """The sentences, words at the limit of length, and noise over all of Unicode."""
    rng = random.Random(20)
    out = SENTENCES.split("\n")[:-1] + ["", " ", "\t", "\x00", "."]
    for n in (99, 100, 101, 250):
        out += ["x" * n, "é" * n, "e\u0301" * n, "a" * n + " b"]
    words = [w for s in SENTENCES.split("\n") for w in s.split(" ")]
    pieces = ["\u200b", "\u00ad", "\u0301", "\u0323", "\u302e", "😀", "\ue000", "[SEP]", " ", "\u3000", "-", "…"]
    while len(out) < 260:
        line = []
        for _ in range(rng.randrange(1, 9)):
            c = rng.randrange(0x80, rng.choice([0x250, 0x3100, 0x20000, 0x110000]))
            line.append(rng.choice([rng.choice(words), rng.choice(pieces), chr(c) if not 0xD800 <= c < 0xE000 else "s"]))
        out.append(rng.choice(["", " "]).join(line))
    return out


def vocabulary(texts, lowercase):
    """A small vocabulary that knows most of texts' letters and some longer pieces."""
    normalize = BertNormalizer(lowercase=lowercase).normalize_str
    words = sorted({w for t in texts[:60] for w, _ in BertPreTokenizer().pre_tokenize_str(normalize(t)) if len(w) < 50})
    letters = sorted({c for w in words for c in w if ord(c) % 13})
    longer = [w[:n] for w in words for n in (2, 3, 5) if len(w) > n and len(w) % 2]
    tails = ["##" + w[-n:] for w in words for n in (2, 3) if len(w) > n]
    return list(dict.fromkeys(SPECIAL + ["[unused1]"] + letters + ["##" + c for c in letters] + longer + tails + words[::3]))


def all_points_digest(lowercase):
    """SHA-256 over what every code point becomes between two letters: words joined by newlines."""
    normalize, split = BertNormalizer(lowercase=lowercase).normalize_str, BertPreTokenizer().pre_tokenize_str
    digest = hashlib.sha256()
    for c in range(0x110000):
        if not 0xD800 <= c < 0xE000:
            digest.update(("\n".join(w for w, _ in split(normalize("A" + chr(c) + "b"))) + "\n\n").encode())
    return digest.hexdigest()


def fixture():
    texts, cases, digests = lines(), {}, {}
    for name, lowercase in (("uncased", True), ("cased", False)):
        file = HERE / f"vocab-{name}.txt"
        file.write_text("\n".join(vocabulary(texts, lowercase)) + "\n")
        tok = BertTokenizerFast(str(file), do_lower_case=lowercase)
        back = tok.backend_tokenizer
        plain = [e.ids for e in back.encode_batch(texts)]
        pairs = []
        for i in range(0, 56, 2):
            for n in (3, 4, 7, 12, 20, 31):
                # in lists, as tok(a, "") alone takes an empty second text for none
                e = tok([texts[i]], [texts[i + 1]], truncation="longest_first", max_length=n)
                s = tok(texts[i], truncation=True, max_length=n)
                pairs.append([i, i + 1, n, e["input_ids"][0], e["token_type_ids"][0], s["input_ids"]])
        cases[name] = {"ids": plain, "pairs": pairs}
        digests[name] = all_points_digest(lowercase)
        if lowercase:
            tok = BertTokenizerFast(str(file), do_lower_case=True)
            tok.add_tokens(["Łódź", "niño"])
            tok.backend_tokenizer.save(str(HERE / "tokenizer.json"), pretty=False)
            cases["json"] = {"ids": [e.ids for e in tok.backend_tokenizer.encode_batch(texts)], "pairs": []}
            cases["mpnet"] = mpnet(texts, tok)
    with open(HERE / "fixture.json", "w") as f:
        f.write('{"digests": ' + json.dumps(digests) + ',\n"texts": [\n')
        f.write(",\n".join(json.dumps(t) for t in texts) + "]")
        for name, case in cases.items():
            f.write(f',\n"{name}": ' + json.dumps(case, separators=(",", ":")))
        f.write("}\n")


def mpnet(texts, tok):
    """The same words between the special tokens of RoBERTa, as all-mpnet-base-v2's file has them."""
    names = {"[PAD]": "<pad>", "[CLS]": "<s>", "[SEP]": "</s>", "[MASK]": "<mask>"}
    file = json.loads(tok.backend_tokenizer.to_str())
    for t in file["added_tokens"]:
        t["content"] = names.get(t["content"], t["content"])
    file["model"]["vocab"] = {names.get(t, t): i for t, i in file["model"]["vocab"].items()}
    file["post_processor"] = {"type": "RobertaProcessing", "sep": ["</s>", 3], "cls": ["<s>", 2], "trim_offsets": True, "add_prefix_space": False}
    back = Tokenizer.from_str(json.dumps(file))
    back.save(str(HERE / "tokenizer-mpnet.json"), pretty=False)
    pairs = []
    for i in range(0, 56, 2):
        for n in (4, 7, 12, 31):
            back.enable_truncation(n)
            e, s = back.encode(texts[i], texts[i + 1]), back.encode(texts[i])
            pairs.append([i, i + 1, n, e.ids, e.type_ids, s.ids])
    back.no_truncation()
    return {"ids": [e.ids for e in back.encode_batch(texts)], "pairs": pairs}


def compare(texts, tokenizer, out):
    tok = Tokenizer.from_file(tokenizer) if tokenizer.endswith(".json") else None
    if tok is None:
        lower = not any(c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" for t in open(tokenizer) if t[0] != "[" for c in t)
        tok = BertTokenizerFast(tokenizer, do_lower_case=lower).backend_tokenizer
    tok.no_truncation()
    tok.no_padding()
    with open(texts, newline="\n") as f, open(out, "w") as w:
        for line in f:
            text = line.rstrip("\n")
            w.write(json.dumps({"text": text, "ids": tok.encode(text).ids}) + "\n")


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--compare")
    p.add_argument("--tokenizer")
    p.add_argument("--out")
    a = p.parse_args()
    compare(a.compare, a.tokenizer, a.out) if a.compare else fixture()
