package models

// ELECTRA is BERT without a pooler, in its small sizes with embeddings narrower than the layers. Sizes without that
// projection are BERT to the last node and are told from it by name only.
func init() {
	register(&family{
		name: "electra", prefix: "electra.", class: "Electra",
		fits: func(t traits) int {
			switch {
			case t.countsTokens || t.positionBias || !t.tokenTypes:
				return 0
			case t.projection, t.names("electra."):
				return 2
			}
			return 0
		},
		layer: "encoder.layer.%d.",
		query: "attention.self.query", key: "attention.self.key", value: "attention.self.value",
		attentionOutput: "attention.output.dense", attentionNorm: "attention.output.LayerNorm",
		intermediate: "intermediate.dense", dense: "output.dense", outputNorm: "output.LayerNorm",
		embeddingsNorm: "embeddings.LayerNorm", embeddingsProjection: "embeddings_project",
		classifierDense: "classifier.dense", classifier: "classifier.out_proj",
		lmDense: "generator_predictions.dense", lmNorm: "generator_predictions.LayerNorm", lmDecoder: "generator_lm_head",
	})
}
