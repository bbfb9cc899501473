package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/graph/safetensors"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/runtime"
)

// cmdStatus runs a command and checks its exit status: status N command...
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := exitCode(ts.Exec(args[1], args[2:]...)); got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// cmdFails runs a command that must fail as a user can bear it: fails N regexp command... The last thing on stderr is one line
// that says what is wrong and perhaps one that says what to try; together they match the regular expression. Nothing is on
// stdout, and no file appears, goes or changes.
func cmdFails(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: fails N regexp command...")
	}
	before := listing(ts)
	cmdStatus(ts, false, append([]string{args[0]}, args[2:]...))
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("it prints a result: %q", out)
	}
	complaint := lastWords(ts.ReadFile("stderr"))
	if complaint == "" {
		ts.Fatalf("stderr doesn't end in one line \"peftgraph: ...\", with or without \"  try: ...\"")
	}
	if !regexp.MustCompile(args[1]).MatchString(complaint) {
		ts.Fatalf("no match for %q in %q", args[1], complaint)
	}
	if after := listing(ts); after != before {
		ts.Fatalf("files before:\n%s\nfiles after:\n%s", before, after)
	}
}

var complaintForm = regexp.MustCompile(`(?:^|\n)(peftgraph: [^\n]+\n(?:  try: [^\n]+\n)?)$`)

// lastWords returns the error that stderr ends in, "" where its form is another or it has a package's name.
func lastWords(stderr string) string {
	m := complaintForm.FindStringSubmatch(stderr)
	if m == nil || strings.Contains(stderr, "goroutine ") || strings.Contains(stderr, "internal error") || packages.MatchString(strings.TrimPrefix(m[1], "peftgraph: ")) {
		return ""
	}
	return m[1]
}

// listing describes the files of the work folder: names, sizes, and times of writing.
func listing(ts *testscript.TestScript) string {
	var sb strings.Builder
	root := ts.Getenv("WORK")
	ts.Check(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == filepath.Join(root, ".tmp") {
			return fs.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if d.IsDir() {
			fmt.Fprintf(&sb, "%s/\n", path)
		} else {
			fmt.Fprintf(&sb, "%s %d %s\n", path, info.Size(), info.ModTime().Format(time.RFC3339Nano))
		}
		return nil
	}))
	return sb.String()
}

// cmdJSON checks that a file (stdout, say) holds JSON and nothing else, one value or one a line, and values in the first:
// json FILE [path.to.value=regexp]...
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: json FILE [path=regexp]...")
	}
	d := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0])))
	var first any
	ts.Check(d.Decode(&first))
	for d.More() {
		var next any
		ts.Check(d.Decode(&next))
	}
	for _, check := range args[1:] {
		path, want, _ := strings.Cut(check, "=")
		got := fmt.Sprint(lookUp(first, strings.Split(path, ".")))
		if !regexp.MustCompile("^(?:" + want + ")$").MatchString(got) {
			ts.Fatalf("%s is %s, want %s", path, got, want)
		}
	}
}

