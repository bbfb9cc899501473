package format

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What one library wrote is converted for the other, heads included, or refused with the reason. What was written gives the
// same outputs when it comes back; the libraries themselves load it in testdata/check_peft.py and check_adapterhub.py.
func TestConversions(t *testing.T) {
	for _, c := range []struct{ to, fixture, refusal string }{
		{HFPEFT, "adapterhub/lora", ""},
		{HFPEFT, "adapterhub/lora_everywhere", ""},
		{HFPEFT, "adapterhub/ia3", ""},
		{HFPEFT, "adapterhub/seq_bn", `"adapter" has no PEFT counterpart`},
		{HFPEFT, "adapterhub/prefix", "--layout adapterhub"},
		{HFPEFT, "adapterhub/prefix_flat", "--layout adapterhub"},
		{HFPEFT, "adapterhub/prompt", "--layout adapterhub"},
		{HFPEFT, "adapterhub/prompt_bos", "--layout adapterhub"},
		{HFPEFT, "families/distilbert_hub_lora", ""},
		{HFPEFT, "families/distilbert_hub_ia3", ""},
		{HFPEFT, "families/roberta_hub_lora", ""},
		{HFPEFT, "families/roberta_hub_ia3", ""},

		{AdapterHub, "lora_seqcls", ""},
		{AdapterHub, "lora_encoder", ""},
		{AdapterHub, "lora_layers", ""},
		{AdapterHub, "ia3_outputs", ""},
		{AdapterHub, "families/distilbert_peft_lora", ""},
		{AdapterHub, "families/roberta_peft_lora", ""},
		{AdapterHub, "lora_pooler_saved", `weight of "pooler.dense"`},
		{AdapterHub, "lora_patterns", "has one"},
		{AdapterHub, "lora_bias_all", "biases"},
		{AdapterHub, "lora_b_bias", "biases"},
		{AdapterHub, "lora_all_linear", "attention.output.dense"},
		{AdapterHub, "lora_embedding", "word_embeddings"},
		{AdapterHub, "dora", "--dora"},
		{AdapterHub, "ia3", "--feedforward"},
		{AdapterHub, "prefix", "--layout peft"},
		{AdapterHub, "prompt", "--layout peft"},
		{AdapterHub, "p_tuning", "p-tuning"},
	} {
		t.Run(c.to+"/"+c.fixture, func(t *testing.T) { fixtureOf(t, c.fixture).convert(t, c.to, c.refusal) })
	}
}

func (f *fixture) convert(t *testing.T, to, refusal string) {
	t.Helper()
	g, plan := f.load(t, f.dir)
	values, err := plan.Values(g)
	if err != nil {
		t.Fatal(err)
	}
	dir := written(t, to, "converted_"+filepath.Base(f.dir))
	if refusal != "" {
		if err := Save(formats[to], t.TempDir(), plan, values); err == nil || !strings.Contains(err.Error(), refusal) {
			t.Errorf("got %v, want an error with %q", err, refusal)
		}
		return
	}
	if err := Save(formats[to], dir, plan, values); err != nil {
		t.Fatal(err)
	}
	f.writeExpected(t, dir, f.With)
	a, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if a.Format != to || !slices.Equal(a.Task.Labels, plan.Task.Labels) || a.Task.Type != "" && a.Head != plan.Head.Kind {
		t.Errorf("%s with the labels %q on %s", a.Format, a.Task.Labels, a.Head)
	}
	remove(t, filepath.Join(dir, PlanFile)) // the library's own files must do
	again, _ := f.load(t, dir)
	if d := f.differ(t, again, f.With); !(d <= parity) {
		t.Errorf("after conversion outputs differ from PyTorch's by %.1e", d)
	}
}
