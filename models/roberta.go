package models

// RoBERTa, XLM-RoBERTa and CamemBERT: positions count the tokens that aren't padding, from padding_idx+1.
func init() {
	register(&family{
		name: "roberta", prefix: "roberta.", class: "Roberta",
		fits: func(t traits) int {
			if t.positionBias || t.projection || !t.countsTokens && !(t.distances && t.names("roberta.")) {
				return 0
			}
			return 2
		},
		layer: "encoder.layer.%d.",
		query: "attention.self.query", key: "attention.self.key", value: "attention.self.value",
		attentionOutput: "attention.output.dense", attentionNorm: "attention.output.LayerNorm",
		intermediate: "intermediate.dense", dense: "output.dense", outputNorm: "output.LayerNorm",
		embeddingsNorm: "embeddings.LayerNorm", pooler: "pooler.dense",
		classifierDense: "classifier.dense", classifier: "classifier.out_proj",
		lmDense: "lm_head.dense", lmNorm: "lm_head.layer_norm", lmDecoder: "lm_head.decoder",
	})
}
