package models

func init() {
	registerBlueprint(&blueprint{
		family: "bert", types: []string{"bert"},
		keys: [5]string{"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act"},
		eps:  1e-12, tokenTypes: true,
	})
}
