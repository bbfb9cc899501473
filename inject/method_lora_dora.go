package inject

import (
	"errors"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/numeric"
	"github.com/peftgraph/peftgraph/models"
)

// decompose returns what weight-decomposed LoRA (DoRA, Liu et al. 2024) adds to the module's output: with the magnitude m
// [out], trained from ‖W‖, and n = ‖W + s·B·A‖ over each output's row, which is detached as in the paper's section 4.3,
//
//	(m/n − 1)·W·x + (m/n)·s·B·A·x
//
// x has passed the dropout, and delta is s·B·A·x.
func (l *LoRA) decompose(in *Injection, p *graph.Patch, lin *models.Linear, u update, x, delta *graph.Value) (*graph.Value, error) {
	w := in.parameter(lin.Name, lin.Weight)
	if p.Err() != nil {
		return nil, p.Err()
	}
	start := nans(lin.Out)
	if !in.unset {
		var err error
		if start, err = u.magnitudes(lin); err != nil {
			return nil, err
		}
	}
	m := in.Trainable(p, "magnitude", Trainable{Target: lin.Name, Role: roleMagnitude, Init: "norm"}, graph.TensorOf(nil, start))
	ratio := p.Op("Div", m, u.norms(p, w, lin.Transposed))

	wx := in.Current(lin.Output)
	switch {
	case l.Dropout > 0: // the output that is there was computed from x before the dropout
		if lin.Transposed {
			w = p.With(graph.IntsAttr("perm", 1, 0)).Op("Transpose", w)
		}
		wx = p.Op("MatMul", x, w)
	case lin.Bias != nil && lin.BiasNode == nil:
		wx = p.Op("Sub", wx, in.parameter(lin.Name, lin.Bias))
	}
	more := p.Op("Mul", p.Op("Sub", ratio, p.Float(graph.Float, 1)), wx)
	return p.Op("Add", more, p.Op("Mul", ratio, delta)), p.Err()
}

// norms computes ‖w + s·B·A‖ over what belongs to each output, detached as a whole.
func (u update) norms(p *graph.Patch, w *graph.Value, transposed bool) *graph.Value {
	b := p.Scope(strings.Trim(markDetached, "/"))
	transpose := b.With(graph.IntsAttr("perm", 1, 0))
	ba, axis := b.Op("MatMul", u.b, u.a), int64(1)
	if !transposed {
		ba, axis = b.Op("MatMul", transpose.Op("Transpose", u.a), transpose.Op("Transpose", u.b)), 0
	}
	sum := b.Op("Add", w, b.Op("Mul", ba, b.Float(graph.Float, u.scale)))
	if p.Graph().Opset() < 18 {
		return b.With(graph.IntsAttr("axes", axis), graph.IntAttr("keepdims", 0)).Op("ReduceL2", sum)
	}
	return b.With(graph.IntAttr("keepdims", 0)).Op("ReduceL2", sum, b.Ints(axis))
}

// magnitudes returns ‖W + s·B·A‖ over each row of [out, in] for the update's start.
func (u update) magnitudes(lin *models.Linear) ([]float32, error) {
	w, _, err := baseLinear(lin)
	if err != nil {
		return nil, err
	}
	data, errW := graph.Data[float32](w)
	a, errA := graph.Data[float32](u.a.Init())
	b, errB := graph.Data[float32](u.b.Init())
	if err := errors.Join(errW, errA, errB); err != nil {
		return nil, err
	}
	rows, err := numeric.Product(a, b, u.scale, lin.Out, lin.In)
	if err != nil {
		return nil, err
	}
	numeric.Axpy(1, data, rows)
	out := make([]float32, lin.Out)
	for o := range out {
		out[o] = float32(numeric.Norm(rows[o*lin.In : (o+1)*lin.In]))
	}
	return out, nil
}

// rescale makes merged rows W + s·B·A as long as the magnitude says: W' = (m/‖W + s·B·A‖)·(W + s·B·A).
func rescale(m *Merging, s Site, mod *Module, rows []float64) error {
	magnitude, err := m.Value(s, roleMagnitude)
	if err != nil {
		return err
	}
	for o, v := range magnitude {
		row := rows[o*mod.In : (o+1)*mod.In]
		numeric.Scale(row, float64(v)/numeric.Norm(row))
	}
	return nil
}
