package graphtest

import (
	"encoding/json"
	"os"
	"testing"
)

// ReadJSON reads what a script wrote beside a fixture.
func ReadJSON(t testing.TB, path string, to any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
