package inject

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Targets chooses modules by name with Hugging Face PEFT's semantics (tuners_utils.check_target_module_exists): a list
// entry matches a module whose name is it or ends in "."+it; a pattern must match the whole name.
type Targets struct {
	Modules  ModuleNames `json:"target_modules" flag:"target" usage:"modules to adapt: what they do (query, key, value, attention-output, ffn-in, ffn-out), their names (a module matches when its path ends in one), all-linear, or one regular expression for the whole path, written re:..."`
	Exclude  ModuleNames `json:"exclude_modules,omitempty" flag:"exclude" usage:"modules to leave out, in the form of --target"`
	Layers   []int       `json:"layers_to_transform,omitempty" flag:"layers" usage:"adapt only these layers, numbered from 0"`
	Skip     []int       `json:"-" flag:"skip-layers" usage:"leave out these layers, numbered from 0 (AdapterDrop): the rest is then in --layers"`
	LayersIn string      `json:"layers_pattern,omitempty" flag:"layers-pattern" usage:"name of the list of layers that --layers counts in, where it is not the first number in the path"`
}

// ModuleNames is a list of module names or, where Pattern is set, a regular expression; in JSON a list or a string, as in PEFT.
type ModuleNames struct {
	List    []string
	Pattern string
}

// AllLinear is the target that stands for every linear map but the classifier.
const AllLinear = "all-linear"

// MarshalJSON writes a list, or a string for a pattern and for all-linear.
func (n ModuleNames) MarshalJSON() ([]byte, error) {
	if n.Pattern != "" {
		return json.Marshal(n.Pattern)
	}
	return json.Marshal(n.List)
}

// UnmarshalJSON accepts a list, a string and null.
func (n *ModuleNames) UnmarshalJSON(data []byte) error {
	*n = ModuleNames{}
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &n.Pattern)
	}
	return json.Unmarshal(data, &n.List)
}

// ParseNames reads the command line's form: comma-separated names, all-linear, or re:PATTERN.
func ParseNames(s string) ModuleNames {
	if p, ok := strings.CutPrefix(s, "re:"); ok {
		return ModuleNames{Pattern: p}
	}
	if strings.EqualFold(s, AllLinear) {
		return ModuleNames{Pattern: AllLinear}
	}
	var n ModuleNames
	for _, part := range strings.Split(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			n.List = append(n.List, part)
		}
	}
	return n
}

// String is the inverse of [ParseNames].
func (n ModuleNames) String() string {
	if n.Pattern != "" && !strings.EqualFold(n.Pattern, AllLinear) {
		return "re:" + n.Pattern
	}
	return n.Pattern + strings.Join(n.List, ",")
}

// ParseSetting is [ParseNames] for a setting, which must name something.
func (n *ModuleNames) ParseSetting(text string) error {
	if *n = ParseNames(text); n.empty() {
		return fmt.Errorf("want names separated by commas, all-linear or re:PATTERN")
	}
	return nil
}

func (n ModuleNames) empty() bool { return n.Pattern == "" && len(n.List) == 0 }

// match reports whether a module path is chosen.
func (n ModuleNames) match(path string) (bool, error) {
	if n.Pattern == "" {
		return slices.ContainsFunc(n.List, func(e string) bool { return path == e || strings.HasSuffix(path, "."+e) }), nil
	}
	re, err := compile("^(?:" + n.Pattern + ")$")
	if err != nil {
		return false, err
	}
	return re.MatchString(path), nil
}

// check compiles the pattern of the flag that gave the names.
func (n ModuleNames) check(flag string) error {
	if _, err := n.match(""); err != nil {
		return fmt.Errorf("--%s: %w", flag, err)
	}
	return nil
}

func compile(pattern string) (*regexp.Regexp, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w (look-ahead and back-references of Python's re are not available)", pattern, err)
	}
	return re, nil
}

func (t Targets) validate() error {
	if err := errors.Join(t.Modules.check("target"), t.Exclude.check("exclude")); err != nil {
		return err
	}
	if len(t.Skip) > 0 && len(t.Layers) > 0 {
		return fmt.Errorf("--skip-layers and --layers say the same in two ways: give one")
	}
	return nil
}

// Choose returns the candidates that the targets select, in order. all holds module paths with the model prefix; saved are
// modules that are trained whole (modules_to_save) and so never adapted. A target that selects nothing is an error that
// lists what there is.
func (t Targets) Choose(all, saved []string) ([]string, error) {
	var chosen []string
	for _, path := range all {
		ok, err := t.chooses(path, saved)
		if err != nil {
			return nil, err
		}
		if ok {
			chosen = append(chosen, path)
		}
	}
	for _, entry := range t.Modules.List {
		if slices.ContainsFunc(saved, func(m string) bool { return within(entry, m) }) {
			continue
		}
		if !slices.ContainsFunc(all, func(p string) bool { return p == entry || strings.HasSuffix(p, "."+entry) }) {
			return nil, &UnknownTargetError{entry, all}
		}
	}
	if len(chosen) == 0 {
		return nil, &UnknownTargetError{t.Modules.String(), all}
	}
	return chosen, nil
}

func (t Targets) chooses(path string, saved []string) (bool, error) {
	if out, err := t.Exclude.match(path); out || err != nil {
		return false, err
	}
	for _, m := range saved {
		if within(path, m) {
			return false, nil
		}
	}
	if t.Modules.Pattern != "" && len(t.Layers) > 0 {
		return false, fmt.Errorf("--layers and --skip-layers need --target as a list of names, not %q", t.Modules)
	}
	if t.allLinear() {
		return true, nil
	}
	ok, err := t.Modules.match(path)
	if !ok || err != nil || len(t.Layers) == 0 {
		return ok, err
	}
	in := `[^.]*`
	if t.LayersIn != "" {
		in = regexp.QuoteMeta(t.LayersIn)
	}
	re, err := compile(`^.*?\.` + in + `\.(\d+)\.`)
	if err != nil {
		return false, err
	}
	m := re.FindStringSubmatch(path)
	if m == nil {
		return false, nil
	}
	layer, err := strconv.Atoi(m[1])
	return err == nil && slices.Contains(t.Layers, layer), nil
}

