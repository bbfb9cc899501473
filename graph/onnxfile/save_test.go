package onnxfile

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile/internal/onnxpb"
)

func parsed(t *testing.T, path string) *onnxpb.ModelProto {
	t.Helper()
	m := &onnxpb.ModelProto{}
	if err := proto.Unmarshal(readFile(t, path), m); err != nil {
		t.Fatal(err)
	}
	return m
}

// sameWeights fails unless the initializers of both graphs have equal bytes.
func sameWeights(t *testing.T, a, b *graph.Graph) {
	t.Helper()
	x, errX := HashInitializers(a)
	y, errY := HashInitializers(b)
	if errX != nil || errY != nil {
		t.Fatal(errX, errY)
	}
	for name := range x {
		if x[name] != y[name] {
			t.Errorf("initializer %q changed", name)
		}
	}
	if len(x) != len(y) {
		t.Errorf("%d initializers became %d", len(x), len(y))
	}
}

func TestReference(t *testing.T) {
	base := stored(t, everything())
	g := mustLoad(t, base)
	if _, err := g.AddInitializer("lora/A", graph.TensorOf([]int64{32, 8}, make([]float32, 256))); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(filepath.Dir(base), "out.onnx")
	if err := Save(g, out, Options{Weights: Reference}); err != nil {
		t.Fatal(err)
	}
	m := parsed(t, out)
	for _, p := range m.Graph.Initializer {
		if external, want := p.GetDataLocation() == onnxpb.TensorProto_EXTERNAL, p.GetName() == "w"; external != want {
			t.Errorf("%s: external %t, want %t", p.GetName(), external, want)
		}
	}
	at, err := parseEntries(m.Graph.Initializer[0].ExternalData)
	if err != nil || at.location != "model.onnx" || at.length != 4096 || string(readFile(t, base)[at.offset:][:4096]) != string(weights("w", 1).RawData) {
		t.Errorf("reference to %+v, %v", at, err)
	}
	if inner := m.Graph.Node[1].Attribute[6].T; inner.GetDataLocation() != onnxpb.TensorProto_EXTERNAL {
		t.Error("a large tensor of an attribute is inline")
	}
	again := mustLoad(t, out)
	sameWeights(t, g, again)
	chained := filepath.Join(filepath.Dir(base), "chained.onnx")
	if err := Save(again, chained, Options{Weights: Reference}); err != nil {
		t.Fatal(err)
	}
	if m := parsed(t, chained); !strings.Contains(m.Graph.Initializer[0].String(), `"model.onnx"`) {
		t.Errorf("a reference of a reference is %v", m.Graph.Initializer[0].ExternalData)
	}
}

func TestReferenceOutside(t *testing.T) {
	base := stored(t, dense())
	g := mustLoad(t, base)
	out := filepath.Join(t.TempDir(), "out.onnx")
	err := Save(g, out, Options{Weights: Reference})
	var outside *OutsideError
	base, _ = filepath.EvalSymlinks(base)
	if !errors.As(err, &outside) || outside.File != base || outside.Dir != filepath.Dir(out) || !strings.Contains(err.Error(), `initializer "w"`) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a file was written")
	}
	if err := Save(g, out, Options{Weights: Reference, InlineOutside: true}); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, readFile(t, base), readFile(t, out))
}

