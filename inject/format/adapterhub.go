package format

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/safetensors"
	"github.com/peftgraph/peftgraph/graph/torchfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/atomicfile"
)

// AdapterHub is the name of the folder layout of AdapterHub's `adapters` library: adapter_config.json with
// adapter.safetensors or pytorch_adapter.bin and, for the head, head_config.json with model_head.safetensors or
// pytorch_model_head.bin. What is written is safetensors.
const AdapterHub = "adapterhub"

const (
	hubConfigFile     = "adapter_config.json"
	hubTensorFile     = "adapter.safetensors"
	hubPickleFile     = "pytorch_adapter.bin"
	hubHeadConfigFile = "head_config.json"
	hubHeadTensorFile = "model_head.safetensors"
	hubHeadPickleFile = "pytorch_model_head.bin"

	hubName    = "default"        // of the adapters that are written; the library takes any
	hubVersion = "adapters.1.3.0" // the version whose meaning of the settings is written
)

func init() {
	register(Format{
		Name:    AdapterHub,
		Summary: "AdapterHub's adapters: adapter_config.json and adapter.safetensors or pytorch_adapter.bin, with the head beside them",
		Methods: hubNamed,
		Save:    saveHub,
		Load:    loadHub,
		Detect: func(path string) bool {
			c, err := readConfig(filepath.Join(path, hubConfigFile))
			return err == nil && c["config"] != nil && c["peft_type"] == nil
		},
	})
}

// A hubMethod translates one of our methods.
type hubMethod struct {
	name string // the library's
	// config returns the configuration of a plan's method, or why AdapterHub has none.
	config func(p *inject.Plan, m inject.Method) (map[string]any, error)
	// key returns the tensor key of a trainable of the adapter called name, without the model's prefix.
	key func(t inject.Trainable, name string) string
}

var hubMethods = map[string]hubMethod{}

func hubNamed() map[string]string {
	out := map[string]string{}
	for method, m := range hubMethods {
		out[method] = m.name
	}
	return out
}

// hubParsers read a configuration by its "architecture"; "" is a bottleneck adapter.
var hubParsers = map[string]func(c hubConfig) ([]inject.Method, error){}

func registerHub(method, architecture string, m hubMethod, parse func(c hubConfig) ([]inject.Method, error)) {
	if _, dup := hubMethods[method]; dup {
		panic("format: AdapterHub method " + method + " registered twice")
	}
	hubMethods[method] = m
	if parse != nil {
		if _, dup := hubParsers[architecture]; dup {
			panic("format: AdapterHub architecture " + architecture + " registered twice")
		}
		hubParsers[architecture] = parse
	}
}

// A hubConfig is a method's configuration with what decides its meaning.
type hubConfig struct {
	settings
	unknown   *[]string
	modelType string
	version   string // "" for files from before the library wrote it
}

func loadHub(dir string) (*Adapter, error) {
	path := filepath.Join(dir, hubConfigFile)
	c, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	a := &Adapter{Path: dir, Part: hubPart}
	if a.Methods, err = hubParse(c, &a.Unknown); err != nil {
		return nil, fmt.Errorf("format: %s: %w", path, err)
	}
	names := hubNames{adapter: hubName}
	if err := read(c, "name", &names.adapter); err != nil {
		return nil, fmt.Errorf("format: %s: %w", path, err)
	}
	file, err := openTensors(dir, hubTensorFile, hubPickleFile)
	if err != nil {
		return nil, err
	}
	if a.Tensors, err = hubNormal(file.Tensors); err != nil {
		return nil, fmt.Errorf("format: %s: %w", dir, err)
	}
	if names.head, err = a.readHubHead(); err != nil {
		return nil, err
	}
	a.Key = names.key
	return a, nil
}

// hubParse returns the methods of an adapter_config.json, and adds the names of settings that it doesn't know.
func hubParse(c settings, unknown *[]string) ([]inject.Method, error) {
	h := hubConfig{unknown: unknown}
	if err := errors.Join(read(c, "model_type", &h.modelType), read(c, "version", &h.version)); err != nil {
		return nil, err
	}
	var name string
	if json.Unmarshal(c["config"], &name) == nil && name != "" {
		m, err := inject.New("adapter")
		if err != nil {
			return nil, err
		}
		m.(*inject.Adapter).Config = name
		return []inject.Method{m}, nil
	}
	if err := json.Unmarshal(c["config"], &h.settings); err != nil || len(h.settings) == 0 {
		return nil, errors.New("config is no object: the adapter doesn't say what it is")
	}
	return h.parse()
}

