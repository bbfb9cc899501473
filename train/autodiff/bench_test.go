package autodiff

import "testing"

// BenchmarkGradients derives the gradient graph of twelve layers, LoRA on query and value of each.
func BenchmarkGradients(b *testing.B) {
	layers := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	g, params := bert(b, tiny(len(layers)), layers...)
	loss := g.Value("loss").Name()
	for b.Loop() {
		c := g.Clone()
		for i, p := range params {
			params[i] = c.Value(p.Name())
		}
		if _, err := Gradients(c, c.Value(loss), params, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
