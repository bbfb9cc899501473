package peftgraph

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/folder"
	"github.com/peftgraph/peftgraph/train/task"
)

// A Model is an encoder of the BERT family: as it was pretrained, injected, or deployed for several tasks.
type Model struct {
	Path    string          // where it was loaded from
	Graph   *graph.Graph    // not to be changed
	Info    models.Info     // what has to be known to feed it
	Encoder *models.Encoder // its parts; nil where Plan or Tasks is set, and for a deployed model that isn't a plain encoder any more
	Plan    *inject.Plan    // what was injected; nil for a base
	Tasks   []multitask.Task
	Task    *inject.Task // what a deployed model is for; nil for others
}

// Open loads a model, or the one of a folder, and finds out what it is. Weights are mapped, not read.
func Open(path string) (*Model, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		dir := path
		if path, err = folder.FindModel(dir); err != nil {
			if train.IsRun(dir) {
				return nil, hinted(fmt.Errorf("%s is a run, not a model", dir), "export it first; eval, predict and adapters show take the run itself")
			}
			return nil, hinted(err, "check the path")
		}
	}
	g, plan, err := loadModel(path)
	if err != nil {
		return nil, err
	}
	m := &Model{Path: path, Graph: g, Plan: plan}
	if plan != nil {
		m.Info = plan.Encoder
		return m, nil
	}
	if m.Tasks, err = multitask.ReadTasks(g); err != nil {
		return nil, err
	}
	if m.Tasks != nil {
		m.Info, err = models.Describe(g)
		return m, err
	}
	if of, ok, err := folder.ReadTask(g); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	} else if ok {
		m.Task = &of
	}
	m.Encoder, err = recognise(path, g)
	switch {
	case err == nil:
		m.Info = m.Encoder.Info()
	case m.Task != nil:
		m.Info, err = models.Describe(g) // its metadata says what the adapter hides
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// loadModel loads a model and the plan it carries; the plan is nil for a model that isn't injected.
func loadModel(path string) (*graph.Graph, *inject.Plan, error) {
	g, err := onnxfile.Load(path)
	if err != nil {
		return nil, nil, err
	}
	plan, err := inject.ReadPlan(g)
	var none *inject.NoPlanError
	if errors.As(err, &none) {
		return g, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, plan, nil
}

// recognise finds the encoder in a graph that was loaded from path.
func recognise(path string, g *graph.Graph) (*models.Encoder, error) {
	enc, err := models.Recognise(g)
	if err != nil {
		try := "an encoder of the BERT family in float32, as PyTorch's exporters or Optimum write it"
		if why := (*models.NotRecognisedError)(nil); errors.As(err, &why) && why.Hint != "" {
			try = why.Hint
		}
		return nil, hinted(fmt.Errorf("%s: %w", path, err), try)
	}
	return enc, nil
}

// NewMethod returns a method by its registered name ([inject.Names]), with settings as the command line has them: "rank=8".
func NewMethod(name string, settings ...string) (inject.Method, error) {
	m, err := inject.New(name)
	if err != nil {
		return nil, err
	}
	err = set("method "+name, settings, func(key, value string) (bool, error) { return inject.Set(m, key, value) })
	if err != nil {
		return nil, err
	}
	return m, inject.Validate(m)
}

// set sets settings of the form KEY=VALUE.
func set(of string, settings []string, one func(key, value string) (bool, error)) error {
	for _, s := range settings {
		key, value, _ := strings.Cut(s, "=")
		if ok, err := one(key, value); err != nil {
			return err
		} else if !ok {
			return fmt.Errorf("%s has no setting %q", of, key)
		}
	}
	return nil
}

// InjectOptions say what [Model.Inject] puts into a model.
type InjectOptions struct {
	Methods     []inject.Method
	Task        task.Task       // what the head is for, see [NewTask]; nil is classification
	NoHead      bool            // put no head on the model
	Labels      []string        // the classes, by name, in the order of the logits
	Head        inject.HeadKind // what the head reads; "" is [inject.HeadAuto]
	HeadDropout float64         // before the head, in training only; from 0 to 1
	Seed        uint64          // of the initial values
	// Tokenizer is a tokenizer.json or vocab.txt, or the folder of one, for methods that start from a text; "" is the one
	// beside the model.
	Tokenizer string
}

// Inject returns the model with the methods' parameters and a head in it, at their start; m stays as it is.
func (m *Model) Inject(opt InjectOptions) (*Model, error) {
	head, err := opt.head()
	if err != nil {
		return nil, err
	}
	if m.Plan != nil {
		return nil, hinted(fmt.Errorf("%s is injected already", m.Path), "inject into the original model; several methods go in at once")
	}
	for _, method := range opt.Methods {
		if err := m.startText(method, opt.Tokenizer); err != nil {
			return nil, err
		}
	}
	return m.with(opt.Methods, inject.Options{Task: head, Head: opt.Head, HeadDrop: opt.HeadDropout, Seed: opt.Seed})
}

// with injects into a copy of the graph.
func (m *Model) with(methods []inject.Method, opt inject.Options) (*Model, error) {
	out := &Model{Path: m.Path, Graph: m.Graph.Clone(), Info: m.Info}
	var err error
	if opt.Base, err = onnxfile.Fingerprint(out.Graph); err != nil {
		return nil, err
	}
	enc, err := recognise(m.Path, out.Graph)
	if err != nil {
		return nil, err
	}
	if opt.Head == "" {
		opt.Head = inject.HeadAuto
	}
	if opt.Pooling, err = pooling(m.Path); err != nil {
		return nil, err
	}
	out.Plan, err = inject.Inject(enc, methods, opt)
	return out, err
}

// pooling returns the head that pools as the model was made to, where sentence-transformers' configuration beside it, or above
// its folder, says how; "" where nothing says.
func pooling(path string) (inject.HeadKind, error) {
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		file := filepath.Join(dir, "1_Pooling", "config.json")
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var c struct {
			CLS  bool `json:"pooling_mode_cls_token"`
			Mean bool `json:"pooling_mode_mean_tokens"`
		}
		if err == nil {
			err = json.Unmarshal(text, &c)
		}
		switch {
		case err != nil:
			return "", fmt.Errorf("%s: %w", file, err)
		case c.Mean && !c.CLS:
			return inject.HeadMean, nil
		case c.CLS && !c.Mean:
			return inject.HeadCLS, nil
		}
	}
	return "", nil
}

// startText gives a method that starts from a text its tokens.
func (m *Model) startText(method inject.Method, tokenizer string) error {
	s, ok := method.(inject.TextStarter)
	if !ok || s.StartText() == "" {
		return nil
	}
	t, err := data.LoadTokenizer(m.tokenizer(tokenizer))
	if err != nil {
		return fmt.Errorf("the text that the method starts from: %w", err)
	}
	const longest = 512
	var ids []int
	for _, id := range t.Encode(s.StartText(), "", false, longest).IDs {
		ids = append(ids, int(id))
	}
	s.StartFrom(ids)
	return nil
}

// tokenizer is the path given, else the model's folder.
func (m *Model) tokenizer(path string) string {
	if path == "" {
		return filepath.Dir(m.Path)
	}
	return path
}

// Saved says what was written.
type Saved struct {
	Bytes     int64    // everything that was written
	WeightsIn []string // the files, relative to the model's folder, that hold weights of it
}

// SaveOptions say how a model is written.
type SaveOptions struct {
	// SelfContained writes one whole file. Without it a small file refers to the weights where they are, which must be in the
	// file's folder or below it.
	SelfContained bool
}

func (opt SaveOptions) weights() onnxfile.Options {
	if opt.SelfContained {
		return onnxfile.Options{Weights: onnxfile.SelfContained}
	}
	return onnxfile.Options{Weights: onnxfile.Reference}
}

// Save writes the model, and its folder where there is none.
func (m *Model) Save(path string, opt SaveOptions) (Saved, error) {
	s, err := saveGraph(m.Graph, path, opt.weights())
	if err != nil {
		return Saved{}, err
	}
	return Saved{s.Bytes, s.Refers}, nil
}

// saveGraph writes a graph, with the folder it is to lie in. A folder made for nothing is taken away again.
func saveGraph(g *graph.Graph, path string, opt onnxfile.Options) (*onnxfile.Staged, error) {
	undo, err := makeFolder(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	s, err := onnxfile.Stage(g, path, opt)
	if err == nil {
		err = s.Commit()
	}
	if err != nil {
		undo()
	}
	return s, err
}

// makeFolder makes a folder with its parents. undo takes those away that were missing, as far as they are empty.
func makeFolder(dir string) (undo func(), err error) {
	var made []string
	for d := filepath.Clean(dir); d != filepath.Dir(d); d = filepath.Dir(d) {
		if _, err := os.Stat(d); err == nil {
			break
		}
		made = append(made, d)
	}
	undo = func() {
		for _, d := range made {
			_ = os.Remove(d)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		undo()
		return nil, err
	}
	return undo, nil
}
