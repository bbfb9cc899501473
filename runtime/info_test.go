package runtime_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/runtime"
	"github.com/peftgraph/peftgraph/runtime/runtimetest"
)

func TestInfo(t *testing.T) {
	info, err := runtimetest.Library(t).Info()
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^\d+\.\d+\.\d+`).MatchString(info.Version) {
		t.Errorf("version = %q", info.Version)
	}
	if !info.Has("cpu") || info.Has("tpu") || !slices.Contains(info.Providers, "CPUExecutionProvider") || !slices.Contains(info.Names(), "cpu") {
		t.Errorf("providers = %q, %q", info.Providers, info.Names())
	}
}

// TestMinAPIVersionIsTheBindings keeps the constant equal to the one in the header that the binding is compiled with.
func TestMinAPIVersionIsTheBindings(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/yalue/onnxruntime_go").Output()
	if err != nil {
		t.Fatalf("where is the binding's source? %v", err)
	}
	header, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "onnxruntime_c_api.h"))
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`(?m)^#define ORT_API_VERSION (\d+)`).FindSubmatch(header)
	if match == nil || string(match[1]) != "24" || runtime.MinAPIVersion != 24 {
		t.Errorf("the header has %s, MinAPIVersion is %d", match, runtime.MinAPIVersion)
	}
}

// oldLibrary is C for the part of an old onnxruntime that is asked for its version.
const oldLibrary = `
typedef struct { void *(*get_api)(unsigned); const char *(*version)(void); } base;
static void *get_api(unsigned v) { return 0; }
static const char *version(void) { return "1.17.3"; }
const base *OrtGetApiBase(void) { static const base b = {get_api, version}; return &b; }
`

func TestInfoOfAnOldLibrary(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil || goruntime.GOOS == "windows" {
		t.Skipf("SKIPPED, NOT TESTED: needs a C compiler to build a library: %v", err)
	}
	dir := t.TempDir()
	source, path := filepath.Join(dir, "old.c"), filepath.Join(dir, "libonnxruntime.so")
	if err := os.WriteFile(source, []byte(oldLibrary), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-shared", "-fPIC", "-o", path, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, err = runtime.Library{Path: path, Origin: "flag"}.Info()
	want := "library " + path + " is onnxruntime 1.17.3; peftgraph needs >= 1.24 (API 24): run `peftgraph runtime install`"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error = %v, want %q", err, want)
	}
}
