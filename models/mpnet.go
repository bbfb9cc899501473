package models

// MPNet: RoBERTa's positions, no token types, and a learned bias of relative positions on the scores of all layers.
func init() {
	register(&family{
		name: "mpnet", prefix: "mpnet.", class: "MPNet",
		fits: func(t traits) int {
			if !t.positionBias || !t.countsTokens || t.tokenTypes || t.distances || t.projection {
				return 0
			}
			return 3
		},
		layer: "encoder.layer.%d.",
		query: "attention.attn.q", key: "attention.attn.k", value: "attention.attn.v",
		attentionOutput: "attention.attn.o", attentionNorm: "attention.LayerNorm",
		intermediate: "intermediate.dense", dense: "output.dense", outputNorm: "output.LayerNorm",
		embeddingsNorm: "embeddings.LayerNorm", pooler: "pooler.dense",
		classifierDense: "classifier.dense", classifier: "classifier.out_proj",
		lmDense: "lm_head.dense", lmNorm: "lm_head.layer_norm", lmDecoder: "lm_head.decoder",
	})
}
