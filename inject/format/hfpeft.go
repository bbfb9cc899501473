package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/safetensors"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/atomicfile"
)

// HFPEFT is the name of Hugging Face PEFT's folder layout: adapter_config.json and adapter_model.safetensors.
const HFPEFT = "hf-peft"

const (
	hfConfigFile = "adapter_config.json"
	hfTensorFile = "adapter_model.safetensors"
	hfPickleFile = "adapter_model.bin" // read only
	hfPrefix     = "base_model.model."
)

func init() {
	register(Format{
		Name:    HFPEFT,
		Summary: "Hugging Face PEFT: adapter_config.json and adapter_model.safetensors",
		Methods: hfNames,
		Save:    saveHF,
		Load:    loadHF,
		Detect: func(path string) bool {
			_, err := os.Stat(filepath.Join(path, hfConfigFile))
			return err == nil
		},
	})
}

// An hfMethod translates one PEFT type. Each method's file below registers one.
type hfMethod struct {
	peftType string
	method   string // our method's registered name
	// config adds the type's own keys to an adapter_config.json.
	config func(m inject.Method, c map[string]any) error
	// method reads them back, refusing by name what has no counterpart.
	parse func(c settings) (inject.Method, error)
	// key returns the tensor key of one of the method's trainables, after the module's own path.
	key func(p *inject.Plan, t inject.Trainable, module string) string
	// virtual says that the type is one of PEFT's prompt learning methods; see hfpeft_virtual.go.
	virtual bool
	// fits says why a plan of the method can't be written as this type, where it can't; nil where every plan can.
	fits func(p *inject.Plan, m inject.Method) error
}

var hfMethods = map[string]hfMethod{}

func registerHF(m hfMethod) {
	if _, dup := hfMethods[m.peftType]; dup {
		panic("format: PEFT type " + m.peftType + " registered twice")
	}
	hfMethods[m.peftType] = m
}

// hfNames returns PEFT's types by our methods.
func hfNames() map[string]string {
	out := map[string]string{}
	for name, m := range hfMethods {
		out[m.method] = name
	}
	return out
}

// hfFor returns the translation of the plan's only method.
func hfFor(p *inject.Plan) (hfMethod, error) {
	if len(p.Methods) != 1 {
		return hfMethod{}, fmt.Errorf("format: a PEFT folder holds one method; the plan has %d", len(p.Methods))
	}
	for _, t := range slices.Sorted(maps.Keys(hfMethods)) {
		if m := hfMethods[t]; m.method == p.Methods[0].Name {
			return m, m.check(p)
		}
	}
	return hfMethod{}, fmt.Errorf("format: method %q has no PEFT counterpart", p.Methods[0].Name)
}

func (m hfMethod) check(p *inject.Plan) error {
	if m.fits == nil {
		return nil
	}
	method, err := p.Method(m.method)
	if err != nil {
		return err
	}
	if err := m.fits(p, method); err != nil {
		return fmt.Errorf("format: PEFT has no counterpart: %w", err)
	}
	return nil
}

// hfKey returns the keys that are written.
func hfKey(m hfMethod) func(*inject.Plan, inject.Trainable) string {
	return func(p *inject.Plan, t inject.Trainable) string {
		if t.Method == "head" {
			return m.root() + hfHeadModule(p, t.Target) + "." + t.Role
		}
		return m.key(p, t, m.root()+hfModule(p, t.Target))
	}
}

// hfReadKey returns the keys as the adapter has them: with the encoder's path in a task model or without it, as in a bare
// encoder, whatever is put on it here.
func (a *Adapter) hfReadKey(m hfMethod) func(*inject.Plan, inject.Trainable) string {
	return func(p *inject.Plan, t inject.Trainable) string {
		key := hfKey(m)(p, t)
		own, found := strings.CutPrefix(key, m.root())
		if a.Tensors[key] != nil || !found || t.Method == "head" {
			return key
		}
		other, prefixed := strings.CutPrefix(own, p.Encoder.Prefix)
		if !prefixed {
			other = p.Encoder.Prefix + own
		}
		if other = m.root() + other; a.Tensors[other] != nil {
			return other
		}
		return key
	}
}

