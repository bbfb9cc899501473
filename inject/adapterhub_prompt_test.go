package inject_test

import (
	"path/filepath"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
)

// hubPrompts is what make_adapterhub_prompt.py wrote.
type hubPrompts struct {
	Inputs map[string]modelstest.Array
	Cases  map[string]struct {
		Tensors map[string]modelstest.Array
		Hidden  modelstest.Array
	}
	Counts map[string]int
}

func hubPrompted(t *testing.T) *hubPrompts {
	t.Helper()
	h := &hubPrompts{}
	graphtest.ReadJSON(t, filepath.Join("testdata", "adapterhub_prompt.json"), h)
	return h
}

// hubRoles are our roles' names in AdapterHub.
var hubRoles = map[string]string{
	"embedding": "self_prefix.wte.weight", "transform.0.weight": "self_prefix.control_trans.0.weight", "transform.0.bias": "self_prefix.control_trans.0.bias",
	"transform.2.weight": "self_prefix.control_trans.2.weight", "transform.2.bias": "self_prefix.control_trans.2.bias",
}

// With AdapterHub's weights the text's hidden states are AdapterHub's, whose output has the virtual tokens' too.
func TestVirtualTokensAreAdapterHubs(t *testing.T) {
	const parity = 1e-4
	h := hubPrompted(t)
	flat := func(tokens int, leaveOut ...int) inject.Method {
		return &inject.Prefix{Tokens: tokens, Layout: inject.LayoutAdapterHub, Init: "random", LeaveOut: leaveOut}
	}
	for name, c := range map[string]struct {
		method inject.Method
		role   string // AdapterHub's name of the table
		text   []int  // rows of its output that are the text's
	}{
		"prefix":           {&inject.Prefix{Tokens: 3, Layout: inject.LayoutAdapterHub, Init: "random", Projection: true, Hidden: 6}, "", []int{0, 1, 2, 3, 4, 5}},
		"prefix_flat":      {flat(2), "self_prefix.control_trans", []int{0, 1, 2, 3, 4, 5}},
		"prefix_one_layer": {flat(2, 0), "self_prefix.control_trans", []int{0, 1, 2, 3, 4, 5}},
		"prompt":           {&inject.Prompt{Placement: placed(3, inject.LayoutAdapterHub, inject.CombinePrefix, inject.PoolFirst), Init: "uniform"}, "prompt_embedding.weight", []int{3, 4, 5, 6, 7, 8}},
		"prompt_after_bos": {&inject.Prompt{Placement: placed(3, inject.LayoutAdapterHub, inject.CombineAfterBOS, inject.PoolFirst), Init: "uniform"}, "prompt_embedding.weight", []int{0, 4, 5, 6, 7, 8}},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := onnxfile.Load(filepath.Join("format", "testdata", "base", "encoder.onnx"))
			if err != nil {
				t.Fatal(err)
			}
			enc := injecttest.Recognise(t, g)
			hidden := enc.LastHidden.Name()
			plan, err := inject.Inject(enc, []inject.Method{c.method}, inject.Options{})
			if err != nil {
				t.Fatal(err)
			}
			values := map[string]*graph.Tensor{}
			for _, tr := range plan.Trainables {
				key := hubRoles[tr.Role]
				if key == "" {
					key = c.role
				}
				a := h.Cases[name].Tensors[key]
				a.Shape = tr.Shape // a flat prefix is one vector there
				values[tr.Name] = a.Tensor(graph.Float)
			}
			if err := plan.SetValues(g, values); err != nil {
				t.Fatal(err)
			}
			if len(plan.Trainables) != len(h.Cases[name].Tensors) {
				t.Errorf("%d trainables; AdapterHub has %d", len(plan.Trainables), len(h.Cases[name].Tensors))
			}
			mustCheck(t, g)
			want := rowsOf(h.Cases[name].Hidden, c.text)
			if d := want.Distance(t, modelstest.Evaluate(t, g, h.Inputs, hidden)[0]); !(d <= parity) {
				t.Errorf("hidden states differ from AdapterHub's by %.1e", d)
			} else {
				t.Logf("max |Δ| from AdapterHub %.1e", d)
			}
			if _, err := inject.Merge(g, plan); err != nil {
				t.Fatal(err)
			}
			if d := want.Distance(t, modelstest.Evaluate(t, g, h.Inputs, hidden)[0]); !(d <= parity) {
				t.Errorf("with constants hidden states differ from AdapterHub's by %.1e", d)
			}
		})
	}
}

// rowsOf picks rows along the second axis.
func rowsOf(a modelstest.Array, rows []int) modelstest.Array {
	seq, width := int(a.Shape[1]), int(a.Shape[2])
	out := modelstest.Array{Shape: []int64{a.Shape[0], int64(len(rows)), a.Shape[2]}}
	for b := range int(a.Shape[0]) {
		for _, r := range rows {
			at := (b*seq + r) * width
			out.Data = append(out.Data, a.Data[at:at+width]...)
		}
	}
	return out
}

// The number of parameters of BERT-base's size is that of the formulas, and AdapterHub's.
func TestVirtualTokenCounts(t *testing.T) {
	g, err := bertBase()
	if err != nil {
		t.Fatal(err)
	}
	counts := hubPrompted(t).Counts
	for _, c := range []struct {
		method, settings string
		want             int
	}{
		{"prompt", "num-virtual-tokens=20", 15_360},
		{"prompt", "num-virtual-tokens=10 layout=adapterhub", counts["prompt"]},
		{"prefix", "num-virtual-tokens=20", 368_640},
		{"prefix", "num-virtual-tokens=30", 552_960},
		{"prefix", "num-virtual-tokens=30 layout=adapterhub", counts["prefix_flat"]},
		{"prefix", "num-virtual-tokens=20 prefix-projection=true encoder-hidden-size=768", 14_780_160},
		{"prefix", "num-virtual-tokens=30 prefix-projection=true layout=adapterhub", counts["prefix"]},
		{"p-tuning", "num-virtual-tokens=20 encoder-hidden-size=768", 20*768 + 3*(768*768+768)},
	} {
		m := set(t, c.method, c.settings)
		enc := injecttest.Recognise(t, g.Clone())
		plan, err := inject.Inject(enc, []inject.Method{m}, inject.Options{})
		if err != nil {
			t.Errorf("%s %s: %v", c.method, c.settings, err)
		} else if n := plan.Parameters(); n != c.want {
			t.Errorf("%s %s: %d parameters, want %d", c.method, c.settings, n, c.want)
		}
	}
}
