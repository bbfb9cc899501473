package graphtest

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
)

// everything uses each construct of the textual form once.
const everything = `graph "all \"of\" it" (x float[batch,4], "odd name" int64[?,"a, b"], s undefined[...], d float[]) => (y float[batch,2], init float[...])
opset 17
opset com.microsoft 1
init w float[4,3]
init const/int64[2,2]_1 int64[2,2] = [1,-2,9007199254740993,4]
init h float16[3] = [0.5,-Inf,0.0999755859375]
init flags bool[2] = [1,0]
init empty double[0] = []
init d float[] = [0.1]
/l/MatMul:0, _ = MatMul(x, w) "l/MatMul"
init = com.microsoft.FastGelu(/l/MatMul:0, _, const/int64[2,2]_1) {i=-3, f=1e-05f, nan=NaNf, inf=+Inff, s="a b\n", ints=[1,2], none=[], floats=[0.1,2]f, empty=[]f, strings=["a," "b"]s, nothing=[]s, t=float[2] = [1.5,2], u=int64[] = [7]} ""
"_" = Neg("odd name", s, d, h, flags, empty) "n"
y = Relu("_") "r"
`

func TestTextRoundTrip(t *testing.T) {
	g := MustParse(t, everything)
	if got := g.String(); got != everything {
		_, a, b, _ := firstDifference(got, everything)
		t.Fatalf("printed again:\ngot  %s\nwant %s", a, b)
	}
	n := g.Value("init").Producer()
	if a := n.Attr("f"); a.F != 1e-5 || !math.IsNaN(float64(n.Float("nan", 0))) || n.Int("i", 0) != -3 || n.Input(1) != nil {
		t.Errorf("parsed as %v", n.Attrs)
	}
	if v, _ := g.Value("const/int64[2,2]_1").Init().Int64s(); v[2] != 1<<53+1 {
		t.Errorf("an int64 lost digits: %v", v)
	}
	if x := g.Value("d"); !x.IsInput() || x.Init() == nil {
		t.Error("the input's default is lost")
	}
	if s := g.Value("odd name").Shape; s[0] != graph.UnknownDim() || s[1] != graph.Symbol("a, b") {
		t.Errorf("shape %v", s)
	}
}

func TestParseErrorsNameTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"graph (x float[1]) => (y)":               `output "y"`,
		"opset 17\ny = Relu(x)":                   `line 2: nothing above defines "x"`,
		"init w float[2] = [1]":                   "1 elements",
		"init w float[n]":                         "must be numbers",
		"init w flaot[1]":                         "flaot",
		"init w float[1] = [a]":                   "line 1",
		"y = Constant() {value=<kind 5>}":         "no textual form",
		"init w complex64[9]":                     "holds no numbers",
		"y = Constant() {v=complex64[]}":          "holds no numbers",
		"y = Constant() {axis=}":                  `"axis"`,
		"y = Constant() \"n\" left":               "left over",
		"y Constant()":                            `"=" expected`,
		"init a float[]\na = Constant()":          "taken",
		"y = Constant(":                           "name expected",
		"graph (x float[1] => (x)":                "expected",
		"init w string[1] = [1]":                  "holds no numbers",
		"y = Constant() {v=[\"a\", \"b\"]s} \"\"": "expected",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one that says %q", text, err, want)
		}
	}
}

const small = `graph "g" (x float[2,2]) => (y float[2,2])
opset 17
init w float[2,2] = [1,2,3,4]
a = MatMul(x, w) "a"
b = Add(a, x) {alpha=1f, beta=2} "b"
y = Mul(b, a) "y"
`

// TestRealGraphsRoundTrip prints, parses and prints every exporter's graph that the repository has.
func TestRealGraphsRoundTrip(t *testing.T) {
	files, err := filepath.Glob("../../models/testdata/*.onnx")
	if err != nil || len(files) == 0 {
		t.Fatalf("no graphs: %v", err)
	}
	for _, file := range files {
		g, err := onnxfile.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		text := g.String()
		h, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if line, got, want, same := firstDifference(h.String(), text); !same {
			t.Errorf("%s: line %d\ngot  %s\nwant %s", file, line, got, want)
		}
	}
}

