#!/usr/bin/env python3
"""Writes fixture.json: hard texts, and where Hugging Face says that their tokens come from.

  make_aligned_fixture.py                       the fixture in this folder
  make_aligned_fixture.py --compare TEXTS --tokenizer FILE --out OUT
        the same for each line of TEXTS with any BERT tokenizer.json or vocab.txt, alone, as words
        that single spaces part, and as windows of 24 tokens that overlap by 7, to be compared with ours by
        PEFTGRAPH_TOKENIZER=FILE PEFTGRAPH_TOKENIZER_ALIGNED=OUT go test -run TestCompareAligned

Needs: pip install tokenizers==0.22.2
"""

import argparse
import json
import pathlib
import random

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing

HERE = pathlib.Path(__file__).parent
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
NORMALIZERS = [
    dict(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True),
    dict(clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=True),
    dict(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=False),
    dict(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False),
]
TEXTS = [
    "The quick brown fox doesn't jump over 12,345.67 lazy dogs (twice)!",
    "L’été dernier, Zoë mangea une crème brûlée à Besançon.",
    "e\u0301te\u0301 o\u0302\u0323 \u1ed9 a\u0315\u0300\u05ae\u0300\u0062 \u0344\u0323x",
    "İstanbul'da İĞNE İİ ISPARTA ılık",
    "今天天气很好，我们去公园吧。abc中def文𠀀𫠠",
    "안녕하세요, 세계! 각힣 \u1112\u1161\u11ab",
    "がぎぐ カタカナ ガ",
    "😀 👩\u200d👩\u200d👧 🏳\ufe0f\u200d🌈 👍🏽ok 1\ufe0f\u20e3",
    "a\x00b\x01c\x7f d\u200be\u200d f\u00adg \ufeffh\ufffdi\ue000j",
    "\x01\x02 start\tmiddle\r\nend \x03",
    "\u2028line\u2029para\u3000wide\u00a0nbsp\u0085next",
    "[SEP] in [MASK]the[CLS] text[SEP]",
    "hi <user>  bob <user>x<user> <end>   after<end> <both>  z  <both>",
    "niño NIN\u0303O Ninos ni\x01no \u00d1 Łódź łódź ŁO\u0301dz",
    "go gone ago go! Go GO-go 中go",
    "x" * 100 + " " + "x" * 101 + " " + "é" * 100 + " " + "e\u0301" * 60 + " a",
    "qqqq ☃☃ unkno☃wn a☃b",
    "שָׁלוֹם السَّلامُ नमस्ते",
    "\U0001d15e \U0001d1bb\u0301 a\u302e\u0323b \U0001d165\u0323c x\u302f\u0301\U0001d16d",
    "ﬁ ﬀ Å \u212b \u1e9b\u0323 Ω ǅ ẞ",
    "--a--b...c",
    "é<end>   @x @ é<end> é",
    "", " ", "\x00", "\u0301", "\u0301\u0302 \u0301a", ".", "\ufeff", "\t \n",
]
WORDS = [
    ["The", "quick", "fox's", "12,345", "—"],
    ["été", "", "\u0301", "x y", "中文", "\x00", "İI", "[SEP]", "a<user>", "go", "gone", "niño"],
    ["x" * 101, "x" * 100, "☃", " ", "\u200b", "안녕", "e\u0301a"],
    [], [""], ["\u0301"],
]


def more_texts(n):
    """Random lines of what is hard."""
    rng, out = random.Random(7), []
    parts = [c for t in TEXTS for c in t if ord(c) > 127 or c in "\x00\x01İ"] + ["[SEP]", "<user>", "<end>", "<both>", "go", "niño"] + list("  abeiogn.-")
    for _ in range(n):
        out.append("".join(rng.choice(parts) for _ in range(rng.randrange(1, 14))))
    return out


def tokenizer():
    """A tokenizer whose small vocabulary knows most of TEXTS' letters, whatever the normalizer."""
    words = set()
    for options in NORMALIZERS:
        normalize = BertNormalizer(**options).normalize_str
        words |= {w for t in TEXTS for w, _ in BertPreTokenizer().pre_tokenize_str(normalize(t))}
    letters = sorted({c for w in words for c in w if ord(c) % 13 and c not in "☃q"})
    longer = sorted({w[:n] for w in words for n in (2, 3) if 9 > len(w) > n and len(w) % 2 and "☃" not in w})
    tails = sorted({"##" + w[-2:] for w in words if 9 > len(w) > 2 and "☃" not in w})
    vocab = list(dict.fromkeys(SPECIAL + letters + ["##" + c for c in letters] + longer + tails))
    tok = Tokenizer(WordPiece({t: i for i, t in enumerate(vocab)}, unk_token="[UNK]", max_input_chars_per_word=100))
    tok.normalizer, tok.pre_tokenizer = BertNormalizer(), BertPreTokenizer()
    tok.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tok.add_special_tokens(SPECIAL)
    tok.add_special_tokens([AddedToken("<user>", lstrip=True), AddedToken("<end>", rstrip=True), AddedToken("<both>", lstrip=True, rstrip=True), AddedToken(" @")])
    tok.add_tokens([AddedToken("niño", normalized=True), AddedToken("Łódź", normalized=True), AddedToken("go", single_word=True)])
    return tok