func lookUp(v any, path []string) any {
	for _, key := range path {
		switch x := v.(type) {
		case map[string]any:
			v = x[key]
		case []any:
			i, err := strconv.Atoi(key)
			if key == "len" {
				return len(x)
			}
			if err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

// cmdInterrupt starts a command in the background, waits until a file holds a text, sends an interrupt as Ctrl-C does, and
// checks that the exit status is 130: interrupt FILE TEXT command... FILE may be a pattern, and TEXT empty.
func cmdInterrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: interrupt FILE TEXT command...")
	}
	var stderr bytes.Buffer
	cmd := exec.Command(args[2], args[3:]...)
	cmd.Dir, cmd.Stderr = ts.MkAbs("."), &stderr
	cmd.Env = append(os.Environ(), runtime.EnvLibrary+"="+ts.Getenv(runtime.EnvLibrary))
	ts.Check(cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if holds(ts.MkAbs(args[0]), args[1]) {
			break
		}
		select {
		case err := <-done:
			ts.Fatalf("it ended before: %v\n%s", err, stderr.String())
		default:
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			ts.Fatalf("%s doesn't come to hold %q\n%s", args[0], args[1], stderr.String())
		}
	}
	ts.Check(cmd.Process.Signal(os.Interrupt))
	if got := exitCode(<-done); got != exitInterrupted {
		ts.Fatalf("exit status %d, want %d\n%s", got, exitInterrupted, stderr.String())
	}
	fmt.Fprint(ts.Stderr(), stderr.String())
}

// holds reports whether a file whose name matches the pattern has the text in it.
func holds(pattern, text string) bool {
	paths, _ := filepath.Glob(pattern)
	return slices.ContainsFunc(paths, func(path string) bool {
		data, err := os.ReadFile(path)
		return err == nil && bytes.Contains(data, []byte(text))
	})
}

// cmdWiden gives a model a larger vocabulary, so that its weights outweigh its nodes as a real one's do: widen IN OUT ROWS.
func cmdWiden(ts *testscript.TestScript, neg bool, args []string) {
	g, err := onnxfile.Load(ts.MkAbs(args[0]))
	ts.Check(err)
	enc, err := models.Recognise(g)
	ts.Check(err)
	rows, err := strconv.ParseInt(args[2], 10, 64)
	ts.Check(err)
	old, err := graph.Data[float32](enc.Embeddings.Word.Init())
	ts.Check(err)
	table := make([]float32, rows*int64(enc.Hidden))
	for i := range table {
		table[i] = old[i%len(old)]
	}
	ts.Check(g.SetInitializer(enc.Embeddings.Word, graph.TensorOf([]int64{rows, int64(enc.Hidden)}, table)))
	ts.Check(onnxfile.Save(g, ts.MkAbs(args[1]), onnxfile.Options{}))
}

// cmdSizes checks that some files together have at most a part of another's bytes: sizes PERCENT WHOLE FILE...
func cmdSizes(ts *testscript.TestScript, neg bool, args []string) {
	percent, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	var sizes []int64
	for _, name := range args[1:] {
		info, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		sizes = append(sizes, info.Size())
	}
	sum := int64(0)
	for _, n := range sizes[1:] {
		sum += n
	}
	if sum*100 > sizes[0]*percent {
		ts.Fatalf("%s have %d bytes together, more than %d %% of the %d of %s", args[2:], sum, percent, sizes[0], args[1])
	}
}

// cmdCut leaves the first part of a file: cut FILE PERCENT.
func cmdCut(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs(args[0])
	percent, err := strconv.Atoi(args[1])
	ts.Check(err)
	info, err := os.Stat(path)
	ts.Check(err)
	ts.Check(os.Truncate(path, info.Size()*int64(percent)/100))
}

// cmdEdit replaces a text in a file: edit FILE OLD NEW.
func cmdEdit(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	if !bytes.Contains(data, []byte(args[1])) {
		ts.Fatalf("%s holds no %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(path, bytes.ReplaceAll(data, []byte(args[1]), []byte(args[2])), 0o644))
}

// cmdSameBase checks that each weight of one model has the same hash in another, the trainables apart: samebase A B.
func cmdSameBase(ts *testscript.TestScript, neg bool, args []string) {
	var hashes [2]map[string]string
	for i, name := range args {
		g, err := onnxfile.Load(ts.MkAbs(name))
		ts.Check(err)
		hashes[i], err = onnxfile.HashInitializers(g)
		ts.Check(err)
	}
	same := 0
	for name, h := range hashes[0] {
		if got, ok := hashes[1][name]; ok && got != h {
			ts.Fatalf("initializer %q differs", name)
		} else if ok {
			same++
		}
	}
	if same < len(hashes[0])*9/10 {
		ts.Fatalf("only %d of %d initializers are in both", same, len(hashes[0]))
	}
}

// cmdPoison makes one element of an adapter NaN: poison adapter_model.safetensors.
func cmdPoison(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	nan := math.Float32bits(float32(math.NaN()))
	at := len(data) - 4
	for i := range 4 {
		data[at+i] = byte(nan >> (8 * i))
	}
	ts.Check(os.WriteFile(path, data, 0o644))
	_, err = safetensors.Open(path)
	ts.Check(err) // it is still well-formed
}

// cmdZero checks that an injected model's LoRA starts where the base is: every B is zero.
func cmdZero(ts *testscript.TestScript, neg bool, args []string) {
	g, err := onnxfile.Load(ts.MkAbs(args[0]))
	ts.Check(err)
	plan, err := inject.ReadPlan(g)
	ts.Check(err)
	values, err := plan.Values(g)
	ts.Check(err)
	n := 0
	for _, t := range plan.Trainables {
		if t.Role != "lora_B" {
			continue
		}
		xs, err := values[t.Name].Float64s()
		ts.Check(err)
		for _, x := range xs {
			if x != 0 {
				ts.Fatalf("%s starts at %v", t.Name, x)
			}
		}
		n++
	}
	if n == 0 {
		ts.Fatalf("no lora_B in %s", args[0])
	}
}

// cmdSpoil puts an operator between an injected model's head and its logits: spoil IN OUT OP.
func cmdSpoil(ts *testscript.TestScript, neg bool, args []string) {
	g, err := onnxfile.Load(ts.MkAbs(args[0]))
	ts.Check(err)
	last := g.Value(inject.LogitsName).Producer()
	b := g.Build("spoil")
	spoilt := b.Op(args[2], last.Input(0))
	ts.Check(b.Err())
	last.SetInput(0, b.Typed(spoilt, last.Input(0).DType, last.Input(0).Shape))
	g.Opsets[""] = 18
	ts.Check(g.Sort())
	ts.Check(onnxfile.Save(g, ts.MkAbs(args[1]), onnxfile.Options{Weights: onnxfile.Reference}))
}

// cmdRetrain changes weights of a model in place, as another training of it would: retrain FILE.
func cmdRetrain(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs(args[0])
	g, err := onnxfile.Load(path)
	ts.Check(err)
	text, err := os.ReadFile(path)
	ts.Check(err)
	for _, v := range g.Initializers() {
		if ref := v.Init().Ref(); ref != nil && v.DType == graph.Float {
			text[ref.Offset+ref.Length/2] ^= 1
		}
	}
	ts.Check(os.WriteFile(path, text, 0o666))
}
