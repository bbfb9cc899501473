package inject

import (
	"fmt"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/models"
)

// headModules are the modules PEFT trains whole for sequence classification, and therefore never adapts.
var headModules = []string{"classifier", "score"}

// path returns the module's path inside the model that Hugging Face would load for the task.
func (in *Injection) path(module string) string {
	if in.Plan.Task.Type == "" || strings.HasPrefix(module, "classifier") {
		return module
	}
	return in.Encoder.Prefix + module
}

// choose returns the linear maps that t selects, in model order.
func (in *Injection) choose(t Targets) ([]*models.Linear, error) {
	byPath := map[string]*models.Linear{}
	var paths []string
	for _, l := range in.Encoder.Linears() {
		if l == in.Encoder.Classifier {
			continue
		}
		p := in.path(l.Name)
		byPath[p] = l
		paths = append(paths, p)
	}
	var saved []string
	if in.Plan.Task.Type != "" {
		saved = headModules
	}
	if in.Plan.Head.Kind == HeadNewPooler {
		saved = append([]string{"pooler"}, saved...)
	}
	chosen, err := t.Choose(paths, saved)
	if err != nil {
		return nil, err
	}
	out := make([]*models.Linear, len(chosen))
	for i, p := range chosen {
		out[i] = byPath[p]
	}
	return out, nil
}

// dropout zeroes elements of x with probability rate while training; everywhere else the node is the identity. The trainer
// finds it by its place below "peft/".
func (in *Injection) dropout(p *graph.Patch, x *graph.Value, rate float64) *graph.Value {
	if rate == 0 || p.Err() != nil {
		return x
	}
	var y *graph.Value
	if in.Graph.Opset() < 12 {
		y = p.With(graph.FloatAttr("ratio", float32(rate))).Op("Dropout", x)
	} else {
		y = p.Op("Dropout", x, p.Float(graph.Float, rate))
	}
	return p.Typed(y, x.DType, x.Shape)
}

// A bias is a base vector that may be trained.
type bias struct {
	module string // path of the module that owns it
	value  *graph.Value
}

func linearBiases(ls []*models.Linear) []bias {
	var out []bias
	for _, l := range ls {
		if l.Bias != nil {
			out = append(out, bias{l.Name, l.Bias})
		}
	}
	return out
}

// allBiases returns every bias of the encoder, those of LayerNorms included and the classifier's left to the head.
func (in *Injection) allBiases() []bias {
	var linears []*models.Linear
	for _, l := range in.Encoder.Linears() {
		if l != in.Encoder.Classifier {
			linears = append(linears, l)
		}
	}
	out := linearBiases(linears)
	for _, n := range in.Encoder.Norms() {
		if n.Bias != nil {
			out = append(out, bias{n.Name, n.Bias})
		}
	}
	return out
}

// trainBiases makes the readers of each base bias read a trainable copy of it. The base's own initializer stays.
func (in *Injection) trainBiases(bs []bias) error {
	for _, b := range bs {
		t, err := copyOf(b.value)
		if err != nil {
			return fmt.Errorf("bias of %q: %w", b.module, err)
		}
		p := in.Patch(b.module)
		c := in.Trainable(p, "bias", Trainable{Target: b.module, Role: "bias", Init: "base"}, t)
		if p.Err() == nil {
			p.Shunt(b.value, c)
		}
		if err := p.Apply(); err != nil {
			return err
		}
	}
	return nil
}

// copyOf returns an in-memory copy of a float32 initializer.
func copyOf(v *graph.Value) (*graph.Tensor, error) {
	if v.Init() == nil {
		return nil, fmt.Errorf("%q is not an initializer", v.Name())
	}
	data, err := graph.Data[float32](v.Init())
	if err != nil {
		return nil, fmt.Errorf("%q: %w", v.Name(), err)
	}
	return graph.TensorOf(v.Init().Dims, append([]float32(nil), data...)), nil
}
