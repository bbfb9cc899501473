package models

// DistilBERT: no token types, no pooler; relu(pre_classifier(first token)) before the classifier.
func init() {
	register(&family{
		name: "distilbert", prefix: "distilbert.", class: "DistilBert",
		fits: func(t traits) int {
			if t.tokenTypes || t.countsTokens || t.positionBias || t.distances || t.projection {
				return 0
			}
			return 1
		},
		layer: "transformer.layer.%d.",
		query: "attention.q_lin", key: "attention.k_lin", value: "attention.v_lin",
		attentionOutput: "attention.out_lin", attentionNorm: "sa_layer_norm",
		intermediate: "ffn.lin1", dense: "ffn.lin2", outputNorm: "output_layer_norm",
		embeddingsNorm: "embeddings.LayerNorm", classifierDense: "pre_classifier", classifier: "classifier",
		lmDense: "vocab_transform", lmNorm: "vocab_layer_norm", lmDecoder: "vocab_projector",
	})
}
