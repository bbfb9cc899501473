package peftgraph_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/internal/runtimetest"
	"github.com/peftgraph/peftgraph/train/folder"
)

// A deployedCase is a task with some data, and what its folder is to say.
type deployedCase struct {
	task    string
	data    string // JSON lines, to train and to judge on
	outputs []string
	config  map[string]string // config.json's entries, as JSON
	ask     []peftgraph.Request
}

var deployedCases = map[string]deployedCase{
	"classification": {task: "classification", outputs: []string{"logits"},
		data:   `{"text":"a good film","label":"pos"}` + "\n" + `{"text":"a bad film , it was awful","label":"neg"}`,
		config: map[string]string{"architectures": `["BertForSequenceClassification"]`, "id2label": `{"0":"neg","1":"pos"}`, "problem_type": `"single_label_classification"`}},
	"multi-label": {task: "multi-label", outputs: []string{"logits"},
		data:   `{"text":"a good film","label":["good","film"]}` + "\n" + `{"text":"a bad cake","label":["bad"]}` + "\n" + `{"text":"the film was bad","label":["bad","film"]}`,
		config: map[string]string{"id2label": `{"0":"bad","1":"film","2":"good"}`, "problem_type": `"multi_label_classification"`}},
	"regression": {task: "regression", outputs: []string{"logits"},
		data:   `{"text":"a good film","score":0.9}` + "\n" + `{"text":"a bad film","score":0.1}`,
		config: map[string]string{"id2label": `{"0":"LABEL_0"}`, "problem_type": `"regression"`}},
	"token classification": {task: "token-classification", outputs: []string{"logits"},
		data:   `{"tokens":["the","film","good","cake"],"tags":["O","B-ART","I-ART","O"]}` + "\n" + `{"tokens":["a","book",",","so","sad"],"tags":["O","B-ART","O","O","O"]}`,
		config: map[string]string{"architectures": `["BertForTokenClassification"]`, "id2label": `{"0":"B-ART","1":"I-ART","2":"O"}`}},
	"question answering": {task: "question-answering", outputs: []string{"start_logits", "end_logits"},
		data: `{"id":"1","question":"what was good ?","context":"the cake was bad and the film was good .","answers":{"text":["the film"],"answer_start":[21]}}` + "\n" +
			`{"id":"2","question":"what was sad ?","context":"a sad book .","answers":{"text":["book"],"answer_start":[6]}}`,
		config: map[string]string{"architectures": `["BertForQuestionAnswering"]`},
		ask:    []peftgraph.Request{{Text: "what was bad ?", Pair: "the film was bad and the story was lovely .", HasPair: true}}},
	"embeddings": {task: "embedding", outputs: []string{"sentence_embedding", "last_hidden_state"},
		data:   `{"anchor":"a good film","positive":"a great film"}` + "\n" + `{"anchor":"a bad cake","positive":"an awful cake"}`,
		config: map[string]string{"architectures": `["BertModel"]`}},
	"masked words": {task: "masked-lm", outputs: []string{"logits"},
		data:   `{"text":"a good film , it was a lovely day and we like it"}` + "\n" + `{"text":"the cake was bad and the book was very sad"}`,
		config: map[string]string{"architectures": `["BertForMaskedLM"]`}, ask: []peftgraph.Request{{Text: "a [MASK] film"}}},
}

// A deployed folder is proven by its own outputs, says what other programs ask for, and answers as the run does.
func TestDeployedFolders(t *testing.T) {
	runtimetest.Library(t)
	for name, c := range deployedCases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			run := c.train(t, dir)
			res := need(run.Export(t.Context(), peftgraph.ExportOptions{Path: filepath.Join(dir, "deploy")}))(t).Forms[0]
			var outputs []string
			for _, o := range res.Comparison.Outputs {
				outputs = append(outputs, o.Name)
				if o.Flips > 0 || c.task == "question-answering" && o.Flips != 0 {
					t.Errorf("%+v", o)
				}
			}
			if !slices.Equal(outputs, c.outputs) || res.Folder != filepath.Join(dir, "deploy") || res.Layout == "" {
				t.Errorf("outputs %q, folder %s, layout %s", outputs, res.Folder, res.Layout)
			}
			if fitted := strings.Contains(string(run.Plan.Task.Settings), "temperature"); fitted != (c.task == "classification") {
				t.Errorf("a temperature was fitted, or none: %s", run.Plan.Task.Settings)
			}
			checkConfig(t, res.Folder, c.config)
			for _, path := range []string{res.Folder, res.Output} {
				c.sameAnswers(t, run, need(peftgraph.OpenRun(path))(t))
			}
		})
	}
}

