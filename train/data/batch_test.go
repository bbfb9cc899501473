package data

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
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
		Labels: []int64{4, 5, 6}, PadID: 1,
	}
	want := &Batch{
		Size: 2, Length: 3, Indices: []int{1, 0}, Labels: []int64{5, 4},
		InputIDs:      []int64{2, 3, 1, 2, 9, 3},
		AttentionMask: []int64{1, 1, 0, 1, 1, 1},
		TokenTypeIDs:  make([]int64, 6),
	}
	if got := d.Batch([]int{1, 0}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	d.PadMultiple, d.Labels, d.Scores = 8, nil, []float32{1, 2, 3}
	got := d.Batch([]int{2})
	if got.Length != 8 || !slices.Equal(got.InputIDs, []int64{2, 8, 3, 7, 3, 1, 1, 1}) || !slices.Equal(got.TokenTypeIDs, []int64{0, 0, 0, 1, 1, 0, 0, 0}) {
		t.Errorf("padded to a multiple of 8: %+v", got)
	}
	if got.Labels != nil || !slices.Equal(got.Scores, []float32{3}) {
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
