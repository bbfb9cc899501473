package models

func init() {
	registerBlueprint(&blueprint{
		family: "distilbert", types: []string{"distilbert"},
		keys: [5]string{"dim", "n_layers", "n_heads", "hidden_dim", "activation"},
		eps:  1e-12, headActivation: "relu",
	})
}
