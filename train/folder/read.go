package folder

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

// A Folder is a deployed model with what lies beside it.
type Folder struct {
	Dir   string
	Model string // path of the model
	// Graph is the model. Where it has the two outputs of question answering, it has the one that predictions read instead.
	Graph *graph.Graph
	Info  models.Info
	Task  inject.Task // with Type "" for an encoder without a head
	// Output is what the head computes; "" for an encoder without one.
	Output    string
	MaxLength int // in tokens: where the tokenizer's files cut texts, at most the model's positions
}

// Plan is what prediction and evaluation ask of a run's plan: there is nothing to train.
func (f *Folder) Plan() *inject.Plan {
	return &inject.Plan{Version: inject.PlanVersion, Encoder: f.Info, Task: f.Task, Logits: f.Output}
}

// Read opens the folder at path, or that of the model at path. The task is what the model's metadata says or, for a model that
// another program wrote, what config.json does.
func Read(path string) (*Folder, error) {
	f := &Folder{}
	var err error
	if f.Dir, f.Model, err = Locate(path); err != nil {
		return nil, err
	}
	if f.Graph, err = onnxfile.Load(f.Model); err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	if f.Info, err = models.Describe(f.Graph); err != nil {
		return nil, fmt.Errorf("folder: %s: %w", f.Model, err)
	}
	known := false
	if f.Task, known, err = ReadTask(f.Graph); err == nil && !known {
		f.Task, err = taskOfConfig(f.Dir)
	}
	if err == nil {
		err = f.output()
	}
	if err == nil {
		err = f.maxLength()
	}
	if err != nil {
		return nil, fmt.Errorf("folder: %s: %w", f.Model, err)
	}
	return f, nil
}

// Locate returns the folder at path and its model, or the model at path and the folder that it belongs to.
func Locate(path string) (dir, model string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", "", fmt.Errorf("folder: %w", err)
	}
	if info.IsDir() {
		model, err = FindModel(path)
		return path, model, err
	}
	dir = filepath.Dir(path)
	if _, err := os.Stat(filepath.Join(dir, configName)); err != nil && filepath.Base(dir) == onnxDir {
		dir = filepath.Dir(dir)
	}
	return dir, path, nil
}

// output finds what the head computes.
func (f *Folder) output() (err error) {
	name := inject.LogitsName
	switch f.Task.Head() {
	case models.NoTask:
		return nil
	case models.QuestionAnswering:
		if f.Graph.Value(name) == nil || !f.Graph.Value(name).IsOutput() {
			f.Output, err = join(f.Graph)
			return err
		}
	case models.FeatureExtraction:
		name = inject.EmbeddingName
	}
	if v := f.Graph.Value(name); v == nil || !v.IsOutput() {
		return fmt.Errorf("its task is %s and it has no output %q", f.Task.Type, name)
	}
	f.Output = name
	return nil
}

// maxLength is what the tokenizer's files say. A folder without them is no error until texts are to be read.
func (f *Folder) maxLength() error {
	f.MaxLength = f.Info.Positions
	t, err := data.LoadTokenizer(f.Dir)
	if errors.Is(err, data.ErrNoTokenizer) {
		return nil
	}
	if err != nil {
		return err
	}
	if n := t.MaxLength(); n > 0 {
		f.MaxLength = min(n, f.MaxLength)
	}
	return nil
}

// taskOfConfig is the registered task that config.json tells of.
func taskOfConfig(dir string) (inject.Task, error) {
	text, err := optional(filepath.Join(dir, configName))
	if text == nil || err != nil {
		return inject.Task{}, err
	}
	var c struct {
		Architectures []string          `json:"architectures"`
		Labels        map[string]string `json:"id2label"`
		Problem       string            `json:"problem_type"`
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return inject.Task{}, fmt.Errorf("%s: %w", configName, err)
	}
	if len(c.Architectures) == 0 {
		return inject.Task{}, nil
	}
	head, ok := models.HubTask(c.Architectures[0])
	if !ok || head == models.FeatureExtraction {
		return inject.Task{}, nil
	}
	labels, err := inOrder(c.Labels)
	if err != nil {
		return inject.Task{}, fmt.Errorf("%s: %w", configName, err)
	}
	if head == models.SequenceClassification && c.Problem == "" {
		if c.Problem = task.SingleLabel; len(labels) == 1 {
			c.Problem = task.ANumber // as transformers decides it
		}
	}
	return registered(head, c.Problem, labels)
}

// inOrder are the labels by index.
func inOrder(byID map[string]string) ([]string, error) {
	labels := make([]string, len(byID))
	for id, name := range byID {
		i, err := strconv.Atoi(id)
		if err != nil || i < 0 || i >= len(labels) {
			return nil, fmt.Errorf("id2label has %d labels, and one of them is for %q", len(labels), id)
		}
		labels[i] = name
	}
	return labels, nil
}

// registered is the task with that head and meaning of its logits.
func registered(head models.Task, problem string, labels []string) (inject.Task, error) {
	for _, name := range task.Names() {
		t, err := task.New(name)
		if err != nil {
			return inject.Task{}, err
		}
		if t.Head() != head || head == models.SequenceClassification && task.ProblemType(t, labels) != problem {
			continue
		}
		if none, err := t.Labels(nil, nil); none == nil && err == nil {
			labels = nil // its outputs have no names, though transformers numbers them
		} else if labels, err = t.Labels(nil, labels); err != nil {
			return inject.Task{}, err
		}
		return task.ForInjection(t, labels)
	}
	return inject.Task{}, fmt.Errorf("%s: no task is for a head of %s", configName, strings.TrimSpace(string(head)+" "+problem))
}
