package task

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/train/data"
)

var three = []string{"a", "b", "c"}

func logit(p float64) float32 { return float32(math.Log(p / (1 - p))) }

// labelled are results of three labels with these probabilities and truths, both by example.
func labelled(p [][]float64, truth [][]float32) *Results {
	r := &Results{Data: &data.Dataset{}, Width: 3, Labels: three}
	for _, row := range p {
		var out []float32
		for _, v := range row {
			out = append(out, logit(v))
		}
		r.Rows = append(r.Rows, out)
	}
	specs := (&MultiLabel{}).Targets(three)
	r.Data.Targets = []data.Target{{TargetSpec: specs[0], Floats: truth}}
	return r
}

// What a file says is what the loss compares with; an empty list is an example.
func TestMultiLabelTargets(t *testing.T) {
	k := &MultiLabel{}
	set, err := read(t, k, "x.jsonl", `{"text":"good and cheap","label":["praise","price"]}
{"text":"late again","label":["delivery"]}
{"text":"nothing","label":[]}
{"text":"dear but fast","label":["price","delivery"]}`, data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	names, err := k.Labels(set, nil)
	if err != nil || !slices.Equal(names, []string{"delivery", "praise", "price"}) {
		t.Fatalf("labels %q, %v", names, err)
	}
	d, err := k.Encode(vocabulary(t), set, names)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]float32{{0, 1, 1}, {1, 0, 0}, {0, 0, 0}, {1, 0, 1}}
	if got := d.Target(hasTarget); !reflect.DeepEqual(got.Floats, want) || len(d.Targets) != 1 {
		t.Errorf("targets %v, want %v", got.Floats, want)
	}
	if b := d.Batch([]int{1, 3}); !slices.Equal(b.Targets[hasTarget].Dims, []int64{2, 3}) || b.Weight != 2 {
		t.Errorf("a batch's targets are %v, its weight %v", b.Targets[hasTarget].Dims, b.Weight)
	}
	if _, err := k.Encode(vocabulary(t), set, []string{"praise", "price"}); err == nil || !strings.Contains(err.Error(), `x.jsonl:2: unknown label "delivery"`) {
		t.Errorf("an unknown label: %v", err)
	}
	k.Weights = ClassWeights{ByName: map[string]float64{"prize": 2}}
	if _, err := k.Encode(vocabulary(t), set, names); err == nil || !strings.Contains(err.Error(), `"prize" is none of the labels`) {
		t.Errorf("a weight of no label: %v", err)
	}
	if d, err = k.Encode(vocabulary(t), &data.Set{Examples: set.Examples}, names); err != nil || d.Targets != nil {
		t.Errorf("without labels: %v, %v", d.Targets, err)
	}
}

// Gone on from the start, the biases alone have no gradient but for the half text.
func TestMultiLabelStart(t *testing.T) {
	hot := make([][]float32, 200)
	for i := range hot {
		hot[i] = []float32{float32(1 - min(i%4, 1)), 0, 1}
	}
	specs := (&MultiLabel{Weights: ClassWeights{Balanced: true}}).Targets(three)
	d := &data.Dataset{Targets: []data.Target{{TargetSpec: specs[0], Floats: hot}}}
	got := (&MultiLabel{}).Start(d, three)
	for k, want := range []float64{math.Log(50.5 / 150.5), math.Log(0.5 / 200.5), math.Log(200.5 / 0.5)} {
		if math.Abs(float64(got[k])-want) > 1e-6 {
			t.Errorf("label %d starts at %v, want %v", k, got[k], want)
		}
	}
	d.Targets = append(d.Targets, data.Target{TargetSpec: specs[1], Floats: [][]float32{{3, 1, 0}}})
	if got := (&MultiLabel{}).Start(d, three); math.Abs(float64(got[0])-math.Log(3*50.5/150.5)) > 1e-6 || math.IsInf(float64(got[2]), 0) {
		t.Errorf("with weights %v", got)
	}
	for range 10 {
		hot = append(hot, hot...)
	}
	d.Targets[0].Floats = hot
	if got := (&MultiLabel{}).Start(d, three); got[1] != -7 || got[2] != 7 {
		t.Errorf("rare and common labels start at %v", got)
	}
}