func saveHF(dir string, p *inject.Plan, values map[string]*graph.Tensor) error {
	m, err := hfFor(p)
	if err != nil {
		return err
	}
	method, err := p.Method(m.method)
	if err != nil {
		return err
	}
	c := map[string]any{"peft_type": m.peftType, "inference_mode": true, "base_model_name_or_path": nil, "revision": nil,
		"task_type": "FEATURE_EXTRACTION", "modules_to_save": nil, "auto_mapping": nil}
	metadata := map[string]string{"format": "pt"}
	if _, ok := hfHeadOf(p); ok {
		c["task_type"], c["modules_to_save"] = hfTaskOf(p)
	} else if headed(p) {
		metadata[hfMetaHead] = string(p.Head.Kind)
		if hfInTaskModel(p) {
			c["task_type"] = nil
		}
	}
	hfDeclareTask(p, metadata)
	if err := m.config(method, c); err != nil {
		return err
	}
	hfSpellOut(p, m.method, c)
	if m.virtual {
		hfVirtualConfig(p, c)
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("format: %s: %w", hfConfigFile, err)
	}
	out := &safetensors.Contents{Metadata: metadata}
	if out.Tensors, err = m.tensors(p, values); err != nil {
		return err
	}
	if err := safetensors.Save(filepath.Join(dir, hfTensorFile), out); err != nil {
		return fmt.Errorf("format: %w", err)
	}
	return atomicfile.WriteBytes(filepath.Join(dir, hfConfigFile), text)
}

// tensors returns the values by PEFT's keys.
func (m hfMethod) tensors(p *inject.Plan, values map[string]*graph.Tensor) (map[string]*graph.Tensor, error) {
	key := hfKey(m)
	out := map[string]*graph.Tensor{}
	for _, t := range p.Trainables {
		if values[t.Name] == nil {
			return nil, fmt.Errorf("format: trainable %q has no value", t.Name)
		}
		if m.virtual && t.Method == m.method {
			continue
		}
		x, err := hfStored(p, t, values)
		if err != nil {
			return nil, err
		}
		out[key(p, t)] = x
	}
	if m.virtual {
		table, err := inject.VirtualTokens(p, m.method, values)
		if err != nil {
			return nil, fmt.Errorf("format: %w", err)
		}
		out[hfVirtualKey] = table
	}
	return out, nil
}

// root is the path of the model that PEFT wraps, in its own.
func (m hfMethod) root() string {
	if m.virtual {
		return hfVirtualPrefix
	}
	return hfPrefix
}

func loadHF(dir string) (*Adapter, error) {
	path := filepath.Join(dir, hfConfigFile)
	c, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	var peftType string
	if err := read(c, "peft_type", &peftType); err != nil || peftType == "" {
		return nil, fmt.Errorf("format: %s: peft_type is missing or no string", path)
	}
	m, ok := hfMethods[peftType]
	if !ok {
		return nil, fmt.Errorf("format: %s: peft_type %q is not supported; supported are %s", path, peftType, strings.Join(slices.Sorted(maps.Keys(hfMethods)), ", "))
	}
	method, err := m.parse(c)
	if err != nil {
		return nil, fmt.Errorf("format: %s: %w", path, err)
	}
	file, err := openTensors(dir, hfTensorFile, hfPickleFile)
	if err != nil {
		return nil, err
	}
	a := &Adapter{Path: dir, Methods: []inject.Method{method}, Tensors: file.Tensors, Part: hfPart, Head: inject.HeadAuto}
	a.Key = a.hfReadKey(m)
	var task string
	if err := read(c, "task_type", &task); err != nil {
		return nil, fmt.Errorf("format: %s: %w", path, err)
	}
	a.Unknown = unread(c, hfWithoutEffect)
	if err := a.dropTwins(); err != nil {
		return nil, err
	}
	if err := a.readHead(task, m.root(), file.Metadata); err != nil {
		return nil, fmt.Errorf("format: %s: %w", dir, err)
	}
	return a, nil
}

// dropTwins removes what PEFT stores twice: with bias="all" it saves every key that ends in "bias", so the bias of a module
// in modules_to_save comes under its own name, again as "….modules_to_save.bias", and untrained as "….original_module.bias".
func (a *Adapter) dropTwins() error {
	for _, key := range slices.Sorted(maps.Keys(a.Tensors)) {
		if !strings.Contains(key, ".modules_to_save.") {
			continue
		}
		own := strings.Replace(key, ".modules_to_save.", ".", 1)
		if same, err := equal(a.Tensors[key], a.Tensors[own]); err != nil || !same {
			return fmt.Errorf("format: %s: tensor %q is not the same as %q, of which it should be a copy", a.Path, key, own)
		}
		delete(a.Tensors, key)
		delete(a.Tensors, strings.Replace(key, ".modules_to_save.", ".original_module.", 1))
	}
	return nil
}

func equal(a, b *graph.Tensor) (bool, error) {
	if a == nil || b == nil {
		return false, nil
	}
	x, errX := a.Bytes()
	y, errY := b.Bytes()
	return bytes.Equal(x, y) && slices.Equal(a.Dims, b.Dims), errors.Join(errX, errY)
}
