package format

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/peftgraph/peftgraph/inject"
)

func init() {
	registerHub("lora", "lora", hubMethod{
		name:   "lora",
		config: hubLoRAConfig,
		key:    func(t inject.Trainable, name string) string { return t.Target + ".loras." + name + "." + t.Role },
	}, hubLoRAParse)
	registerHub("ia3", "", hubMethod{
		name:   "ia3",
		config: hubIA3Config,
		key:    func(t inject.Trainable, name string) string { return t.Target + ".loras." + name + ".lora_B" },
	}, nil) // IA3's architecture is "lora" as well
}

// hubLoRA is AdapterHub's LoRAConfig, which is IA3's too: composition_mode "add" is y + (alpha/r)·B·A·x, "scale" is y ⊙ B.
type hubLoRA struct {
	Alpha        float64  `json:"alpha"`
	Architecture string   `json:"architecture"`
	Matrices     []string `json:"attn_matrices"`
	Mode         string   `json:"composition_mode"`
	Dropout      float64  `json:"dropout"`
	DType        *string  `json:"dtype"`
	Init         string   `json:"init_weights"`
	InitSeed     *int     `json:"init_weights_seed"`
	Intermediate bool     `json:"intermediate_lora"`
	LeaveOut     []int    `json:"leave_out"`
	Output       bool     `json:"output_lora"`
	R            int      `json:"r"`
	Attention    bool     `json:"selfattn_lora"`
	DoRA         bool     `json:"use_dora"`
	Gating       bool     `json:"use_gating"`
	VeraB        *float64 `json:"vera_b"`
	VeraD        *float64 `json:"vera_d"`
}

// hubModules are the ends of the paths of the modules that a LoRA configuration speaks of: BERT's and DistilBERT's.
var hubModules = []struct{ what, bert, distilbert string }{
	{"q", "attention.self.query", "attention.q_lin"},
	{"k", "attention.self.key", "attention.k_lin"},
	{"v", "attention.self.value", "attention.v_lin"},
	{"intermediate", "intermediate.dense", "ffn.lin1"},
	{"output", "output.dense", "ffn.lin2"},
}

func hubLoRAParse(c hubConfig) ([]inject.Method, error) {
	h := hubLoRA{R: 8, Alpha: 8, Mode: "add", Attention: true, Matrices: []string{"q", "v"}}
	for key, to := range map[string]any{
		"r": &h.R, "alpha": &h.Alpha, "composition_mode": &h.Mode, "dropout": &h.Dropout, "attn_matrices": &h.Matrices, "selfattn_lora": &h.Attention,
		"intermediate_lora": &h.Intermediate, "output_lora": &h.Output, "leave_out": &h.LeaveOut,
	} {
		if err := read(c.settings, key, to); err != nil {
			return nil, err
		}
	}
	// AdapterHub's DoRA is not PEFT's nor the paper's: it scales the bias as well, and its norm leaves alpha/r out.
	if err := refuse(c.settings, "use_dora", "use_gating", "vera_d", "vera_b", "dtype"); err != nil {
		return nil, err
	}
	targets, err := h.targets(c.modelType)
	if err != nil {
		return nil, err
	}
	switch h.Mode {
	case "add":
		if hubBefore(c.version, 1, 1) {
			h.Alpha = float64(h.R) // those versions trained without it
		}
		return []inject.Method{&inject.LoRA{Targets: targets, R: h.R, Alpha: h.Alpha, Dropout: h.Dropout, Bias: "none", Init: "default"}}, nil
	case "scale":
		if h.R != 1 || h.Alpha != 1 && !hubBefore(c.version, 1, 1) {
			return nil, fmt.Errorf("r is %d and alpha %v with composition_mode scale: only 1 and 1 are supported", h.R, h.Alpha)
		}
		// A name that no module has: AdapterHub scales the outputs alone, and nothing at all would be our method's default.
		return []inject.Method{&inject.IA3{Targets: targets, FeedForward: inject.ModuleNames{Pattern: "none"}, Init: true}}, nil
	}
	return nil, fmt.Errorf("composition_mode %q is not supported; add and scale are", h.Mode)
}

// targets returns the modules in our words. Layers are left out by a pattern, since their number isn't known here.
func (h hubLoRA) targets(modelType string) (inject.Targets, error) {
	wanted := map[string]bool{"intermediate": h.Intermediate, "output": h.Output}
	for _, m := range h.Matrices {
		if m != "q" && m != "k" && m != "v" {
			return inject.Targets{}, fmt.Errorf("attn_matrices: %q is none of q, k and v", m)
		}
		wanted[m] = h.Attention
	}
	var t inject.Targets
	for _, m := range hubModules {
		path := m.bert
		if modelType == "distilbert" {
			path = m.distilbert
		}
		if wanted[m.what] {
			t.Modules.List = append(t.Modules.List, path)
		}
	}
	if len(t.Modules.List) == 0 {
		return t, errors.New("selfattn_lora, intermediate_lora and output_lora are false: nothing is adapted")
	}
	var out []string
	for _, l := range h.LeaveOut {
		out = append(out, strconv.Itoa(l))
	}
	switch left := strings.Join(out, "|"); {
	case h.Output && modelType != "distilbert" && left != "":
		t.Exclude.Pattern = `.*\.attention\.output\.dense|.*\.layer\.(` + left + `)\..*`
	case h.Output && modelType != "distilbert":
		t.Exclude.List = []string{"attention.output.dense"}
	case left != "":
		t.Exclude.Pattern = `.*\.layer\.(` + left + `)\..*`
	}
	return t, nil
}

