package runtime_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/internal/runtimetest"
	"github.com/peftgraph/peftgraph/runtime"
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