func (c hubConfig) parse() ([]inject.Method, error) {
	var architecture string
	if err := read(c.settings, "architecture", &architecture); err != nil {
		return nil, err
	}
	if architecture == "union" {
		return c.parseUnion()
	}
	parse, ok := hubParsers[architecture]
	if !ok {
		return nil, fmt.Errorf("architecture %q is not supported; supported are %s and union", architecture, strings.Join(slices.Sorted(maps.Keys(hubParsers)), ", "))
	}
	out, err := parse(c)
	*c.unknown = append(*c.unknown, unread(c.settings, hubWithoutEffect)...)
	return out, err
}

// parseUnion reads several methods in one adapter, as in MAM.
func (c hubConfig) parseUnion() ([]inject.Method, error) {
	var parts []settings
	if err := read(c.settings, "configs", &parts); err != nil {
		return nil, err
	}
	var out []inject.Method
	for _, p := range parts {
		ms, err := hubConfig{p, c.unknown, c.modelType, c.version}.parse()
		if err != nil {
			return nil, err
		}
		out = append(out, ms...)
	}
	return out, nil
}

// openTensors reads the first of the files that is there: safetensors or a pickle, by its name.
func openTensors(dir string, files ...string) (*safetensors.Contents, error) {
	for _, f := range files {
		path := filepath.Join(dir, f)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if strings.HasSuffix(f, ".bin") {
			t, err := torchfile.Open(path)
			if err != nil {
				return nil, fmt.Errorf("format: %w", err)
			}
			return &safetensors.Contents{Tensors: t}, nil
		}
		c, err := safetensors.Open(path)
		if err != nil {
			return nil, fmt.Errorf("format: %w", err)
		}
		return c, nil
	}
	return nil, fmt.Errorf("format: %s: has none of %s", dir, strings.Join(files, ", "))
}

// hubModel is what the name of the model class puts before the keys, "bert." in all of its task models.
var hubModel = regexp.MustCompile(`^[a-z0-9_]+\.(encoder|transformer|embeddings|prefix_tuning|prompt_tuning|invertible_adapters)\.`)

// hubLegacy are the names of the modules of files from before 2021.
var hubLegacy = strings.NewReplacer(
	"attention_text_task_adapters", "adapters", "attention_text_lang_adapters", "adapters",
	"layer_text_task_adapters", "adapters", "layer_text_lang_adapters", "adapters",
	"invertible_lang_adapters", "invertible_adapters")

// hubNormal returns the tensors under today's keys without the model's prefix. A prefix lies in the file once more for each
// layer that reads it; the copies go. DistilBERT has it under another name.
func hubNormal(tensors map[string]*graph.Tensor) (map[string]*graph.Tensor, error) {
	out := map[string]*graph.Tensor{}
	for _, k := range slices.Sorted(maps.Keys(tensors)) {
		short := hubLegacy.Replace(k)
		if m := hubModel.FindStringSubmatchIndex(short); m != nil {
			short = short[m[2]:]
		}
		if _, own, found := strings.Cut(short, ".prefix_tuning.pool."); found {
			short = "prefix_tuning." + own
		}
		if strings.HasPrefix(short, "prefix_tuning.") && !strings.Contains(short, "."+hubSelfPrefix+".") {
			short = strings.Replace(short, "."+hubDistilBERTPrefix+".", "."+hubSelfPrefix+".", 1)
		}
		if twin := out[short]; twin != nil {
			if same, err := equal(twin, tensors[k]); err != nil || !same {
				return nil, fmt.Errorf("tensor %q is another than its copy %q", k, short)
			}
		}
		out[short] = tensors[k]
	}
	return out, nil
}

// hubNames are the names of the adapter and of its head, which are part of the keys.
type hubNames struct{ adapter, head string }

func (n hubNames) key(p *inject.Plan, t inject.Trainable) string {
	if t.Method == "head" {
		return hubHeadKey(p, t, n.head)
	}
	if m, ok := hubMethods[t.Method]; ok {
		return m.key(t, n.adapter)
	}
	return t.Method + "." + t.Target + "." + t.Role // no such tensor: Bind says that it is missing
}

