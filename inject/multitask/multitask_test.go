package multitask_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/models"
)

// part injects a method, moves its parameters away from their start, and deploys the result.
func part(t *testing.T, f *modelstest.Fixture, name, method string, flags map[string]string, labels ...string) multitask.Part {
	t.Helper()
	enc := injecttest.Recognise(t, f.Load(t))
	m := injecttest.New(t, method, flags)
	task := inject.Task{Type: "classification", Labels: labels}
	if len(labels) == 0 {
		task.Type = "regression"
	}
	plan, err := inject.Inject(enc, []inject.Method{m}, inject.Options{Task: task, Head: "mean", Base: f.Name})
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]*graph.Tensor{}
	for i, tr := range plan.Trainables {
		values[tr.Name] = graphtest.Rand(uint64(i)<<8|uint64(name[0]), graph.Float, tr.Shape, -0.4, 0.4)
	}
	if err := plan.SetValues(enc.Graph, values); err != nil {
		t.Fatal(err)
	}
	enc.Graph.SetOutputs(enc.Graph.Value(plan.Logits))
	inject.Deploy(enc.Graph)
	if err := inject.Fold(enc.Graph); err != nil {
		t.Fatal(err)
	}
	return multitask.Part{Name: name, Graph: enc.Graph, Plan: plan}
}

// all is one adapter of every kind, of several numbers of labels, positions and layers.
func all(t *testing.T, f *modelstest.Fixture) []multitask.Part {
	target := "query"
	if name := map[string]string{"distilbert": "q_lin", "mpnet": "q"}[*f.Family]; name != "" {
		target = name
	}
	virtual := "prefix"
	if f.IsRelative() {
		virtual = "p-tuning"
	}
	return []multitask.Part{
		part(t, f, "sentiment", "lora", map[string]string{"target": target, "layers": strconv.Itoa(f.Layers - 1)}, "neg", "pos"),
		part(t, f, "topic", "adapter", map[string]string{"reduction-factor": "4"}, "a", "b", "c", "d", "e", "f"),
		part(t, f, "score", "prompt", map[string]string{"num-virtual-tokens": "3"}),
		part(t, f, "same", virtual, map[string]string{"num-virtual-tokens": "2"}, "yes", "no", "maybe"),
		part(t, f, "probe", "head-only", nil, "yes", "no"),
		part(t, f, "whole", "full", nil, "yes", "no"),
	}
}

// texts returns random ids of that many texts of several lengths.
func texts(g *graph.Graph, info models.Info, rows, length int64) map[string]*graph.Tensor {
	ids, mask, types, positions := make([]int64, rows*length), make([]int64, rows*length), make([]int64, rows*length), make([]int64, rows*length)
	for i := range ids {
		row, at := int64(i)/length, int64(i)%length
		ids[i], positions[i] = int64(3+i*7%(info.Vocab-3)), at+int64(info.FirstPosition)
		if at < length-row%3 {
			mask[i] = 1
		}
		if at > length/2 && info.Inputs.TokenType != "" {
			types[i] = 1
		}
	}
	feeds := map[string]*graph.Tensor{}
	for name, data := range map[string][]int64{info.Inputs.IDs: ids, info.Inputs.Mask: mask, info.Inputs.TokenType: types, info.Inputs.Position: positions} {
		if g.Value(name) != nil {
			feeds[name] = graph.TensorOf([]int64{rows, length}, data)
		}
	}
	return feeds
}

// rowsOf picks rows of a feed.
func rowsOf(t *testing.T, x *graph.Tensor, rows []int64) *graph.Tensor {
	t.Helper()
	data, err := graph.Data[int64](x)
	if err != nil {
		t.Fatal(err)
	}
	n := x.Dims[1]
	var out []int64
	for _, r := range rows {
		out = append(out, data[r*n:(r+1)*n]...)
	}
	return graph.TensorOf([]int64{int64(len(rows)), n}, out)
}

