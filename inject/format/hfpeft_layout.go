package format

import (
	"errors"
	"fmt"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
)

// starts names the frozen start of a LoRA matrix that started from the base, and whether PEFT's file has it side by side
// with the trained one (B) or below it (A).
var starts = map[string]struct {
	trained, frozen string
	columns         bool
}{
	"lora_A": {"lora_A", "lora_A0", false}, "lora_A0": {"lora_A", "lora_A0", false},
	"lora_B": {"lora_B", "lora_B0", true}, "lora_B0": {"lora_B", "lora_B0", true},
}

// hfStored returns a trainable as PEFT's file holds it: weights of whole modules as [out, in], and LoRA that started from
// the base as the plain LoRA of twice the rank that computes the same, which is what PEFT's
// path_initial_model_for_weight_conversion writes:
//
//	B·A − B0·A0 = [B, −B0]·[A; A0]
func hfStored(p *inject.Plan, t inject.Trainable, values map[string]*graph.Tensor) (*graph.Tensor, error) {
	x := values[t.Name]
	if t.InOut {
		return transposed(x)
	}
	s := starts[t.Role]
	first := p.FindFrozen(t.Method, t.Target, s.frozen)
	if first == nil {
		return x, nil
	}
	x0 := values[first.Name]
	if x0 == nil {
		return nil, fmt.Errorf("format: %q has no value: the adapter means nothing without the start that was taken off the base", first.Name)
	}
	a, errA := graph.Data[float32](x)
	b, errB := graph.Data[float32](x0)
	if err := errors.Join(errA, errB); err != nil {
		return nil, fmt.Errorf("format: %s of %q: %w", t.Role, t.Target, err)
	}
	rows, cols := int(x.Dims[0]), int(x.Dims[1])
	if !s.columns {
		return graph.TensorOf([]int64{2 * x.Dims[0], x.Dims[1]}, slices.Concat(a, b)), nil
	}
	var both []float32
	for i := range rows {
		both = append(both, a[i*cols:(i+1)*cols]...)
		for _, v := range b[i*cols : (i+1)*cols] {
			both = append(both, -v)
		}
	}
	return graph.TensorOf([]int64{x.Dims[0], 2 * x.Dims[1]}, both), nil
}

// hfPart is the inverse of hfStored.
func hfPart(p *inject.Plan, t inject.Trainable, x *graph.Tensor) (*graph.Tensor, error) {
	s := starts[t.Role]
	switch {
	case len(x.Dims) != 2:
		return x, nil // Bind compares the shapes
	case t.InOut:
		return transposed(x)
	case p.FindFrozen(t.Method, t.Target, s.frozen) == nil:
		return x, nil
	}
	data, err := graph.Data[float32](x)
	if err != nil {
		return nil, err
	}
	rows, cols := t.Shape[0], t.Shape[1]
	want := []int64{2 * rows, cols}
	if s.columns {
		want = []int64{rows, 2 * cols}
	}
	if !slices.Equal(x.Dims, want) {
		return nil, fmt.Errorf("it is %v, and %q with its start needs %v: it belongs to another model", x.Dims, t.Target, want)
	}
	second := t.Role == s.frozen
	if !s.columns {
		half := len(data) / 2
		if second {
			return graph.TensorOf(t.Shape, data[half:]), nil
		}
		return graph.TensorOf(t.Shape, data[:half]), nil
	}
	var part []float32
	for row := range slices.Chunk(data, int(2*cols)) {
		if !second {
			part = append(part, row[:cols]...)
			continue
		}
		for _, v := range row[cols:] {
			part = append(part, -v)
		}
	}
	return graph.TensorOf(t.Shape, part), nil
}

// transposed returns the transpose of a float32 matrix.
func transposed(x *graph.Tensor) (*graph.Tensor, error) {
	data, err := graph.Data[float32](x)
	if err != nil {
		return nil, err
	}
	rows, cols := int(x.Dims[0]), int(x.Dims[1])
	out := make([]float32, len(data))
	for r := range rows {
		for c := range cols {
			out[c*rows+r] = data[r*cols+c]
		}
	}
	return graph.TensorOf([]int64{x.Dims[1], x.Dims[0]}, out), nil
}
