package inject

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/numeric"
)

func init() {
	register("prompt", "learned embeddings before the text (Lester et al. 2021)", func() Method {
		return &Prompt{Init: "vocab", Placement: defaultPlacement()}
	})
}

// Prompt is prompt tuning: num_virtual_tokens learned embeddings [num_virtual_tokens, hidden] stand before the text's. Names
// are Hugging Face PEFT's PromptTuningConfig.
type Prompt struct {
	Placement
	Init string `json:"prompt_tuning_init" flag:"init" usage:"start of the virtual tokens: random (normal, PEFT's default, far larger than BERT's embeddings), embedding-std (normal, as large as the embeddings), vocab (embeddings of random tokens), text (of --init-text) or uniform (within 0.5, AdapterHub's default)"`
	Text string `json:"prompt_tuning_init_text,omitempty" flag:"init-text" usage:"text whose tokens' embeddings the virtual tokens start from, with --init text"`
	IDs  []int  `json:"init_ids,omitempty" flag:"init-ids" usage:"the same as token ids, where there is no tokenizer"`
}

// A TextStarter is a method that can start from a text: whoever has the model's tokenizer asks for the text before injection
// and hands over its token ids, special tokens included.
type TextStarter interface {
	StartText() string // "" when there is nothing to tokenize
	StartFrom(ids []int)
}

// ChangesAtStart says why the outputs are not the base's before training.
func (*Prompt) ChangesAtStart() string { return promptChanges }

const promptChanges = "the text attends to the virtual tokens as soon as they are there"

// StartText returns the text that the first virtual tokens are to be taken from, or "".
func (x *Prompt) StartText() string {
	if x.Init != "text" || len(x.IDs) > 0 {
		return ""
	}
	return x.Text
}

// StartFrom gives the method the token ids of [Prompt.StartText].
func (x *Prompt) StartFrom(ids []int) { x.IDs = ids }

func (x *Prompt) validate() error {
	if !slices.Contains([]string{"random", "embedding-std", "vocab", "text", "uniform"}, x.Init) {
		return fmt.Errorf("--init %q: must be random, embedding-std, vocab, text or uniform", x.Init)
	}
	if x.Init == "text" && x.Text == "" && len(x.IDs) == 0 {
		return fmt.Errorf("--init text: needs --init-text, or --init-ids")
	}
	return x.Placement.validate()
}

// Inject puts the virtual tokens before the text.
func (x *Prompt) Inject(in *Injection) error {
	width, err := x.width(in)
	if err != nil {
		return err
	}
	how, start, err := x.start(in, width)
	if err != nil {
		return err
	}
	return in.last(func() error {
		p := in.Patch(virtualTarget)
		table := in.virtualTable(p, x, []parameter{{roleVirtual, []int64{int64(x.Tokens), int64(width)}, how, start}})
		return x.place(in, p, table)
	})
}

func (x *Prompt) table(_ *graph.Builder, param func(role string) *graph.Value) *graph.Value {
	return param(roleVirtual)
}

// start returns the first virtual tokens and what they are called.
func (x *Prompt) start(in *Injection, width int) (how string, table []float32, err error) {
	rng, n := in.Rand(roleVirtual), x.Tokens*width
	switch x.Init {
	case "random":
		return "normal(1)", numeric.Normal(rng, n, 1), nil
	case "uniform":
		return "uniform(0.5)", numeric.Uniform(rng, n, 0.5), nil
	}
	words, err := graph.Data[float32](in.Encoder.Embeddings.Word.Init())
	if err != nil {
		return "", nil, fmt.Errorf("word embeddings: %w", err)
	}
	switch x.Init {
	case "embedding-std":
		std := deviation(words)
		return fmt.Sprintf("normal(%.3g)", std), numeric.Normal(rng, n, std), nil
	case "vocab":
		return "vocab", rowsOf(words, width, sample(rng, x.Tokens, len(words)/width)), nil
	}
	if len(x.IDs) == 0 {
		return "", nil, fmt.Errorf("--init text: needs the model's tokenizer, or --init-ids")
	}
	ids := make([]int, x.Tokens)
	for i := range ids {
		if ids[i] = x.IDs[i%len(x.IDs)]; ids[i] < 0 || ids[i] >= len(words)/width {
			return "", nil, fmt.Errorf("--init-ids: token %d is outside the vocabulary of %d", ids[i], len(words)/width)
		}
	}
	return "text", rowsOf(words, width, ids), nil
}

// deviation is the standard deviation around zero.
func deviation(xs []float32) float64 {
	sum := 0.0
	for _, x := range xs {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum / float64(max(len(xs), 1)))
}

// sample draws n numbers below limit, distinct while they last.
func sample(rng *rand.Rand, n, limit int) []int {
	var out []int
	for len(out) < n {
		perm := rng.Perm(limit)
		out = append(out, perm[:min(n-len(out), limit)]...)
	}
	return out
}

func rowsOf(table []float32, width int, rows []int) []float32 {
	var out []float32
	for _, r := range rows {
		out = append(out, table[r*width:(r+1)*width]...)
	}
	return out
}
