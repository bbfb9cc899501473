package models

import (
	"encoding/json"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
)

// sidecar is the truth about a fixture as make_exports.py wrote it from the PyTorch model.
type sidecar struct {
	Family       *string `json:"family"`
	Class        string  `json:"class"`
	Layers       int     `json:"layers"`
	Hidden       int     `json:"hidden"`
	Heads        int     `json:"heads"`
	Intermediate int     `json:"intermediate"`
	Vocab        int     `json:"vocab"`
	MaxPositions int     `json:"max_positions"`
	TypeVocab    int     `json:"type_vocab"`
	Eps          float64 `json:"layer_norm_eps"`
	Activation   string  `json:"activation"`
	Linears      []struct {
		Module string `json:"module"`
		In     int    `json:"in"`
		Out    int    `json:"out"`
		Bias   bool   `json:"bias"`
	} `json:"linears"`
	Runs []struct {
		Inputs, Outputs map[string]array
	} `json:"runs"`
}

type array struct {
	Shape []int64   `json:"shape"`
	Data  []float64 `json:"data"`
}

type fixture struct {
	name  string
	g     *graph.Graph
	truth sidecar
}

// fixtures loads every exporter file; PEFTGRAPH_EXPORTS may name a folder with more of them (make_exports.py --all --out).
func fixtures(t *testing.T) []*fixture {
	t.Helper()
	var out []*fixture
	for _, folder := range []string{"testdata", os.Getenv("PEFTGRAPH_EXPORTS")} {
		files, _ := filepath.Glob(filepath.Join(folder, "*_*.onnx"))
		if len(files) == 0 && folder != "" {
			t.Fatalf("no exporter files in %s", folder)
		}
		for _, file := range files {
			out = append(out, loadFixture(t, file))
		}
	}
	return out
}

func loadFixture(t *testing.T, file string) *fixture {
	t.Helper()
	f := &fixture{name: strings.TrimSuffix(filepath.Base(file), ".onnx"), g: load(t, file)}
	data, err := os.ReadFile(strings.TrimSuffix(file, ".onnx") + ".json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &f.truth); err != nil {
		t.Fatal(err)
	}
	return f
}

func load(t *testing.T, file string) *graph.Graph {
	t.Helper()
	g, err := onnxfile.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// encoders are the fixtures that must be recognised; the others must not.
func (f *fixture) isEncoder() bool {
	return f.truth.Family != nil && *f.truth.Family != "albert" && !strings.HasPrefix(f.name, "bert_ort_all")
}

func recognise(t *testing.T, g *graph.Graph) *Encoder {
	t.Helper()
	e, err := Recognise(g)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// shared returns graphs that others published, which are no part of the repository. Without them the test is skipped, in CI
// too: always names the test that checks the same on graphs that every checkout has.
func shared(t *testing.T, folder, always string) []string {
	t.Helper()
	root := os.Getenv("PEFTGRAPH_SHARED")
	if root == "" {
		root = "../../shared"
	}
	files, _ := filepath.Glob(filepath.Join(root, "graphs", folder, "*.onnx"))
	if len(files) == 0 {
		t.Skipf("SKIPPED, NOT TESTED: no graphs in %s/graphs/%s: set PEFTGRAPH_SHARED; %s checks the same on graphs of the repository", root, folder, always)
	}
	return files
}

// scramble gives every value and node of g a meaningless name and forgets the shapes of computed values.
func scramble(t *testing.T, g *graph.Graph, seed int64) {
	t.Helper()
	r := rand.New(rand.NewSource(seed))
	for i, v := range g.Values() {
		if v.Producer() != nil {
			v.Shape = nil
		}
		name := string(rune('a'+r.Intn(26))) + string(rune('a'+r.Intn(26))) + "_" + string(rune('0'+i%10))
		if err := g.Rename(v, g.UniqueName(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range g.Nodes() {
		n.Name = ""
	}
}