func TestReferencesGoBelowTheFolder(t *testing.T) {
	base := stored(t, dense())
	sub := filepath.Join(filepath.Dir(base), "a", "b")
	if err := os.MkdirAll(sub, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(base, filepath.Join(sub, "w.onnx")); err != nil {
		t.Fatal(err)
	}
	g := mustLoad(t, filepath.Join(sub, "w.onnx"))
	data, err := Marshal(g, Options{Weights: Reference, Dir: filepath.Dir(base)})
	if err != nil {
		t.Fatal(err)
	}
	again, err := Unmarshal(data, filepath.Dir(base))
	if err != nil {
		t.Fatal(err)
	}
	sameWeights(t, g, again)
	if !strings.Contains(string(data), "a/b/w.onnx") {
		t.Error("the location isn't relative with slashes")
	}
	if _, err := Marshal(g, Options{Weights: Reference}); err == nil {
		t.Error("references relative to nothing")
	}
}

func TestExternalDataIsWritten(t *testing.T) {
	g := mustLoad(t, stored(t, everything()))
	for name, opt := range map[string]Options{"asked for": {Weights: ExternalData}, "too large": {limit: 4096}} {
		path := filepath.Join(t.TempDir(), "out.onnx")
		if opt.limit > 0 {
			opt.limit = 8192 // the rest alone is larger than 4096
		}
		if err := Save(g, path, opt); err != nil {
			t.Fatal(name, err)
		}
		m := parsed(t, path)
		at, err := parseEntries(m.Graph.Initializer[0].ExternalData)
		if err != nil || at.location != "out.onnx.data" || at.offset%alignment != 0 {
			t.Errorf("%s: %+v, %v", name, at, err)
		}
		again := mustLoad(t, path)
		sameWeights(t, g, again)
		got, err := Marshal(again, Options{})
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, encoded(t, everything()), got)
	}
	if err := Save(g, filepath.Join(t.TempDir(), "out.onnx"), Options{limit: 100}); !errors.Is(err, errTooLarge) {
		t.Errorf("%v", err)
	}
}

func TestSourcesAreNotOverwritten(t *testing.T) {
	base := stored(t, dense())
	before := readFile(t, base)
	g := mustLoad(t, base)
	link := filepath.Join(filepath.Dir(base), "link.onnx")
	if err := os.Link(base, link); err != nil {
		t.Fatal(err)
	}
	for _, w := range []Weights{SelfContained, Reference, ExternalData} {
		for _, path := range []string{base, link} {
			var e *OverwriteError
			if err := Save(g, path, Options{Weights: w}); !errors.As(err, &e) {
				t.Errorf("%v", err)
			}
		}
	}
	if string(before) != string(readFile(t, base)) {
		t.Error("the source changed")
	}
	side := filepath.Join(filepath.Dir(base), "side.onnx")
	if err := Save(g, side, Options{Weights: ExternalData}); err != nil {
		t.Fatal(err)
	}
	again := mustLoad(t, side)
	var e *OverwriteError
	if err := Save(again, side, Options{Weights: ExternalData}); !errors.As(err, &e) {
		t.Errorf("the side file would be overwritten: %v", err)
	}
}

func TestChangedSourceIsNoticed(t *testing.T) {
	base := stored(t, dense())
	g := mustLoad(t, base)
	if err := os.Chtimes(base, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := Save(g, base+".out", Options{}); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("%v", err)
	}
}

// TestReplacedSource replaces the source's name by another file: the graph still has the old one open.
func TestReplacedSource(t *testing.T) {
	base := stored(t, dense())
	want := readFile(t, base)
	g := mustLoad(t, base)
	writeFile(t, base+".new", []byte("something else"))
	if err := os.Rename(base+".new", base); err != nil {
		t.Fatal(err)
	}
	if err := Save(g, base+".out", Options{}); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, want, readFile(t, base+".out"))
}

func TestBrokenGraphIsNotSaved(t *testing.T) {
	g := mustLoad(t, stored(t, dense()))
	delete(g.Opsets, "")
	path := filepath.Join(t.TempDir(), "out.onnx")
	if err := Save(g, path, Options{}); err == nil || !strings.Contains(err.Error(), "operator set") {
		t.Errorf("%v", err)
	}
	wantFiles(t, filepath.Dir(path))
}

// wantFiles fails unless dir holds exactly the given files.
func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("the folder holds %q, want %q", got, want)
	}
}

