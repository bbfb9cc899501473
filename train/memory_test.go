package train_test

import (
	"testing"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/autodiff"
)

// Every exporter's training graph can be sized; activations grow with the batch in proportion, and attention's with the
// square of the length.
func TestMemory(t *testing.T) {
	for _, f := range modelstest.Encoders(t) {
		g, plan := injected(t, f, inject.Task{Type: "classification", Labels: labels}, lora(), 0.1)
		base := injecttest.Recognise(t, f.Load(t)).Params()
		s, err := train.NewStepGraph(g, plan, autodiff.Options{})
		if err != nil {
			t.Fatal(err)
		}
		estimate := func(batch, length int) int64 {
			m, err := s.Memory(batch, length)
			if err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			if m.Weights < 4*(base.Total()-base.Classifier)*9/10 || m.Optimizer != 20*int64(s.Layout.Size) {
				t.Errorf("%s: %+v for weights of %+v and %d parameters", f.Name, m, base, s.Layout.Size)
			}
			return m.Activations
		}
		small, wide, long := estimate(8, 16), estimate(16, 16), estimate(8, 32)
		if r := float64(wide) / float64(small); r < 1.7 || r > 2 {
			t.Errorf("%s: twice the batch takes %.2f times the memory", f.Name, r)
		}
		if r := float64(long) / float64(small); r < 1.9 || r > 4 {
			t.Errorf("%s: twice the length takes %.2f times the memory", f.Name, r)
		}
	}
}
