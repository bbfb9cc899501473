package folder

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train/task"
)

// vocab is the size of ../data/testdata/tokenizer/vocab-uncased.txt.
const vocab = 973

func tiny(t *testing.T, family string) *graph.Graph {
	t.Helper()
	c := models.BERTBase()
	c.Family, c.Hidden, c.Layers, c.Heads, c.Intermediate, c.Vocab, c.MaxPositions = family, 16, 2, 2, 24, vocab, 40
	if family == "distilbert" {
		c.TypeVocab = 0
	}
	g, err := models.BuildRandom(c, 7, models.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// deployed is a trained model that is ready to be exported.
func deployed(t *testing.T, g *graph.Graph, of inject.Task) (*graph.Graph, *inject.Plan) {
	t.Helper()
	plan := injecttest.Into(t, g, inject.Options{Task: of, Seed: 3}, injecttest.New(t, "lora", map[string]string{"init": "random"}))
	injecttest.Move(t, g, plan, 0.3)
	if _, err := inject.Merge(g, plan); err != nil {
		t.Fatal(err)
	}
	g.SetOutputs(plan.Outputs(g)...)
	g.RemoveMeta(inject.MetadataKey)
	g.Prune()
	return g, plan
}

// taskNamed is a registered task with three labels, or with none where it has no names for its outputs.
func taskNamed(t *testing.T, name string) inject.Task {
	t.Helper()
	of, err := task.New(name)
	if err != nil {
		t.Fatal(err)
	}
	labels := []string{"one", "two", "three"}
	if none, err := of.Labels(nil, nil); none == nil && err == nil {
		labels = nil
	}
	out, err := task.ForInjection(of, labels)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// run evaluates outputs for made-up texts, the second of which is shorter.
func run(t *testing.T, g *graph.Graph, in models.Inputs, fetches ...string) []*graph.Tensor {
	t.Helper()
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
	p, err := refeval.New(g)
	if err != nil {
		t.Fatal(err)
	}
	dims := []int64{2, 5}
	feeds := map[string]*graph.Tensor{}
	for name, ids := range map[string][]int64{
		in.IDs: {2, 11, 300, 12, 3, 2, 77, 3, 0, 0}, in.Mask: {1, 1, 1, 1, 1, 1, 1, 1, 0, 0}, in.TokenType: {0, 0, 0, 1, 1, 0, 0, 0, 0, 0},
	} {
		if name == "" {
			continue
		}
		if feeds[name] = graph.TensorOf(dims, ids); g.Value(name).DType == graph.Int32 {
			narrow := make([]int32, len(ids))
			for i, v := range ids {
				narrow[i] = int32(v)
			}
			feeds[name] = graph.TensorOf(dims, narrow)
		}
	}
	out, err := p.Run(context.Background(), feeds, fetches)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func names(vs []*graph.Value) (out []string) {
	for _, v := range vs {
		out = append(out, v.Name())
	}
	return out
}

// Every task's model has Optimum's names, and computes what it did.
func TestStandardKeepsTheNumbers(t *testing.T) {
	for _, name := range task.Names() {
		for _, family := range []string{"bert", "distilbert", "roberta"} {
			t.Run(name+"/"+family, func(t *testing.T) {
				of := taskNamed(t, name)
				g, plan := deployed(t, tiny(t, family), of)
				info := plan.Encoder
				for _, in := range []*string{&info.Inputs.IDs, &info.Inputs.Mask, &info.Inputs.TokenType} {
					if *in == "" {
						continue
					}
					if err := g.Rename(g.Value(*in), "other/"+*in); err != nil {
						t.Fatal(err)
					}
					*in = "other/" + *in
				}
				want := run(t, g, info.Inputs, plan.Logits)[0]
				info, after, err := Standard(g, info, of, plan.Logits)
				if err != nil {
					t.Fatal(err)
				}
				if info.Inputs != plan.Encoder.Inputs {
					t.Errorf("inputs %+v", info.Inputs)
				}
				f := &Folder{Graph: g, Task: after}
				if err := f.output(); err != nil {
					t.Fatalf("outputs %q: %v", names(g.Outputs()), err)
				}
				graphtest.Close(t, run(t, g, info.Inputs, f.Output)[0], want, 0, 0)
			})
		}
	}
}

// The two scores of question answering are two outputs [batch, tokens], and one again for predictions.
func TestStandardSplitsSpans(t *testing.T) {
	of := inject.Task{Type: "classification", Kind: models.QuestionAnswering, Width: 2} // any registered type: the kind decides
	g, plan := deployed(t, tiny(t, "bert"), of)
	both := run(t, g, plan.Encoder.Inputs, plan.Logits)[0]
	info, _, err := Standard(g, plan.Encoder, of, plan.Logits)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(g.Outputs()); !slices.Equal(got, []string{"start_logits", "end_logits"}) {
		t.Fatalf("outputs %q", got)
	}
	for _, v := range g.Outputs() {
		if len(v.Shape) != 2 || v.DType != graph.Float {
			t.Errorf("%s is not [batch, tokens] of floats", v)
		}
	}
	parts := run(t, g, info.Inputs, startLogits, endLogits)
	all, err := both.Float64s()
	if err != nil {
		t.Fatal(err)
	}
	for k, part := range parts {
		got, err := part.Float64s()
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range got {
			if x != all[2*i+k] {
				t.Fatalf("%s[%d] is %v, want %v", []string{startLogits, endLogits}[k], i, x, all[2*i+k])
			}
		}
	}
	name, err := join(g)
	if err != nil {
		t.Fatal(err)
	}
	graphtest.Close(t, run(t, g, info.Inputs, name)[0], both, 0, 0)
}

// A fitted temperature goes into the graph, once.
func TestStandardDividesByTheTemperature(t *testing.T) {
	for settings, by := range map[string]float64{`{"temperature":0.5,"label_smoothing":0.1}`: 0.5, `{"label_smoothing":0.1}`: 1, `{"temperature":1}`: 1} {
		of := inject.Task{Type: "classification", Labels: []string{"a", "b"}, Settings: json.RawMessage(settings)}
		g, plan := deployed(t, tiny(t, "bert"), of)
		cold, err := run(t, g, plan.Encoder.Inputs, plan.Logits)[0].Float64s()
		if err != nil {
			t.Fatal(err)
		}
		nodes := len(g.Nodes())
		_, after, err := Standard(g, plan.Encoder, of, plan.Logits)
		if err != nil {
			t.Fatal(err)
		}
		warm, err := run(t, g, plan.Encoder.Inputs, "logits")[0].Float64s()
		if err != nil {
			t.Fatal(err)
		}
		for i := range warm {
			if warm[i] != cold[i]/by {
				t.Errorf("%s: logit %v, want %v", settings, warm[i], cold[i]/by)
			}
		}
		if by == 1 {
			if len(g.Nodes()) != nodes || string(after.Settings) != settings {
				t.Errorf("%s: the graph or the settings changed: %s", settings, after.Settings)
			}
			continue
		}
		if string(after.Settings) != `{"label_smoothing":0.1}` {
			t.Errorf("settings %s", after.Settings)
		}
		stored, ok, err := ReadTask(g)
		if !ok || err != nil || string(stored.Settings) != string(after.Settings) {
			t.Errorf("stored %+v, %v", stored, err)
		}
	}
}

// Programs feed int64: narrower inputs are computed from such ones.
func TestStandardWidensInputs(t *testing.T) {
	of := taskNamed(t, "regression")
	g, plan := deployed(t, tiny(t, "bert"), of)
	for _, v := range g.Inputs() {
		v.DType = graph.Int32
	}
	want := run(t, g, plan.Encoder.Inputs, plan.Logits)[0]
	info, _, err := Standard(g, plan.Encoder, of, plan.Logits)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range g.Inputs() {
		if v.DType != graph.Int64 {
			t.Errorf("%s stays", v)
		}
	}
	graphtest.Close(t, run(t, g, info.Inputs, "logits")[0], want, 0, 0)
}

// An embedding keeps the hidden states beside it, since sentence-transformers pools them itself.
func TestStandardNamesHiddenStates(t *testing.T) {
	of := inject.Task{Type: "classification", Kind: models.FeatureExtraction, Normalize: true} // any registered type: the kind decides
	g, plan := deployed(t, tiny(t, "bert"), of)
	for _, v := range g.Outputs() {
		if err := g.Rename(v, "x/"+v.Name()); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := Standard(g, plan.Encoder, of, "x/"+plan.Logits); err != nil {
		t.Fatal(err)
	}
	if got := names(g.Outputs()); !slices.Equal(got, []string{"last_hidden_state", "sentence_embedding"}) {
		t.Errorf("outputs %q", got)
	}
}

// What can't have the names is refused, by name; a value inside the graph gives its own up.
func TestStandardRefuses(t *testing.T) {
	of := taskNamed(t, "regression")
	for _, c := range []struct {
		name, want string
		change     func(g *graph.Graph, info *models.Info)
	}{
		{"no such input", `no input "nobody"`, func(_ *graph.Graph, info *models.Info) { info.Inputs.Mask = "nobody" }},
		{"swapped inputs", `another input or output has the name`, func(_ *graph.Graph, info *models.Info) {
			info.Inputs.Mask, info.Inputs.TokenType = info.Inputs.TokenType, info.Inputs.Mask
		}},
		{"taken inside", "", func(g *graph.Graph, info *models.Info) {
			info.Inputs.Mask = "m"
			if err := g.Rename(g.Value("attention_mask"), "m"); err != nil {
				t.Fatal(err)
			}
			if err := g.Rename(g.Nodes()[0].Output(0), "attention_mask"); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		g, plan := deployed(t, tiny(t, "bert"), of)
		info := plan.Encoder
		c.change(g, &info)
		_, _, err := Standard(g, info, of, plan.Logits)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	g, plan := deployed(t, tiny(t, "bert"), of)
	if _, _, err := Standard(g, plan.Encoder, of, "nothing"); err == nil {
		t.Error("an output that isn't there was taken")
	}
}
