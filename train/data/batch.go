package data

import (
	"cmp"
	"math/rand/v2"
	"slices"
)

// Dataset is a set of encoded examples with their targets: Labels for classification,
// Scores for regression, or neither where nothing is known of them.
type Dataset struct {
	Encodings []Encoding
	Labels    []int64
	Scores    []float32
	PadID     int64
	// PadMultiple rounds the length of a batch up to a multiple of itself, for devices
	// that like that; 0 and 1 don't.
	PadMultiple int
	Truncated   int // encodings that were cut to the length limit
}

// Batch is what a model is fed: InputIDs, AttentionMask and TokenTypeIDs are row-major
// [Size, Length]. Labels or Scores are [Size], and Indices the examples' places in the
// Dataset.
type Batch struct {
	Size, Length                          int
	InputIDs, AttentionMask, TokenTypeIDs []int64
	Labels                                []int64
	Scores                                []float32
	Indices                               []int
}

// NewDataset encodes the examples of a set; the caller adds Labels or Scores.
func NewDataset(t *Tokenizer, examples []Example, maxLen int) *Dataset {
	d := &Dataset{PadID: t.PadID()}
	d.Encodings, d.Truncated = t.EncodeAll(examples, maxLen)
	return d
}

// Lengths are the examples' lengths in tokens.
func (d *Dataset) Lengths() []int {
	lengths := make([]int, len(d.Encodings))
	for i, e := range d.Encodings {
		lengths[i] = len(e.IDs)
	}
	return lengths
}

// Batch gathers the examples at indices, padded to the longest of them: the padding
// token, attention 0, type 0.
func (d *Dataset) Batch(indices []int) *Batch {
	n := 0
	for _, i := range indices {
		n = max(n, len(d.Encodings[i].IDs))
	}
	if m := d.PadMultiple; m > 1 {
		n = (n + m - 1) / m * m
	}
	b := &Batch{
		Size: len(indices), Length: n, Indices: slices.Clone(indices),
		InputIDs: make([]int64, len(indices)*n), AttentionMask: make([]int64, len(indices)*n), TokenTypeIDs: make([]int64, len(indices)*n),
	}
	for row, i := range indices {
		e, at := d.Encodings[i], row*n
		copy(b.InputIDs[at:], e.IDs)
		copy(b.TokenTypeIDs[at:], e.TypeIDs)
		for k := range n {
			if k < len(e.IDs) {
				b.AttentionMask[at+k] = 1
			} else {
				b.InputIDs[at+k] = d.PadID
			}
		}
		if d.Labels != nil {
			b.Labels = append(b.Labels, d.Labels[i])
		}
		if d.Scores != nil {
			b.Scores = append(b.Scores, d.Scores[i])
		}
	}
	return b
}

// bucketBatches is how many batches' worth of examples TrainOrder sorts by length at a
// time: enough for batches of nearly one length, few enough for them to stay random.
const bucketBatches = 50

// TrainOrder cuts the examples of one epoch into batches of similar lengths. It shuffles
// them, sorts each bucket of 50 batches by length, cuts it into batches and shuffles
// those. Every example comes once; the one batch that may be smaller is among the rest.
// The same lengths, seed and epoch give the same batches.
func TrainOrder(lengths []int, batchSize int, seed, epoch uint64) [][]int {
	batchSize = max(batchSize, 1)
	rng := rand.New(rand.NewPCG(seed, epoch))
	order := rng.Perm(len(lengths))
	for bucket := range slices.Chunk(order, bucketBatches*batchSize) {
		sortByLength(bucket, lengths)
	}
	batches := slices.Collect(slices.Chunk(order, batchSize))
	rng.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
	return batches
}

// EvalOrder cuts the examples into batches from the longest to the shortest, which pads
// least and meets the greatest need of memory first. Batch.Indices put results back in
// the order of the file.
func EvalOrder(lengths []int, batchSize int) [][]int {
	order := make([]int, len(lengths))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(lengths[b], lengths[a]) })
	return slices.Collect(slices.Chunk(order, max(batchSize, 1)))
}

func sortByLength(order, lengths []int) {
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(lengths[a], lengths[b]) })
}

// Padding is the share of positions, from 0 to 1, that batches of these lengths spend on
// padding.
func Padding(lengths []int, batches [][]int) float64 {
	real, all := 0, 0
	for _, batch := range batches {
		longest := 0
		for _, i := range batch {
			real += lengths[i]
			longest = max(longest, lengths[i])
		}
		all += longest * len(batch)
	}
	if all == 0 {
		return 0
	}
	return 1 - float64(real)/float64(all)
}
