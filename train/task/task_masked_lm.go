package task

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/numeric"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/metric"
)

func init() {
	register("masked-lm", "the words of texts that are masked, to adapt a model to a domain; cross entropy", func() Task {
		return &MaskedLM{Probability: 0.15, WholeWord: true, TopK: 5}
	})
}

// MaskedLM guesses the tokens that are masked in a text, as BERT was trained (Devlin et al. 2019). Other tokens are masked each
// time that a text is drawn, and always the same ones when a model is judged.
type MaskedLM struct {
	Probability float64 `json:"mask_probability" flag:"mask-probability" usage:"share of a text's tokens that are to be guessed: of these 80 % are masked, 10 % are random tokens and 10 % stay"`
	WholeWord   bool    `json:"whole_word" flag:"whole-word" usage:"choose whole words rather than single pieces of words; on unless it is =false"`
	Pack        bool    `json:"pack,omitempty" flag:"pack" usage:"put texts behind each other and cut blocks of the greatest length from them, rather than cut long texts off"`
	TopK        int     `json:"top_k" flag:"top-k" usage:"how many tokens an answer has for each mask"`
}

// Head is a masked language model's.
func (*MaskedLM) Head() models.Task { return models.MaskedLM }

// Schema is texts alone.
func (*MaskedLM) Schema() *data.Schema { return &data.Schema{Labels: []string{}, Unlabelled: true} }

// Labels are none: the outputs are the vocabulary.
func (*MaskedLM) Labels(_ *data.Set, given []string) ([]string, error) {
	return nil, noLabels("masked-lm", given)
}

// Targets are the tokens' ids.
func (*MaskedLM) Targets([]string) []data.TargetSpec {
	return []data.TargetSpec{{Name: "token", DType: graph.Int64, PerToken: true}}
}

// Share is the share of tokens that are to be guessed.
func (m *MaskedLM) Share() float64 { return m.Probability }

func (m *MaskedLM) validate() error {
	switch {
	case !(m.Probability > 0 && m.Probability < 1):
		return fmt.Errorf("--mask-probability %v: must be above 0 and below 1", m.Probability)
	case m.TopK < 1 || m.TopK > 1000:
		return fmt.Errorf("--top-k %d: must be from 1 to 1000", m.TopK)
	}
	return nil
}

// Encode makes a text one encoding. In a set to learn from or to be judged by, tokens are masked when it is drawn; in others
// the masks are those that stand in the texts.
func (m *MaskedLM) Encode(e Encoder, set *data.Set, _ []string) (*data.Dataset, error) {
	mask, ok := e.MaskID()
	if !ok {
		return nil, fmt.Errorf("task: masked-lm: %s: the tokenizer has neither [MASK] nor <mask>, which stand for the words to guess: use the tokenizer that the model was trained with", e.Path())
	}
	d := &data.Dataset{Examples: set.Examples, PadID: e.PadID(), Tokenizer: e.Tokenizer, Sparse: true}
	if !set.Learn {
		d.Encodings, d.Truncated = e.EncodeAllAligned(set.Examples, e.MaxLength)
		for _, enc := range d.Encodings {
			d.Weights = append(d.Weights, masksOf(enc, mask))
		}
		return d, nil
	}
	length := e.MaxLength
	if m.Pack {
		length = 0
	}
	d.Encodings, d.Truncated = e.EncodeAllAligned(set.Examples, length)
	if m.Pack {
		d.Encodings, d.Examples = packed(d.Encodings, e.MaxLength), nil
	}
	d.Targets = []data.Target{{TargetSpec: m.Targets(nil)[0]}}
	masking := masking{m, mask, int64(e.VocabSize())}
	d.Vary = func(unit int, r *rand.Rand) data.Variation { return masking.draw(d.Encodings[unit], r) }
	return d, nil
}

// masksOf weighs the tokens of a text 1 where they are masks.
func masksOf(e data.Encoding, mask int64) []float32 {
	out := make([]float32, len(e.IDs))
	for i, id := range e.IDs {
		if id == mask && e.Words[i] >= 0 {
			out[i] = 1
		}
	}
	return out
}

