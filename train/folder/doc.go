// Package folder writes what lies beside an exported model so that other programs load it: Hugging Face's Optimum and
// transformers.js, sentence-transformers, hugot. [Standard] gives the graph the names that they ask for, [Write] writes
// config.json, the tokenizer's files and a model card. [Read] reads such a folder back, ours or one that they wrote.
package folder