func (c deployedCase) train(t *testing.T, dir string) *peftgraph.Run {
	t.Helper()
	file := filepath.Join(dir, "data.jsonl")
	if err := os.WriteFile(file, []byte(c.data+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	opt := options(filepath.Join(dir, "run"), file, lora(t))
	opt.Eval, opt.Task = []string{file}, need(peftgraph.NewTask(c.task))(t)
	return need(need(peftgraph.Open("model/model.onnx"))(t).Train(t.Context(), opt))(t)
}

func checkConfig(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	var config map[string]json.RawMessage
	if err := json.Unmarshal(need(os.ReadFile(filepath.Join(dir, "config.json")))(t), &config); err != nil {
		t.Fatal(err)
	}
	for key, want := range want {
		var got any
		if err := json.Unmarshal(config[key], &got); err != nil || string(need(json.Marshal(got))(t)) != want {
			t.Errorf("%s is %s, want %s (%v)", key, config[key], want, err)
		}
	}
}

// sameAnswers compares what is said of a text, logits apart, which a temperature may be in; and the metrics.
func (c deployedCase) sameAnswers(t *testing.T, run, deployed *peftgraph.Run) {
	t.Helper()
	ask := c.ask
	if ask == nil {
		ask = []peftgraph.Request{{Text: "the film was so good"}, {Text: "a bad , sad book"}}
	}
	var answers [2][]map[string]any
	var reached [2]map[string]float64
	for i, r := range []*peftgraph.Run{run, deployed} {
		p := need(r.Predictor(t.Context(), peftgraph.PredictorOptions{}))(t)
		defer p.Close()
		for _, a := range need(p.PredictEach(t.Context(), ask...))(t) {
			var m map[string]any
			if err := json.Unmarshal(need(json.Marshal(a))(t), &m); err != nil {
				t.Fatal(err)
			}
			delete(m, "logits")
			answers[i] = append(answers[i], m)
		}
		reached[i] = need(r.Evaluate(t.Context(), peftgraph.EvaluateOptions{Data: []string{filepath.Join(filepath.Dir(run.Dir), "data.jsonl")}}))(t).Metrics
	}
	alike(t, "answers", fmt.Sprint(answers[1]), fmt.Sprint(answers[0]))
	alike(t, "metrics", fmt.Sprint(reached[1]), fmt.Sprint(reached[0]))
}

// alike compares texts word by word, numbers up to rounding.
func alike(t *testing.T, what, got, want string) {
	t.Helper()
	split := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" :[]{}", r) })
	}
	a, b := split(got), split(want)
	ok := len(a) == len(b)
	for i := 0; ok && i < len(a); i++ {
		var x, y float64
		if _, err := fmt.Sscan(a[i], &x); err != nil {
			ok = a[i] == b[i]
		} else if _, err := fmt.Sscan(b[i], &y); err != nil || !(math.Abs(x-y) <= 1e-5) && !(math.IsNaN(x) && math.IsNaN(y)) {
			ok = false
		}
	}
	if !ok {
		t.Errorf("%s: %s\nwant %s", what, got, want)
	}
}

