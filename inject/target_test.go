package inject

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/models"
)

// bertModules are the linear maps of a two-layer BertForSequenceClassification.
func bertModules() []string {
	var out []string
	for l := range 2 {
		for _, m := range []string{"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "intermediate.dense", "output.dense"} {
			out = append(out, fmt.Sprintf("bert.encoder.layer.%d.%s", l, m))
		}
	}
	return append(out, "bert.pooler.dense")
}

// TestTargetsEqualPEFT compares with the modules, ranks and scales that Hugging Face PEFT chose for the same settings.
func TestTargetsEqualPEFT(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("format", "testdata", "targets.json"))
	if err != nil {
		t.Fatal(err)
	}
	var fixture struct {
		Rows []struct {
			Config  json.RawMessage
			Modules []struct {
				Module  string
				R       int
				Scaling float64
			}
		}
	}
	if err := json.Unmarshal(data, &fixture); err != nil {
		t.Fatal(err)
	}
	if len(fixture.Rows) < 20 {
		t.Fatalf("%d rows in the fixture", len(fixture.Rows))
	}
	for _, row := range fixture.Rows {
		t.Run(string(row.Config), func(t *testing.T) {
			l, saved := peftLoRA(t, row.Config)
			chosen, err := l.Choose(bertModules(), append(saved, headModules...))
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, m := range row.Modules {
				want = append(want, m.Module)
				r, err := l.RankPattern.lookup(m.Module, float64(l.R))
				if err != nil || int(r) != m.R {
					t.Errorf("%s: rank %v, %v; PEFT has %d", m.Module, r, err, m.R)
				}
				s, err := l.scale(m.Module)
				if err != nil || math.Abs(s-m.Scaling) > 1e-12 {
					t.Errorf("%s: scale %v, %v; PEFT has %v", m.Module, s, err, m.Scaling)
				}
			}
			slices.Sort(want)
			slices.Sort(chosen)
			if !slices.Equal(chosen, want) {
				t.Errorf("chose %v\nPEFT chose %v", chosen, want)
			}
		})
	}
}

// peftLoRA reads the settings as PEFT takes them: layers may be one number, and no targets are the model type's default.
func peftLoRA(t *testing.T, config []byte) (*LoRA, []string) {
	t.Helper()
	var raw map[string]any
	if err := json.Unmarshal(config, &raw); err != nil {
		t.Fatal(err)
	}
	if n, ok := raw["layers_to_transform"].(float64); ok {
		raw["layers_to_transform"] = []float64{n}
	}
	if raw["target_modules"] == nil {
		delete(raw, "target_modules")
	}
	fixed, err := json.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	m, err := New("lora")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(fixed, m); err != nil {
		t.Fatal(err)
	}
	var saved struct {
		Modules []string `json:"modules_to_save"`
	}
	if err := json.Unmarshal(fixed, &saved); err != nil {
		t.Fatal(err)
	}
	return m.(*LoRA), saved.Modules
}

func TestUnknownTargetListsTheKnown(t *testing.T) {
	_, err := Targets{Modules: ParseNames("query,valeu")}.Choose(bertModules(), nil)
	var unknown *UnknownTargetError
	if !errors.As(err, &unknown) || !strings.Contains(err.Error(), `"valeu"`) {
		t.Fatalf("got %v", err)
	}
	for _, known := range []string{"query", "value", "intermediate.dense", "pooler.dense", AllLinear} {
		if !strings.Contains(unknown.Hint(), known) {
			t.Errorf("the hint %q does not name %q", unknown.Hint(), known)
		}
	}
	if _, err := (Targets{Modules: ParseNames("re:(?=query)")}).Choose(bertModules(), nil); err == nil || !strings.Contains(err.Error(), "look-ahead") {
		t.Errorf("a pattern that Go can't compile: %v", err)
	}
}

func TestModuleNamesRoundTrip(t *testing.T) {
	for _, text := range []string{"query,value", "all-linear", `re:.*\.query`} {
		n := ParseNames(text)
		if n.String() != text {
			t.Errorf("%q became %q", text, n)
		}
		data, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		var back ModuleNames
		if err := json.Unmarshal(data, &back); err != nil || back.String() != text {
			t.Errorf("%q became %q through %s: %v", text, back, data, err)
		}
	}
}

