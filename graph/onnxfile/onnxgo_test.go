package onnxfile

import (
	"regexp"
	"testing"

	"github.com/owulveryck/onnx-go/backend/testbackend"
	_ "github.com/owulveryck/onnx-go/backend/testbackend/onnx" // registers the official operator tests
)

// TestRoundTripOfOperatorTests goes through the official ONNX operator tests that onnx-go carries.
func TestRoundTripOfOperatorTests(t *testing.T) {
	all := testbackend.FindAllTestsMatching(regexp.MustCompile(""))
	if len(all) < 340 {
		t.Fatalf("only %d operator tests are registered", len(all))
	}
	for _, make := range all {
		tc := make()
		t.Run(tc.Title, func(t *testing.T) {
			g, err := Unmarshal(tc.ModelB, "")
			if err != nil {
				t.Fatal(err)
			}
			got, err := Marshal(g.Clone(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, tc.ModelB, got)
		})
	}
}