// settle writes the targets as PEFT would have them for this model: modules by its own names, and in Layers the layers that
// aren't skipped.
func (t *Targets) settle(in *Injection) error {
	var own []string
	for _, entry := range t.Modules.List {
		own = append(own, in.ownNames(entry)...)
	}
	t.Modules.List = own
	return t.drop(len(in.Encoder.Layers))
}

// ownNames returns the names by which a target selects the same modules in this model: itself where it selects any, else those
// of the modules in the role that the target, or what another family calls by that name, has.
func (in *Injection) ownNames(entry string) []string {
	linears := in.linears()
	ends := func(name string) (n int) {
		for _, l := range linears {
			if path := in.path(l.Name); path == name || strings.HasSuffix(path, "."+name) {
				n++
			}
		}
		return n
	}
	meant := in.Encoder.InRole(entry)
	if len(meant) == 0 || ends(entry) > 0 {
		return []string{entry}
	}
	for parts := 1; parts <= 3; parts++ {
		if name := lastPart(meant[0].Name, parts); ends(name) == len(meant) {
			return []string{name}
		}
	}
	var each []string // with the layer's number, where a module's name is the end of another's
	for _, l := range meant {
		each = append(each, lastPart(l.Name, 3))
	}
	return each
}

// lastPart returns the last n names of a module's path.
func lastPart(path string, n int) string {
	parts := strings.Split(path, ".")
	return strings.Join(parts[max(0, len(parts)-n):], ".")
}

// drop puts the layers that aren't skipped into Layers, which is how PEFT says it.
func (t *Targets) drop(layers int) error {
	if len(t.Skip) == 0 {
		return nil
	}
	if err := checkLayers("--skip-layers", t.Skip, layers); err != nil {
		return err
	}
	for i := range layers {
		if !slices.Contains(t.Skip, i) {
			t.Layers = append(t.Layers, i)
		}
	}
	t.Skip = nil
	return nil
}

// checkLayers checks that layer numbers name layers and leave one to adapt.
func checkLayers(flag string, skipped []int, layers int) error {
	left := map[int]bool{}
	for i := range layers {
		left[i] = true
	}
	for _, n := range skipped {
		if n < 0 || n >= layers {
			return fmt.Errorf("%s %d: the model has layers 0 to %d", flag, n, layers-1)
		}
		delete(left, n)
	}
	if len(left) == 0 {
		return fmt.Errorf("%s: no layer is left to adapt", flag)
	}
	return nil
}

func (t Targets) allLinear() bool { return strings.EqualFold(t.Modules.Pattern, AllLinear) }

// UnknownTargetError says that a target selects no module of the model.
type UnknownTargetError struct {
	Target string
	All    []string
}

func (e *UnknownTargetError) Error() string {
	return fmt.Sprintf("inject: target %q selects no module of this model", e.Target)
}

// Hint lists the names a target can have.
func (e *UnknownTargetError) Hint() string {
	seen := map[string]bool{}
	var names []string
	for _, p := range e.All {
		parts := strings.Split(p, ".")
		short := parts[len(parts)-1]
		if short == "dense" && len(parts) > 1 {
			short = strings.Join(parts[len(parts)-2:], ".")
		}
		if !seen[short] {
			seen[short] = true
			names = append(names, short)
		}
	}
	return "known targets: " + strings.Join(append(names, AllLinear), ", ")
}

// Pattern maps module-name patterns to a number (rank_pattern, alpha_pattern): the first key, in sorted order, for which
// Python's re.match(`(.*\.)?(KEY)$`) would succeed decides.
type Pattern map[string]float64

// check refuses patterns that aren't regular expressions and numbers that valid refuses, by the name of the flag that gave them.
func (p Pattern) check(flag string, valid func(flag string, x float64) error) error {
	if _, err := p.lookup("", 0); err != nil {
		return fmt.Errorf("--%s: %w", flag, err)
	}
	for _, k := range slices.Sorted(maps.Keys(p)) {
		if err := valid(flag+" "+k+" =", p[k]); err != nil {
			return err
		}
	}
	return nil
}

// lookup returns the number for a module path, or def.
func (p Pattern) lookup(path string, def float64) (float64, error) {
	for _, k := range slices.Sorted(maps.Keys(p)) {
		re, err := compile(`^(?:.*\.)?(?:` + k + `)$`)
		if err != nil {
			return 0, err
		}
		if re.MatchString(path) {
			return p[k], nil
		}
	}
	return def, nil
}

// String is the inverse of ParseSetting.
func (p Pattern) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(p)) {
		parts = append(parts, name+"="+strconv.FormatFloat(p[name], 'g', -1, 64))
	}
	return strings.Join(parts, ",")
}

// ParseSetting reads "NAME=NUMBER,NAME=NUMBER".
func (p *Pattern) ParseSetting(text string) error {
	*p = Pattern{}
	for _, part := range strings.Split(text, ",") {
		name, number, ok := strings.Cut(part, "=")
		x, err := strconv.ParseFloat(number, 64)
		if !ok || err != nil || name == "" {
			return fmt.Errorf("want NAME=NUMBER, several separated by commas")
		}
		(*p)[name] = x
	}
	return nil
}