// Thresholds are chosen for each label, for all at once, or given; what is chosen travels in the settings.
func TestThresholds(t *testing.T) {
	r := labelled([][]float64{{0.9, 0.3, 0.1}, {0.6, 0.1, 0.2}, {0.2, 0.2, 0.9}}, [][]float32{{1, 1, 0}, {1, 0, 0}, {0, 1, 0}})
	for _, c := range []struct {
		setting string
		want    []float64
		answer  []string // to the last row
	}{
		{"each", []float64{0.4, 0.15, 0.5}, []string{"b", "c"}},
		{"auto", []float64{0.25, 0.25, 0.25}, []string{"c"}},
		{"0.1", []float64{0.1, 0.1, 0.1}, three},
	} {
		k := &MultiLabel{}
		if ok, err := Set(k, "threshold", c.setting); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if same := k.thresholds(3); c.setting != "0.1" && !slices.Equal(same, []float64{0.5, 0.5, 0.5}) {
			t.Errorf("%s: before it is fitted the thresholds are %v", c.setting, same)
		}
		if err := k.Fit(r); err != nil {
			t.Fatal(err)
		}
		settings, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Of(inject.Task{Type: "multi-label", Settings: settings})
		if err != nil || !reflect.DeepEqual(again, Task(k)) {
			t.Errorf("%s: %s is read as %+v, %v", c.setting, settings, again, err)
		}
		got := again.(*MultiLabel).thresholds(3)
		for i, want := range c.want {
			if math.Abs(got[i]-want) > 1e-6 {
				t.Errorf("%s: thresholds %v, want %v", c.setting, got, c.want)
			}
		}
		answer := again.Answer(r, 2, []int{2}).(LabelsAnswer)
		if !slices.Equal(answer.Labels, c.answer) {
			t.Errorf("%s: labels %q, want %q", c.setting, answer.Labels, c.answer)
		}
	}
	for _, bad := range []string{"0", "1", "-0.5", "NaN", "half", ""} {
		if _, err := Set(&MultiLabel{}, "threshold", bad); err == nil || !strings.Contains(err.Error(), "want auto, each, or a number between 0 and 1") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := Validate(&MultiLabel{Smoothing: 1}); err == nil || !strings.Contains(err.Error(), "--label-smoothing 1") {
		t.Errorf("smoothing of 1: %v", err)
	}
}

// The metrics are those of package metric, which are scikit-learn's, at the task's thresholds.
func TestMultiLabelEvaluate(t *testing.T) {
	r := labelled([][]float64{{0.9, 0.3, 0.1}, {0.6, 0.1, 0.2}, {0.2, 0.2, 0.9}}, [][]float32{{1, 1, 0}, {1, 0, 0}, {0, 1, 0}})
	k := &MultiLabel{}
	got, err := k.Evaluate(r)
	if err != nil {
		t.Fatal(err)
	}
	// scikit-learn 1.9.1 on the same numbers: f1_score, average_precision_score, accuracy_score, hamming_loss
	want := Scores{"micro_f1": 2.0 / 3.5, "macro_f1": 1.0 / 3, "micro_map": 0.6220238095238095, "macro_map": 2.0 / 3, "subset_accuracy": 1.0 / 3, "hamming_loss": 1.0 / 3}
	for name, w := range want {
		if math.Abs(got[name]-w) > 1e-9 {
			t.Errorf("%s is %v, want %v", name, got[name], w)
		}
	}
	for _, name := range k.Metrics() {
		if _, ok := got[name]; !ok {
			t.Errorf("no %s", name)
		}
	}
	if len(got) != len(want) || !Better(k, "micro_f1", 0.6, 0.5) || !Better(k, "hamming_loss", 0.5, 0.6) {
		t.Errorf("%v, or what is better", got)
	}
	k.Thresholds = []float64{0.7, 0.15, 0.5}
	detail, err := k.Detail(r)
	if err != nil {
		t.Fatal(err)
	}
	lines := detail.Lines()
	if len(lines) != 4 || lines[1] != "a\t1.0000\t0.5000\t0.6667\t1.0000\t0.7000\t2" {
		t.Errorf("%q", lines)
	}
	text, err := json.Marshal(detail)
	if err != nil || !strings.Contains(string(text), `{"label":"c","precision":0,"recall":0,"f1":0,"support":0,"average_precision":0,"threshold":0.5}`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestMultiLabelAnswers(t *testing.T) {
	k := &MultiLabel{Thresholds: []float64{0.5, 0.2, 0.5}}
	r := labelled([][]float64{{0.75, 0.25, 0.1}, {0.1, 0.1, 0.1}}, nil)
	for i, want := range []string{"a,b\t0.7500,0.2500", "(none)\t-"} {
		if got := k.Answer(r, i, []int{i}).Lines(); !slices.Equal(got, []string{want}) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	text, err := json.Marshal(k.Answer(r, 1, []int{1}))
	if err != nil || !strings.HasPrefix(string(text), `{"labels":[],"probabilities":{"a":0.`) {
		t.Errorf("%s, %v", text, err)
	}
	at := func(p ...float64) []float32 { return labelled([][]float64{p}, nil).Rows[0] }
	for _, c := range []struct {
		a, b []float32
		want bool
	}{
		{at(0.6, 0.3, 0.1), at(0.9, 0.21, 0.4), true},
		{at(0.6, 0.3, 0.1), at(0.6, 0.19, 0.1), false},
		{at(0.6, 0.3, 0.1), at(0.4, 0.3, 0.1), false},
	} {
		if k.Same(c.a, c.b, 3) != c.want {
			t.Errorf("%v and %v: the same is %v", c.a, c.b, !c.want)
		}
	}
}

func TestMultiLabelLabels(t *testing.T) {
	k := &MultiLabel{}
	if got, err := k.Labels(nil, []string{"toxic"}); err != nil || len(got) != 1 {
		t.Errorf("one label: %q, %v", got, err)
	}
	for _, bad := range [][]string{nil, {"a", "a"}, {""}} {
		if _, err := k.Labels(nil, bad); err == nil {
			t.Errorf("%q are accepted", bad)
		}
	}
}
