package inject

import (
	"fmt"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/models"
)

func init() {
	register("bitfit", "the base's own biases, LayerNorms' included (Ben Zaken et al. 2022)", func() Method { return &BitFit{} })
	register("full", "every parameter of the base: full fine-tuning", func() Method { return &Full{} })
	register("head-only", "nothing of the base: a linear probe", func() Method { return &HeadOnly{} })
}

// copies is embedded by methods that train copies of base parameters: [Merge] gives these the base's names, so that no site
// is left to fold.
type copies struct{}

// Merge has nothing to fold.
func (copies) Merge(*Merging, Site, *Module) error { return nil }

// BitFit trains every bias of the encoder's layers and of its pooler.
type BitFit struct {
	copies
	Embeddings bool `json:"embeddings" flag:"embedding-bias" usage:"train the bias of the embeddings' LayerNorm too"`
}

// Inject makes the biases' readers read trainable copies.
func (b *BitFit) Inject(in *Injection) error {
	bs := in.allBiases()
	if !b.Embeddings {
		bs = slices.DeleteFunc(bs, func(x bias) bool { return x.module == in.Encoder.Embeddings.Norm.Name })
	}
	if len(bs) == 0 {
		return fmt.Errorf("the model has no biases")
	}
	return in.trainBiases(bs)
}

// Full trains every parameter of the encoder. The copies share the base's bytes until they are trained.
type Full struct {
	copies
	Frozen bool  `json:"freeze_embeddings,omitempty" flag:"freeze-embeddings" usage:"leave the embedding tables as they are"`
	Layers []int `json:"freeze_layers,omitempty" flag:"freeze-layers" usage:"leave these layers as they are, numbered from 0"`
}

// Inject makes the readers of the base's parameters read trainable copies.
func (f *Full) Inject(in *Injection) error {
	if err := checkLayers("--freeze-layers", f.Layers, len(in.Encoder.Layers)); err != nil {
		return err
	}
	if !f.Frozen {
		e := &in.Encoder.Embeddings
		for _, t := range []struct {
			module string
			table  *graph.Value
		}{{"embeddings.word_embeddings", e.Word}, {"embeddings.position_embeddings", e.Position}, {"embeddings.token_type_embeddings", e.TokenType}} {
			if t.table == nil {
				continue
			}
			if err := in.trainCopy(t.table, Trainable{Target: t.module, Role: "weight"}, t.table.Users()); err != nil {
				return err
			}
		}
	}
	for _, l := range in.linears() {
		if f.skips(l.Name) {
			continue
		}
		if err := in.trainLinear(l); err != nil {
			return err
		}
	}
	for _, n := range in.Encoder.Norms() {
		if f.skips(n.Name) || f.Frozen && n == &in.Encoder.Embeddings.Norm {
			continue
		}
		if err := in.trainNorm(n); err != nil {
			return err
		}
	}
	return nil
}

// skips reports whether a module is in a frozen layer.
func (f *Full) skips(module string) bool {
	return slices.ContainsFunc(f.Layers, func(n int) bool { return strings.Contains(module, fmt.Sprintf(".layer.%d.", n)) })
}

func (in *Injection) trainLinear(l *models.Linear) error {
	if err := in.trainCopy(l.Weight, Trainable{Target: l.Name, Role: "weight"}, linearNodes(l)); err != nil || l.Bias == nil {
		return err
	}
	return in.trainCopy(l.Bias, Trainable{Target: l.Name, Role: "bias"}, linearNodes(l))
}

func (in *Injection) trainNorm(n *models.Norm) error {
	if err := in.trainCopy(n.Scale, Trainable{Target: n.Name, Role: "weight"}, normNodes(n)); err != nil || n.Bias == nil {
		return err
	}
	return in.trainCopy(n.Bias, Trainable{Target: n.Name, Role: "bias"}, normNodes(n))
}

// HeadOnly trains the task's head on the frozen encoder.
type HeadOnly struct{ copies }

// Inject adds nothing: the head is the task's.
func (*HeadOnly) Inject(in *Injection) error {
	if in.Plan.Task.Type == "" {
		return fmt.Errorf("it needs a --task: without a head nothing would be trained")
	}
	return nil
}
