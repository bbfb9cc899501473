package models

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
)

func TestSizesEqualTheCheckpoints(t *testing.T) {
	for _, f := range fixtures(t) {
		if !f.IsEncoder() {
			continue
		}
		t.Run(f.Name, func(t *testing.T) { checkSizes(t, recognise(t, f.g), f.Fixture, true) })
	}
}

func checkSizes(t *testing.T, e *Encoder, want *modelstest.Fixture, named bool) {
	t.Helper()
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"layers", len(e.Layers), want.Layers},
		{"hidden", e.Hidden, want.Hidden},
		{"heads", e.Heads, want.Heads},
		{"head size", e.HeadDim, want.Hidden / want.Heads},
		{"intermediate", e.Intermediate, want.Intermediate},
		{"vocabulary", e.Vocab, want.Vocab},
		{"positions", e.MaxPositions, want.MaxPositions},
		{"epsilon", float32(e.LayerNormEps), float32(want.Eps)},
		{"activation", e.Activation, activationOf(want.Activation)},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
	if named && e.Family != *want.Family {
		t.Errorf("family %q, want %q", e.Family, *want.Family)
	}
	// MPNet's configuration has token types that its model doesn't use.
	if want.TypeVocab > 0 && *want.Family != "mpnet" && e.TypeVocab != want.TypeVocab {
		t.Errorf("%d token types, want %d", e.TypeVocab, want.TypeVocab)
	}
}

// activationOf maps Hugging Face's names to those of functions: several implementations are one function.
func activationOf(name string) string {
	switch name {
	case "gelu_new", "gelu_fast", "gelu_pytorch_tanh":
		return "gelu_tanh"
	}
	return name
}

func TestModuleNamesAreHuggingFaces(t *testing.T) {
	for _, f := range fixtures(t) {
		if !f.IsEncoder() {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			e := recognise(t, f.g)
			var got, want []string
			for _, l := range e.Linears() {
				got = append(got, l.Name)
			}
			for _, l := range f.Linears {
				if l.Module == "pooler.dense" && e.Pooler == nil && len(f.g.Outputs()) == 1 {
					continue // the exporter left it out
				}
				want = append(want, strings.TrimPrefix(l.Module, e.Prefix))
			}
			if !slices.Equal(got, want) {
				t.Errorf("linear maps\n%q, want\n%q", got, want)
			}
		})
	}
}

// Where an exporter kept the names of parameters, they must be those of the module that the structure says they are.
func TestParametersBelongToTheirModules(t *testing.T) {
	checked := 0
	for _, f := range fixtures(t) {
		if !f.IsEncoder() || strings.Contains(f.Name, "fresh") {
			continue // fresh models share equal parameters
		}
		t.Run(f.Name, func(t *testing.T) {
			e := recognise(t, f.g)
			check := func(kind, parameter, module string) {
				if !strings.HasSuffix(parameter, "."+kind) {
					return
				}
				checked++
				if got := strings.TrimSuffix(parameter, "."+kind); got != module && !strings.HasSuffix(got, "."+module) {
					t.Errorf("%s has the %s %q", module, kind, parameter)
				}
			}
			for _, l := range e.Linears() {
				if l == e.Classifier && e.Task == MaskedLM {
					continue // its parameters have several names each: they are the embeddings' and the head's own
				}
				check("weight", l.Weight.Name(), l.Name)
				check("bias", l.Bias.Name(), l.Name)
			}
			for _, n := range e.Norms() {
				check("weight", n.Scale.Name(), n.Name)
				check("bias", n.Bias.Name(), n.Name)
			}
			if e.Task != MaskedLM { // there it may have the decoder's name
				check("weight", e.Embeddings.Word.Name(), "embeddings.word_embeddings")
			}
			if p := e.Embeddings.Position; p != nil {
				check("weight", p.Name(), "embeddings.position_embeddings")
			}
			if p := e.Embeddings.TokenType; p != nil {
				check("weight", p.Name(), "embeddings.token_type_embeddings")
			}
		})
	}
	if checked < 450 {
		t.Errorf("only %d named parameters were checked", checked)
	}
}

// Names are hints only, and shapes of intermediate values may be missing: without any the same parts must be found.
func TestScrambledNames(t *testing.T) {
	for _, f := range fixtures(t) {
		if !f.IsEncoder() {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			before := recognise(t, f.g)
			g := f.g.Clone()
			renamed := map[string]string{}
			values := g.Values()
			names := make([]string, len(values))
			for i, v := range values {
				names[i] = v.Name()
			}
			scramble(t, g, 1)
			for i, v := range values {
				renamed[names[i]] = v.Name()
			}
			after := recognise(t, g)
			checkSizes(t, after, f.Fixture, true)
			a, b := before.Linears(), after.Linears()
			if len(a) != len(b) {
				t.Fatalf("%d linear maps, %d before", len(b), len(a))
			}
			for i := range a {
				if b[i].Name != a[i].Name || b[i].Weight.Name() != renamed[a[i].Weight.Name()] || b[i].Output.Name() != renamed[a[i].Output.Name()] {
					t.Errorf("%s: not the same linear map without names", a[i].Name)
				}
			}
		})
	}
}

