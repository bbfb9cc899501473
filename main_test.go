package peftgraph_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/peftgraph/peftgraph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/runtime"
	"github.com/peftgraph/peftgraph/train"
)

// TestMain runs the tests and examples in a folder with a tiny encoder, labelled text, and two runs, of which each method and
// number of labels is another.
func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "peftgraph")
	if err == nil {
		err = prepare(dir)
	}
	status := 1
	if err == nil {
		status = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

func prepare(dir string) error {
	fixture := filepath.Join("cmd", "peftgraph", "testdata", "fixture")
	for to, from := range map[string]string{
		"model/model.onnx": filepath.Join("models", "testdata", "bert_torch2_legacy_op14_sdpa.onnx"),
		"model/vocab.txt":  filepath.Join(fixture, "vocab.txt"),
		"train.tsv":        filepath.Join(fixture, "train.tsv"),
		"dev.tsv":          filepath.Join(fixture, "dev.tsv"),
		"test.tsv":         filepath.Join(fixture, "test.tsv"),
	} {
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		to = filepath.Join(dir, to)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, text, 0o644); err != nil {
			return err
		}
	}
	if err := os.Chdir(dir); err != nil {
		return err
	}
	const topics = "text\tlabel\nthe cake was bad\tfood\na fine cake\tfood\na good film\tfilm\na broken film\tfilm\na great day\tday\na superb day\tday\n"
	if err := os.WriteFile("topics.tsv", []byte(topics), 0o644); err != nil {
		return err
	}
	if lib, err := runtime.Find(""); err != nil || broken(lib) {
		if os.Getenv("CI") == "true" {
			return fmt.Errorf("CI=true, and these tests need onnxruntime: %v", err)
		}
		fmt.Fprintln(os.Stderr, "SKIPPED, NOT TESTED: the examples need onnxruntime:", err)
		return flag.Set("test.skip", "^Example")
	}
	if _, err := trained("sentiment", "train.tsv", "lora", "rank=2"); err != nil {
		return err
	}
	_, err := trained("topic", "topics.tsv", "prefix", "num-virtual-tokens=2")
	return err
}

func broken(lib runtime.Library) bool {
	_, err := lib.Info()
	return err != nil
}

// trained trains for a moment.
func trained(dir, data, method string, settings ...string) (*peftgraph.Run, error) {
	m, err := peftgraph.NewMethod(method, settings...)
	if err != nil {
		return nil, err
	}
	model, err := peftgraph.Open("model/model.onnx")
	if err != nil {
		return nil, err
	}
	return model.Train(context.Background(), options(dir, data, m))
}

func options(dir, data string, methods ...inject.Method) peftgraph.TrainOptions {
	s := train.DefaultSettings()
	s.Epochs, s.BatchSize, s.LearningRate = 2, 4, 1e-2
	var files []string
	if data != "" {
		files = []string{data}
	}
	return peftgraph.TrainOptions{Output: dir, Data: files, Settings: s, InjectOptions: peftgraph.InjectOptions{Methods: methods}}
}
