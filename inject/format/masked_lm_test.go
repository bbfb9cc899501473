package format

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/models"
)

// A masked language model's head of AdapterHub's gives its outputs here, decoder tied to our own embeddings, and is written
// again as it was.
func TestAdapterHubMaskedLM(t *testing.T) {
	f := fixtureOf(t, "adapterhub/masked_lm")
	g, plan := f.load(t, f.dir)
	if plan.Head.Kind != inject.HeadLM || plan.Task.Type != "masked-lm" || plan.Task.Outputs() != plan.Encoder.Vocab {
		t.Fatalf("head %q, task %+v", plan.Head.Kind, plan.Task)
	}
	if d := f.differ(t, g, f.With); !(d <= parity) {
		t.Errorf("outputs differ from PyTorch's by %.1e", d)
	}
	if bias := plan.Encoder.Vocab; plan.Parameters() != f.Trainable+bias { // AdapterHub freezes the decoder's bias with its weight
		t.Errorf("%d trainable parameters; AdapterHub has %d", plan.Parameters(), f.Trainable)
	}
	f.sameHub(t, g, plan)
	for key, value := range map[string]string{"layers": "1", "activation_function": `"relu"`, "layer_norm": "false", "bias": "false", "shift_labels": "true"} {
		dir := copyFolder(t, "adapterhub/masked_lm")
		setHub(t, filepath.Join(dir, hubHeadConfigFile), key, value)
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "a masked_lm head is supported with layers 2") {
			t.Errorf("%s %s: %v", key, value, err)
		}
	}
}

// lmFixture is what PEFT made of a masked language model of models/testdata.
type lmFixture struct {
	Base      string
	Trainable int
	Inputs    map[string]modelstest.Array
	With      modelstest.Array
}

// What PEFT trained on AutoModelForMaskedLM gives PEFT's logits on the file that was exported with that head, and is written
// again under PEFT's keys.
func TestPEFTMaskedLM(t *testing.T) {
	const dir = "testdata/masked_lm"
	var f lmFixture
	text, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	a, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if a.Task.Type != "" {
		t.Errorf("PEFT has no task type for it, and the adapter's is %q", a.Task.Type)
	}
	a.Task = inject.Task{Type: "masked-lm", Kind: models.MaskedLM}
	g := modelstest.Encoder(t, f.Base).Load(t)
	plan := injecttest.Into(t, g, inject.Options{Task: a.Task, Head: a.Head}, a.Methods...)
	values, err := a.Bind(plan)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.SetValues(g, values); err != nil {
		t.Fatal(err)
	}
	if plan.Head.Kind != inject.HeadOwnLM || plan.Parameters() != f.Trainable {
		t.Errorf("head %q, %d parameters, PEFT's are %d", plan.Head.Kind, plan.Parameters(), f.Trainable)
	}
	if d := f.With.Distance(t, modelstest.Evaluate(t, g, f.Inputs, plan.Logits)[0]); !(d <= parity) {
		t.Errorf("logits differ from PEFT's by %.1e", d)
	}
	out := written(t, HFPEFT, "masked_lm")
	if err := Save(formats[HFPEFT], out, plan, values); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(out, "expected.json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	again, err := Load(out)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := slices.Sorted(maps.Keys(again.Tensors)), slices.Sorted(maps.Keys(a.Tensors)); !slices.Equal(got, want) {
		t.Errorf("keys %q, PEFT's are %q", got, want)
	}
	var c map[string]any
	if text, err = os.ReadFile(filepath.Join(out, hfConfigFile)); err != nil || json.Unmarshal(text, &c) != nil || c["task_type"] != nil || !PEFTReadsHead(plan) {
		t.Errorf("task_type %v, %v", c["task_type"], err)
	}
}

// A head that is new or tuned travels in a PEFT folder of the bare encoder, also where the plan beside it is lost.
func TestPEFTFolderOfALanguageModelsHead(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_mlm")
	for _, kind := range []inject.HeadKind{inject.HeadLM, inject.HeadTunedLM, inject.HeadOwnLM} {
		t.Run(string(kind), func(t *testing.T) {
			g := f.Load(t)
			opt := inject.Options{Task: inject.Task{Type: "masked-lm", Kind: models.MaskedLM}, Head: kind}
			plan := injecttest.Into(t, g, opt, injecttest.New(t, "lora", nil))
			injecttest.Move(t, g, plan, 0.3)
			values, err := plan.Values(g)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := Save(formats[HFPEFT], dir, plan, values); err != nil {
				t.Fatal(err)
			}
			remove(t, filepath.Join(dir, PlanFile))
			a, err := Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			if a.Head != kind || a.Task.Type != "masked-lm" || a.Task.Kind != models.MaskedLM {
				t.Fatalf("head %q, task %+v", a.Head, a.Task)
			}
			h := f.Load(t)
			back := injecttest.Into(t, h, inject.Options{Task: a.Task, Head: a.Head}, a.Methods...)
			bound, err := a.Bind(back)
			if err != nil {
				t.Fatal(err)
			}
			if err := back.SetValues(h, bound); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(logitsOf(t, h, f, back), logitsOf(t, g, f, plan)) {
				t.Error("the logits are others")
			}
			err = Save(formats[AdapterHub], t.TempDir(), plan, values)
			if kind == inject.HeadLM && err != nil || kind != inject.HeadLM && (err == nil || !strings.Contains(err.Error(), "AdapterHub has no head for the task")) {
				t.Errorf("AdapterHub: %v", err)
			}
		})
	}
}

func logitsOf(t *testing.T, g *graph.Graph, f *modelstest.Fixture, plan *inject.Plan) []float64 {
	t.Helper()
	p, err := refeval.New(g)
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Run(context.Background(), f.Feeds(g, 0), []string{plan.Logits})
	if err != nil {
		t.Fatal(err)
	}
	x, err := out[0].Float64s()
	if err != nil {
		t.Fatal(err)
	}
	return x
}