func TestSettingsFromFlags(t *testing.T) {
	m, err := New("lora")
	if err != nil {
		t.Fatal(err)
	}
	for flag, text := range map[string]string{"rank": "4", "alpha": "32", "dropout": "0.05", "rslora": "true", "target": "re:.*key",
		"layers": "0,2-3", "rank-pattern": "query=2", "bias": "all"} {
		if ok, err := Set(m, flag, text); !ok || err != nil {
			t.Errorf("--%s %s: %v, %v", flag, text, ok, err)
		}
	}
	l := m.(*LoRA)
	if l.R != 4 || l.Alpha != 32 || l.Dropout != 0.05 || !l.RSLoRA || l.Modules.Pattern != ".*key" || !slices.Equal(l.Layers, []int{0, 2, 3}) ||
		l.RankPattern["query"] != 2 || l.Bias != "all" {
		t.Errorf("got %+v", l)
	}
	if ok, _ := Set(m, "no-such-flag", "1"); ok {
		t.Error("set a setting that doesn't exist")
	}
	for flag, bad := range map[string]string{"rank": "four", "layers": "3-1", "rank-pattern": "query", "target": "", "rslora": "perhaps"} {
		if _, err := Set(m, flag, bad); err == nil || !strings.Contains(err.Error(), "--"+flag) {
			t.Errorf("--%s %q: %v", flag, bad, err)
		}
	}
	for _, s := range Settings(m) {
		if s.Usage == "" {
			t.Errorf("--%s has no usage", s.Flag)
		}
	}
}

// A module below one that is trained whole isn't adapted, however long the name.
func TestWholeModulesAreNotAdapted(t *testing.T) {
	chosen, err := Targets{Modules: ParseNames("query,dense")}.Choose(bertModules(), []string{"pooler", "layer.1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range chosen {
		if strings.Contains(path, "layer.1.") || strings.Contains(path, "pooler") {
			t.Errorf("%s is adapted", path)
		}
	}
	if len(chosen) != 4 {
		t.Errorf("chose %v", chosen)
	}
}

// Targets by what modules do, or by another family's names for them, become the model's own names, which PEFT reads.
func TestTargetsByRole(t *testing.T) {
	for _, c := range []struct{ fixture, target, want string }{
		{"bert_torch2_legacy_op14_sdpa", "query,value", "query,value"},
		{"bert_torch2_legacy_op14_sdpa", "q_lin,attention-output", "query,attention.output.dense"},
		{"bert_torch2_legacy_op14_sdpa", "ffn-in,ffn-out", "intermediate.dense,0.output.dense,1.output.dense"},
		{"bert_torch2_legacy_op14_sdpa", "output.dense", "output.dense"}, // as PEFT: the attention's too
		{"distilbert_torch2_legacy_op14_eager", "query,value", "q_lin,v_lin"},
		{"distilbert_torch2_legacy_op14_eager", "query,key,value,attention-output,ffn-in,ffn-out", "q_lin,k_lin,v_lin,out_lin,lin1,lin2"},
		{"distilbert_torch2_legacy_op14_eager", "intermediate.dense", "lin1"},
		{"distilbert_torch2_legacy_op14_eager", "q_lin,nonsense", ""},
	} {
		f := modelstest.Encoder(t, c.fixture)
		enc, err := models.Recognise(f.Load(t))
		if err != nil {
			t.Fatal(err)
		}
		m := &LoRA{R: 2, Alpha: 2, Bias: "none", Init: "default", Targets: Targets{Modules: ParseNames(c.target)}}
		plan, err := Inject(enc, []Method{m}, Options{})
		if c.want == "" {
			if unknown := (*UnknownTargetError)(nil); !errors.As(err, &unknown) || unknown.Target != "nonsense" {
				t.Errorf("%s: %v", c.target, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.target, err)
			continue
		}
		if got := m.Modules.String(); got != c.want {
			t.Errorf("%s on %s: %s, want %s", c.target, c.fixture, got, c.want)
		}
		if strings.Contains(c.target, "ffn-out") && len(plan.Sites) != 2*len(strings.Split(c.target, ",")) {
			t.Errorf("%s: %d sites", c.target, len(plan.Sites))
		}
	}
}
