package onnxfile

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/peftgraph/peftgraph/graph/onnxfile/internal/onnxpb"
	"github.com/peftgraph/peftgraph/internal/graphtest"
)

// wantEqual fails unless the two encodings are the same message.
func wantEqual(t *testing.T, want, got []byte) {
	t.Helper()
	var a, b onnxpb.ModelProto
	if err := proto.Unmarshal(want, &a); err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(got, &b); err != nil {
		t.Fatal(err)
	}
	if !inOrder(a.Graph) {
		sortNodes(a.Graph)
		sortNodes(b.Graph)
	}
	if proto.Equal(&a, &b) {
		return
	}
	t.Error("the saved model differs from the original")
	if testing.Verbose() {
		dir := os.TempDir()
		_ = os.WriteFile(filepath.Join(dir, "want.txt"), []byte(prototext.Format(&a)), 0o666)
		_ = os.WriteFile(filepath.Join(dir, "got.txt"), []byte(prototext.Format(&b)), 0o666)
		t.Logf("see want.txt and got.txt in %s", dir)
	}
}

// inOrder reports whether all nodes are in the order that ONNX asks for; loading sorts those that aren't.
func inOrder(g *onnxpb.GraphProto) bool {
	later := map[string]bool{}
	for _, n := range slices.Backward(g.GetNode()) {
		for _, o := range n.Output {
			later[o] = o != ""
		}
		if slices.ContainsFunc(n.Input, func(in string) bool { return later[in] }) {
			return false
		}
		for _, a := range n.Attribute {
			if a.G != nil && !inOrder(a.G) || slices.ContainsFunc(a.Graphs, func(g *onnxpb.GraphProto) bool { return !inOrder(g) }) {
				return false
			}
		}
	}
	return true
}

// sortNodes puts nodes into an order that depends on their content only.
func sortNodes(g *onnxpb.GraphProto) {
	if g == nil {
		return
	}
	for _, n := range g.Node {
		for _, a := range n.Attribute {
			for _, sub := range append(slices.Clone(a.Graphs), a.G) {
				sortNodes(sub)
			}
		}
	}
	slices.SortFunc(g.Node, func(a, b *onnxpb.NodeProto) int { return cmp.Compare(a.String(), b.String()) })
}

// TestRoundTripOfFiles is the project's first test: load → save changes nothing.
func TestRoundTripOfFiles(t *testing.T) {
	for _, path := range modelFiles(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			g, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(t.TempDir(), "out.onnx")
			if err := Save(g.Clone(), out, Options{}); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, want, got)
		})
	}
}

// modelFiles returns the recognition fixtures, and the shared graphs where they are at hand.
func modelFiles(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{"testdata/*.onnx", "../../models/testdata/*.onnx"} {
		m, _ := filepath.Glob(pattern)
		out = append(out, m...)
	}
	shared := graphtest.SharedIfAny("graphs/*/*.onnx")
	if len(shared) == 0 {
		t.Log("no shared graphs: only the repository's own files are tried")
	}
	return append(out, shared...)
}
