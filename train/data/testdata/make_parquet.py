"""Writes the Parquet files of testdata/parquet with pyarrow, and what they hold as JSON, one object a row.

    python make_parquet.py        (pyarrow 26.0.1)
"""
import decimal
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).parent / "parquet"


def write(name, table, rows=None, **options):
    """Writes a table, and its rows under another name where several files hold the same."""
    pq.write_table(table, HERE / (name + ".parquet"), write_statistics=False, store_schema=False, **options)
    with open(HERE / ((rows or name) + ".jsonl"), "w") as f:
        for row in table.to_pylist():
            f.write(json.dumps(row, ensure_ascii=False) + "\n")


n = 60
kinds = pa.table({
    "text": pa.array([None if i % 17 == 16 else f"text {i} – ünïcode" for i in range(n)]),
    "label": pa.array([["neg", "pos", "none"][i % 3] for i in range(n)]).dictionary_encode(),
    "i8": pa.array([i - 30 for i in range(n)], pa.int8()),
    "i64": pa.array([None if i % 7 == 0 else (i - 30) * 10**15 for i in range(n)], pa.int64()),
    "u32": pa.array([2**32 - 1 - i for i in range(n)], pa.uint32()),
    "u64": pa.array([2**64 - 1 - i for i in range(n)], pa.uint64()),
    "f32": pa.array([i / 8 for i in range(n)], pa.float32()),
    "f64": pa.array([i / 8 - 2.5 for i in range(n)], pa.float64()),
    "flag": pa.array([None if i % 5 == 4 else i % 2 == 0 for i in range(n)]),
    "tags": pa.array([None if i % 11 == 10 else [f"tag{k}" for k in range(i % 4)] for i in range(n)], pa.list_(pa.string())),
    "ids": pa.array([list(range(i % 3)) for i in range(n)], pa.list_(pa.int32())),
    "large": pa.array([f"large {i}" for i in range(n)], pa.large_string()),
    "answers": pa.array([None if i % 13 == 12 else {"text": [f"a{i}"] * (i % 3), "answer_start": [i] * (i % 3)} for i in range(n)],
                        pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int32()))])),
    "meta": pa.array([{"deep": {"source": f"s{i % 2}"}} for i in range(n)]),
})
for codec in ("none", "snappy", "gzip", "zstd"):
    write(codec, kinds, "kinds", compression=codec, row_group_size=25)
write("v2", kinds, "kinds", compression="zstd", data_page_version="2.0", version="2.6", row_group_size=40)
write("plain", kinds, "kinds", use_dictionary=False, row_group_size=1000)
write("delta", kinds.select(["text", "label", "i64"]).set_column(1, "label", kinds["label"].cast(pa.string())), use_dictionary=False,
      column_encoding={"text": "DELTA_LENGTH_BYTE_ARRAY", "label": "PLAIN", "i64": "DELTA_BINARY_PACKED"})

# lists that go on from page to page: many values a row, and pages of a few hundred bytes
write("pages", pa.table({
    "text": pa.array([f"t{i}" for i in range(40)]),
    "tags": pa.array([[f"{i}.{k}" for k in range(i * 7 % 60)] for i in range(40)], pa.list_(pa.string())),
}), data_page_size=64, write_batch_size=3, use_dictionary=False, compression="none")

# what can't be read, beside what can
pq.write_table(pa.table({
    "text": pa.array(["a", "b"]),
    "label": pa.array([1, 0]),
    "people": pa.array([[{"name": "x"}], []], pa.list_(pa.struct([("name", pa.string())]))),
    "rows": pa.array([[[1]], []], pa.list_(pa.list_(pa.int32()))),
    "pairs": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int32())),
}), HERE / "nested.parquet")
pq.write_table(pa.table({
    "text": pa.array(["a"]), "label": pa.array([1]), "when": pa.array([0], pa.timestamp("us")), "price": pa.array([decimal.Decimal("1.50")], pa.decimal128(20, 2)),
}), HERE / "types.parquet")
pq.write_table(pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.int64())}), HERE / "empty.parquet")
pq.write_table(pa.table({"text": pa.array(["a", "b"]), "tags": pa.array([["x", None], ["y"]], pa.list_(pa.string()))}), HERE / "null_element.parquet")
pq.write_table(pa.table({"text": pa.array(["the same text"] * 10), "label": pa.array([1] * 10)}), HERE / "brotli.parquet", compression="brotli")

# one text in many rows, on many pages
pq.write_table(pa.table({"text": pa.array(["again " * 83 + "ok"] * 3000)}), HERE / "repeated.parquet", data_page_size=16, write_batch_size=100,
               write_statistics=False, store_schema=False)
