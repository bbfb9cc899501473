// Package data turns labelled text into the integer tensors that a BERT reads.
//
// The way through it: [Read] a file into a [Set] of examples, resolve its labels
// with [Labels] (or [Set.Scores] for regression), encode its texts with a
// [Tokenizer], and cut the encoded examples into a [Batch] at a time, in the order
// that [TrainOrder] or [EvalOrder] gives.
//
// The tokenizer is our own. Each Go library that was measured against Hugging Face's
// tokenizers gave other ids on real text, so this one follows that library bit for
// bit, its Unicode tables included (bert_tables.go). A file format is one file that
// registers itself; see format.go.
package data
