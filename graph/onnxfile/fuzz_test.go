package onnxfile

import (
	"testing"

	"google.golang.org/protobuf/proto"
)

// FuzzLoad looks for input that makes the reader panic, or that it accepts and then can't write or read again. Inputs are
// long, and minimizing them takes Go's engine a minute each: run it with -fuzzminimizetime 1x.
func FuzzLoad(f *testing.F) {
	for _, m := range []func() []byte{
		func() []byte { b, _ := proto.Marshal(everything()); return b },
		func() []byte { b, _ := proto.Marshal(branches()); return b },
	} {
		f.Add(m())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := Unmarshal(data, "")
		if err != nil {
			return
		}
		out, err := Marshal(g, Options{})
		if err != nil {
			t.Fatalf("loaded but not saved: %v", err)
		}
		wantEqual(t, data, out)
		again, err := Unmarshal(out, "")
		if err != nil {
			t.Fatalf("saved but not loaded: %v", err)
		}
		if a, b := g.String(), again.String(); a != b {
			t.Fatalf("changed by saving:\n%s\n%s", a, b)
		}
	})
}
