package data

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
)

func someLengths(n int) []int {
	rng := rand.New(rand.NewPCG(1, 2))
	lengths := make([]int, n)
	for i := range lengths {
		lengths[i] = 3 + rng.IntN(60)
	}
	return lengths
}

func TestOrdersHoldEachExampleOnce(t *testing.T) {
	for _, n := range []int{0, 1, 7, 8, 9, 400, 1001} {
		for _, size := range []int{1, 8, 2000} {
			lengths := someLengths(n)
			for name, batches := range map[string][][]int{"train": TrainOrder(lengths, size, 1, 0), "eval": EvalOrder(lengths, size)} {
				var all []int
				small := 0
				for _, b := range batches {
					all = append(all, b...)
					if len(b) < size {
						small++
					}
					if len(b) == 0 || len(b) > size {
						t.Errorf("%s %d/%d: a batch of %d", name, n, size, len(b))
					}
				}
				slices.Sort(all)
				for i := range all {
					if all[i] != i {
						t.Fatalf("%s %d/%d: example %d is lost or twice", name, n, size, i)
					}
				}
				if len(all) != n || small > 1 {
					t.Errorf("%s %d/%d: %d examples, %d small batches", name, n, size, len(all), small)
				}
			}
		}
	}
}

func TestTrainOrderIsSeeded(t *testing.T) {
	lengths := someLengths(500)
	one := TrainOrder(lengths, 8, 1, 0)
	if !reflect.DeepEqual(one, TrainOrder(lengths, 8, 1, 0)) {
		t.Error("the same seed and epoch give another order")
	}
	if reflect.DeepEqual(one, TrainOrder(lengths, 8, 1, 1)) || reflect.DeepEqual(one, TrainOrder(lengths, 8, 2, 0)) {
		t.Error("another epoch or seed gives the same order")
	}
	// Written down, so that a change of Go or of this code can't silently change runs.
	want := [][]int{{4, 2}, {7, 1, 3}, {0, 6, 5}}
	if got := TrainOrder([]int{5, 3, 9, 4, 8, 7, 6, 2}, 3, 42, 1); !reflect.DeepEqual(got, want) {
		t.Errorf("seed 42, epoch 1: %v, want %v", got, want)
	}
}

func TestOrdersSavePadding(t *testing.T) {
	lengths := someLengths(4000)
	bucketed := Padding(lengths, TrainOrder(lengths, 16, 3, 0))
	shuffled := Padding(lengths, slices.Collect(slices.Chunk(rand.New(rand.NewPCG(3, 0)).Perm(len(lengths)), 16)))
	if bucketed > 0.05 || shuffled < 0.4 {
		t.Errorf("padding %.3f in buckets, %.3f shuffled", bucketed, shuffled)
	}
	if p := Padding(lengths, EvalOrder(lengths, 16)); p > 0.01 {
		t.Errorf("padding %.3f sorted", p)
	}
	if Padding(nil, nil) != 0 {
		t.Error("no batch, yet padding")
	}
}

