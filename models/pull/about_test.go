package pull

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAbout(t *testing.T) {
	dir := t.TempDir()
	if o, ok := About(dir); ok {
		t.Errorf("a folder without a record is of %+v", o)
	}
	for text, want := range map[string]Origin{
		`{"name": "all-MiniLM-L6-v2", "source": "pip"}`:               {"all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2", "", "apache-2.0"},
		`{"name": "some/model", "source": "hub", "revision": "0123"}`: {"some/model", "some/model", "0123", ""},
	} {
		if err := os.WriteFile(filepath.Join(dir, recordName), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if got, ok := About(dir); !ok || got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}
