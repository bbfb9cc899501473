package data

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

// Dataset is a set of encoded examples with what a task's loss compares with. Its unit is what a batch is made of: an encoding
// or, where a task compares texts with each other, Group of them.
type Dataset struct {
	Encodings []Encoding
	Examples  []Example // that the encodings are of
	// Tokenizer, where a task needs it for its answers, is what the encodings were made with.
	Tokenizer *Tokenizer
	Targets   []Target // none where nothing is known of them
	// Weights are what each unit counts in the loss: one number, or one for each token where the task has targets for tokens.
	// nil is 1 for each unit.
	Weights [][]float32
	// Group is how many encodings, which follow each other, are one unit; 0 is 1.
	Group int
	// Origin is each encoding's example where a long text is cut into several windows; nil is one encoding for each.
	Origin []int
	PadID  int64
	// PadMultiple rounds the length of a batch up to a multiple of itself, for devices
	// that like that; 0 and 1 don't.
	PadMultiple int
	// OneLength makes batches of texts of one length only: for models that have no attention mask, and to which padding is text.
	OneLength bool
	Truncated int // encodings that were cut to the length limit
	// Sparse: only tokens of another weight than 0 count. A batch has the targets and weights of those alone, and says which
	// they are, so that a model need not compute the others' outputs.
	Sparse bool
	// Vary, where set, returns what a unit's encoding, targets and weights are when it is drawn with r, as in masked language
	// modelling.
	Vary func(unit int, r *rand.Rand) Variation
}

// A Variation is one draw of a unit.
type Variation struct {
	IDs     []int64
	Targets [][]int64 // in the order of the data set's
	Weights []float32
}

// TargetSpec says what one input of a task's loss is.
type TargetSpec struct {
	Name  string
	DType graph.DType // Int64 or Float
	// PerToken: a unit has an element for each of its tokens, and a batch [Size, Length], or [chosen] where the data set is
	// sparse. Otherwise a unit has Width elements and a batch is [units, Width], or [units] where Width is 0.
	PerToken bool
	Width    int
	Classes  int // an integer is one of 0 … Classes−1; 0 stands for the text's positions
}

// Target holds a target's values by unit, in Ints or Floats as its type says.
type Target struct {
	TargetSpec
	Ints   [][]int64
	Floats [][]float32
}

// Scalars makes a target of one integer for each unit.
func Scalars(name string, values []int64) Target {
	t := Target{TargetSpec: TargetSpec{Name: name, DType: graph.Int64}}
	for i := range values {
		t.Ints = append(t.Ints, values[i:i+1])
	}
	return t
}

// Scores makes a target of one number for each unit.
func Scores(name string, values []float32) Target {
	t := Target{TargetSpec: TargetSpec{Name: name, DType: graph.Float}}
	for i := range values {
		t.Floats = append(t.Floats, values[i:i+1])
	}
	return t
}

// Batch is what a model is fed: InputIDs, AttentionMask and TokenTypeIDs are row-major [Size, Length]. Where units are
// groups, the first rows are each unit's first encoding, then come the second ones.
type Batch struct {
	Size, Length                          int
	InputIDs, AttentionMask, TokenTypeIDs []int64
	Targets                               map[string]*graph.Tensor
	Weights                               *graph.Tensor // float [units], [Size, Length] or [chosen]
	// Weight is the sum of the weights.
	Weight  float64
	Indices []int // of the rows' encodings in the data set
	// Chosen, where the data set is sparse, are the tokens that count, by row; nil where all do.
	Chosen [][]int
}

// Places are the chosen tokens' places in the batch, row·Length + token, [chosen].
func (b *Batch) Places() *graph.Tensor {
	out := []int64{}
	for row, tokens := range b.Chosen {
		for _, k := range tokens {
			out = append(out, int64(row*b.Length+k))
		}
	}
	return graph.TensorOf([]int64{int64(len(out))}, out)
}

// NewDataset encodes the examples of a set; the caller adds Targets.
func NewDataset(t *Tokenizer, examples []Example, maxLen int) *Dataset {
	d := &Dataset{Examples: examples, PadID: t.PadID()}
	d.Encodings, d.Truncated = t.EncodeAll(examples, maxLen)
	return d
}

func (d *Dataset) group() int { return max(d.Group, 1) }

// Units is the number of units.
func (d *Dataset) Units() int { return len(d.Encodings) / d.group() }

