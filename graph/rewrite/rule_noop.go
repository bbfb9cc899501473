package rewrite

import "github.com/peftgraph/peftgraph/graph"

// drop-no-op removes nodes whose output is their input: Identity, Cast to the same type, Dropout outside of training,
// Reshape and Expand to the shape that is there, Transpose that permutes nothing, Concat and Sum of one, Mul and Div by 1.
func init() {
	register(rule{"drop-no-op", []string{"Identity", "Cast", "CastLike", "Dropout", "Reshape", "Expand", "Flatten", "Transpose", "Concat",
		"Sum", "Mul", "Div"}, dropNoOp})
}

func dropNoOp(p *pass, n *graph.Node) error {
	in, out := n.Input(0), n.Output(0)
	if err := p.isNoOp(n); err != nil {
		return err
	}
	if n.Is("Mul") && in.Const() != nil && p.isOne(in) {
		in = n.Input(1)
	}
	if out.IsOutput() && (in.Producer() == nil || in.IsOutput()) {
		return p.miss(n, "it gives a graph output a name that its input can't take")
	}
	if len(out.Uses()) > 0 && hasCapture(out) {
		return p.miss(n, "a subgraph reads %q by name", out.Name())
	}
	if err := p.g.ReplaceUses(out, in, nil); err != nil {
		return err
	}
	return p.g.RemoveNode(n)
}

func hasCapture(v *graph.Value) bool {
	for _, u := range v.Uses() {
		if u.Index < 0 {
			return true
		}
	}
	return false
}

func (p *pass) isNoOp(n *graph.Node) error {
	in, out := n.Input(0), n.Output(0)
	if in == nil || out == nil {
		return p.miss(n, "its input or its output is absent")
	}
	switch n.Op {
	case "Identity":
		return nil
	case "Cast", "CastLike":
		if in.DType != out.DType || in.DType == graph.Undefined {
			return p.miss(n, "it makes %s of %s", out.DType, in.DType)
		}
		return nil
	case "Dropout":
		return p.isIdleDropout(n)
	case "Transpose":
		perm := n.Ints("perm")
		for i, a := range perm {
			if int(a) != i {
				return p.miss(n, "it permutes %v", perm)
			}
		}
		if perm == nil && in.Shape.Rank() > 1 {
			return p.miss(n, "it reverses the axes")
		}
	case "Concat", "Sum":
		if len(n.Inputs()) != 1 {
			return p.miss(n, "it has %d inputs", len(n.Inputs()))
		}
		return nil
	case "Mul":
		if !p.isOne(n.Input(0)) && !p.isOne(n.Input(1)) {
			return p.miss(n, "no input is 1")
		}
	case "Div":
		if !p.isOne(n.Input(1)) {
			return p.miss(n, "it doesn't divide by 1")
		}
	}
	return p.sameShape(n)
}

// sameShape fails unless the output's shape certainly is that of the input that passes through.
func (p *pass) sameShape(n *graph.Node) error {
	in, out := n.Input(0), n.Output(0)
	if n.Is("Mul") && p.isOne(in) && !p.isOne(n.Input(1)) {
		in = n.Input(1)
	}
	if in.Shape == nil || len(in.Shape) != len(out.Shape) {
		return p.miss(n, "it makes %s of %s", out.Shape, in.Shape)
	}
	for i, d := range in.Shape {
		if !d.Same(out.Shape[i]) {
			return p.miss(n, "it makes %s of %s", out.Shape, in.Shape)
		}
	}
	return nil
}

func (p *pass) isOne(v *graph.Value) bool {
	one, ok := p.match().scalar(v)
	return ok && one == 1
}

// isIdleDropout: Dropout is the identity unless its third input, training_mode, is true (an attribute below opset 7).
func (p *pass) isIdleDropout(n *graph.Node) error {
	if p.opts.KeepDropout != nil && p.opts.KeepDropout(n) {
		return p.miss(n, "the caller keeps it")
	}
	if mode := n.Input(2); mode != nil {
		if on, ok := p.match().scalar(mode); !ok || on != 0 {
			return p.miss(n, "it may be in training mode")
		}
	}
	if mask := n.Output(1); mask != nil && (len(mask.Uses()) > 0 || mask.IsOutput()) {
		return p.miss(n, "its mask is read")
	}
	return nil
}
