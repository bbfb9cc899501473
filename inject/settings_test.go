package inject_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/injecttest"
)

// wrong are values that no setting of the type takes.
var wrong = map[reflect.Type][]string{
	reflect.TypeFor[int]():                {"-1", "1.5", "many", "99999999", "99999999999999999999"},
	reflect.TypeFor[float64]():            {"NaN", "Inf", "-inf", "half"},
	reflect.TypeFor[bool]():               {"maybe"},
	reflect.TypeFor[[]int]():              {"-1", "3-1", "x"},
	reflect.TypeFor[string]():             {"nonsense", "NaN"},
	reflect.TypeFor[inject.ModuleNames](): {"", "re:("},
	reflect.TypeFor[inject.Pattern]():     {"query", "query=NaN", "query=+Inf", "(=1"},
	reflect.TypeFor[inject.Factors]():     {"0", "-2", "NaN", "0=8,0=9", "x=3"},
}

// freeText are the settings that take any text; a rank is bounded by the model.
var freeText = map[string]bool{"init-text nonsense": true, "init-text NaN": true, "layers-pattern nonsense": true, "layers-pattern NaN": true, "rank 99999999": true}

// Every setting of every method refuses what can't be meant, by the name of its flag, before there is a model.
func TestWrongSettingsAreRefused(t *testing.T) {
	for _, name := range inject.Names() {
		m := injecttest.New(t, name, nil)
		for _, f := range reflect.VisibleFields(reflect.TypeOf(m).Elem()) {
			flag := f.Tag.Get("flag")
			if flag == "" {
				continue
			}
			if wrong[f.Type] == nil {
				t.Errorf("%s --%s: no wrong value of type %s is tried", name, flag, f.Type)
			}
			for _, value := range wrong[f.Type] {
				if !freeText[flag+" "+value] {
					refuses(t, name, flag+"="+value, "--"+flag)
				}
			}
		}
	}
	for _, c := range []struct{ method, settings, err string }{
		{"lora", "rank=0", "--rank 0: must be a whole number of at least 1"},
		{"lora", "rank=-3", "--rank -3"},
		{"lora", "rank-pattern=query=0", "--rank-pattern query = 0"},
		{"lora", "rank-pattern=query=2.5", "--rank-pattern query = 2.5"},
		{"lora", "dropout=1", "--dropout 1: must be at least 0 and below 1"},
		{"lora", "dropout=-0.1", "--dropout -0.1"},
		{"lora", "alpha=0 init=pissa", "--alpha 0: must be above 0 with --init pissa"},
		{"lora", "layers=0 skip-layers=1", "--skip-layers"},
		{"adapter", "dropout=1", "--dropout 1"},
		{"adapter", "scaling=Inf", `--scaling "Inf"`},
		{"prefix", "num-virtual-tokens=0", "--num-virtual-tokens 0: must be at least 1"},
		{"prompt", "num-virtual-tokens=0", "--num-virtual-tokens 0"},
		{"p-tuning", "num-virtual-tokens=0", "--num-virtual-tokens 0"},
	} {
		refuses(t, c.method, c.settings, c.err)
	}
}

// refuses sets "flag=value flag=value" and wants an error that holds want.
func refuses(t *testing.T, method, settings, want string) {
	t.Helper()
	m := injecttest.New(t, method, nil)
	var err error
	for _, s := range strings.Fields(settings) {
		flag, value, _ := strings.Cut(s, "=")
		if err == nil {
			_, err = inject.Set(m, flag, value)
		}
	}
	if err == nil {
		err = inject.Validate(m)
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s %s: got %v, want %q", method, settings, err, want)
	}
}

// Defaults are right settings.
func TestDefaultsAreValid(t *testing.T) {
	for _, name := range inject.Names() {
		m := injecttest.New(t, name, nil)
		if err := inject.Validate(m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
