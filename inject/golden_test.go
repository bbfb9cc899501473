package inject_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
)

// What each method adds to a BERT's graph, line by line, so that a change of it is seen for what it is. The base's own nodes
// are there where they read something of ours.
func TestInjectedGraphs(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	for _, name := range inject.Names() {
		g := f.Load(t)
		injecttest.Into(t, g, inject.Options{Task: inject.Task{Type: "classification", Labels: []string{"a", "b", "c"}}, Seed: 1}, injecttest.New(t, name, nil))
		var sb strings.Builder
		for line := range strings.Lines(g.String()) {
			if strings.Contains(line, "peft/") {
				sb.WriteString(line)
			}
		}
		graphtest.Golden(t, filepath.Join("testdata", "graphs", name+".txt"), sb.String())
	}
}
