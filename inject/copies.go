package inject

import (
	"fmt"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/models"
)

// copies is embedded by methods that train copies of base parameters: [Merge] gives these the base's names, so that no site
// is left to fold.
type copies struct{}

// Merge has nothing to fold.
func (copies) Merge(*Merging, Site, *Module) error { return nil }

// A bias is a base vector that may be trained.
type bias struct {
	module string // path of the module that owns it
	value  *graph.Value
	nodes  []*graph.Node // the module's
}

func linearBiases(ls []*models.Linear) []bias {
	var out []bias
	for _, l := range ls {
		if l.Bias != nil {
			out = append(out, bias{l.Name, l.Bias, linearNodes(l)})
		}
	}
	return out
}

func linearNodes(l *models.Linear) []*graph.Node { return append(slices.Clone(l.Nodes), l.BiasNode) }

func normNodes(n *models.Norm) []*graph.Node { return append(slices.Clone(n.Nodes), n.Skip) }

// allBiases returns every bias of the encoder, those of LayerNorms included and the classifier's left to the head.
func (in *Injection) allBiases() []bias {
	out := linearBiases(in.linears())
	for _, n := range in.Encoder.Norms() {
		if n.Bias != nil {
			out = append(out, bias{n.Name, n.Bias, normNodes(n)})
		}
	}
	return out
}

// trainBiases makes the readers of each base bias read a trainable copy of it. The base's own initializer stays.
func (in *Injection) trainBiases(bs []bias) error {
	for _, b := range bs {
		if err := in.trainCopy(b.value, Trainable{Target: b.module, Role: "bias"}, b.nodes); err != nil {
			return err
		}
	}
	return nil
}

// trainCopy adds a trainable that starts as the base initializer v, sharing its bytes, and makes the module with the given
// nodes read it: exporters let modules share initializers that happen to be equal.
func (in *Injection) trainCopy(v *graph.Value, t Trainable, nodes []*graph.Node) error {
	if in.parameter(t.Target, v) != v {
		return nil // trained already, with the whole module for one
	}
	if v.Init() == nil {
		return fmt.Errorf("%s of %q: %q is not an initializer", t.Role, t.Target, v.Name())
	}
	if err := trainableFloat(v); err != nil {
		return fmt.Errorf("%s of %q: %w", t.Role, t.Target, err)
	}
	t.Init, t.Base = "base", v.Name()
	p := in.Patch(t.Target)
	if c := in.Trainable(p, t.Role, t, v.Init()); c != nil {
		p.ShuntFor(v, c, func(n *graph.Node) bool { return readsFor(n, nodes) })
		in.copies[moduleValue{t.Target, v}] = c
	}
	return p.Apply()
}

// trainableFloat checks that a parameter is of the one type that is trained.
func trainableFloat(v *graph.Value) error {
	if v.DType != graph.Float {
		return fmt.Errorf("%q is %s: only float32 models can be trained; export the model in float32", v.Name(), v.DType)
	}
	return nil
}

// readsFor reports whether n is one of the nodes, or hands what it reads on to them alone.
func readsFor(n *graph.Node, nodes []*graph.Node) bool {
	if slices.Contains(nodes, n) {
		return true
	}
	if !n.Is("Identity", "Transpose") || len(n.Output(0).Users()) == 0 {
		return false
	}
	return !slices.ContainsFunc(n.Output(0).Users(), func(u *graph.Node) bool { return !readsFor(u, nodes) })
}

// A moduleValue is a base parameter as one module sees it.
type moduleValue struct {
	module string
	value  *graph.Value
}

// parameter returns what a module reads in the place of its base parameter v: a trainable copy, or v.
func (in *Injection) parameter(module string, v *graph.Value) *graph.Value {
	if c := in.copies[moduleValue{module, v}]; c != nil {
		return c
	}
	return v
}

// trainLinear trains a linear map whole.
func (in *Injection) trainLinear(l *models.Linear) error {
	if err := in.trainCopy(l.Weight, Trainable{Target: l.Name, Role: "weight", InOut: !l.Transposed}, linearNodes(l)); err != nil || l.Bias == nil {
		return err
	}
	return in.trainCopy(l.Bias, Trainable{Target: l.Name, Role: "bias"}, linearNodes(l))
}

// trainNorm trains a LayerNorm whole.
func (in *Injection) trainNorm(n *models.Norm) error {
	if err := in.trainCopy(n.Scale, Trainable{Target: n.Name, Role: "weight"}, normNodes(n)); err != nil || n.Bias == nil {
		return err
	}
	return in.trainCopy(n.Bias, Trainable{Target: n.Name, Role: "bias"}, normNodes(n))
}
