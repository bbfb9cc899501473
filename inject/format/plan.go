package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/atomicfile"
	"github.com/peftgraph/peftgraph/inject"
)

// PlanFile is what lies beside an adapter that peftgraph wrote: its [inject.Plan] as JSON, which holds what the formats of
// other programs have no place for: the fingerprint of the base, the label names and the head. An adapter that is one file
// has it under the file's name with ".json" added.
const PlanFile = "peftgraph.json"

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
	text, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return fmt.Errorf("format: plan: %w", err)
	}
	return atomicfile.WriteBytes(planPath(path), append(text, '\n'))
}

// readPlan takes from the plan beside the adapter what the format itself doesn't say. Where the two disagree on the method
// the format's own word counts: another program may have written the adapter again since.
func (a *Adapter) readPlan() error {
	path := planPath(a.Path)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("format: %w", err)
	}
	p, err := inject.ParsePlan(text)
	if err != nil {
		return fmt.Errorf("format: %s: %w", path, err)
	}
	if a.Methods == nil {
		if a.Methods, err = methodsOf(p); err != nil {
			return fmt.Errorf("format: %s: %w", path, err)
		}
		a.Task = p.Task
	}
	if a.Task.Type != p.Task.Type || a.Task.Outputs() != p.Task.Outputs() {
		return nil
	}
	a.Task, a.Head, a.Base = p.Task, p.Head.Kind, p.Base
	same, err := a.sameMethods(p)
	if same {
		a.Plan = p
	}
	return err
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

// sameMethods reports whether the plan's methods have the settings that the adapter's own files give.
func (a *Adapter) sameMethods(p *inject.Plan) (bool, error) {
	planned, err := methodsOf(p)
	if err != nil || len(planned) != len(a.Methods) {
		return false, err
	}
	for i, m := range planned {
		ours, errOurs := json.Marshal(a.Methods[i])
		theirs, errTheirs := json.Marshal(m)
		if err := errors.Join(errOurs, errTheirs); err != nil {
			return false, fmt.Errorf("format: settings: %w", err)
		}
		if fmt.Sprintf("%T", a.Methods[i]) != fmt.Sprintf("%T", m) || !bytes.Equal(ours, theirs) {
			return false, nil
		}
	}
	return true, nil
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
