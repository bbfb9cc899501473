package graphtest

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite golden files with what the tests got")

// Golden fails the test unless got is the content of the file at path. With the flag -update it writes the file instead.
func Golden(t testing.TB, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run the test with -update to write it)", err)
	}
	if line, g, w, same := firstDifference(got, string(want)); !same {
		t.Errorf("%s differs at line %d (run the test with -update if the change is meant):\ngot  %s\nwant %s", path, line, g, w)
	}
}

// firstDifference returns the number and both texts of the first line that differs.
func firstDifference(got, want string) (line int, g, w string, same bool) {
	gs, ws := strings.Split(got, "\n"), strings.Split(strings.ReplaceAll(want, "\r\n", "\n"), "\n")
	for i := range max(len(gs), len(ws)) {
		g, w = "(end)", "(end)"
		if i < len(gs) {
			g = gs[i]
		}
		if i < len(ws) {
			w = ws[i]
		}
		if g != w {
			return i + 1, g, w, false
		}
	}
	return 0, "", "", true
}