// packed puts encodings, special tokens included, behind each other and cuts them into blocks, as Hugging Face's run_mlm.py
// does; the last block may be shorter.
func packed(encodings []data.Encoding, length int) []data.Encoding {
	var all data.Encoding
	word := 0
	for _, e := range encodings {
		all.IDs, all.TypeIDs = append(all.IDs, e.IDs...), append(all.TypeIDs, e.TypeIDs...)
		next := word
		for _, w := range e.Words {
			if w >= 0 {
				w += word
				next = max(next, w+1)
			}
			all.Words = append(all.Words, w)
		}
		word = next
	}
	var out []data.Encoding
	for at := 0; at < len(all.IDs); at += length {
		to := min(at+length, len(all.IDs))
		out = append(out, data.Encoding{IDs: all.IDs[at:to:to], TypeIDs: all.TypeIDs[at:to:to], Words: all.Words[at:to:to]})
	}
	return out
}

// A masking chooses what is to be guessed and hides it.
type masking struct {
	*MaskedLM
	mask, vocab int64
}

// draw takes words in a random order until the text's share is reached, passing over those that would exceed it, and hides 80 %
// of their tokens behind the mask and 10 % behind random ones: create_masked_lm_predictions of BERT's own program. One word at
// least is chosen; special tokens, and masks that the text itself has, never are.
func (m masking) draw(e data.Encoding, r *rand.Rand) data.Variation {
	v := data.Variation{IDs: slices.Clone(e.IDs), Targets: [][]int64{e.IDs}, Weights: make([]float32, len(e.IDs))}
	words, tokens := m.candidates(e)
	r.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
	room := max(1, int(math.Round(m.Probability*float64(tokens))))
	chosen := 0
	for _, word := range words {
		if chosen > 0 && chosen+len(word) > room {
			continue
		}
		chosen += len(word)
		for _, at := range word {
			v.Weights[at] = 1
			v.IDs[at] = m.hide(e.IDs[at], r)
		}
	}
	return v
}

// hide returns what stands in the place of a token that is to be guessed.
func (m masking) hide(id int64, r *rand.Rand) int64 {
	switch x := r.Float64(); {
	case x < 0.8:
		return m.mask
	case x < 0.9:
		return r.Int64N(m.vocab)
	}
	return id
}

// candidates returns the places of the tokens that may be chosen, in words or alone, and their number.
func (m masking) candidates(e data.Encoding) (words [][]int, tokens int) {
	last := -1
	for i, w := range e.Words {
		if w < 0 || e.IDs[i] == m.mask {
			last = -1
			continue
		}
		tokens++
		if m.WholeWord && w == last {
			words[len(words)-1] = append(words[len(words)-1], i)
		} else {
			words = append(words, []int{i})
		}
		last = w
	}
	return words, tokens
}

// Start is the logarithm of how often each token occurs, and once more: what a model that sees no context would answer.
func (*MaskedLM) Start(d *data.Dataset, _ []string) []float32 {
	var counts []float32
	for _, e := range d.Encodings {
		for _, id := range e.IDs {
			for int(id) >= len(counts) {
				counts = append(counts, 1)
			}
			counts[id]++
		}
	}
	for i, n := range counts {
		counts[i] = float32(math.Log(float64(n)))
	}
	return counts
}

// Loss is the cross entropy of the tokens that are to be guessed, as in Hugging Face's BertForMaskedLM.
func (*MaskedLM) Loss(l *Loss) *graph.Value {
	logits := l.Op("Reshape", l.Output, l.Ints(-1, int64(l.Outputs)))
	return l.weighted(l.crossEntropy(logits, l.Targets["token"], 1, 0))
}

// Reduce keeps, of a text that is judged, the negative log-likelihood of each token that was to be guessed and whether it was;
// of others the best tokens for each mask with their probabilities.
func (m *MaskedLM) Reduce(d *data.Dataset, encoding int, out []float32, width int) []float32 {
	var kept []float32
	for n, at := range d.Chosen(encoding) {
		logits := out[n*width : (n+1)*width]
		if d.Vary == nil {
			kept = append(kept, best(logits, m.TopK)...)
			continue
		}
		id, hit := d.Encodings[encoding].IDs[at], float32(0)
		if numeric.Argmax(logits) == int(id) {
			hit = 1
		}
		kept = append(kept, float32(logSumExp(logits)-float64(logits[id])), hit)
	}
	return kept
}

// best returns the indices of the k largest logits with their probabilities.
func best(logits []float32, k int) []float32 {
	order := make([]int, len(logits))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return descending(logits[a], logits[b]) })
	all := logSumExp(logits)
	var out []float32
	for _, id := range order[:min(k, len(order))] {
		out = append(out, float32(id), float32(math.Exp(float64(logits[id])-all)))
	}
	return out
}

func descending(a, b float32) int {
	switch {
	case a > b:
		return -1
	case a < b:
		return 1
	}
	return 0
}

