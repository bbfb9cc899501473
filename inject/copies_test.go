package inject_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
)

// Full fine-tuning copies no bytes before it trains, and its export has the base's parameters by the base's names, with
// their new values.
func TestFullSharesBytesAndKeepsNames(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	g := f.Load(t)
	before := hashes(t, g)
	plan := injecttest.Into(t, g, inject.Options{Task: inject.Task{Type: "regression"}, Head: inject.HeadPooler}, &inject.Full{})
	for _, tr := range plan.Trainables {
		if tr.Method == "full" && g.Value(tr.Name).Init() != g.Value(tr.Base).Init() {
			t.Errorf("%q has bytes of its own", tr.Name)
		}
	}
	injecttest.Move(t, g, plan, 0.4)
	if unmerged, err := inject.Merge(g, plan); err != nil || len(unmerged) > 0 {
		t.Fatal(unmerged, err)
	}
	after := hashes(t, g)
	for _, tr := range plan.Trainables {
		if tr.Method == "full" && (after[tr.Base] == "" || after[tr.Base] == before[tr.Base]) {
			t.Errorf("%q is %q after training, was %q", tr.Base, after[tr.Base], before[tr.Base])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if before[name] == "" && !strings.HasPrefix(name, "peft/head/") {
			t.Errorf("%q is a name that the base hasn't", name)
		}
	}
}

// A pooler that the head doesn't read is left alone: nothing would train it.
func TestUnreadPoolerIsNotTrained(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	for _, m := range []func() inject.Method{
		func() inject.Method { return &inject.BitFit{} }, func() inject.Method { return &inject.Full{} },
		func() inject.Method { return loraOn(inject.AllLinear) },
	} {
		for head, want := range map[inject.HeadKind]bool{inject.HeadPooler: true, inject.HeadMean: false, inject.HeadCLS: false} {
			plan := injecttest.Into(t, f.Load(t), inject.Options{Task: inject.Task{Type: "regression"}, Head: head}, m())
			if got := slices.ContainsFunc(plan.Trainables, func(tr inject.Trainable) bool { return tr.Target == "pooler.dense" }); got != want {
				t.Errorf("%s, head %s: the pooler is trained: %v", plan.Methods[0].Name, head, got)
			}
		}
	}
}

func TestCopiesRefuse(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa") // two layers
	for _, c := range []struct {
		m    inject.Method
		want string
	}{
		{&inject.HeadOnly{}, "--task"},
		{&inject.Full{Layers: []int{2}}, "layers 0 to 1"},
	} {
		if _, err := inject.Inject(injecttest.Recognise(t, f.Load(t)), []inject.Method{c.m}, inject.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%T: got %v, want an error with %q", c.m, err, c.want)
		}
	}
	enc := injecttest.Recognise(t, f.Load(t))
	if _, err := inject.Inject(enc, []inject.Method{&inject.BitFit{}, &inject.BitFit{}}, inject.Options{}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("the same method again: %v", err)
	}
}

// Files of IR version 3 list every initializer among the inputs; a trained one becomes a constant of that name.
func TestCopiesOfOverridableInitializers(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	g := f.Load(t)
	inputs := len(g.Inputs())
	for _, v := range slices.Clone(g.Initializers()) {
		if _, err := g.AddInput(v.Name(), v.DType, v.Shape); err != nil {
			t.Fatal(err)
		}
	}
	plan := injecttest.Into(t, g, inject.Options{Task: inject.Task{Type: "regression"}, Head: inject.HeadPooler}, &inject.Full{})
	injecttest.Move(t, g, plan, 0.4)
	want := outputs(t, f, g, []string{plan.Logits})[plan.Logits]
	if _, err := inject.Merge(g, plan); err != nil {
		t.Fatal(err)
	}
	mustCheck(t, g)
	graphtest.Close(t, outputs(t, f, g, []string{plan.Logits})[plan.Logits], want, 0, 1e-12)
	for _, tr := range plan.Trainables {
		if tr.Method == "full" && g.Value(tr.Base).Const() == nil {
			t.Errorf("%q is no constant", tr.Base)
		}
	}
	if len(g.Inputs()) < inputs {
		t.Errorf("%d inputs, the text has %d", len(g.Inputs()), inputs)
	}
}
