package autodiff

// The results of these operators are integers or booleans, or piecewise constant in their inputs, or random.
func init() {
	registerStop("",
		"Shape", "Size", "ConstantOfShape", "EyeLike", "NonZero", "ArgMax", "ArgMin",
		"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "Not", "IsNaN", "IsInf",
		"Sign", "Floor", "Ceil", "Round",
		"RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial",
	)
}