func TestInputsAreFoundByRole(t *testing.T) {
	for _, f := range fixtures(t) {
		if !f.IsEncoder() {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			e := recognise(t, f.g)
			if e.InputIDs.Name() != "input_ids" || e.AttentionMask.Name() != "attention_mask" {
				t.Errorf("ids %s, mask %s", e.InputIDs, e.AttentionMask)
			}
			if v := f.g.Value("token_type_ids"); v != e.TokenTypeIDs && (v == nil || v.IsInput()) {
				t.Errorf("token types %s, want %s", e.TokenTypeIDs, v)
			}
		})
	}
}

func TestRecogniseChangesNothing(t *testing.T) {
	f := loadFixture(t, "bert_torch2_legacy_op14_seqcls")
	before := f.g.String()
	recognise(t, f.g)
	if f.g.String() != before {
		t.Error("the graph was changed")
	}
}

func TestHeadOfATaskModel(t *testing.T) {
	e := recognise(t, loadFixture(t, "bert_torch2_legacy_op14_seqcls").g)
	if e.Task != SequenceClassification || e.Classifier.Out != 3 || e.Logits.Name() != "logits" || e.PoolerActivation != "tanh" {
		t.Errorf("task %q, %d classes, logits %s, pooler %q", e.Task, e.Classifier.Out, e.Logits, e.PoolerActivation)
	}
	if e.Classifier.Name != "classifier" || e.Prefix != "bert." {
		t.Errorf("classifier %q, prefix %q", e.Classifier.Name, e.Prefix)
	}
}

// The decoder of these files is the word embeddings' table, transposed by the exporter or read as it is.
func TestHeadOfAMaskedLanguageModel(t *testing.T) {
	found := 0
	for _, f := range fixtures(t) {
		if !strings.HasSuffix(f.Class, "ForMaskedLM") {
			continue
		}
		found++
		t.Run(f.Name, func(t *testing.T) {
			e := recognise(t, f.g)
			if e.Task != MaskedLM || e.Transform == nil || e.Logits.Name() != "logits" {
				t.Fatalf("task %q, transform %v, logits %s", e.Task, e.Transform, e.Logits)
			}
			if e.Transform.Activation != "gelu" || e.Transform.Dense.Out != e.Classifier.In || e.Classifier.Out != e.Vocab {
				t.Errorf("activation %q, from %d to %d to %d", e.Transform.Activation, e.Transform.Dense.In, e.Classifier.In, e.Classifier.Out)
			}
			if want := lmNorms[e.Family]; e.Transform.Norm.Name != want {
				t.Errorf("LayerNorm %q, want %q", e.Transform.Norm.Name, want)
			}
			if head := e.HeadLinears(); len(head) != 2 || head[0] != e.Transform.Dense || head[1] != e.Classifier {
				t.Errorf("the head's linear maps are %v", head)
			}
			if slices.Contains(e.Targets(), "decoder") || slices.Contains(e.Targets(), "vocab_transform") {
				t.Errorf("the head is no target: %q", e.Targets())
			}
		})
	}
	if found < 4 {
		t.Errorf("only %d files of masked language models", found)
	}
}

// lmNorms are the paths of the LayerNorm in Hugging Face's masked language models.
var lmNorms = map[string]string{
	"bert": "cls.predictions.transform.LayerNorm", "distilbert": "vocab_layer_norm", "roberta": "lm_head.layer_norm",
	"mpnet": "lm_head.layer_norm", "electra": "generator_predictions.LayerNorm",
}

// PyTorch 1.1 and 1.3, keras2onnx: opsets 10 and 11, flattened tokens, LayerNorm as TensorFlow writes it, span heads.
func TestOldExporters(t *testing.T) {
	want := map[string]struct {
		layers, hidden, heads, intermediate int
		mask                                string
		task                                Task
	}{
		"bert_squad_keras2onnx1.6_opset11.onnx": {24, 8, 2, 32, "attention_mask", QuestionAnswering},
		"bert_squad_torch1.3_opset10.onnx":      {12, 8, 2, 32, "input_mask", QuestionAnswering},
		"bert_squad_torch1.3_opset10_asis.onnx": {12, 8, 2, 32, "input_mask", QuestionAnswering},
		"bert_squad_torch1.3_opset11.onnx":      {12, 8, 2, 32, "input_mask", QuestionAnswering},
		"bert_toy_torch1.1_opset10.onnx":        {5, 32, 4, 37, "input_mask", SequenceClassification},
	}
	for _, file := range graphtest.Shared(t, "graphs/exported/*.onnx", "TestOldForms") {
		w, ok := want[filepath.Base(file)]
		if !ok {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			e := recognise(t, load(t, file))
			if len(e.Layers) != w.layers || e.Hidden != w.hidden || e.Heads != w.heads || e.Intermediate != w.intermediate {
				t.Errorf("%d layers, hidden %d, %d heads, intermediate %d", len(e.Layers), e.Hidden, e.Heads, e.Intermediate)
			}
			if e.Family != "bert" || e.Activation != "gelu" || e.AttentionMask.Name() != w.mask || e.Task != w.task {
				t.Errorf("%s, %s, mask %s, task %q", e.Family, e.Activation, e.AttentionMask, e.Task)
			}
			if strings.Contains(file, "asis") {
				return // concatenates scalars, as that exporter did and ONNX never allowed: nothing evaluates it
			}
			proveValues(t, e, oldFeeds(e), nil)
		})
	}
}

func TestFamiliesAreSorted(t *testing.T) {
	got := Families()
	if !slices.IsSorted(got) || !slices.Contains(got, "bert") || !slices.Contains(got, "roberta") || !slices.Contains(got, "distilbert") {
		t.Errorf("%q", got)
	}
}
