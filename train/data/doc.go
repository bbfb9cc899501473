// Package data turns labelled text into the integer tensors that a BERT reads.
//
// The way through it: [Read] a file into a [Set] of examples, or several files with
// [ReadAll], resolve its labels with [Labels] (or [Set.Scores] for regression), encode
// its texts with a [Tokenizer], and cut the encoded examples into a [Batch] at a time,
// in the order that [TrainOrder] or [EvalOrder] gives. [Split] holds out a part to judge
// by where there is no file for it, and [Rows] reads what isn't to be kept.
//
// A file is read row by row and held once: a set takes its texts' own size and about
// 130 bytes for each example. Which columns hold the texts and the label is found out by
// their names, or told; what is doubtful is an error that names the flag which settles
// it. A row that can't be read is passed over, counted and named in the set, unless more
// than one row in ten is so or the options are strict.
//
// The tokenizer is our own. Each Go library that was measured against Hugging Face's
// tokenizers gave other ids on real text, so this one follows that library bit for
// bit, its Unicode tables included (bert_tables.go). A file format is one file that
// registers itself; see format.go.
package data