func run(t *testing.T, g *graph.Graph, feeds map[string]*graph.Tensor, fetches ...string) []*graph.Tensor {
	t.Helper()
	p, err := refeval.New(g)
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Run(context.Background(), feeds, fetches)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A joined graph computes for each row what the row's own model computes, whoever its neighbours are.
func TestJoinedEqualsAlone(t *testing.T) {
	for _, f := range modelstest.Encoders(t) {
		t.Run(f.Name, func(t *testing.T) {
			parts := all(t, f)
			g, err := multitask.Join(parts)
			if fixed(parts[0]) {
				if err == nil || !strings.Contains(err.Error(), "dynamic batch") {
					t.Errorf("joined for a fixed batch: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if g, err = reread(g); err != nil {
				t.Fatal(err)
			}
			tasks, err := multitask.ReadTasks(g)
			if err != nil || len(tasks) != len(parts) {
				t.Fatal(tasks, err)
			}
			for _, ids := range [][]int64{{0, 1, 2, 3, 4, 5}, {5, 1, 0, 1, 7, 2, 0}, {3, 3}, {4}} {
				mixed(t, g, tasks, parts, ids)
			}
		})
	}
}

func fixed(p multitask.Part) bool {
	return p.Graph.Value(p.Plan.Encoder.Inputs.IDs).Shape[0].Known()
}

func reread(g *graph.Graph) (*graph.Graph, error) {
	data, err := onnxfile.Marshal(g, onnxfile.Options{})
	if err != nil {
		return nil, err
	}
	return onnxfile.Unmarshal(data, "")
}

func mixed(t *testing.T, g *graph.Graph, tasks []multitask.Task, parts []multitask.Part, ids []int64) {
	t.Helper()
	feeds := texts(g, parts[0].Plan.Encoder, int64(len(ids)), 6)
	feeds[multitask.TaskInput] = graph.TensorOf(nil, ids)
	var fetches []string
	for _, task := range tasks {
		fetches = append(fetches, task.Output)
	}
	got := run(t, g, feeds, fetches...)
	for k, p := range parts {
		var rows []int64
		for i, id := range ids {
			if id == int64(k) {
				rows = append(rows, int64(i))
			}
		}
		if len(rows) == 0 {
			if got[k].Dims[0] != 0 || len(got[k].Dims) > 1 && got[k].Dims[1] != int64(p.Plan.Task.Outputs()) {
				t.Errorf("%v: task %q without rows gave %v", ids, p.Name, got[k].Dims)
			}
			continue
		}
		own := map[string]*graph.Tensor{}
		for name, x := range feeds {
			if name != multitask.TaskInput {
				own[name] = rowsOf(t, x, rows)
			}
		}
		graphtest.Close(t, got[k], run(t, p.Graph, own, p.Plan.Logits)[0], 0, 1e-12)
	}
}

// The base's tensors are there once, and what all adapters leave alone is computed once.
func TestTheBaseIsShared(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	upper := map[string]string{"layers": "1"}
	parts := []multitask.Part{part(t, f, "a", "lora", upper, "x", "y"), part(t, f, "b", "lora", upper, "x", "y", "z")}
	g, err := multitask.Join(parts)
	if err != nil {
		t.Fatal(err)
	}
	size := func(g *graph.Graph) (n int64) {
		for _, v := range g.Initializers() {
			n += v.Init().Len()
		}
		return n
	}
	adapters := int64(parts[0].Plan.Parameters() + parts[1].Plan.Parameters())
	if base := size(parts[0].Graph) - int64(parts[0].Plan.Parameters()); size(g) > base+adapters+100 {
		t.Errorf("%d elements in the joined graph for a base of %d and adapters of %d", size(g), base, adapters)
	}
	matMuls := func(nodes []*graph.Node) (n int) {
		for _, node := range nodes {
			if node.Is("MatMul", "Gemm") {
				n++
			}
		}
		return n
	}
	outside, inside := matMuls(g.Nodes()), 0
	for _, n := range g.Nodes() {
		for _, sub := range n.Subgraphs() {
			inside += matMuls(sub.Nodes())
		}
	}
	// Layer 0 has six linear maps and two products; layer 1's three projections of it are the base's, the updates come after;
	// and the head counts the texts' tokens.
	if outside != 12 {
		t.Errorf("%d products outside of the branches, want 12 (and %d inside)", outside, inside)
	}
}

func TestWhatCantBeJoined(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	a, b := part(t, f, "a", "head-only", nil, "x", "y"), part(t, f, "b", "head-only", nil, "x", "y")
	changed := func(change func(*multitask.Part)) multitask.Part {
		c := b
		plan := *b.Plan
		c.Plan, c.Graph = &plan, b.Graph.Clone()
		change(&c)
		return c
	}
	for want, parts := range map[string][]multitask.Part{
		"no adapters":         nil,
		`two tasks are named`: {a, a},
		"a name has letters":  {changed(func(p *multitask.Part) { p.Name = "a/b" })},
		"has no head":         {changed(func(p *multitask.Part) { p.Plan.Logits = "" })},
		"another base":        {a, changed(func(p *multitask.Part) { p.Plan.Base = "other" })},
		"operator sets":       {a, changed(func(p *multitask.Part) { p.Graph.Opsets[""]++ })},
		"is not the base's": {a, changed(func(p *multitask.Part) {
			_, _ = p.Graph.AddInput("more", graph.Int64, p.Graph.Inputs()[0].Shape)
		})},
		"adapters go in as con": {changed(func(p *multitask.Part) { _ = inject.Overridable(p.Graph, p.Plan) })},
	} {
		if _, err := multitask.Join(parts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	if tasks, err := multitask.ReadTasks(a.Graph); tasks != nil || err != nil {
		t.Error("a model that isn't joined has tasks:", tasks, err)
	}
}

// Adapters that were trained on two copies of a base share it too.
func TestCopiesOfTheBaseAreOne(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	a := part(t, f, "a", "head-only", nil, "x", "y")
	data, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	again := *f
	again.Path = filepath.Join(t.TempDir(), "copy.onnx")
	if err := os.WriteFile(again.Path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	one, err := multitask.Join([]multitask.Part{a, part(t, f, "b", "head-only", nil, "x", "y")})
	if err != nil {
		t.Fatal(err)
	}
	two, err := multitask.Join([]multitask.Part{a, part(t, &again, "b", "head-only", nil, "x", "y")})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(two) != fmt.Sprint(one) {
		t.Errorf("with a copy: %d nodes and %d initializers, want %d and %d", len(two.Nodes()), len(two.Initializers()), len(one.Nodes()), len(one.Initializers()))
	}
}

// Joining doesn't change what it joins.
func TestPartsStay(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	parts := []multitask.Part{part(t, f, "a", "prompt", nil, "x", "y"), part(t, f, "b", "lora", nil, "x", "y")}
	before := fmt.Sprint(parts[0].Graph, parts[1].Graph)
	if _, err := multitask.Join(parts); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(parts[0].Graph, parts[1].Graph) != before || slices.ContainsFunc(parts, func(p multitask.Part) bool { return p.Graph.Check() != nil }) {
		t.Error("a part changed")
	}
}
