package models

import "github.com/peftgraph/peftgraph/graph"

// findLinears finds every product with a constant matrix, with the bias that is added to it.
func findLinears(g *graph.Graph) []*Linear {
	var out []*Linear
	for _, n := range g.Nodes() {
		var l *Linear
		switch {
		case n.Is("MatMul"):
			l = matMulLinear(n)
		case n.Is("Gemm"):
			l = gemmLinear(n)
		}
		if l != nil {
			l.addBias()
			out = append(out, l)
		}
	}
	return out
}

func matMulLinear(n *graph.Node) *Linear {
	w, transposed, ok := weightOf(n.Input(1))
	if !ok || !computes(n) {
		return nil
	}
	return newLinear(n, w, transposed)
}

func gemmLinear(n *graph.Node) *Linear {
	w, transposed, ok := weightOf(n.Input(1))
	if !ok || !computes(n) || n.Float("alpha", 1) != 1 || n.Int("transA", 0) != 0 {
		return nil
	}
	l := newLinear(n, w, transposed != (n.Int("transB", 0) != 0))
	if bias := n.Input(2); bias != nil {
		if n.Float("beta", 1) != 1 || !l.isBias(bias) {
			return nil
		}
		l.Bias = strip(bias)
	}
	return l
}

// computes reports whether n multiplies a value that is no constant.
func computes(n *graph.Node) bool {
	return n.Input(0) != nil && tensorOf(n.Input(0)) == nil && n.Output(0) != nil
}

// weightOf returns the stored matrix behind v and whether it is transposed on the way.
func weightOf(v *graph.Value) (w *graph.Value, transposed, ok bool) {
	for {
		v = strip(v)
		if t := tensorOf(v); t != nil {
			return v, transposed, len(t.Dims) == 2 && t.DType.IsFloat()
		}
		if v == nil || !producer(v).Is("Transpose") {
			return nil, false, false
		}
		transposed = !transposed
		v = producer(v).Input(0)
	}
}

func newLinear(n *graph.Node, w *graph.Value, transposed bool) *Linear {
	dims := tensorOf(w).Dims
	l := &Linear{
		Input: n.Input(0), Output: n.Output(0), Weight: w, Transposed: transposed,
		In: int(dims[0]), Out: int(dims[1]), Nodes: []*graph.Node{n},
	}
	if transposed {
		l.In, l.Out = l.Out, l.In
	}
	return l
}

// isBias reports whether v is a constant vector over the output features. Exporters put an Identity between equal biases and
// the one initializer that they share.
func (l *Linear) isBias(v *graph.Value) bool {
	t := tensorOf(strip(v))
	return t != nil && t.Len() == int64(l.Out) && len(t.Dims) > 0 && t.Dims[len(t.Dims)-1] == int64(l.Out)
}

// addBias extends l by the node that adds its bias, when the product goes there and nowhere else.
func (l *Linear) addBias() {
	if l.Bias != nil {
		return
	}
	v, reshaped := l.Output, false
	nodes := l.Nodes
	for {
		users := dataUsers(v)
		if len(users) != 1 || v.IsOutput() {
			return
		}
		n := users[0]
		switch {
		case n.Is("Add") && (l.isBias(n.Input(0)) || l.isBias(n.Input(1))):
			l.setBias(n, reshaped, append(nodes, n))
			return
		case n.Domain == contrib && (n.Op == "BiasGelu" || n.Op == "FastGelu") && l.isBias(n.Input(1)):
			l.Bias, l.BiasNode = strip(n.Input(1)), n
			return
		case n.Domain == contrib && n.Op == "SkipLayerNormalization" && n.Input(0) == v && l.isBias(n.Input(4)):
			l.Bias, l.BiasNode = strip(n.Input(4)), n
			return
		case n.Is("Reshape"):
			reshaped = true
		case handedOn(n.Output(0)) != v:
			return
		}
		nodes = append(nodes, n)
		v = n.Output(0)
	}
}

// fusedBias returns the bias that a fused node adds to Output, nil where Output includes it.
func (l *Linear) fusedBias() *graph.Value {
	if l.BiasNode == nil {
		return nil
	}
	return l.Bias
}

// setBias makes the Add the end of l. TensorFlow flattens the tokens before the product and restores them before the bias;
// Input is then the value before the flattening, so that Input and Output always have one rank.
func (l *Linear) setBias(n *graph.Node, reshaped bool, nodes []*graph.Node) {
	l.Bias = strip(n.Input(0))
	if !l.isBias(l.Bias) {
		l.Bias = strip(n.Input(1))
	}
	l.Output, l.Nodes = n.Output(0), nodes
	if flatten := producer(l.Input); reshaped && flatten.Is("Reshape") {
		l.Input = flatten.Input(0)
		l.Nodes = append([]*graph.Node{flatten}, nodes...)
	}
}
