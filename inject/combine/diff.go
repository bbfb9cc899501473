package combine

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
)

// A Difference compares what two adapters hold in one place, in the Frobenius norm: the updates s·B·A of a module where both
// are LoRA, one parameter elsewhere. An adapter that has nothing there counts as zero.
type Difference struct {
	Place    string  `json:"place"`
	A        float64 `json:"norm_a"`
	B        float64 `json:"norm_b"`
	Distance float64 `json:"distance"` // ‖A − B‖
}

// Diff compares two adapters on the same base: the updates of two LoRAs, then all other parameters.
func Diff(a, b Input, force bool) ([]Difference, error) {
	var out []Difference
	a.Weight, b.Weight = 1, -1
	rest := func(p *inject.Plan) []inject.Trainable { return p.Trainables }
	if checkInput(a, a, force) == nil && checkInput(b, b, force) == nil {
		modules, err := collect([]Input{a, b}, force)
		if err != nil {
			return nil, err
		}
		for _, m := range modules {
			out = append(out, m.difference())
		}
		rest = whole
	}
	others, err := parameters(rest(a.Plan), rest(b.Plan), a, b)
	return append(out, others...), err
}

// difference computes the norms row by row: no update is ever whole in memory.
func (m *module) difference() Difference {
	d := Difference{Place: m.target}
	for o := range m.out {
		var rows [2][]float64
		for i := range rows {
			rows[i] = make([]float64, m.in)
			for _, p := range m.parts {
				if p.input == i {
					p.row(o, m.in, p.scale, rows[i])
				}
			}
		}
		d.add(rows[0], rows[1])
	}
	return d.root()
}

// add adds squares, which root turns into norms.
func (d *Difference) add(a, b []float64) {
	for i := range a {
		d.A += a[i] * a[i]
		d.B += b[i] * b[i]
		d.Distance += (a[i] - b[i]) * (a[i] - b[i])
	}
}

func (d Difference) root() Difference {
	d.A, d.B, d.Distance = math.Sqrt(d.A), math.Sqrt(d.B), math.Sqrt(d.Distance)
	return d
}

// parameters compares parameters by name.
func parameters(as, bs []inject.Trainable, a, b Input) ([]Difference, error) {
	places := map[string][2]*graph.Tensor{}
	label := map[string]string{}
	for i, ts := range [][]inject.Trainable{as, bs} {
		for _, t := range ts {
			pair := places[t.Name]
			pair[i] = []Input{a, b}[i].Values[t.Name]
			places[t.Name], label[t.Name] = pair, t.Target+"."+t.Role
		}
	}
	var out []Difference
	for _, name := range slices.Sorted(maps.Keys(places)) {
		d := Difference{Place: label[name]}
		var xs [2][]float64
		for i, t := range places[name] {
			if t == nil {
				continue
			}
			var err error
			if xs[i], err = t.Float64s(); err != nil {
				return nil, fmt.Errorf("combine: %q: %w", name, err)
			}
		}
		for i := range xs {
			if xs[i] == nil {
				xs[i] = make([]float64, len(xs[1-i]))
			}
		}
		if len(xs[0]) != len(xs[1]) {
			return nil, fmt.Errorf("combine: %s is %v in %s and %v in %s: it has no difference", d.Place, places[name][0].Dims, a.Name, places[name][1].Dims, b.Name)
		}
		d.add(xs[0], xs[1])
		out = append(out, d.root())
	}
	return out, nil
}
