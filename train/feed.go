package train

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train/data"
)

// TokenFeeds returns the model's own inputs for a batch, in the integer types that g declares. The inputs named in others are
// left to the caller.
func TokenFeeds(g *graph.Graph, info models.Info, b *data.Batch, others ...string) (map[string]*graph.Tensor, error) {
	dims := []int64{int64(b.Size), int64(b.Length)}
	feeds := map[string]*graph.Tensor{}
	positions := func() []int64 {
		out := make([]int64, b.Size*b.Length)
		for i := range out {
			out[i] = int64(i%b.Length + info.FirstPosition)
		}
		return out
	}
	for _, v := range g.Inputs() {
		var ids []int64
		switch v.Name() {
		case info.Inputs.IDs:
			ids = b.InputIDs
		case info.Inputs.Mask:
			ids = b.AttentionMask
		case info.Inputs.TokenType:
			ids = b.TokenTypeIDs
		case info.Inputs.Position:
			ids = positions()
		default:
			if v.Init() != nil || isOwn(v.Name()) || slices.Contains(others, v.Name()) {
				continue
			}
			return nil, fmt.Errorf("train: the model's input %s is none of ids, mask, token types and positions: nothing can be fed to it", v)
		}
		t, err := integers(v, dims, ids)
		if err != nil {
			return nil, err
		}
		feeds[v.Name()] = t
	}
	return feeds, nil
}

// isOwn reports whether an input is the training graph's own.
func isOwn(name string) bool { return len(name) > 6 && name[:6] == "train/" }

func integers(v *graph.Value, dims, ids []int64) (*graph.Tensor, error) {
	switch v.DType {
	case graph.Int64:
		return graph.TensorOf(dims, ids), nil
	case graph.Int32:
		return graph.TensorOf(dims, convert[int32](ids)), nil
	case graph.Float:
		return graph.TensorOf(dims, convert[float32](ids)), nil
	}
	return nil, fmt.Errorf("train: the model's input %s: ids are fed as int64, int32 or float", v)
}

func convert[T int32 | float32](ids []int64) []T {
	out := make([]T, len(ids))
	for i, id := range ids {
		out[i] = T(id)
	}
	return out
}

// targetFeeds adds the batch's targets and weights, which are multiplied by scale.
func (s *StepGraph) targetFeeds(feeds map[string]*graph.Tensor, b *data.Batch, scale float64) error {
	for _, t := range s.Task.Targets(s.Plan.Task.Labels) {
		x := b.Targets[t.Name]
		if x == nil {
			return fmt.Errorf("train: task %q: the data set has no %q for it: it has no labels", s.Plan.Task.Type, t.Name)
		}
		feeds[TargetPrefix+t.Name] = x
	}
	if s.sparse() {
		if err := rowsFeed(feeds, b); err != nil {
			return err
		}
	}
	weights, err := graph.Data[float32](b.Weights)
	if err != nil {
		return fmt.Errorf("train: weights: %w", err)
	}
	scaled := make([]float32, len(weights))
	for i, w := range weights {
		scaled[i] = float32(float64(w) * scale)
	}
	feeds[WeightsInput] = graph.TensorOf(b.Weights.Dims, scaled)
	return nil
}

// rowsFeed adds the tokens that count.
func rowsFeed(feeds map[string]*graph.Tensor, b *data.Batch) error {
	if b.Chosen == nil {
		return fmt.Errorf("train: the data set doesn't say which tokens count, as the model's task wants it to")
	}
	feeds[RowsInput] = b.Places()
	return nil
}

// maskFeeds draws the dropout masks of one batch. They depend on the seed, the batch's number and the mask only.
func (s *StepGraph) maskFeeds(feeds map[string]*graph.Tensor, b *data.Batch, seed, batch uint64) error {
	sizes := s.sizesOf(b.Size, b.Length)
	if rows := feeds[RowsInput]; rows != nil {
		sizes[chosenDim] = rows.Len()
	}
	var wg sync.WaitGroup
	for i, m := range s.Masks {
		dims, err := m.in(sizes)
		if err != nil {
			return err
		}
		n := int64(1)
		for _, d := range dims {
			n *= d
		}
		keep := make([]bool, n)
		feeds[m.Input] = graph.TensorOf(dims, keep)
		wg.Add(1)
		go func() {
			defer wg.Done()
			draw(keep, m.Rate, rand.NewPCG(seed, batch<<16|uint64(i)))
		}()
	}
	wg.Wait()
	return nil
}

// draw sets each element to true with probability 1−rate, to 16 bits: four elements a random number. The loop is written
// out since a model's masks have millions of elements a step.
func draw(keep []bool, rate float64, src *rand.PCG) {
	limit := uint16(rate * (1 << 16))
	for ; len(keep) >= 4; keep = keep[4:] {
		r, four := src.Uint64(), keep[:4:4]
		four[0], four[1], four[2], four[3] = uint16(r) >= limit, uint16(r>>16) >= limit, uint16(r>>32) >= limit, uint16(r>>48) >= limit
	}
	for r, i := src.Uint64(), 0; i < len(keep); i++ {
		keep[i] = uint16(r>>(16*i)) >= limit
	}
}
