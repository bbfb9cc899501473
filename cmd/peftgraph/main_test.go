package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/peftgraph/peftgraph/internal/runtimetest"
	"github.com/peftgraph/peftgraph/runtime"
)

// TestMain makes this binary the peftgraph that the scripts run: a real process with real signals, pipes and exit statuses.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"peftgraph": main})
}

// What needs no onnxruntime: files, flags, data, recognition, injection.
func TestScript(t *testing.T) {
	runScripts(t, "testdata/script", "/nonexistent/libonnxruntime.so")
}

// What computes.
func TestRuntimeScript(t *testing.T) {
	runScripts(t, "testdata/runtime", runtimetest.Library(t).Path)
}

func runScripts(t *testing.T, dir, library string) {
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			env.Setenv(runtime.EnvLibrary, library)
			env.Setenv("HOME", filepath.Join(env.WorkDir, ".tmp")) // onnxruntime writes there
			return fixtures(env.WorkDir)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": cmdStatus, "fails": cmdFails, "json": cmdJSON, "interrupt": cmdInterrupt, "cut": cmdCut, "edit": cmdEdit,
			"samebase": cmdSameBase, "poison": cmdPoison, "zero": cmdZero, "spoil": cmdSpoil,
			"widen": cmdWiden, "sizes": cmdSizes, "retrain": cmdRetrain,
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root": // may write anywhere
				return os.Getuid() == 0, nil
			case "cover": // the process itself writes files as it ends
				return testing.CoverMode() != "", nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		RequireUniqueNames: true,
	})
}

// modelFiles are the fixtures that scripts name: real exporters' files with tiny random weights, vocabulary 60, positions 32.
var modelFiles = map[string]string{
	"base.onnx":   "bert_torch2_legacy_op14_sdpa.onnx",
	"seqcls.onnx": "bert_torch2_legacy_op14_seqcls.onnx",
	"other.onnx":  "bert_torch2_legacy_op14_relu_fresh.onnx",
	"gpt2.onnx":   "negative_gpt2_torch2_legacy_op14.onnx",
	"dynamo.onnx": "bert_torch2_dynamo_op18_eager.onnx",
}

func fixtures(dir string) error {
	from := map[string]string{"nested.parquet": filepath.Join("..", "..", "train", "data", "testdata", "parquet", "nested.parquet")}
	for name, file := range modelFiles {
		from[name] = filepath.Join("..", "..", "models", "testdata", file)
	}
	own, err := filepath.Glob("testdata/fixture/*")
	if err != nil {
		return err
	}
	for _, path := range own {
		from[filepath.Base(path)] = path
	}
	for name, path := range from {
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// exitCode is the status of a finished command.
func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}
