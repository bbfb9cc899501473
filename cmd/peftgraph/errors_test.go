package main

import (
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
)

// The library's settings are flags to a user, and nothing else is.
func TestSettingsAreFlags(t *testing.T) {
	for text, want := range map[string]string{
		"name it with setting Tokenizer":    "name it with --tokenizer",
		"setting MaxLength: 0":              "--max-length: 0",
		"setting ONNXAdapter, setting Data": "--onnx-adapter, --data",
		"another setting of it":             "another setting of it",
	} {
		if got := asFlags(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// No error tells a user which package it comes from.
func TestPackageNamesAreTakenOff(t *testing.T) {
	seen := 0
	err := fs.WalkDir(os.DirFS("../.."), ".", func(file string, d fs.DirEntry, err error) error {
		name := path.Base(path.Dir(file))
		if err != nil || path.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") || strings.HasSuffix(name, "test") {
			return err
		}
		text, err := os.ReadFile("../../" + file)
		if strings.Contains(string(text), `Errorf("`+name+`: `) {
			if seen++; !packages.MatchString(name + ": ") {
				t.Errorf("%s: users would read %q", file, name+": ")
			}
		}
		return err
	})
	if err != nil || seen < 50 {
		t.Error(seen, "files with such errors:", err)
	}
}