// logSumExp is log Σ exp x.
func logSumExp(x []float32) float64 {
	most, sum := float64(x[numeric.Argmax(x)]), 0.0
	for _, v := range x {
		sum += math.Exp(float64(v) - most)
	}
	return most + math.Log(sum)
}

// Metrics are perplexity and the share of tokens that are guessed.
func (*MaskedLM) Metrics() []string { return []string{"perplexity", "accuracy"} }

// LowerIsBetter is so of the perplexity.
func (*MaskedLM) LowerIsBetter(metric string) bool { return metric == "perplexity" }

// Evaluate takes perplexity and accuracy over all tokens that were to be guessed.
func (*MaskedLM) Evaluate(r *Results) (Scores, error) {
	var nll []float64
	hits := 0.0
	for _, row := range r.Rows {
		for pair := range slices.Chunk(row, 2) {
			nll = append(nll, float64(pair[0]))
			hits += float64(pair[1])
		}
	}
	if len(nll) == 0 {
		return nil, errors.New("task: masked-lm: the texts have no word to be guessed: all are empty")
	}
	return Scores{"perplexity": metric.Perplexity(nll), "accuracy": hits / float64(len(nll))}, nil
}

// A FillAnswer is a text with its masks filled in.
type FillAnswer struct {
	Masks      []Fill `json:"masks"`
	Filled     string `json:"filled"` // each mask by its best token
	FilledPair string `json:"filled_pair,omitempty"`
}

// A Fill is one mask's tokens, the best first. Start and End are where the mask stands in its text, in code points.
type Fill struct {
	Start  int         `json:"start"`
	End    int         `json:"end"`
	Pair   bool        `json:"pair,omitempty"` // in the second text
	Tokens []FillToken `json:"tokens"`
}

// A FillToken is a token for a mask.
type FillToken struct {
	Token       string  `json:"token"`
	ID          int64   `json:"id"`
	Probability float64 `json:"probability"`
}

// Lines are each mask's tokens, and the text filled in.
func (a FillAnswer) Lines() []string {
	if len(a.Masks) == 0 {
		return []string{"(no [MASK] in the text)"}
	}
	var out []string
	for _, f := range a.Masks {
		var parts []string
		for _, t := range f.Tokens {
			parts = append(parts, fmt.Sprintf("%s %.4f", t.Token, t.Probability))
		}
		out = append(out, strings.Join(parts, ", "))
	}
	filled := a.Filled
	if a.FilledPair != "" {
		filled += " | " + a.FilledPair
	}
	return append(out, filled)
}

// Listed says that there may be several.
func (FillAnswer) Listed() {}

// Answer fills in the text's masks.
func (m *MaskedLM) Answer(r *Results, example int, windows []int) Answer {
	d, i := r.Data, windows[0]
	e, of := d.Encodings[i], d.Examples[example]
	a := FillAnswer{Masks: []Fill{}}
	places := d.Chosen(i)
	each := len(r.Rows[i]) / max(1, len(places))
	var texts [2][]Fill
	for n, at := range places {
		f := Fill{Start: e.Offsets[at][0], End: e.Offsets[at][1], Pair: e.Sequence[at] == 1}
		for t := range slices.Chunk(r.Rows[i][n*each:(n+1)*each], 2) {
			id := int64(t[0])
			f.Tokens = append(f.Tokens, FillToken{d.Tokenizer.Tokens([]int64{id})[0], id, float64(t[1])})
		}
		a.Masks = append(a.Masks, f)
		texts[e.Sequence[at]] = append(texts[e.Sequence[at]], f)
	}
	a.Filled, a.FilledPair = filled(of.Text, texts[0]), filled(of.Pair, texts[1])
	return a
}

// filled puts the best token into each mask's place; one that goes on with a word stands directly behind it.
func filled(text string, masks []Fill) string {
	points := []rune(text)
	var sb strings.Builder
	from := 0
	for _, f := range masks {
		before := string(points[from:f.Start])
		token, goesOn := strings.CutPrefix(f.Tokens[0].Token, "##")
		if goesOn {
			before = strings.TrimRight(before, " ")
		}
		sb.WriteString(before + token)
		from = f.End
	}
	return sb.String() + string(points[from:])
}

// Same compares the likeliest token of each place.
func (*MaskedLM) Same(a, b []float32, width int) bool {
	for at := 0; at+width <= len(a); at += width {
		if numeric.Argmax(a[at:at+width]) != numeric.Argmax(b[at:at+width]) {
			return false
		}
	}
	return true
}
