package format

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/atomicfile"
)

// PlanFile is what lies beside an adapter that peftgraph wrote: its [inject.Plan] as JSON, which holds what the formats of
// other programs have no place for: the fingerprint of the base, the label names and the head. An adapter that is one file
// has it under the file's name with ".json" added.
const PlanFile = "peftgraph_adapter.json"

func planPath(path string) string {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return path + ".json"
	}
	return filepath.Join(path, PlanFile)
}

// Save writes an adapter in the format f, and its plan beside it. path is a folder, which is made where it isn't there, or
// a file for the formats that are one file.
func Save(f Format, path string, p *inject.Plan, values map[string]*graph.Tensor) error {
	folder := path
	if f.Ext != "" {
		folder = filepath.Dir(path)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("format: %w", err)
	}
	if err := f.Save(path, p, values); err != nil {
		return err
	}
	plan, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("format: plan: %w", err)
	}
	config, err := configHash(path)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(besides{config, plan}, "", " ")
	if err != nil {
		return fmt.Errorf("format: plan: %w", err)
	}
	return atomicfile.WriteBytes(planPath(path), append(text, '\n'))
}

// besides is what a plan file holds. The hash of the adapter's own configuration tells whether another program has written
// the adapter again since: the plan is then of another adapter.
type besides struct {
	Config string          `json:"config_sha256,omitempty"`
	Plan   json.RawMessage `json:"plan"`
}

// configHash returns the SHA-256, in hex, of the adapter_config.json in a folder, "" where there is none.
func configHash(path string) (string, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return "", nil
	}
	text, err := os.ReadFile(filepath.Join(path, hfConfigFile)) // AdapterHub's has the same name
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("format: %w", err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(text)), nil
}

// readPlan takes from the plan beside the adapter what the format itself doesn't say.
func (a *Adapter) readPlan() error {
	path := planPath(a.Path)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("format: %w", err)
	}
	var b besides
	if err := json.Unmarshal(text, &b); err != nil {
		return fmt.Errorf("format: %s: %w", path, err)
	}
	p, err := inject.ParsePlan(b.Plan)
	if err != nil {
		return fmt.Errorf("format: %s: %w", path, err)
	}
	config, err := configHash(a.Path)
	if err != nil || config != b.Config {
		return err
	}
	if a.Methods, err = methodsOf(p); err != nil {
		return fmt.Errorf("format: %s: %w", path, err)
	}
	a.Plan, a.Task, a.Head, a.Base = p, p.Task, p.Head.Kind, p.Base
	return nil
}

func methodsOf(p *inject.Plan) ([]inject.Method, error) {
	var out []inject.Method
	for _, a := range p.Methods {
		m, err := p.Method(a.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// CheckBase fails with an [OtherBaseError] when the adapter was trained on a base with another fingerprint. An adapter that
// doesn't say what it was trained on passes: only the shapes can be checked then, which [Adapter.Bind] does.
func (a *Adapter) CheckBase(fingerprint string) error {
	if a.Base == "" || a.Base == fingerprint {
		return nil
	}
	return &OtherBaseError{a.Path, a.Base, fingerprint}
}

// OtherBaseError says that an adapter belongs to another base model.
type OtherBaseError struct{ Path, Want, Have string }

func (e *OtherBaseError) Error() string {
	return fmt.Sprintf("format: %s was trained on the base %.19s…, and this model is %.19s…", e.Path, e.Want, e.Have)
}

// Hint says what to try.
func (*OtherBaseError) Hint() string {
	return "use the model that the adapter was trained on, or insist with --force"
}
