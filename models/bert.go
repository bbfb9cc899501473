package models

func init() {
	register(&family{
		name: "bert", prefix: "bert.", class: "Bert",
		fits: func(t traits) int {
			if t.countsTokens || t.positionBias || t.projection || !t.tokenTypes {
				return 0
			}
			return 1
		},
		layer: "encoder.layer.%d.",
		query: "attention.self.query", key: "attention.self.key", value: "attention.self.value",
		attentionOutput: "attention.output.dense", attentionNorm: "attention.output.LayerNorm",
		intermediate: "intermediate.dense", dense: "output.dense", outputNorm: "output.LayerNorm",
		embeddingsNorm: "embeddings.LayerNorm", pooler: "pooler.dense", classifier: "classifier",
		lmDense: "cls.predictions.transform.dense", lmNorm: "cls.predictions.transform.LayerNorm", lmDecoder: "cls.predictions.decoder",
	})
}
