package peftgraph_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/peftgraph/peftgraph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/format"
	"github.com/peftgraph/peftgraph/internal/runtimetest"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/task"
)

func need[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func lora(t testing.TB, settings ...string) inject.Method {
	t.Helper()
	return need(peftgraph.NewMethod("lora", settings...))(t)
}

var texts = []string{"a good film", "the cake was bad", "it was a very lovely story , and we like it not", "sad", "this song is so bad !", "i saw a happy day with my friend ."}

// Many goroutines that ask for both adapters at once get the answers that each gets alone.
func TestManyCallersGetTheirOwnAnswers(t *testing.T) {
	runtimetest.Library(t)
	names := []string{"sentiment", "topic"}
	alone := map[string]peftgraph.Prediction{}
	var runs []peftgraph.Named
	for _, name := range names {
		run := need(peftgraph.OpenRun(name))(t)
		runs = append(runs, peftgraph.Named{Name: name, Run: run})
		p := need(run.Predictor(t.Context(), peftgraph.PredictorOptions{}))(t)
		for _, text := range texts {
			alone[name+text] = need(p.Predict(t.Context(), text))(t)[0]
		}
		p.Close()
	}
	joint := need(peftgraph.Join(runs...))(t)
	p := need(joint.Predictor(t.Context(), peftgraph.PredictorOptions{BatchSize: 8}))(t)
	defer p.Close()
	var callers sync.WaitGroup
	for i := range 32 {
		callers.Go(func() {
			for k := range 6 {
				requests := []peftgraph.Request{
					{Adapter: names[(i+k)%2], Text: texts[(i+k)%len(texts)]},
					{Adapter: names[i%2], Text: texts[(i*k)%len(texts)]},
				}
				got, err := p.PredictEach(t.Context(), requests[:1+k%2]...)
				if err != nil {
					t.Error(err)
					return
				}
				for n, g := range got {
					same(t, g, alone[requests[n].Adapter+requests[n].Text])
				}
			}
		})
	}
	callers.Wait()
}

func same(t *testing.T, got, want peftgraph.Prediction) {
	t.Helper()
	a, b := got.Answer.(task.ClassAnswer), want.Answer.(task.ClassAnswer)
	if a.Label != b.Label || got.Text != want.Text || len(a.Logits) != len(b.Logits) {
		t.Errorf("%+v, want %+v", got, want)
		return
	}
	for i := range a.Logits {
		if d := math.Abs(float64(a.Logits[i] - b.Logits[i])); !(d <= 1e-5) {
			t.Errorf("%s: logit %d is off by %g", got.Text, i, d)
		}
	}
}

// A run that Train returns is the one in its folder, and the injected model that it was trained from, trained.
func TestTrainedRunOpens(t *testing.T) {
	runtimetest.Library(t)
	model := need(peftgraph.Open("model/model.onnx"))(t)
	injected := need(model.Inject(peftgraph.InjectOptions{Methods: []inject.Method{lora(t)}, Labels: []string{"neg", "pos"}, Seed: 1}))(t)
	if model.Plan != nil || injected.Encoder != nil || injected.Plan == nil {
		t.Fatal("injecting is not to change the model")
	}
	path := filepath.Join("model", "injected.onnx")
	if saved := need(injected.Save(path, peftgraph.SaveOptions{}))(t); !slices.Equal(saved.WeightsIn, []string{"model.onnx"}) {
		t.Error(saved)
	}
	opt := options(filepath.Join(t.TempDir(), "run"), "train.tsv")
	opt.Eval = []string{"dev.tsv"}
	var begun peftgraph.Begun
	epochs := 0
	opt.Begin = func(b peftgraph.Begun) { begun = b }
	opt.Report = func(e train.Event) {
		if e.Kind == "epoch" {
			epochs++
		}
	}
	run := need(need(peftgraph.Open(path))(t).Train(t.Context(), opt))(t)
	if begun.Examples != 24 || begun.EvalExamples != 8 || begun.Steps != 12 || epochs != 2 || run.Training.Steps != 12 || run.Training.PerStep <= 0 {
		t.Errorf("%+v, %d epochs, %+v", begun, epochs, run.Training)
	}
	opened := need(peftgraph.OpenRun(run.Dir))(t)
	before := need(peftgraph.OpenRun(path))(t)
	var answers []string
	for _, r := range []*peftgraph.Run{run, opened, before} {
		e := need(r.Evaluate(t.Context(), peftgraph.EvaluateOptions{Data: []string{"dev.tsv"}}))(t)
		if e.Examples != 8 || r != before && e.Metrics["accuracy"] != run.Best["accuracy"] {
			t.Error(e, run.Best)
		}
		p := need(r.Predictor(t.Context(), peftgraph.PredictorOptions{}))(t)
		answers = append(answers, fmt.Sprint(need(p.Predict(t.Context(), texts[0]))(t)[0].Answer))
		p.Close()
	}
	if answers[0] != answers[1] || answers[0] == answers[2] {
		t.Error(answers)
	}
}

// A training that is told to stop goes on to the same adapter, to the byte.
func TestInterruptedTrainingResumes(t *testing.T) {
	runtimetest.Library(t)
	dir := t.TempDir()
	model := need(peftgraph.Open("model/model.onnx"))(t)
	var adapters [][]byte
	for _, name := range []string{"whole", "parts"} {
		ctx, stop := context.WithCancel(t.Context())
		opt := options(filepath.Join(dir, name), "train.tsv", lora(t, "dropout=0.1"))
		opt.Report = func(e train.Event) {
			if name == "parts" && e.Step == 4 {
				stop()
			}
		}
		run, err := model.Train(ctx, opt)
		var interrupted *train.InterruptedError
		if name == "parts" {
			if !errors.As(err, &interrupted) || interrupted.Step != 4 {
				t.Fatal(err)
			}
			run, err = peftgraph.Resume(t.Context(), opt.Output, peftgraph.ResumeOptions{})
		}
		stop()
		if err != nil || run.Training.Steps != 12 {
			t.Fatal(err)
		}
		adapters = append(adapters, need(os.ReadFile(filepath.Join(opt.Output, "adapter_model.safetensors")))(t))
	}
	if !bytes.Equal(adapters[0], adapters[1]) {
		t.Error("the adapters differ")
	}
	var finished *peftgraph.FinishedError
	if _, err := peftgraph.Resume(t.Context(), filepath.Join(dir, "parts"), peftgraph.ResumeOptions{}); !errors.As(err, &finished) || peftgraph.Hint(err) == "" {
		t.Error(err)
	}
}

// Every form of an export is the trained model, for Compare too; a joint export is each of its tasks.
func TestExports(t *testing.T) {
	runtimetest.Library(t)
	dir := t.TempDir()
	run := need(peftgraph.OpenRun("sentiment"))(t)
	all := need(run.Export(t.Context(), peftgraph.ExportOptions{Path: dir, All: true, Data: "test.tsv", ONNXAdapter: filepath.Join(dir, "a.onnx_adapter")}))(t)
	if len(all.Forms) != 3 || len(all.Pairs) != 3 || all.Forms[0].Form != peftgraph.Merged || all.Forms[2].Adapter == "" {
		t.Errorf("%+v", all)
	}
	compared := need(peftgraph.Compare(t.Context(), all.Forms[0].Output, all.Forms[1].Output, peftgraph.CompareOptions{Data: "test.tsv", Tokenizer: "model"}))(t)
	if err := compared.Check(peftgraph.DefaultThreshold); err != nil || compared.Examples != 8 || compared.Outputs[0].Flips != 0 {
		t.Error(err, compared)
	}
	other := need(run.Export(t.Context(), peftgraph.ExportOptions{Path: filepath.Join(dir, "untrained.onnx")}))(t)
	if other.Forms[0].Form != peftgraph.Merged || other.Forms[0].Latency.Alone.PerText <= 0 {
		t.Errorf("%+v", other.Forms[0])
	}
	joint := need(peftgraph.Join(peftgraph.Named{Name: "s", Run: run}, peftgraph.Named{Name: "t", Run: need(peftgraph.OpenRun("topic"))(t)}))(t)
	exported := need(joint.Export(t.Context(), peftgraph.ExportOptions{Path: filepath.Join(dir, "joint.onnx")}))(t)
	if len(exported.Tasks) != 2 || exported.Tasks[1].ID != 1 || exported.Tasks[1].Difference.Flips != 0 || exported.Tasks[0].Examples != 24 {
		t.Errorf("%+v", exported)
	}
	if tasks := need(peftgraph.Open(exported.Output))(t).Inspect().Tasks; len(tasks) != 2 || tasks[1].Name != "t" {
		t.Error(tasks)
	}
}

// An adapter that was written in one format and put on the base again answers as the run does.
func TestAdapterOnAModel(t *testing.T) {
	runtimetest.Library(t)
	dir := t.TempDir()
	adapter := need(peftgraph.OpenAdapter("sentiment", peftgraph.AdapterOptions{}))(t)
	if err := adapter.Save(filepath.Join(dir, "hub"), format.HFPEFT); err != nil {
		t.Fatal(err)
	}
	model := need(need(peftgraph.Open("model/model.onnx"))(t).WithAdapter(filepath.Join(dir, "hub"), peftgraph.AdapterOptions{}))(t)
	need(model.Save("model/adapted.onnx", peftgraph.SaveOptions{}))(t)
	var answers []peftgraph.Prediction
	for _, path := range []string{"sentiment", "model/adapted.onnx"} {
		p := need(need(peftgraph.OpenRun(path))(t).Predictor(t.Context(), peftgraph.PredictorOptions{}))(t)
		answers = append(answers, need(p.Predict(t.Context(), texts[0]))(t)...)
		p.Close()
	}
	same(t, answers[1], answers[0])
	info := need(peftgraph.InspectAdapter(filepath.Join(dir, "hub")))(t)
	if info.Format != format.HFPEFT || info.Parameters == 0 {
		t.Errorf("%+v", info)
	}
	rows := need(peftgraph.DiffAdapters(adapter, adapter, false))(t)
	for _, r := range rows {
		if r.Distance != 0 {
			t.Errorf("%+v", r)
		}
	}
}

func TestGradientsOfAModel(t *testing.T) {
	runtimetest.Library(t)
	model := need(peftgraph.Open("model/model.onnx"))(t)
	if _, err := model.CheckGradients(t.Context(), peftgraph.GradientOptions{}); err == nil || peftgraph.Hint(err) == "" {
		t.Error("a base has nothing to check:", err)
	}
	injected := need(model.Inject(peftgraph.InjectOptions{Methods: []inject.Method{lora(t)}, Labels: []string{"neg", "pos"}}))(t)
	g := need(injected.CheckGradients(t.Context(), peftgraph.GradientOptions{Parameters: 3, Seed: 1}))(t)
	var differs *peftgraph.DiffersError
	if err := g.Check(1e-6, 1e-3); err != nil || len(g.Results) != 3 {
		t.Error(err, g)
	}
	if err := g.Check(-1, 1e-3); !errors.As(err, &differs) {
		t.Error(err)
	}
}

// Wrong settings are told by the fields' names, before anything is written.
func TestWrongSettings(t *testing.T) {
	model := need(peftgraph.Open("model/model.onnx"))(t)
	injected := need(model.Inject(peftgraph.InjectOptions{Labels: []string{"neg", "pos"}}))(t)
	regression := need(peftgraph.NewTask("regression"))(t)
	ctx := t.Context()
	for want, try := range map[string]func() error{
		"--labels: name the classes": func() error { _, err := model.Inject(peftgraph.InjectOptions{}); return err },
		"--labels: a regression task": func() error {
			_, err := model.Inject(peftgraph.InjectOptions{Task: regression, Labels: texts})
			return err
		},
		"setting Data: it is needed":                           func() error { _, err := model.Train(ctx, options("new", "")); return err },
		"setting Output: it is needed":                         func() error { _, err := model.Train(ctx, options("", "train.tsv")); return err },
		"setting Method: model/model.onnx is injected already": func() error { _, err := injected.Train(ctx, options("new", "train.tsv", lora(t))); return err },
		"--epochs 0": func() error {
			opt := options("new", "train.tsv")
			opt.Settings.Epochs = 0
			_, err := injected.Train(ctx, opt)
			return err
		},
		"setting Path: say where": func() error { _, err := new(peftgraph.Run).Export(ctx, peftgraph.ExportOptions{}); return err },
		"setting Path: model: the name": func() error {
			_, err := new(peftgraph.Run).Export(ctx, peftgraph.ExportOptions{Path: "model"})
			return err
		},
		"setting Form: \"x\": unknown": func() error {
			_, err := new(peftgraph.Run).Export(ctx, peftgraph.ExportOptions{Path: "x.onnx", Form: "x"})
			return err
		},
		"setting ONNXAdapter: it is for a model": func() error {
			_, err := new(peftgraph.Run).Export(ctx, peftgraph.ExportOptions{Path: "x.onnx", ONNXAdapter: "a"})
			return err
		},
	} {
		var setting *peftgraph.SettingError
		if err := try(); !errors.As(err, &setting) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := os.Stat("new"); err == nil {
		t.Error("something was written")
	}
	if _, err := injected.Inject(peftgraph.InjectOptions{Labels: []string{"a", "b"}}); err == nil || !strings.Contains(peftgraph.Hint(err), "original") {
		t.Error(err)
	}
	if _, err := peftgraph.NewMethod("lora", "rnk=8"); err == nil || !strings.Contains(err.Error(), `no setting "rnk"`) {
		t.Error(err)
	}
	if _, err := peftgraph.NewTask("regression", "rank=8"); err == nil || !strings.Contains(err.Error(), `no setting "rank"`) {
		t.Error(err)
	}
	if _, err := peftgraph.OpenRun("model/model.onnx"); err == nil || !strings.Contains(err.Error(), "neither a run folder nor") {
		t.Error(err)
	}
}