// Where the files for other programs can't go, a model alone is written and a folder is refused.
func TestFolderThatIsTaken(t *testing.T) {
	runtimetest.Library(t)
	run := need(peftgraph.OpenRun("sentiment"))(t)
	dir := t.TempDir()
	readme := filepath.Join(dir, "README.md")
	if err := os.WriteFile(readme, []byte("# My project\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var notes []string
	opt := peftgraph.ExportOptions{Engine: peftgraph.Engine{Note: func(line string) { notes = append(notes, line) }}, Path: dir}
	_, err := run.Export(t.Context(), opt)
	if err == nil || !strings.Contains(err.Error(), "README.md is none of an export's files") || peftgraph.Hint(err) == "" {
		t.Error(err)
	}
	opt.Path = filepath.Join(dir, "model.onnx")
	if res := need(run.Export(t.Context(), opt))(t); res.Forms[0].Folder != "" {
		t.Errorf("%+v", res.Forms[0])
	}
	if files := need(os.ReadDir(dir))(t); len(files) != 2 || len(notes) != 1 || !strings.Contains(notes[0], "only the model is written") {
		t.Error(files, notes)
	}
	if text := need(os.ReadFile(readme))(t); string(text) != "# My project\n" {
		t.Errorf("%s", text)
	}
	notes, opt.Bare = nil, true
	need(run.Export(t.Context(), opt))(t)
	opt.Path, opt.Layout = filepath.Join(t.TempDir(), "new"), folder.Subfolder
	need(run.Export(t.Context(), opt))(t)
	if files := need(os.ReadDir(opt.Path))(t); len(files) != 1 || files[0].Name() != "onnx" || notes != nil {
		t.Error(files, notes)
	}
	if _, err := peftgraph.OpenRun(opt.Path); err == nil || !strings.Contains(peftgraph.Hint(err), "tokenizer") {
		t.Error(err)
	}
}

// What was exported isn't exported again, nor joined; it can be looked at and compared.
func TestDeployedIsNoRun(t *testing.T) {
	runtimetest.Library(t)
	run := need(peftgraph.OpenRun("sentiment"))(t)
	dir := filepath.Join(t.TempDir(), "deploy")
	for range 2 { // the second replaces the first's files
		need(run.Export(t.Context(), peftgraph.ExportOptions{Path: dir, Form: peftgraph.Unmerged, Program: "peftgraph v1.2.3", Command: "peftgraph export"}))(t)
	}
	deployed := need(peftgraph.OpenRun(dir))(t)
	if _, err := deployed.Export(t.Context(), peftgraph.ExportOptions{Path: "new"}); err == nil || peftgraph.Hint(err) == "" {
		t.Error(err)
	}
	if _, err := peftgraph.Join(peftgraph.Named{Name: "a", Run: deployed}); err == nil || peftgraph.Hint(err) == "" {
		t.Error(err)
	}
	in := need(peftgraph.Open(dir))(t).Inspect()
	if in.Task == nil || !slices.Equal(in.Task.Labels, []string{"neg", "pos"}) || in.Layers != 2 {
		t.Errorf("%+v", in)
	}
	same := need(peftgraph.Compare(t.Context(), dir, filepath.Join(dir, "model.onnx"), peftgraph.CompareOptions{Data: "test.tsv"}))(t)
	if same.Worst() != 0 || same.Outputs[0].Flips != 0 || same.Examples != 8 {
		t.Errorf("%+v", same)
	}
	card := string(need(os.ReadFile(filepath.Join(dir, "README.md")))(t))
	for _, want := range []string{"peftgraph v1.2.3", "peftgraph export\n", "train.tsv, SHA-256", "lora, beside the base's weights", "licence of the base"} {
		if !strings.Contains(card, want) {
			t.Errorf("the card lacks %q:\n%s", want, card)
		}
	}
}

// A folder that another program wrote has no metadata of ours: config.json says what it is for.
func TestForeignFolder(t *testing.T) {
	runtimetest.Library(t)
	for _, name := range []string{"classification", "token classification", "question answering"} {
		c, dir := deployedCases[name], t.TempDir()
		run := c.train(t, dir)
		path := filepath.Join(dir, "deploy")
		model := need(run.Export(t.Context(), peftgraph.ExportOptions{Path: path}))(t).Forms[0].Output
		g := need(onnxfile.Load(model))(t)
		for _, key := range []string{"peftgraph.task", "peftgraph.encoder", "id2label"} {
			g.RemoveMeta(key)
		}
		foreign := filepath.Join(path, "foreign.onnx")
		if err := onnxfile.Save(g, foreign, onnxfile.Options{Weights: onnxfile.SelfContained}); err != nil {
			t.Fatal(err)
		}
		c.sameAnswers(t, run, need(peftgraph.OpenRun(foreign))(t))
	}
}