func TestIsomorphic(t *testing.T) {
	g := MustParse(t, small)
	same := strings.NewReplacer("a = MatMul(x, w) \"a\"", "q = MatMul(x, W) \"mm\"", "init w", "init W", "b = Add(a, x) {alpha=1f, beta=2}",
		"z = Add(q, x) {beta=2, alpha=1f}", "Mul(b, a)", "Mul(z, q)").Replace(small)
	if err := Isomorphic(g, MustParse(t, same)); err != nil {
		t.Errorf("other names and attribute order: %v", err)
	}
	for _, c := range []struct{ old, repl, want string }{
		{"[1,2,3,4]", "[1,2,3,5]", "different content"},
		{"Add(a, x)", "Add(x, a)", `output "y": Mul "y": input 0: Add "b": input 0`},
		{"Add(a, x)", "Sub(a, x)", `Add "b" and Sub "b"`},
		{"beta=2", "beta=3", `attribute "beta"`},
		{"alpha=1f, ", "", "attributes"},
		{"opset 17", "opset 18", "operator sets"},
		{"Mul(b, a)", "Mul(b, b)", "shared"},
		{"(x float[2,2])", "(x float[2,n])", "input"},
		{"a = MatMul(x, w) \"a\"", "a = MatMul(x, w) \"a\"\nu = Neg(x)", "nodes"},
	} {
		err := Isomorphic(g, MustParse(t, strings.Replace(small, c.old, c.repl, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s instead of %s: %v, want %q", c.repl, c.old, err, c.want)
		}
	}
}

func TestContentIsFilledFromTheName(t *testing.T) {
	g := MustParse(t, "init w float[9]\ninit v float[9]\ninit i int64[40]")
	h := MustParse(t, "init i int64[40]\ninit w float[9]")
	if err := sameTensor(g.Value("w").Init(), h.Value("w").Init()); err != nil {
		t.Error(err)
	}
	if sameTensor(g.Value("w").Init(), g.Value("v").Init()) == nil {
		t.Error("two names give one content")
	}
	vs, _ := g.Value("i").Init().Int64s()
	for _, v := range vs {
		if v != 0 && v != 1 {
			t.Errorf("integer %d", v)
		}
	}
}

func TestDiffer(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	vec := func(vs ...float64) *graph.Tensor { return graph.TensorOf(nil, vs) }
	for _, c := range []struct {
		got, want *graph.Tensor
		close     bool
	}{
		{vec(1, nan, inf), vec(1, nan, inf), true},
		{vec(1.0009), vec(1), true},
		{vec(1.0011), vec(1), false},
		{vec(nan), vec(1), false},
		{vec(1), vec(inf), false},
		{vec(inf), vec(-inf), false},
		{vec(1), graph.Scalar(1.), false},
		{graph.TensorOf(nil, []float32{1}), vec(1), true},
		{nil, vec(1), false},
	} {
		if err := Differ(c.got, c.want, 1e-3, 0); (err == nil) != c.close {
			t.Errorf("%v and %v: %v", c.got, c.want, err)
		}
	}
}

func TestGoldenIsWrittenOnUpdate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "g.txt")
	*update = true
	Golden(t, path, "a\nb\n")
	*update = false
	Golden(t, path, "a\nb\n")
	if data, err := os.ReadFile(path); err != nil || string(data) != "a\nb\n" {
		t.Fatalf("wrote %q, %v", data, err)
	}
	if line, got, want, same := firstDifference("a\nc\n", "a\nb\n"); same || line != 2 || got != "c" || want != "b" {
		t.Errorf("difference at line %d: %q, %q", line, got, want)
	}
}