func TestEditsAreWritten(t *testing.T) {
	g := mustLoad(t, stored(t, everything()))
	p := g.NewPatch("peft")
	h := g.Value("h")
	p.Shunt(h, p.With(graph.IntAttr("axis", 0), graph.FloatAttr("alpha", 0), graph.StringAttr("mode", "")).Op("Elu", h))
	if err := p.Apply(); err != nil {
		t.Fatal(err)
	}
	g.Opsets[""], g.Opsets["com.microsoft"] = 18, 1
	g.SetMeta("k", "new")
	g.SetMeta("peftgraph", "plan")
	g.Value("x").Shape[0] = graph.Fixed(8)
	g.Value("y").Producer().SetAttr(graph.IntsAttr("f", 1, 2))
	if err := g.Rename(g.Value("w"), "renamed"); err != nil {
		t.Fatal(err)
	}
	h.DType, h.Shape = graph.Float, graph.Shape{graph.Fixed(8), graph.Fixed(32)}
	g.Value("peft/Elu").DType, g.Value("peft/Elu").Shape = graph.Float, graph.ShapeOf(8, 32)
	out := filepath.Join(t.TempDir(), "out.onnx")
	if err := Save(g, out, Options{ValueInfo: true}); err != nil {
		t.Fatal(err)
	}
	again := mustLoad(t, out)
	if got, want := again.String(), g.String(); got != want {
		t.Errorf("saved and loaded:\n%s\nwant:\n%s", got, want)
	}
	m := parsed(t, out)
	elu := m.Graph.Node[1]
	for _, a := range elu.Attribute {
		if a.I == nil && a.F == nil && a.S == nil {
			t.Errorf("attribute %v of a new node has no value", a)
		}
	}
	if got := string(m.ProtoReflect().GetUnknown()); got != string(unknown("here 0")) {
		t.Errorf("unknown fields are now %q", got)
	}
	if d := m.Graph.ValueInfo[0].Type.GetTensorType().Shape.Dim[1]; d.GetDimValue() != 32 {
		t.Errorf("value_info of h: %v", m.Graph.ValueInfo[0])
	}
	if v := again.Value("peft/Elu"); v.DType != graph.Float {
		t.Error("the inferred type of a new value isn't declared")
	}
}

// A shape that was dropped because it no longer holds must not come back from the file that was read.
func TestDroppedShapesAreNotStated(t *testing.T) {
	m := dense()
	m.Graph.ValueInfo = append(m.Graph.ValueInfo, protoValue("h", 8, 32))
	g := mustLoad(t, stored(t, m))
	g.Value("h").Shape = nil
	data, err := Marshal(g, Options{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := Unmarshal(data, "")
	if err != nil {
		t.Fatal(err)
	}
	if h := again.Value("h"); h.DType != graph.Float || h.Shape != nil {
		t.Errorf("h is stated to be %s", h)
	}
}

func TestRemovedValuesAreNotDeclared(t *testing.T) {
	m := dense()
	m.Graph.Node = append(m.Graph.Node, protoNode("Neg", "", names("h"), names("dead")))
	m.Graph.ValueInfo = append(m.Graph.ValueInfo, protoValue("dead", 1))
	g := mustLoad(t, stored(t, m))
	if n, _ := g.Prune(); n != 1 {
		t.Fatalf("pruned %d nodes", n)
	}
	got, err := Marshal(g, Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, encoded(t, dense()), got)
}

func TestNewGraph(t *testing.T) {
	g := graph.New("new")
	g.Opsets[""] = 17
	x, _ := g.AddInput("x", graph.Float, graph.Shape{graph.Symbol("n"), graph.UnknownDim(), graph.Fixed(0)})
	b := g.Build("s")
	g.AddOutput(b.Typed(b.Op("Mul", x, b.Float(graph.Float, 2)), graph.Float, nil))
	data, err := Marshal(g, Options{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := Unmarshal(data, "")
	if err != nil || again.String() != g.String() {
		t.Errorf("%v\n%s\nwant\n%s", err, again, g)
	}
}