// Windows returns the encodings of each example.
func (d *Dataset) Windows() [][]int {
	n := d.Units()
	if d.Origin != nil {
		n = len(d.Examples)
	}
	out := make([][]int, n)
	for i := range d.Encodings {
		at := i / d.group()
		if d.Origin != nil {
			at = d.Origin[i]
		}
		out[at] = append(out[at], i)
	}
	return out
}

// Lengths are the units' lengths in tokens, a group's that of its longest encoding.
func (d *Dataset) Lengths() []int {
	lengths := make([]int, d.Units())
	for i, e := range d.Encodings {
		unit := i / d.group()
		lengths[unit] = max(lengths[unit], len(e.IDs))
	}
	return lengths
}

// Target returns a target by name, nil where the set has none of that name.
func (d *Dataset) Target(name string) *Target {
	for i := range d.Targets {
		if d.Targets[i].Name == name {
			return &d.Targets[i]
		}
	}
	return nil
}

// Batch gathers the units at indices, padded to the longest of them: the padding token, attention 0, type 0. Units that vary
// are drawn as they always are for judging.
func (d *Dataset) Batch(indices []int) *Batch {
	return d.Draw(indices, 0, 0)
}

// Draw is Batch for the batch of that number in a run with that seed: units that vary depend on both, and on nothing else.
func (d *Dataset) Draw(indices []int, seed, number uint64) *Batch {
	group := d.group()
	b := &Batch{Size: group * len(indices)}
	rows := make([]Variation, len(indices))
	for k, unit := range indices {
		if d.Vary != nil {
			rows[k] = d.vary(unit, seed, number)
		}
	}
	for member := range group {
		for _, unit := range indices {
			i := unit*group + member
			b.Indices = append(b.Indices, i)
			b.Length = max(b.Length, len(d.Encodings[i].IDs))
		}
	}
	if m := d.PadMultiple; m > 1 {
		b.Length = (b.Length + m - 1) / m * m
	}
	n := b.Length
	b.InputIDs, b.AttentionMask, b.TokenTypeIDs = make([]int64, b.Size*n), make([]int64, b.Size*n), make([]int64, b.Size*n)
	for row, i := range b.Indices {
		e, at := d.Encodings[i], row*n
		ids := e.IDs
		if d.Vary != nil {
			ids = rows[row].IDs
		}
		copy(b.InputIDs[at:], ids)
		copy(b.TokenTypeIDs[at:], e.TypeIDs)
		for k := range n {
			if k < len(e.IDs) {
				b.AttentionMask[at+k] = 1
			} else {
				b.InputIDs[at+k] = d.PadID
			}
		}
	}
	d.fillTargets(b, indices, rows)
	return b
}

func (d *Dataset) vary(unit int, seed, number uint64) Variation {
	return d.Vary(unit, rand.New(rand.NewPCG(seed, number*drawStride+uint64(unit))))
}

// Judged is a unit as it is for judging, where units vary.
func (d *Dataset) Judged(unit int) Variation { return d.vary(unit, 0, 0) }

// Chosen are the tokens of a unit that count when it is judged, where the data set is sparse.
func (d *Dataset) Chosen(unit int) []int {
	switch {
	case d.Vary != nil:
		return chosen(d.Judged(unit).Weights)
	case d.Weights != nil:
		return chosen(d.Weights[unit])
	}
	return chosen(slices.Repeat([]float32{1}, len(d.Encodings[unit].IDs)))
}

// chosen are the indices of the weights that aren't 0.
func chosen(weights []float32) (out []int) {
	for i, w := range weights {
		if w != 0 {
			out = append(out, i)
		}
	}
	return out
}

// drawStride spreads the numbers of batches over the second half of a generator's seed (2⁶⁴ divided by the golden ratio).
const drawStride = 0x9e3779b97f4a7c15

// fillTargets gathers the targets and weights of the units.
func (d *Dataset) fillTargets(b *Batch, indices []int, rows []Variation) {
	weights := d.weights(b, indices, rows)
	b.Targets = map[string]*graph.Tensor{}
	for at, t := range d.Targets {
		if t.DType == graph.Int64 {
			b.Targets[t.Name] = gather(t.TargetSpec, indices, b, func(k int) []int64 {
				if d.Vary != nil {
					return rows[k].Targets[at]
				}
				return t.Ints[indices[k]]
			})
			continue
		}
		b.Targets[t.Name] = gather(t.TargetSpec, indices, b, func(k int) []float32 { return t.Floats[indices[k]] })
	}
	b.Weights = gather(TargetSpec{PerToken: d.perToken()}, indices, b, func(k int) []float32 { return weights[k] })
}

