package inject

import (
	"fmt"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/models"
)

// headModules are the modules PEFT trains whole for sequence classification, and therefore never adapts.
var headModules = []string{"classifier", "score"}

// wordEmbeddings is the module path of the token embeddings.
const wordEmbeddings = "embeddings.word_embeddings"

// path returns the module's path inside the model that Hugging Face would load for the task.
func (in *Injection) path(module string) string {
	if in.Plan.Task.Type == "" || strings.HasPrefix(module, "classifier") || module == "pre_classifier" {
		return module
	}
	return in.Encoder.Prefix + module
}

// linears returns the encoder's linear maps, those of the file's own head left to the head, and the pooler too where the head
// doesn't read it: no gradient would reach it.
func (in *Injection) linears() []*models.Linear {
	e, unread := in.Encoder, !in.head().readsPooler
	return slices.DeleteFunc(e.Linears(), func(l *models.Linear) bool { return slices.Contains(e.HeadLinears(), l) || l == e.Pooler && unread })
}

// choose returns the linear maps that t selects, in model order.
func (in *Injection) choose(t Targets) ([]*models.Linear, error) {
	linears, _, err := in.chooseAmong(t, nil, ModuleNames{})
	return linears, err
}

// chooseAmong is choose for a method that adapts other modules too, which all-linear does not mean, and trains some whole,
// which t then doesn't select.
func (in *Injection) chooseAmong(t Targets, others []string, whole ModuleNames) (linears []*models.Linear, chosen []string, err error) {
	byPath := map[string]*models.Linear{}
	var paths []string
	for _, l := range in.linears() {
		p := in.path(l.Name)
		byPath[p] = l
		paths = append(paths, p)
	}
	if !t.allLinear() {
		for _, o := range others {
			paths = append(paths, in.path(o))
		}
	}
	saved := whole.List
	if in.Plan.Task.Type != "" {
		saved = slices.Concat(saved, headModules)
	}
	if d := in.head().dense; d != nil {
		saved = append([]string{d.name}, saved...)
	}
	found, err := t.Choose(paths, saved)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range found {
		if l := byPath[p]; l != nil {
			linears = append(linears, l)
		} else {
			chosen = append(chosen, p)
		}
	}
	return linears, chosen, nil
}

// trainModules makes modules train whole, by PEFT's modules_to_save: a name means every module whose path is it or ends in
// "."+it, with all that is below. The head's own modules are left to the head.
func (in *Injection) trainModules(names ModuleNames) error {
	for _, name := range names.List {
		dense := in.head().dense
		if in.Plan.Task.Type != "" && slices.Contains(headModules, name) || dense != nil && name == dense.name {
			continue
		}
		if within(in.path(wordEmbeddings), name) {
			return fmt.Errorf("--modules-to-save %q: embedding tables aren't trained whole this way; use --method full", name)
		}
		found := false
		for _, l := range in.linears() {
			if within(in.path(l.Name), name) {
				found = true
				if err := in.trainLinear(l); err != nil {
					return err
				}
			}
		}
		for _, n := range in.Encoder.Norms() {
			if within(in.path(n.Name), name) {
				found = true
				if err := in.trainNorm(n); err != nil {
					return err
				}
			}
		}
		if !found {
			return fmt.Errorf("--modules-to-save %q: the model has no linear map or LayerNorm of that name", name)
		}
	}
	return nil
}

// within reports whether path is a module of that name or one below it.
func within(path, name string) bool {
	parts := strings.Split(path, ".")
	for n := range parts {
		if p := strings.Join(parts[:n+1], "."); p == name || strings.HasSuffix(p, "."+name) {
			return true
		}
	}
	return false
}

// dropout zeroes elements of x with probability rate while training; everywhere else the node is the identity. The trainer
// finds it by [IsDropout].
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
