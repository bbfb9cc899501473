package models

func init() {
	registerBlueprint(&blueprint{
		family: "roberta", types: []string{"roberta", "xlm-roberta", "camembert"},
		keys: [5]string{"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act"},
		eps:  1e-12, countsTokens: true, headActivation: "tanh",
	})
}