// perToken reports whether tokens are weighed rather than units.
func (d *Dataset) perToken() bool {
	return d.Sparse || slices.ContainsFunc(d.Targets, func(t Target) bool { return t.PerToken })
}

// weights returns those of the units, whose sum it puts into the batch with the tokens that they choose.
func (d *Dataset) weights(b *Batch, indices []int, rows []Variation) [][]float32 {
	out := make([][]float32, len(indices))
	for k, unit := range indices {
		switch {
		case d.Vary != nil:
			out[k] = rows[k].Weights
		case d.Weights != nil:
			out[k] = d.Weights[unit]
		case d.perToken():
			out[k] = slices.Repeat([]float32{1}, len(d.Encodings[unit].IDs))
		default:
			out[k] = []float32{1}
		}
		for _, x := range out[k] {
			b.Weight += float64(x)
		}
		if d.Sparse {
			b.Chosen = append(b.Chosen, chosen(out[k]))
		}
	}
	return out
}

// gather puts the units' rows below each other: those of tokens padded with zeros or, where the batch says which tokens are
// chosen, of those alone.
func gather[T int64 | float32](spec TargetSpec, indices []int, b *Batch, row func(k int) []T) *graph.Tensor {
	width, dims := 1, []int64{int64(len(indices))}
	switch {
	case spec.PerToken && b.Chosen != nil:
		out := []T{}
		for k, tokens := range b.Chosen {
			all := row(k)
			for _, at := range tokens {
				out = append(out, all[at])
			}
		}
		return graph.TensorOf([]int64{int64(len(out))}, out)
	case spec.PerToken:
		width, dims = b.Length, append(dims, int64(b.Length))
	case spec.Width > 0:
		width, dims = spec.Width, append(dims, int64(spec.Width))
	}
	out := make([]T, len(indices)*width)
	for k := range indices {
		copy(out[k*width:(k+1)*width], row(k))
	}
	return graph.TensorOf(dims, out)
}

// bucketBatches is how many batches' worth of examples TrainOrder sorts by length at a
// time: enough for batches of nearly one length, few enough for them to stay random.
const bucketBatches = 50

// TrainOrder cuts the units of one epoch that weigh something into batches, as [TrainOrder] does.
func (d *Dataset) TrainOrder(batchSize int, seed, epoch uint64) [][]int {
	lengths, units := d.Lengths(), []int{}
	for i, n := range lengths {
		if d.Weights == nil || slices.ContainsFunc(d.Weights[i], func(w float32) bool { return w != 0 }) {
			lengths[len(units)] = n
			units = append(units, i)
		}
	}
	batches := d.trainOrder(lengths[:len(units)], batchSize, seed, epoch)
	for _, batch := range batches {
		for k, i := range batch {
			batch[k] = units[i]
		}
	}
	return batches
}

func (d *Dataset) trainOrder(lengths []int, batchSize int, seed, epoch uint64) [][]int {
	if !d.OneLength {
		return TrainOrder(lengths, batchSize, seed, epoch)
	}
	rng := rand.New(rand.NewPCG(seed, epoch))
	order := rng.Perm(len(lengths))
	sortByLength(order, lengths)
	batches := ofOneLength(order, lengths, batchSize)
	rng.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
	return batches
}

// EvalOrder cuts the units into batches, as [EvalOrder] does.
func (d *Dataset) EvalOrder(batchSize int) [][]int {
	lengths := d.Lengths()
	batches := EvalOrder(lengths, batchSize)
	if !d.OneLength {
		return batches
	}
	return ofOneLength(slices.Concat(batches...), lengths, batchSize)
}

// ofOneLength cuts units, in an order in which equal lengths follow each other, into batches.
func ofOneLength(order, lengths []int, batchSize int) (batches [][]int) {
	for lo := 0; lo < len(order); {
		hi := lo
		for hi < len(order) && hi-lo < max(batchSize, 1) && lengths[order[hi]] == lengths[order[lo]] {
			hi++
		}
		batches = append(batches, order[lo:hi:hi])
		lo = hi
	}
	return batches
}

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
