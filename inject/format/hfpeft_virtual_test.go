package format

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/models"
)

// Every prompt learning folder that PEFT wrote gives PEFT's outputs, with constants too, and is written again as PEFT wrote
// it. Where an MLP was trained the folder keeps what came out of it.
func TestPEFTVirtualTokens(t *testing.T) {
	for name, folded := range map[string]bool{"prefix": false, "prefix_projection": true, "prompt": false, "p_tuning": true} {
		t.Run(name, func(t *testing.T) {
			f := fixtureOf(t, name)
			g, plan := f.load(t, f.dir)
			if d := f.differ(t, g, f.With); !(d <= parity) {
				t.Errorf("outputs differ from PyTorch's by %.1e", d)
			} else {
				t.Logf("max |Δ| from PyTorch %.1e", d)
			}
			if plan.Parameters() != f.Trainable && !folded {
				t.Errorf("%d trainable parameters; PEFT has %d", plan.Parameters(), f.Trainable)
			}
			f.sameFiles(t, g, plan)
			merged := g.Clone()
			if unmerged, err := inject.Merge(merged, plan); err != nil || len(unmerged) != 1 {
				t.Fatalf("merge left %v: %v", unmerged, err)
			}
			if d := f.differ(t, merged, f.With); !(d <= parity) {
				t.Errorf("outputs with constants differ from PyTorch's by %.1e", d)
			}
		})
	}
}

// An adapter trained through an MLP is saved as the virtual tokens alone, and what is read again computes the same.
func TestPEFTFoldsOnSave(t *testing.T) {
	for name, m := range map[string]inject.Method{
		"prefix_projection": &inject.Prefix{Tokens: 3, Projection: true, Hidden: 12, Layout: inject.LayoutPEFT, Init: "random"},
		"p_tuning":          &inject.PTuning{Placement: inject.Placement{Tokens: 3, Layout: inject.LayoutPEFT, Combine: inject.CombinePrefix, Pool: inject.PoolFirst}, Hidden: 12},
	} {
		f := fixtureOf(t, name)
		g, plan := f.inject(t, m, inject.Task{Type: "classification", Labels: []string{"a", "b", "c"}})
		if plan.Parameters() != f.Trainable {
			t.Errorf("%s: %d trainable parameters; PEFT has %d", name, plan.Parameters(), f.Trainable)
		}
		dir := t.TempDir()
		save(t, dir, g, plan)
		again, _ := f.load(t, dir)
		if d := f.differ(t, again, f.outputs(t, g)); !(d <= 1e-6) {
			t.Errorf("%s: what was saved and read again differs by %.1e", name, d)
		}
	}
}

// What PEFT can't hold goes to another format, and says what it was.
func TestPEFTVirtualRefusals(t *testing.T) {
	f := fixtureOf(t, "prompt")
	place := func(layout, combine, pool string) inject.Placement {
		return inject.Placement{Tokens: 2, Layout: layout, Combine: combine, Pool: pool}
	}
	for want, m := range map[string]inject.Method{
		"--layout adapterhub":  &inject.Prefix{Tokens: 2, Layout: inject.LayoutAdapterHub, Init: "zero"},
		"--skip-layers":        &inject.Prefix{Tokens: 2, Layout: inject.LayoutPEFT, Init: "random", LeaveOut: []int{1}},
		"--pool cls":           &inject.Prompt{Placement: place(inject.LayoutPEFT, inject.CombinePrefix, inject.PoolCLS), Init: "vocab"},
		"--layout adapterhub ": &inject.PTuning{Placement: place(inject.LayoutAdapterHub, inject.CombineAfterBOS, inject.PoolFirst)},
	} {
		g, plan := f.inject(t, m, inject.Task{Type: "classification", Labels: []string{"a", "b", "c"}})
		format, err := For(plan)
		if err != nil || format.Name != Native {
			t.Errorf("%s: the plan's format is %q, %v", want, format.Name, err)
		}
		values, err := plan.Values(g)
		if err != nil {
			t.Fatal(err)
		}
		if err := saveHF(t.TempDir(), plan, values); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%s: saved as PEFT: %v", want, err)
		}
	}
	for key, to := range map[string]string{"num_transformer_submodules": `"num_transformer_submodules": 2`, "prompt_tuning_init": `"prompt_tuning_init": "MAGIC"`} {
		dir := copyFolder(t, "prompt")
		edit(t, filepath.Join(dir, hfConfigFile), func(text []byte) []byte {
			lines := strings.Split(string(text), "\n")
			for i, l := range lines {
				if strings.Contains(l, `"`+key+`"`) {
					lines[i] = to + ","
				}
			}
			return []byte(strings.Join(lines, "\n"))
		})
		if _, _, err := f.onto(t, dir); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: got %v, want an error with the key", key, err)
		}
	}
	dir := copyFolder(t, "prefix")
	if err := os.Remove(filepath.Join(dir, hfTensorFile)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.onto(t, dir); err == nil {
		t.Error("read a folder without tensors")
	}
}

// inject puts a method on the fixture's base.
func (f *fixture) inject(t *testing.T, m inject.Method, task inject.Task) (*graph.Graph, *inject.Plan) {
	t.Helper()
	g, err := onnxfile.Load(filepath.Join("testdata", "base", f.Base))
	if err != nil {
		t.Fatal(err)
	}
	enc, err := models.Recognise(g)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := inject.Inject(enc, []inject.Method{m}, inject.Options{Task: task, Seed: 4})
	if err != nil {
		t.Fatal(err)
	}
	return g, plan
}

// outputs runs the fixture's batch.
func (f *fixture) outputs(t *testing.T, g *graph.Graph) map[string]modelstest.Array {
	t.Helper()
	p, err := refeval.New(g)
	if err != nil {
		t.Fatal(err)
	}
	feeds := map[string]*graph.Tensor{}
	for name, a := range f.Inputs {
		feeds[name] = a.Tensor(graph.Int64)
	}
	out := map[string]modelstest.Array{}
	for _, v := range g.Outputs() {
		res, err := p.Run(context.Background(), feeds, []string{v.Name()})
		if err != nil {
			t.Fatal(err)
		}
		data, err := res[0].Float64s()
		if err != nil {
			t.Fatal(err)
		}
		out[v.Name()] = modelstest.Array{Shape: res[0].Dims, Data: data}
	}
	return out
}
