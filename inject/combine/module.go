package combine

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
)

// A module is a place that at least one of the inputs adapts.
type module struct {
	target  string
	in, out int
	a, b    inject.Trainable // as an input's plan has them
	site    inject.Site
	parts   []part
}

// A part is what one input adds to a module: weight·scale·B·A.
type part struct {
	input, rank   int
	weight, scale float64
	a, b          []float32 // [rank, in] and [out, rank]
}

func (p *part) factor() float64 { return p.weight * p.scale }

// roles are the pairs of matrices, with the frozen start that pissa and olora take off again.
var roles = []struct{ a, b, a0, b0 string }{
	{"lora_A", "lora_B", "lora_A0", "lora_B0"},
	{"lora_embedding_A", "lora_embedding_B", "", ""},
}

// collect returns the modules of all inputs, in the order of the first that has them.
func collect(inputs []Input, force bool) ([]*module, error) {
	byTarget := map[string]*module{}
	var out []*module
	for i, in := range inputs {
		if err := checkInput(inputs[0], in, force); err != nil {
			return nil, err
		}
		for _, s := range in.Plan.Sites {
			m := byTarget[s.Target]
			if m == nil {
				m = &module{target: s.Target, site: s}
				byTarget[s.Target] = m
				out = append(out, m)
			}
			if err := m.add(i, in, s); err != nil {
				return nil, fmt.Errorf("combine: %s: module %q: %w", in.Name, s.Target, err)
			}
		}
	}
	return out, nil
}

// checkInput refuses what isn't a plain LoRA on the first one's base: PEFT combines some of it, silently wrong.
func checkInput(first, in Input, force bool) error {
	p := in.Plan
	if len(p.Methods) != 1 || p.Methods[0].Name != "lora" {
		return fmt.Errorf("combine: %s is not LoRA alone", in.Name)
	}
	l, err := loraOf(in)
	switch {
	case err != nil:
		return err
	case l.DoRA:
		return fmt.Errorf("combine: %s is DoRA, whose update is no sum: merge it into the base instead", in.Name)
	case l.UpdateBias:
		return fmt.Errorf("combine: %s has trained biases of B (lora_bias), which no combination of A and B carries", in.Name)
	case l.Bias != "none":
		return fmt.Errorf("combine: %s has trained biases (bias %s)", in.Name, l.Bias)
	}
	if a, b := first.Plan.Base, p.Base; a != b && a != "" && b != "" && !force {
		return fmt.Errorf("combine: %s and %s were trained on different bases", first.Name, in.Name)
	}
	if first.Plan.Encoder.Hidden != p.Encoder.Hidden || first.Plan.Encoder.Layers != p.Encoder.Layers {
		return fmt.Errorf("combine: %s and %s belong to encoders of different sizes", first.Name, in.Name)
	}
	return nil
}

func (m *module) add(i int, in Input, s inject.Site) error {
	for _, r := range roles {
		ta, tb := in.Plan.Find("lora", s.Target, r.a), in.Plan.Find("lora", s.Target, r.b)
		if ta == nil || tb == nil {
			continue
		}
		if m.parts == nil {
			m.a, m.b = *ta, *tb
			m.in, m.out = int(ta.Shape[1]), int(tb.Shape[0])
		}
		p := part{input: i, weight: in.Weight, scale: s.Scale}
		if err := p.stack(m, in.Values[ta.Name], in.Values[tb.Name], 1); err != nil {
			return err
		}
		a0, b0 := in.Plan.FindFrozen("lora", s.Target, r.a0), in.Plan.FindFrozen("lora", s.Target, r.b0)
		if a0 != nil && b0 != nil {
			if err := p.stack(m, in.Values[a0.Name], in.Values[b0.Name], -1); err != nil {
				return err
			}
		}
		m.parts = append(m.parts, p)
		return nil
	}
	return fmt.Errorf("it has no A and B")
}

// stack puts sign·B·A beside what the part has: A below, B to the right.
func (p *part) stack(m *module, a, b *graph.Tensor, sign float32) error {
	if a == nil || b == nil {
		return fmt.Errorf("a value is missing")
	}
	x, err := graph.Data[float32](a)
	if err != nil {
		return err
	}
	y, err := graph.Data[float32](b)
	if err != nil {
		return err
	}
	r := len(x) / m.in
	if len(x) != r*m.in || len(y) != r*m.out || r == 0 {
		return fmt.Errorf("its A %v and B %v don't fit a module of %d×%d", a.Dims, b.Dims, m.out, m.in)
	}
	wide := make([]float32, 0, m.out*(p.rank+r))
	for o := range m.out {
		wide = append(wide, p.b[o*p.rank:(o+1)*p.rank]...)
		for _, v := range y[o*r : (o+1)*r] {
			wide = append(wide, sign*v)
		}
	}
	p.a, p.b, p.rank = append(append([]float32(nil), p.a...), x...), wide, p.rank+r
	return nil
}

// row adds row o of f·B·A to sum.
func (p *part) row(o, in int, f float64, sum []float64) {
	for k, v := range p.b[o*p.rank : (o+1)*p.rank] {
		g := f * float64(v)
		for i, w := range p.a[k*in : (k+1)*in] {
			sum[i] += g * float64(w)
		}
	}
}
