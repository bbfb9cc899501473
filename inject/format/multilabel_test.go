package format

import (
	"slices"
	"testing"

	"github.com/peftgraph/peftgraph/inject"
)

var threeTopics = inject.Task{Type: "multi-label", Labels: []string{"a", "b", "c"}}

// To PEFT a classifier of several labels is a sequence classifier like another; that a text may have several of them is in the
// tensor file's metadata, which it passes over.
func TestWrittenPEFTMultiLabel(t *testing.T) {
	for _, c := range []struct {
		name, base string
		head       inject.HeadKind
		task       inject.Task
	}{
		{"multilabel", "seqcls.onnx", inject.HeadPooler, threeTopics},
		{"multilabel_mean", "encoder.onnx", inject.HeadMean, threeTopics},
		{"multilabel_one", "encoder.onnx", inject.HeadCLS, inject.Task{Type: "multi-label", Labels: []string{"toxic"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := fixtureOf(t, "lora_seqcls")
			f.Base = c.base
			m := &inject.LoRA{R: 2, Alpha: 5, Bias: "none", Init: "default", Targets: inject.Targets{Modules: inject.ParseNames("query")}}
			_, plan, _ := f.rewritten(t, c.name, m, inject.Options{Task: c.task, Head: c.head})
			if want := numberedLabels(c.task.Outputs()); plan.Task.Type != "multi-label" || !slices.Equal(plan.Task.Labels, want) {
				t.Errorf("the task is read as %+v", plan.Task)
			}
		})
	}
}

// A folder that PEFT wrote doesn't say whether its labels exclude each other: put on a base as either task it computes PEFT's logits.
func TestPEFTsClassifierAsMultiLabel(t *testing.T) {
	f := fixtureOf(t, "lora_seqcls")
	a, err := Load(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	if a.Task.Type != "classification" {
		t.Errorf("it is read as %q", a.Task.Type)
	}
	enc := f.encoder(t)
	if _, err := put(enc, a, inject.Options{Task: threeTopics, Head: a.Head}); err != nil {
		t.Fatal(err)
	}
	if d := f.differ(t, enc.Graph, f.With); !(d <= parity) {
		t.Errorf("logits differ from PyTorch's by %.1e", d)
	}
}

// AdapterHub has a head for it.
func TestHubMultiLabel(t *testing.T) {
	f := fixtureOf(t, "adapterhub/seq_bn_multilabel")
	a, err := Load(f.dir)
	if err != nil || a.Task.Type != "multi-label" || !slices.Equal(a.Task.Labels, []string{"negative", "neutral", "positive"}) {
		t.Errorf("%+v, %v", a, err)
	}
	p := &inject.Plan{Task: inject.Task{Type: "made-up"}, Head: inject.Head{Kind: inject.HeadCLS}}
	if h, err := hubClassifier(p); err == nil {
		t.Errorf("a task that AdapterHub doesn't know: %+v", h)
	}
	p.Task = inject.Task{Type: "multi-label", Labels: []string{"toxic"}}
	h, err := hubClassifier(p)
	if err != nil {
		t.Fatal(err)
	}
	if back, kind, err := h.task(); err != nil || back.Type != "multi-label" || back.Outputs() != 1 || kind != inject.HeadCLS {
		t.Errorf("one label: %+v is read as %+v on %s, %v", h, back, kind, err)
	}
}