// hubPart gives tensors our shapes: AdapterHub's flat prefix is one row.
func hubPart(_ *inject.Plan, t inject.Trainable, x *graph.Tensor) (*graph.Tensor, error) {
	if t.Method != "prefix" || len(x.Dims) != 1 || x.Len() != int64(t.Len()) {
		return x, nil
	}
	b, err := x.Bytes()
	if err != nil {
		return nil, err
	}
	return graph.NewTensor(x.DType, t.Shape, b)
}

// hubClasses are the library's model classes with exchangeable heads, by our family.
var hubClasses = map[string]string{
	"bert": "BertAdapterModel", "roberta": "RobertaAdapterModel", "distilbert": "DistilBertAdapterModel",
	"electra": "ElectraAdapterModel", "mpnet": "", "xlm-roberta": "XLMRobertaAdapterModel",
}

func saveHub(dir string, p *inject.Plan, values map[string]*graph.Tensor) error {
	if hubClasses[p.Encoder.Family] == "" {
		return fmt.Errorf("format: AdapterHub has no model for the family %q", p.Encoder.Family)
	}
	config, err := hubConfigOf(p)
	if err != nil {
		return err
	}
	names := hubNames{hubName, hubName}
	adapter, head := map[string]*graph.Tensor{}, map[string]*graph.Tensor{}
	for _, t := range p.Tensors() {
		x := values[t.Name]
		if x == nil {
			return fmt.Errorf("format: trainable %q has no value", t.Name)
		}
		if t.Method == "head" {
			head[names.key(p, t)] = x
			continue
		}
		if x, err = hubStored(t, x); err != nil {
			return err
		}
		key := names.key(p, t)
		if t.Method == "prefix" && p.Encoder.Family == "distilbert" {
			key = strings.Replace(key, "."+hubSelfPrefix+".", "."+hubDistilBERTPrefix+".", 1)
		}
		adapter[p.Encoder.Prefix+key] = x
	}
	if err := hubWrite(dir, p, hubConfigFile, config, hubTensorFile, adapter); err != nil || !headed(p) {
		return err
	}
	headConfig, err := hubHeadConfig(p)
	if err != nil {
		return err
	}
	return hubWrite(dir, p, hubHeadConfigFile, headConfig, hubHeadTensorFile, head)
}

// hubConfigOf returns the configuration of the plan's methods, a union of several.
func hubConfigOf(p *inject.Plan) (map[string]any, error) {
	var parts []map[string]any
	for _, applied := range p.Methods {
		m, ok := hubMethods[applied.Name]
		if !ok {
			return nil, fmt.Errorf("format: method %q has no AdapterHub counterpart", applied.Name)
		}
		method, err := p.Method(applied.Name)
		if err != nil {
			return nil, err
		}
		c, err := m.config(p, method)
		if err != nil {
			return nil, fmt.Errorf("format: AdapterHub has no counterpart: %w", err)
		}
		parts = append(parts, c)
	}
	switch len(parts) {
	case 0:
		return nil, errors.New("format: AdapterHub keeps no head without an adapter")
	case 1:
		return parts[0], nil
	}
	return map[string]any{"architecture": "union", "configs": parts}, nil
}

// hubStored is the inverse of hubPart.
func hubStored(t inject.Trainable, x *graph.Tensor) (*graph.Tensor, error) {
	if t.Method != "prefix" || t.Role != "prompt_embeddings" {
		return x, nil
	}
	b, err := x.Bytes()
	if err != nil {
		return nil, err
	}
	return graph.NewTensor(x.DType, []int64{x.Len()}, b)
}

func hubWrite(dir string, p *inject.Plan, configFile string, config any, tensorFile string, tensors map[string]*graph.Tensor) error {
	if err := safetensors.Save(filepath.Join(dir, tensorFile), &safetensors.Contents{Tensors: tensors}); err != nil {
		return fmt.Errorf("format: %w", err)
	}
	text, err := json.MarshalIndent(map[string]any{
		"config": config, "hidden_size": p.Encoder.Hidden, "model_class": hubClasses[p.Encoder.Family], "model_name": "",
		"model_type": p.Encoder.Family, "name": hubName, "version": hubVersion,
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("format: %s: %w", configFile, err)
	}
	return atomicfile.WriteBytes(filepath.Join(dir, configFile), text)
}