def row(e):
    """ids, type ids, offsets (flat), word ids and sequence ids, -1 for None."""
    none = lambda ids: [-1 if i is None else i for i in ids]
    return [e.ids, e.type_ids, [i for span in e.offsets for i in span], none(e.word_ids), none(e.sequence_ids)]


def encode(tok, a, b=None, limit=0, stride=0, strategy="longest_first", split=False):
    tok.no_truncation()
    if limit:
        tok.enable_truncation(limit, stride=stride, strategy=strategy)
    return tok.encode(a, b, is_pretokenized=split)


def windows(tok, a, b, limit, stride):
    try:
        e = encode(tok, a, b, limit, stride, "longest_first" if b is None else "only_second")
    except BaseException as err:  # a panic of the library is no Exception
        if isinstance(err, KeyboardInterrupt):
            raise
        return None
    return [row(e)] + [row(o) for o in e.overflowing]


def case(tok, texts, longer):
    out = dict(texts=[row(encode(tok, t)) for t in texts], pairs=[], words=[], windows=[])
    for i in range(len(TEXTS)):
        j, n = (i * 7 + 3) % len(TEXTS), (3, 7, 12, 31)[i % 4]
        out["pairs"].append([i, j, n, row(encode(tok, texts[i], texts[j], n))])
    for i, words in enumerate(WORDS):
        for j in (None, (i + 1) % len(WORDS)):
            for n in (0, 9):
                pair = None if j is None else WORDS[j]
                out["words"].append([i, -1 if j is None else j, n, row(encode(tok, words, pair, n, split=True))])
    empty = TEXTS.index("")
    for i in (4, 12, empty) if longer else ():
        for j in (None, 0, 14, 21, empty):
            for n, stride in ((24, 0), (22, 3), (5, 2), (200, 50), (28, 24)):
                out["windows"].append([i, -1 if j is None else j, n, stride, windows(tok, texts[i], None if j is None else texts[j], n, stride)])
    return out


def fixture():
    base = json.loads(tokenizer().to_str())
    texts = TEXTS + more_texts(30)
    cases = []
    for options in NORMALIZERS:
        base["normalizer"] = dict(type="BertNormalizer", **options)
        cases.append(dict(normalizer=base["normalizer"], **case(Tokenizer.from_str(json.dumps(base)), texts, not cases)))
    dump = lambda v: json.dumps(v, separators=(",", ":"))
    with open(HERE / "fixture.json", "w") as f:
        f.write(f'{{"tokenizer":{dump(base)},\n"texts":{dump(texts)},\n"given":{dump(WORDS)},\n"cases":[\n')
        f.write(",\n".join(dump(c) for c in cases) + "\n]}\n")


def load(file):
    if file.endswith(".json"):
        return Tokenizer.from_file(file)
    vocab = {t.rstrip("\n"): i for i, t in enumerate(open(file, newline="\n"))}
    lower = not any("A" <= c <= "Z" for t in vocab if t[0] != "[" for c in t)
    tok = Tokenizer(WordPiece(vocab, unk_token="[UNK]"))
    tok.normalizer, tok.pre_tokenizer = BertNormalizer(lowercase=lower), BertPreTokenizer()
    tok.post_processor = BertProcessing(("[SEP]", vocab["[SEP]"]), ("[CLS]", vocab["[CLS]"]))
    tok.add_special_tokens(SPECIAL)
    return tok


def compare(texts, file, out):
    tok = load(file)
    tok.no_padding()
    with open(texts, newline="\n") as f, open(out, "w") as w:
        for line in f:
            text = line.rstrip("\n")
            words = row(encode(tok, text.split(" "), split=True))
            w.write(json.dumps([text, row(encode(tok, text)), words, windows(tok, "who is it?", text, 24, 7)], separators=(",", ":")) + "\n")


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--compare")
    p.add_argument("--tokenizer")
    p.add_argument("--out")
    a = p.parse_args()
    compare(a.compare, a.tokenizer, a.out) if a.compare else fixture()