func TestBatch(t *testing.T) {
	d := &Dataset{
		Encodings: []Encoding{
			{IDs: []int64{2, 9, 3}, TypeIDs: []int64{0, 0, 0}},
			{IDs: []int64{2, 3}, TypeIDs: []int64{0, 0}},
			{IDs: []int64{2, 8, 3, 7, 3}, TypeIDs: []int64{0, 0, 0, 1, 1}},
		},
		Targets: []Target{Scalars("label", []int64{4, 5, 6})}, PadID: 1,
	}
	want := &Batch{
		Size: 2, Length: 3, Indices: []int{1, 0}, Targets: map[string]*graph.Tensor{"label": graph.TensorOf(nil, []int64{5, 4})},
		Weights: graph.TensorOf(nil, []float32{1, 1}), Weight: 2,
		InputIDs:      []int64{2, 3, 1, 2, 9, 3},
		AttentionMask: []int64{1, 1, 0, 1, 1, 1},
		TokenTypeIDs:  make([]int64, 6),
	}
	if got := d.Batch([]int{1, 0}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	d.PadMultiple, d.Targets = 8, []Target{Scores("score", []float32{1, 2, 3})}
	got := d.Batch([]int{2})
	if got.Length != 8 || !slices.Equal(got.InputIDs, []int64{2, 8, 3, 7, 3, 1, 1, 1}) || !slices.Equal(got.TokenTypeIDs, []int64{0, 0, 0, 1, 1, 0, 0, 0}) {
		t.Errorf("padded to a multiple of 8: %+v", got)
	}
	if want := map[string]*graph.Tensor{"score": graph.TensorOf(nil, []float32{3})}; !reflect.DeepEqual(got.Targets, want) {
		t.Errorf("targets: %+v", got)
	}
	if !slices.Equal(d.Lengths(), []int{3, 2, 5}) {
		t.Errorf("lengths %v", d.Lengths())
	}
}

func TestNewDatasetCountsTruncated(t *testing.T) {
	tok := load(t, "vocab-uncased.txt")
	d := NewDataset(tok, []Example{{Text: "the lazy dogs"}, {Text: "."}}, 4)
	if d.Truncated != 1 || len(d.Encodings) != 2 || d.PadID != tok.PadID() {
		t.Errorf("%+v", d)
	}
}

// Targets of tokens are padded as the tokens are, and weigh nothing there.
func TestBatchOfTokens(t *testing.T) {
	d := &Dataset{
		Encodings: []Encoding{{IDs: []int64{2, 9, 3}, TypeIDs: make([]int64, 3)}, {IDs: []int64{2, 3}, TypeIDs: make([]int64, 2)}},
		Targets: []Target{
			{TargetSpec: TargetSpec{Name: "tag", DType: graph.Int64, PerToken: true}, Ints: [][]int64{{0, 7, 0}, {5, 6}}},
			{TargetSpec: TargetSpec{Name: "hot", DType: graph.Float, Width: 2}, Floats: [][]float32{{1, 0}, {0, 1}}},
		},
		Weights: [][]float32{{0, 1, 0}, {0.5, 0}},
	}
	b := d.Batch([]int{1, 0})
	want := map[string]*graph.Tensor{"tag": graph.TensorOf([]int64{2, 3}, []int64{5, 6, 0, 0, 7, 0}), "hot": graph.TensorOf([]int64{2, 2}, []float32{0, 1, 1, 0})}
	if !reflect.DeepEqual(b.Targets, want) || !reflect.DeepEqual(b.Weights, graph.TensorOf([]int64{2, 3}, []float32{0.5, 0, 0, 0, 1, 0})) || b.Weight != 1.5 {
		t.Errorf("%+v", b)
	}
}

// A unit of two texts is two rows, half the batch apart.
func TestBatchOfPairs(t *testing.T) {
	d := &Dataset{Group: 2, Targets: []Target{Scores("score", []float32{1, 2})}}
	for i := range 4 {
		d.Encodings = append(d.Encodings, Encoding{IDs: make([]int64, i+1), TypeIDs: make([]int64, i+1)})
		d.Encodings[i].IDs[0] = int64(i)
	}
	if d.Units() != 2 || !slices.Equal(d.Lengths(), []int{2, 4}) {
		t.Errorf("%d units of lengths %v", d.Units(), d.Lengths())
	}
	b := d.Batch([]int{1, 0})
	if b.Size != 4 || !slices.Equal(b.Indices, []int{2, 0, 3, 1}) || b.InputIDs[0] != 2 || b.InputIDs[b.Length] != 0 || b.Weight != 2 {
		t.Errorf("%+v", b)
	}
	if !reflect.DeepEqual(b.Targets["score"], graph.TensorOf(nil, []float32{2, 1})) {
		t.Errorf("targets %v", b.Targets)
	}
}

// A model without a mask sees padding as text, so no batch has any; otherwise the order is as ever.
func TestBatchesOfOneLength(t *testing.T) {
	d := &Dataset{OneLength: true}
	for _, n := range someLengths(500) {
		d.Encodings = append(d.Encodings, Encoding{IDs: make([]int64, n)})
	}
	lengths := d.Lengths()
	for _, batches := range [][][]int{d.TrainOrder(8, 1, 2), d.EvalOrder(8)} {
		if all := slices.Concat(batches...); len(all) != 500 || Padding(lengths, batches) != 0 {
			t.Errorf("%d examples, padding %g", len(all), Padding(lengths, batches))
		}
		if len(batches) > 500/8+60 {
			t.Errorf("%d batches", len(batches))
		}
	}
	if a, b := d.TrainOrder(8, 1, 2), d.TrainOrder(8, 1, 3); reflect.DeepEqual(a, b) || len(a) != len(b) {
		t.Error("two epochs are of one order, or of another number of batches")
	}
}

// What varies depends on seed and number alone, and is fixed where nothing is drawn.
func TestDraw(t *testing.T) {
	d := &Dataset{
		Encodings: []Encoding{{IDs: []int64{2, 9, 3}, TypeIDs: make([]int64, 3)}},
		Targets:   []Target{{TargetSpec: TargetSpec{Name: "token", DType: graph.Int64, PerToken: true}}},
		Vary: func(unit int, r *rand.Rand) Variation {
			return Variation{IDs: []int64{r.Int64(), 1, 2}, Targets: [][]int64{{r.Int64(), 0, 0}}, Weights: []float32{1, 0, 0}}
		},
	}
	if !reflect.DeepEqual(d.Batch([]int{0}), d.Batch([]int{0})) || !reflect.DeepEqual(d.Draw([]int{0}, 1, 2), d.Draw([]int{0}, 1, 2)) {
		t.Error("the same draw differs")
	}
	if reflect.DeepEqual(d.Draw([]int{0}, 1, 2), d.Draw([]int{0}, 1, 3)) || reflect.DeepEqual(d.Draw([]int{0}, 1, 2), d.Draw([]int{0}, 2, 2)) {
		t.Error("another number or seed draws the same")
	}
}

// Of a sparse set, targets and weights are those of the tokens that weigh something, and the batch says where they are.
func TestBatchOfSomeTokens(t *testing.T) {
	d := &Dataset{Sparse: true, Weights: [][]float32{{0, 1, 0.5}, {0, 0}, {2, 0, 0, 0}}}
	for _, n := range []int{3, 2, 4} {
		d.Encodings = append(d.Encodings, Encoding{IDs: make([]int64, n), TypeIDs: make([]int64, n)})
	}
	d.Targets = []Target{{TargetSpec: TargetSpec{Name: "token", DType: graph.Int64, PerToken: true}, Ints: [][]int64{{1, 2, 3}, {4, 5}, {6, 7, 8, 9}}}}
	b := d.Batch([]int{2, 1, 0})
	targets, _ := b.Targets["token"].Int64s()
	weights, _ := b.Weights.Float64s()
	places, _ := b.Places().Int64s()
	if !slices.Equal(targets, []int64{6, 2, 3}) || !slices.Equal(weights, []float64{2, 1, 0.5}) || b.Weight != 3.5 || !slices.Equal(places, []int64{0, 9, 10}) {
		t.Errorf("targets %v, weights %v of %v, places %v", targets, weights, b.Weight, places)
	}
	if none := d.Batch([]int{1}); none.Chosen == nil || !slices.Equal(none.Places().Dims, []int64{0}) || !slices.Equal(none.Weights.Dims, []int64{0}) {
		t.Errorf("a batch without any: %v, %v", none.Chosen, none.Weights.Dims)
	}
	if got := d.Chosen(0); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("chosen %v", got)
	}
}
