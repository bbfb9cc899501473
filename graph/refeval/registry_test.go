package refeval

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/owulveryck/onnx-go/backend/testbackend"
)

// TestEveryOperatorHasATest walks the registry: each operator must occur in the fixtures, among the official tests, or in a
// test of its own named here.
func TestEveryOperatorHasATest(t *testing.T) {
	seen := map[string]bool{"If": true} // TestIfReadsTheValuesAroundIt
	for _, make := range testbackend.FindAllTestsMatching(regexp.MustCompile("")) {
		seen[make().OpType] = true
	}
	data, err := os.ReadFile("testdata/ops/ops.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []opCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		if c.Domain != "" {
			c.Op = c.Domain + "." + c.Op
		}
		seen[c.Op] = true
	}
	ops := Ops()
	if !slices.IsSorted(ops) {
		t.Error("Ops are not sorted")
	}
	for _, op := range ops {
		if !seen[op] {
			t.Errorf("operator %s has no test", op)
		}
	}
}

func TestRegisterRefusesDuplicates(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a second Add since 7 was accepted")
		}
	}()
	register("", "Add", 7, arity{2, 2}, nil)
}
