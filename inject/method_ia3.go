package inject

import (
	"fmt"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/numeric"
	"github.com/peftgraph/peftgraph/models"
)

func init() {
	register("ia3", "learned scales of keys, values and the feed-forward's inner activations (Liu et al. 2022)", func() Method {
		return &IA3{Init: true}
	})
}

// IA3 multiplies the output of a linear map, y = l ⊙ (W·x + b) with l [out, 1], or the input of a feed-forward one,
// y = W·(l ⊙ x) + b with l [1, in]. Names and defaults are Hugging Face PEFT's IA3Config.
type IA3 struct {
	Targets
	FeedForward ModuleNames `json:"feedforward_modules" flag:"feedforward" usage:"those of the targets whose input is scaled, in the form of --target (default: the layer's output.dense)"`
	Init        bool        `json:"init_ia3_weights"`
}

const roleIA3 = "ia3_l"

// ChangesAtStart says why the injected model doesn't compute what the base does, or returns "".
func (a *IA3) ChangesAtStart() string {
	if a.Init {
		return ""
	}
	return "the scales are drawn at random"
}

func (a *IA3) validate() error {
	if err := a.FeedForward.check("feedforward"); err != nil {
		return err
	}
	return a.Targets.validate()
}

// Inject adds the scales.
func (a *IA3) Inject(in *Injection) error {
	if len(in.Encoder.Layers) > 0 {
		a.defaults(&in.Encoder.Layers[0])
	}
	if err := a.settle(in); err != nil {
		return err
	}
	chosen, err := in.choose(a.Targets)
	if err != nil {
		return err
	}
	for _, l := range chosen {
		if err := a.adapt(in, l); err != nil {
			return fmt.Errorf("module %q: %w", l.Name, err)
		}
	}
	return nil
}

// defaults fills in what the method adapts: in BERT's names key, value and output.dense, which is PEFT's default and reaches
// attention.output.dense as well.
func (a *IA3) defaults(l *models.Layer) {
	dense := lastPart(l.Dense.Name, 2)
	if !strings.HasSuffix(dense, ".dense") {
		dense = lastPart(dense, 1)
	}
	if a.Modules.empty() {
		a.Modules.List = []string{lastPart(l.Key.Name, 1), lastPart(l.Value.Name, 1), dense}
	}
	if a.FeedForward.Pattern == "" && a.FeedForward.List == nil { // an empty list means none, in PEFT too
		a.FeedForward.List = []string{dense}
	}
}

// feedForward reports whether a module's input is scaled. PEFT compares the ends of names, without regard to the dots.
func (a *IA3) feedForward(path string) (bool, error) {
	if a.FeedForward.Pattern != "" {
		return a.FeedForward.match(path)
	}
	return slices.ContainsFunc(a.FeedForward.List, func(e string) bool { return strings.HasSuffix(path, e) }), nil
}

func (a *IA3) adapt(in *Injection, l *models.Linear) error {
	if err := trainableFloat(l.Weight); err != nil {
		return err
	}
	ff, err := a.feedForward(in.path(l.Name))
	if err != nil {
		return err
	}
	p := in.Patch(l.Name)
	site := Site{Target: l.Name, Weight: l.Weight.Name(), Transposed: l.Transposed}
	if ff {
		site.Before = true
		x := in.Current(l.Input)
		return in.shuntInput(p, site, l, x, p.Op("Mul", x, a.scale(in, p, l.Name, 1, int64(l.In))))
	}
	if l.BiasNode != nil {
		return fmt.Errorf("its bias is fused into %s, and the scale comes after it: export the model without operator fusion", l.BiasNode)
	}
	if l.Bias != nil {
		site.Bias = l.Bias.Name()
	}
	y := in.Current(l.Output)
	row := p.Op("Reshape", a.scale(in, p, l.Name, int64(l.Out), 1), p.Ints(-1))
	return in.Shunt(p, site, y, p.Op("Mul", y, row))
}

// scale adds the parameter. PEFT draws from N(0, 1) when it doesn't start at one.
func (a *IA3) scale(in *Injection, p *graph.Patch, module string, rows, cols int64) *graph.Value {
	n, how := int(rows*cols), "ones"
	data := slices.Repeat([]float32{1}, n)
	if !a.Init {
		data, how = numeric.Normal(in.Rand(module), n, 1), "normal(1)"
	}
	return in.Trainable(p, roleIA3, Trainable{Target: module, Role: roleIA3, Init: how}, graph.TensorOf([]int64{rows, cols}, data))
}

// Merge scales the columns of the weight for a scaled input, else the rows and the bias.
func (a *IA3) Merge(m *Merging, s Site, mod *Module) error {
	l, err := m.Value(s, roleIA3)
	if err != nil {
		return err
	}
	if want := map[bool]int{true: mod.In, false: mod.Out}[s.Before]; len(l) != want {
		return fmt.Errorf("%d scales don't fit a weight of %d×%d", len(l), mod.Out, mod.In)
	}
	for o := range mod.Out {
		for i := range mod.In {
			k := o
			if s.Before {
				k = i
			}
			mod.Weight[o*mod.In+i] *= l[k]
		}
		if !s.Before && mod.Bias != nil {
			mod.Bias[o] *= l[o]
		}
	}
	return nil
}
