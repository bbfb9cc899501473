package optim

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

type fixture struct {
	Start      []float32              `json:"start"`
	Grads      [][]float32            `json:"grads"`
	Optimizers map[string][][]float32 `json:"optimizers"`
	Schedules  map[string][]float64   `json:"schedules"`
}

func load(t *testing.T) (f fixture) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "steps.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

var settings = Settings{WeightDecay: 0.1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Momentum: 0.9}

// TestStepsEqualPyTorch walks the registry, so that an optimizer without a fixture fails.
func TestStepsEqualPyTorch(t *testing.T) {
	f := load(t)
	for _, name := range Names() {
		want := f.Optimizers[name]
		if len(want) == 0 {
			t.Errorf("%s: no steps in the fixture", name)
			continue
		}
		o, err := New(name, len(f.Start), settings)
		if err != nil {
			t.Fatal(err)
		}
		p := append([]float32(nil), f.Start...)
		for i, g := range f.Grads {
			g = append([]float32(nil), g...)
			Clip(g, 1)
			o.Step(p, g, 0.01, nil)
			for k := range p {
				if d := math.Abs(float64(p[k] - want[i][k])); d > 1e-6 {
					t.Fatalf("%s: step %d element %d: %v, PyTorch has %v", name, i, k, p[k], want[i][k])
				}
			}
		}
	}
}

func TestSchedulesEqualTransformers(t *testing.T) {
	f := load(t)
	for _, name := range ScheduleNames() {
		s, err := NewSchedule(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Schedules[name]) == 0 {
			t.Errorf("%s: not in the fixture", name)
		}
		for i, want := range f.Schedules[name] {
			if got := s(i, 3, 12); math.Abs(got-want) > 1e-12 {
				t.Errorf("%s: step %d: %v, transformers has %v", name, i, got, want)
			}
		}
	}
}

// TestRestoreContinuesToTheBit stops after five steps and goes on in a fresh optimizer.
func TestRestoreContinuesToTheBit(t *testing.T) {
	f := load(t)
	for _, name := range Names() {
		whole, _ := New(name, 8, settings)
		p := append([]float32(nil), f.Start...)
		var q []float32
		var resumed Optimizer
		for i, g := range f.Grads {
			if i == 5 {
				q = append([]float32(nil), p...)
				resumed, _ = New(name, 8, settings)
				if err := resumed.Restore(whole.State(), whole.Steps()); err != nil {
					t.Fatal(err)
				}
			}
			whole.Step(p, g, 0.01, nil)
			if resumed != nil {
				resumed.Step(q, g, 0.01, nil)
			}
		}
		if !reflect.DeepEqual(p, q) {
			t.Errorf("%s: %v after resuming, %v without a stop", name, q, p)
		}
		if err := resumed.Restore(map[string][]float32{"m": {1}}, 1); err == nil {
			t.Errorf("%s: took the state of another run", name)
		}
	}
}

func TestDecayMask(t *testing.T) {
	o, _ := New("adamw", 2, settings)
	p := []float32{1, 1}
	o.Step(p, []float32{0, 0}, 0.5, []bool{true, false})
	if p[0] != 0.95 || p[1] != 1 {
		t.Errorf("got %v, want decay on the first element alone", p)
	}
}

func TestParallelStepEqualsSerial(t *testing.T) {
	const n = 300_000
	p, g := make([]float32, n), make([]float32, n)
	for i := range p {
		p[i], g[i] = float32(i%17), float32(i%13)-6
	}
	q := append([]float32(nil), p...)
	a, _ := New("adamw", n, settings)
	a.Step(p, g, 0.1, nil)
	for lo := 0; lo < n; lo += 50_000 {
		b, _ := New("adamw", 50_000, settings)
		b.Step(q[lo:lo+50_000], g[lo:lo+50_000], 0.1, nil)
	}
	if !reflect.DeepEqual(p, q) {
		t.Error("the parallel step differs from the serial one")
	}
}
