package format

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
)

// A setting that asks for more than there can be ends in an error before anything is allocated.
func TestHugeSettings(t *testing.T) {
	const huge = "4611686018427387904"
	for _, c := range []struct{ fixture, key, value string }{
		{"lora_seqcls", "r", huge}, {"lora_seqcls", "rank_pattern", `{"query": ` + huge + `}`}, {"lora_seqcls", "r", "1e300"}, {"lora_seqcls", "r", "-4"},
		{"lora_seqcls", "layers_to_transform", "[" + huge + "]"},
		{"prefix", "num_virtual_tokens", huge}, {"prefix", "num_virtual_tokens", "-1"}, {"prefix", "num_virtual_tokens", "1000000000"}, {"prompt", "num_virtual_tokens", huge},
		{"prompt", "num_virtual_tokens", "0"}, {"p_tuning", "num_virtual_tokens", huge},
		{"adapterhub/prefix", "prefix_length", huge}, {"adapterhub/prefix", "bottleneck_size", huge}, {"adapterhub/prefix", "bottleneck_size", "-1"},
		{"adapterhub/prompt", "prompt_length", huge}, {"adapterhub/prompt", "prompt_length", "-7"}, {"adapterhub/lora", "r", huge}, {"adapterhub/ia3", "r", huge},
		{"adapterhub/seq_bn", "reduction_factor", "1e-300"}, {"adapterhub/seq_bn", "reduction_factor", "-1"},
		{"adapterhub/seq_bn", "leave_out", "[-1]"},
	} {
		dir := copyFolder(t, c.fixture)
		if strings.HasPrefix(c.fixture, "adapterhub/") {
			setHub(t, filepath.Join(dir, hubConfigFile), c.key, c.value)
		} else {
			editConfig(t, dir, func(s map[string]json.RawMessage) { s[c.key] = json.RawMessage(c.value) })
		}
		if _, _, err := fixtureOf(t, c.fixture).onto(t, dir); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %s = %s: got %v", c.fixture, c.key, c.value, err)
		} else {
			t.Log(err)
		}
	}
	for labels, want := range map[int64]string{1 << 40: "want [labels, hidden]", 0: "want [labels, hidden]"} {
		if _, err := hfTask("classifier.weight", &graph.Tensor{DType: graph.Float, Dims: []int64{labels, 0}}, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d labels: %v", labels, err)
		}
	}
	if task, err := hfTask("classifier.weight", &graph.Tensor{DType: graph.Float, Dims: []int64{1, 16}}, ""); err != nil || task.Type != "regression" {
		t.Errorf("one output is %q, %v", task.Type, err)
	}
}