// hubBefore reports whether a file was written by a version of `adapters` below major.minor. Its predecessor,
// adapter-transformers, wrote versions without the name.
func hubBefore(version string, major, minor int) bool {
	v, ok := strings.CutPrefix(version, "adapters.")
	if !ok {
		return false
	}
	first, rest, _ := strings.Cut(v, ".")
	second, _, _ := strings.Cut(rest, ".")
	a, errA := strconv.Atoi(first)
	b, errB := strconv.Atoi(second)
	return errA == nil && errB == nil && (a < major || a == major && b < minor)
}

func hubLoRAConfig(p *inject.Plan, m inject.Method) (map[string]any, error) {
	l, ok := m.(*inject.LoRA)
	if !ok {
		return nil, fmt.Errorf("%T is not LoRA", m)
	}
	switch {
	case l.DoRA:
		return nil, errors.New("--dora: AdapterHub's scales the bias too")
	case l.Bias != "none" || l.UpdateBias:
		return nil, errors.New("trained biases")
	case len(p.Frozen) > 0:
		return nil, fmt.Errorf("--init %s starts from the base: write it as %s", l.Init, HFPEFT)
	}
	h := hubLoRA{Mode: "add", Dropout: l.Dropout, Init: "lora"}
	scale := 0.0
	for _, t := range p.Trainables {
		switch {
		case t.Method != "lora" || t.Role == "lora_B":
		case t.Role != "lora_A":
			return nil, fmt.Errorf("parameter %s of %q", t.Role, t.Target)
		case h.R != 0 && h.R != int(t.Shape[0]):
			return nil, fmt.Errorf("ranks %d and %d: it has one for all modules", h.R, t.Shape[0])
		default:
			h.R = int(t.Shape[0])
		}
	}
	for _, s := range p.Sites {
		if s.Method == "lora" && scale != 0 && s.Scale != scale {
			return nil, fmt.Errorf("scales %v and %v: it has one for all modules", scale, s.Scale)
		} else if s.Method == "lora" {
			scale = s.Scale
		}
	}
	h.Alpha = scale * float64(h.R)
	if err := h.cover(p, "lora"); err != nil {
		return nil, err
	}
	return asObject(h)
}

func hubIA3Config(p *inject.Plan, m inject.Method) (map[string]any, error) {
	if _, ok := m.(*inject.IA3); !ok {
		return nil, fmt.Errorf("%T is not IA3", m)
	}
	for _, s := range p.Sites {
		if s.Method == "ia3" && s.Before {
			return nil, fmt.Errorf("--feedforward: %q is scaled on its input; AdapterHub scales the output of intermediate.dense instead (--target key,value,intermediate.dense)", s.Target)
		}
	}
	h := hubLoRA{Mode: "scale", R: 1, Alpha: 1, Init: "ia3"}
	if err := h.cover(p, "ia3"); err != nil {
		return nil, err
	}
	return asObject(h)
}

// cover sets the switches that choose the modules at a method's sites: the same ones in every layer that isn't left out.
func (h *hubLoRA) cover(p *inject.Plan, method string) error {
	h.Architecture, h.Matrices, h.LeaveOut = "lora", []string{}, []int{}
	layers := make([][]string, p.Encoder.Layers)
	for _, s := range p.Sites {
		if s.Method != method {
			continue
		}
		layer, what := hubPlace(s.Target)
		if what == "" || layer >= len(layers) {
			return fmt.Errorf("module %q", s.Target)
		}
		layers[layer] = append(layers[layer], what)
	}
	var all []string
	for i, have := range layers {
		slices.Sort(have)
		switch {
		case len(have) == 0:
			h.LeaveOut = append(h.LeaveOut, i)
		case all == nil:
			all = have
		case !slices.Equal(all, have):
			return fmt.Errorf("modules %v in one layer and %v in layer %d: it has the same in all", all, have, i)
		}
	}
	for _, m := range hubModules[:3] {
		if slices.Contains(all, m.what) {
			h.Matrices = append(h.Matrices, m.what)
		}
	}
	h.Attention = len(h.Matrices) > 0
	h.Intermediate, h.Output = slices.Contains(all, "intermediate"), slices.Contains(all, "output")
	return nil
}

// hubPlace returns the layer of a module and which of hubModules it is, "" for none.
func hubPlace(target string) (layer int, what string) {
	_, rest, found := strings.Cut(target, ".layer.")
	number, path, _ := strings.Cut(rest, ".")
	layer, err := strconv.Atoi(number)
	if !found || err != nil || layer < 0 {
		return 0, ""
	}
	for _, m := range hubModules {
		if path == m.bert || path == m.distilbert {
			return layer, m.what
		}
	}
	return 0, ""
}
