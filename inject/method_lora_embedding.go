package inject

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/numeric"
)

// adaptEmbedding adds s·B·A[:, ids] to the word embeddings, A [r, vocab] and B [dim, r]. A starts at zero and B at N(0, 1);
// neither dropout nor the other starts apply, as in PEFT.
func (l *LoRA) adaptEmbedding(in *Injection) error {
	e := in.Encoder.Embeddings
	switch {
	case l.DoRA:
		return fmt.Errorf("--dora: not on embeddings; leave %s out of --target", wordEmbeddings)
	case l.UpdateBias:
		return fmt.Errorf("--lora-bias: not on embeddings, as in PEFT; leave %s out of --target", wordEmbeddings)
	case e.Word == nil || e.WordOut == nil || e.Word.Init() == nil || e.Word.DType != graph.Float || len(e.Word.Init().Dims) != 2:
		return fmt.Errorf("the model's word embeddings are not a table of float32 that the ids index")
	}
	vocab, dim := int(e.Word.Init().Dims[0]), int(e.Word.Init().Dims[1])
	r, scale, err := l.size(in.path(wordEmbeddings), vocab, dim)
	if err != nil {
		return err
	}
	rng := in.Rand(wordEmbeddings)
	a, startA := make([]float32, r*vocab), "zeros"
	if l.Init == "random" {
		a, startA = numeric.Normal(rng, r*vocab, 1), "normal(1)"
	}
	p := in.Patch(wordEmbeddings)
	va := in.Trainable(p, "A", Trainable{Target: wordEmbeddings, Role: roleEmbeddingA, Init: startA}, graph.TensorOf([]int64{int64(r), int64(vocab)}, a))
	vb := in.Trainable(p, "B", Trainable{Target: wordEmbeddings, Role: roleEmbeddingB, Init: "normal(1)"}, graph.TensorOf([]int64{int64(dim), int64(r)}, numeric.Normal(rng, dim*r, 1)))

	transpose := p.With(graph.IntsAttr("perm", 1, 0))
	low := p.Op("Gather", transpose.Op("Transpose", va), in.Current(in.Encoder.InputIDs))
	low = p.Op("Mul", low, p.Float(graph.Float, scale))
	y := in.Current(e.WordOut)
	site := Site{Target: wordEmbeddings, Weight: e.Word.Name(), Transposed: true, Scale: scale}
	return in.Shunt(p, site, y, p.Op("Add", y, p.Op("MatMul", low, transpose.Op("Transpose", vb))))
}

// mergeEmbedding adds s·(B·A)ᵀ to the table [vocab, dim].
func mergeEmbedding(m *Merging, s Site, table *Module) error {
	a, err := m.Value(s, roleEmbeddingA)
	if err != nil {
		return err
	}
	b, err := m.Value(s, roleEmbeddingB)
	if err != nil {
		return err
	}
	vocab, dim := table.Out, table.In
	r := len(b) / dim
	if len(a) != r*vocab || len(b) != dim*r {
		return fmt.Errorf("matrices A of %d and B of %d elements: they don't fit a table of %d×%d", len(a), len(b), vocab, dim)
	}
	for v := range vocab {
		for d := range dim {
			sum := 0.0
			for k := range r {
				sum += float64(b[d*r+k]) * float64(a[k*vocab+v])
			}
			table.Weight[v*dim+d] = float32(float64(table.Weight[v*dim+d]) + s.Scale*sum)
		}
	}
	return nil
}
