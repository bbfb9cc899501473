package train_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/graph/rewrite"
	"github.com/peftgraph/peftgraph/graph/shape"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/format"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train/autodiff"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/optim"
	"github.com/peftgraph/peftgraph/train/task"
)

// TestCoverage writes the tables of docs/COVERAGE.md and of the README from the registries, and each cell of the methods'
// table from what happens when it is tried. With -update it writes the files; without, it fails when they are out of date.
func TestCoverage(t *testing.T) {
	methods := methodTable(t)
	var sb strings.Builder
	sb.WriteString("# Coverage\n\nWritten by `go test ./train -run TestCoverage -update` from the registries; a table that is out of date fails the tests.\n\n")
	sb.WriteString("## Methods\n\n" + methods)
	section := func(title, text string, names []string) {
		fmt.Fprintf(&sb, "\n## %s\n\n%s\n\n%s\n", title, text, strings.Join(names, ", "))
	}
	section("Architectures", "Recognised by structure:", models.Families())
	section("Checkpoints", "Hugging Face checkpoints that an ONNX encoder is built from:", models.Buildable())
	section("Gradient rules", "Operators with a gradient, each checked against central differences in float64 and on onnxruntime in float32:", autodiff.RuleNames())
	section("No gradient flows", "Operators that end a path:", autodiff.StopNames())
	section("Rewrites", "Rules of the canonical form:", rewrite.Names())
	section("Shape inference", "Operators with a shape rule:", shape.Names())
	section("Reference evaluator", "Operators computed in float64:", refeval.Ops())
	tasks := taskTable(t)
	sb.WriteString("\n## Tasks\n\n" + tasks)
	section("Optimizers and schedules", "Optimizers: "+strings.Join(optim.Names(), ", ")+". Schedules:", optim.ScheduleNames())
	section("Data formats", "Labelled text is read from:", data.Formats())
	graphtest.Golden(t, filepath.Join("..", "docs", "COVERAGE.md"), sb.String())

	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := between(t, string(readme), "tasks", tasks)
	graphtest.Golden(t, filepath.Join("..", "README.md"), between(t, text, "coverage", methods))
}

// between puts a table into its place in a text: behind a comment that begins with its name, and before the one that ends it.
func between(t *testing.T, text, name, table string) string {
	t.Helper()
	head, rest, ok := strings.Cut(text, "<!-- "+name+": ")
	mark, rest, ok2 := strings.Cut(rest, "-->\n")
	_, tail, ok3 := strings.Cut(rest, "<!-- /"+name+" -->")
	if !ok || !ok2 || !ok3 {
		t.Fatalf("the README has no place for the table of %s", name)
	}
	return head + "<!-- " + name + ": " + mark + "-->\n" + table + "<!-- /" + name + " -->" + tail
}

// injectedHead is a method with the one head that every format knows.
func injectedHead(t *testing.T, f *modelstest.Fixture, m inject.Method) (*graph.Graph, *inject.Plan) {
	t.Helper()
	g := f.Load(t)
	plan := injecttest.Into(t, g, inject.Options{Task: inject.Task{Type: "classification", Labels: labels}, Head: inject.HeadPooler, Seed: 5}, m)
	injecttest.Move(t, g, plan, 0.3)
	return g, plan
}

// taskTable lists the tasks, what their heads compute and what they are judged by, first what decides.
func taskTable(t *testing.T) string {
	var sb strings.Builder
	sb.WriteString("| task | what | head | judged by |\n|---|---|---|---|\n")
	for _, name := range task.Names() {
		k, err := task.New(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&sb, "| %s | %s | %s | %s |\n", name, task.Summary(name), k.Head(), strings.Join(k.Metrics(), ", "))
	}
	return sb.String()
}

// methodTable tries each method on a tiny BERT: the share it trains, whether it merges, and which formats carry it there
// and back without a changed bit.
func methodTable(t *testing.T) string {
	var sb strings.Builder
	fmt.Fprintf(&sb, "| method | what | merges into the weights | %s |\n", strings.Join(format.Names(), " | "))
	fmt.Fprintf(&sb, "|---|---|---|%s\n", strings.Repeat("---|", len(format.Names())))
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	for _, name := range inject.Names() {
		m := injecttest.New(t, name, nil)
		g, plan := injectedHead(t, f, m)
		merges := "yes"
		if unmerged, err := inject.Merge(g.Clone(), plan); err != nil {
			t.Fatal(err)
		} else if len(unmerged) > 0 {
			merges = "constants"
		}
		title := name
		if also := inject.Aliases(name); len(also) > 0 {
			title += " (" + strings.Join(also, ", ") + ")"
		}
		fmt.Fprintf(&sb, "| %s | %s | %s |", title, inject.Summary(name), merges)
		for _, to := range format.Names() {
			cell := carries(t, to, plan, g)
			if flags := otherSettings[to][name]; cell == "–" && flags != "" {
				cell = carriesWith(t, f, to, name, flags)
			}
			fmt.Fprintf(&sb, " %s |", cell)
		}
		sb.WriteString("\n")
	}
	return sb.String()
}

// otherSettings are those with which a format holds a method that it doesn't hold with its default ones.
var otherSettings = map[string]map[string]string{
	format.AdapterHub: {
		"ia3":    "--target key,value,intermediate.dense --feedforward re:none",
		"prefix": "--layout adapterhub",
		"prompt": "--layout adapterhub",
	},
}

// carriesWith is carries for a method with other settings than its default ones.
func carriesWith(t *testing.T, f *modelstest.Fixture, to, name, flags string) string {
	t.Helper()
	m, err := inject.New(name)
	if err != nil {
		t.Fatal(err)
	}
	for words := strings.Fields(flags); len(words) > 1; words = words[2:] {
		if ok, err := inject.Set(m, strings.TrimPrefix(words[0], "--"), words[1]); !ok || err != nil {
			t.Fatalf("%s: %s: %v", name, words[0], err)
		}
	}
	g, plan := injectedHead(t, f, m)
	if cell := carries(t, to, plan, g); cell != "yes" {
		return cell
	}
	return "with `" + flags + "`"
}

// carries reports whether a format holds the plan: "yes" when every tensor comes back to the bit, "folded" when what training
// alone needs is folded away, "–" when the format refuses.
func carries(t *testing.T, name string, plan *inject.Plan, g *graph.Graph) string {
	t.Helper()
	f, err := format.New(name)
	if err != nil {
		t.Fatal(err)
	}
	values, err := plan.Values(g)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "adapter"+f.Ext)
	if err := format.Save(f, path, plan, values); err != nil {
		return "–"
	}
	a, err := f.Load(path)
	if err != nil {
		t.Errorf("%s in %s was written and can't be read: %v", plan.Methods[0].Name, name, err)
		return "–"
	}
	back, err := a.Bind(plan)
	if err != nil {
		if own, errFor := format.For(plan); errFor != nil || own.Name == name {
			t.Errorf("%s in %s, where runs keep it: %v", plan.Methods[0].Name, name, err)
		}
		return "folded"
	}
	for _, k := range slices.Sorted(maps.Keys(back)) {
		graphtest.Close(t, back[k], values[k], 0, 0)
	}
	return "yes"
}
