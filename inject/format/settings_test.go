package format

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Every setting that PEFT's and AdapterHub's configurations have, with a value that is not its default, is read, or refused by
// its name, or is one of those without effect: testdata/make_settings.py lists them from the libraries themselves.
func TestEverySetting(t *testing.T) {
	text, err := os.ReadFile("testdata/settings.json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Settings map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(text, &all); err != nil || len(all.Settings) == 0 {
		t.Fatal(err)
	}
	idle := map[string]bool{}
	for fixture, keys := range all.Settings {
		for key, value := range keys {
			if unheard(t, fixture, key, value) {
				idle[key] = true
			}
		}
	}
	for _, without := range []map[string]string{hfWithoutEffect, hubWithoutEffect} {
		for key := range without {
			if !idle[key] {
				t.Errorf("%s is listed as without effect, and no configuration has it so", key)
			}
		}
	}
}

// unheard loads a fixture with one setting changed and reports whether that has no effect, which must be a listed one.
func unheard(t *testing.T, fixture, key string, value json.RawMessage) bool {
	t.Helper()
	without := hfWithoutEffect
	dir := copyFolder(t, fixture)
	set := func(c map[string]json.RawMessage) { c[key] = value }
	if strings.HasPrefix(fixture, "adapterhub/") {
		without = hubWithoutEffect
		setHub(t, filepath.Join(dir, hubConfigFile), key, string(value))
	} else {
		editConfig(t, dir, set)
	}
	before, err := Load(filepath.Join("testdata", fixture))
	if err != nil {
		t.Fatal(err)
	}
	after, err := Load(dir)
	switch {
	case err != nil && !strings.Contains(err.Error(), key):
		t.Errorf("%s: %s = %s: refused without its name: %v", fixture, key, value, err)
	case err != nil:
	case len(after.Unknown) > 0:
		t.Errorf("%s: %s = %s is not known", fixture, key, value)
	case !reflect.DeepEqual(before.Methods, after.Methods) || !reflect.DeepEqual(before.Task, after.Task):
	case without[key] == "":
		t.Errorf("%s: %s = %s changes nothing: read it, refuse it, or list it as without effect", fixture, key, value)
	default:
		return true
	}
	return false
}

// A setting of a version to come is no reason to refuse an adapter, and is told of.
func TestUnknownSettings(t *testing.T) {
	dir := copyFolder(t, "lora_seqcls")
	editConfig(t, dir, func(c map[string]json.RawMessage) {
		c["use_wonderlora"], c["use_otherlora"], c["other_config"] = json.RawMessage("true"), json.RawMessage("false"), json.RawMessage("null")
	})
	hub := copyFolder(t, "adapterhub/lora")
	setHub(t, filepath.Join(hub, hubConfigFile), "use_wonderlora", "true")
	for _, dir := range []string{dir, hub} {
		if a, err := Load(dir); err != nil || !slices.Equal(a.Unknown, []string{"use_wonderlora"}) {
			t.Errorf("%v, %v", a, err)
		}
	}
}

// What a setting can be in more than one form is read in each.
func TestFormsOfSettings(t *testing.T) {
	for _, set := range []map[string]string{
		{"layers_to_transform": "1", "layers_pattern": `"layer"`},
		{"layers_to_transform": "[1]", "layers_pattern": `["layer"]`},
		{"layers_to_transform": "1", "init_lora_weights": `"eva"`, "eva_config": `{"rho": 2.0}`},
		{"init_lora_weights": `"mica"`},
	} {
		dir := copyFolder(t, "lora_layers")
		editConfig(t, dir, func(c map[string]json.RawMessage) {
			for k, v := range set {
				c[k] = json.RawMessage(v)
			}
		})
		f := fixtureOf(t, "lora_layers")
		g, _ := f.load(t, dir)
		if d := f.differ(t, g, f.With); !(d <= parity) {
			t.Errorf("%v: outputs differ from PyTorch's by %.1e", set, d)
		}
	}
	for key, value := range map[string]string{"layers_pattern": `["layer", "h"]`, "init_lora_weights": `"lora_ga"`, "eva_config": `{"rho": 2.0}`} {
		dir := copyFolder(t, "lora_layers")
		editConfig(t, dir, func(c map[string]json.RawMessage) { c[key] = json.RawMessage(value) })
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: got %v", key, err)
		}
	}
}

// editConfig changes an adapter_config.json.
func editConfig(t *testing.T, dir string, change func(map[string]json.RawMessage)) {
	t.Helper()
	edit(t, filepath.Join(dir, hfConfigFile), func(text []byte) []byte {
		var c map[string]json.RawMessage
		if err := json.Unmarshal(text, &c); err != nil {
			t.Fatal(err)
		}
		change(c)
		out, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return out
	})
}

// Whatever a configuration says, reading it ends in a method or in an error.
func FuzzPEFTConfig(f *testing.F) {
	for _, name := range []string{"lora_patterns", "lora_regex", "ia3", "prefix", "prompt", "p_tuning"} {
		text, err := os.ReadFile(filepath.Join("testdata", name, hfConfigFile))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var c settings
		if json.Unmarshal(text, &c) != nil {
			return
		}
		var peftType string
		if read(c, "peft_type", &peftType) != nil {
			return
		}
		if m, known := hfMethods[peftType]; known {
			if method, err := m.parse(c); (err == nil) == (method == nil) {
				t.Errorf("%v, %v", method, err)
			}
		}
	})
}
