package format

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
)

var tagger = inject.Task{Type: "token-classification", Kind: models.TokenClassification, Labels: []string{"O", "B-PER", "I-PER", "B-LOC", "I-LOC"}}

// Adapters of taggers that start here, in the folders of PEFT and of AdapterHub; testdata/check_tokens.py has both libraries
// load what this writes.
func TestTaggersWritten(t *testing.T) {
	lora := func(modules string) *inject.LoRA {
		return &inject.LoRA{R: 2, Alpha: 5, Bias: "none", Init: "default", Targets: inject.Targets{Modules: inject.ParseNames(modules)}}
	}
	place := inject.Placement{Tokens: 3, Layout: inject.LayoutPEFT, Combine: inject.CombinePrefix, Pool: inject.PoolFirst}
	both := []string{HFPEFT, AdapterHub}
	bottleneck, err := inject.New("adapter")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		base, name string
		head       inject.HeadKind
		method     inject.Method
		formats    []string
	}{
		{"bert_token", "bert_existing", inject.HeadTokens, lora("query,value"), both},
		{"bert", "bert_all_linear", inject.HeadTokens, lora("all-linear"), both[:1]},
		{"bert", "bert_ia3", inject.HeadTokens, &inject.IA3{Init: true}, both[:1]},
		{"bert", "bert_prompt", inject.HeadTokens, &inject.Prompt{Placement: place, Init: "vocab"}, both[:1]},
		{"roberta", "roberta", inject.HeadTokens, lora("query,value"), both},
		{"distilbert", "distilbert", inject.HeadTokens, lora("q_lin"), both},
		{"bert", "bert_bottleneck", inject.HeadTokens, bottleneck, both[1:]},
	} {
		for _, to := range c.formats {
			t.Run(to+"/"+c.name, func(t *testing.T) {
				f := fixtureOf(t, "families/bert_peft_tokens_lora")
				f.Base = c.base
				if !strings.HasPrefix(c.base, "bert") {
					delete(f.Inputs, "token_type_ids")
				}
				f.tagger(t, to, c.name, c.head, c.method)
			})
		}
	}
}

// tagger writes an adapter with moved parameters, and reads it as another program's: without the plan beside it.
func (f *fixture) tagger(t *testing.T, to, name string, head inject.HeadKind, m inject.Method) {
	t.Helper()
	enc := f.encoder(t)
	plan, err := inject.Inject(enc, []inject.Method{m}, inject.Options{Task: tagger, Head: head, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	move(t, enc.Graph, plan)
	values, err := plan.Values(enc.Graph)
	if err != nil {
		t.Fatal(err)
	}
	want := f.outputs(t, enc.Graph)
	for out := range want {
		if out != plan.Logits {
			delete(want, out)
		}
	}
	f.dir = written(t, to, "tokens_"+name)
	if err := Save(formats[to], f.dir, plan, values); err != nil {
		t.Fatal(err)
	}
	f.writeExpected(t, f.dir, want)
	if config, err := readConfig(filepath.Join(f.dir, hfConfigFile)); err != nil || strings.Contains(string(config["target_modules"]), inject.AllLinear) {
		t.Errorf("target_modules %s, which PEFT takes to mean the classifier too: %v", config["target_modules"], err)
	}
	a, err := formats[to].Load(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	labels := a.Task.Labels
	if a.Task.Type != tagger.Type || a.Task.Kind != tagger.Kind || a.Head != inject.HeadTokens || to == AdapterHub && !slices.Equal(labels, tagger.Labels) || len(labels) != 5 {
		t.Errorf("read as %+v with the head %s", a.Task, a.Head)
	}
	again := f.encoder(t)
	loaded, err := put(again, a, inject.Options{Task: a.Task, Head: a.Head})
	if err != nil {
		t.Fatal(err)
	}
	if d := f.differ(t, again.Graph, want); !(d <= 1e-6) {
		t.Errorf("loaded again, outputs differ by %.1e", d)
	}
	if _, err := inject.Merge(again.Graph, loaded); err != nil {
		t.Fatal(err)
	}
	if d := f.differ(t, again.Graph, want); !(d <= 1e-5) {
		t.Errorf("merged, outputs differ by %.1e", d)
	}
}

// What of a tagger can't be read is refused by the libraries' names for it.
func TestTaggersRefused(t *testing.T) {
	hub, peft := "families/bert_hub_tokens_seq_bn", "families/bert_peft_tokens_lora"
	for _, c := range []struct{ fixture, key, value, want string }{
		{hub, "layers", "2", "layers is 2: a tagging head of 1"},
		{hub, "num_labels", "0", "num_labels is 0"},
		{hub, "num_labels", "4", `label2id: "I-LOC" is class 4 of 4`},
		{hub, "bias", "false", "bias is false"},
		{hub, "label2id", `{"O": -1}`, "label2id"},
		{peft, "task_type", `"QUESTION_TYPE"`, "supported are FEATURE_EXTRACTION, QUESTION_ANS, SEQ_CLS, TOKEN_CLS"},
		{peft, "", "", `"base_model.model.classifier.weight" is missing`},
	} {
		dir := copyFolder(t, c.fixture)
		switch {
		case c.fixture == hub:
			setHub(t, filepath.Join(dir, hubHeadConfigFile), c.key, c.value)
		case c.key != "":
			editConfig(t, dir, func(config map[string]json.RawMessage) { config[c.key] = json.RawMessage(c.value) })
		default:
			edit(t, filepath.Join(dir, hfTensorFile), func(b []byte) []byte {
				return []byte(strings.Replace(string(b), "model.classifier.weight", "model.classifies.weight", 1))
			})
		}
		if _, _, err := fixtureOf(t, c.fixture).onto(t, dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s=%s: got %v, want an error with %q", c.fixture, c.key, c.value, err, c.want)
		}
	}
	if got := fmt.Sprint(hfTaskTypes()); !strings.Contains(got, "TOKEN_CLS") {
		t.Error(got)
	}
}
