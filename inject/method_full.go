package inject

import (
	"fmt"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("full", "every parameter of the base: full fine-tuning", func() Method { return &Full{} })
}

// Full trains every parameter of the encoder. The copies share the base's bytes until they are trained.
type Full struct {
	copies
	Frozen bool  `json:"freeze_embeddings,omitempty" flag:"freeze-embeddings" usage:"leave the embedding tables and their LayerNorm as they are"`
	Layers []int `json:"freeze_layers,omitempty" flag:"freeze-layers" usage:"leave these layers as they are, numbered from 0"`
}

// Inject makes the readers of the base's parameters read trainable copies.
func (f *Full) Inject(in *Injection) error {
	if err := checkLayers("--freeze-layers", f.Layers, len(in.Encoder.Layers)); err != nil {
		return err
	}
	if !f.Frozen {
		if err := in.trainTables(); err != nil {
			return err
		}
	}
	if err := f.trainDistances(in); err != nil {
		return err
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

// trainTables trains the embedding tables.
func (in *Injection) trainTables() error {
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
	return nil
}

// trainDistances trains the layers' tables of relative positions.
func (f *Full) trainDistances(in *Injection) error {
	for i := range in.Encoder.Layers {
		a := &in.Encoder.Layers[i].Attention
		if a.Distances == nil || f.skips(a.DistancesName) {
			continue
		}
		if err := in.trainCopy(a.Distances, Trainable{Target: a.DistancesName, Role: "weight"}, a.Distances.Users()); err != nil {
			return err
		}
	}
	return nil
}

// skips reports whether a module is in a frozen layer.
func (f *Full) skips(module string) bool {
	return slices.ContainsFunc(f.Layers, func(n int) bool { return strings.Contains(module, fmt.Sprintf(".layer.%d.", n)) })
}
