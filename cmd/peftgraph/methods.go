package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/setting"
	"github.com/peftgraph/peftgraph/train/task"
)

const methodCategory = "Method"

// methodFlags derives the flags from the registry of methods: a new method's settings appear here by themselves.
func methodFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.StringSliceFlag{Name: "method", Usage: "what to inject: " + methodList() + "; several with commas or by repeating it", Category: methodCategory, Action: rightSettings},
		&cli.StringFlag{Name: "task", Value: "classification", Usage: "what the head is for: " + strings.Join(task.Names(), ", ") + ", or none for no head", Category: methodCategory, Action: knownTask},
		&cli.StringFlag{Name: "labels", Usage: "the classes, by name, in the order of the logits: neg,pos", Category: methodCategory},
		&cli.StringFlag{Name: "head", Value: string(inject.HeadAuto), Usage: "what the classifier reads: " + strings.Join(headKinds(), ", "), Category: methodCategory, Action: oneOf("head", headKinds()...)},
		&cli.Float64Flag{Name: "head-dropout", Usage: "dropout before the classifier while training", Category: methodCategory, Action: rightHeadDropout},
		&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "seed of the initial values and of the order of the examples", Category: methodCategory},
	}
	usages, order := map[string][]string{}, []string{}
	isBool := map[string]bool{}
	for _, o := range owners() {
		for _, s := range o.settings {
			if usages[s.Flag] == nil {
				order = append(order, s.Flag)
			}
			text := o.name + ": " + s.Usage
			if s.Default != "" && !s.IsBool {
				text += " (default: " + s.Default + ")"
			}
			usages[s.Flag] = append(usages[s.Flag], text)
			isBool[s.Flag] = s.IsBool
		}
	}
	for _, flag := range order {
		usage := strings.Join(usages[flag], "; ")
		if isBool[flag] {
			flags = append(flags, &cli.BoolFlag{Name: flag, Usage: usage, Category: methodCategory})
		} else {
			flags = append(flags, &cli.StringFlag{Name: flag, Usage: usage, Category: methodCategory})
		}
	}
	return flags
}

// An owner is a method or a task, and flag the one that asks for it.
type owner struct {
	flag, name string
	settings   []setting.Setting
}

// owners are all methods and then all tasks.
func owners() (out []owner) {
	for _, name := range inject.Names() {
		m, err := inject.New(name)
		if err != nil {
			panic(err) // a registered method can't be unknown
		}
		out = append(out, owner{"--method", name, inject.Settings(m)})
	}
	for _, name := range task.Names() {
		t, err := task.New(name)
		if err != nil {
			panic(err) // a registered task can't be unknown
		}
		out = append(out, owner{"--task", name, task.Settings(t)})
	}
	return out
}

func headKinds() (names []string) {
	for _, k := range inject.HeadKinds() {
		names = append(names, string(k))
	}
	return names
}

func methodList() string {
	var parts []string
	for _, name := range inject.Names() {
		parts = append(parts, name+" ("+inject.Summary(name)+")")
	}
	return strings.Join(parts, ", ")
}

// methodsFrom builds the methods that the flags ask for. A setting that none of them has is an error.
func methodsFrom(c *cli.Context) ([]inject.Method, error) {
	var ms []inject.Method
	for _, name := range strings.Split(strings.Join(c.StringSlice("method"), ","), ",") {
		if name == "" {
			continue
		}
		m, err := inject.New(strings.TrimSpace(name))
		if err != nil {
			return nil, fmt.Errorf("--method: %w", err)
		}
		ms = append(ms, m)
	}
	t, err := taskFrom(c)
	if err != nil {
		return nil, err
	}
	for _, f := range methodFlags() {
		name := f.Names()[0]
		if !c.IsSet(name) || notASetting[name] {
			continue
		}
		taken := t != nil && has(task.Settings(t), name)
		for _, m := range ms {
			ok, err := inject.Set(m, name, fmt.Sprint(c.Value(name)))
			if err != nil {
				return nil, err
			}
			taken = taken || ok
		}
		if !taken {
			return nil, fmt.Errorf("--%s: it is a setting of %s, which isn't asked for", name, ownersText(name))
		}
	}
	return ms, nil
}

func has(settings []setting.Setting, flag string) bool {
	return slices.ContainsFunc(settings, func(s setting.Setting) bool { return s.Flag == flag })
}

// ownersText says which methods and tasks have a setting.
func ownersText(flag string) string {
	var out []string
	for _, o := range owners() {
		if has(o.settings, flag) {
			out = append(out, o.flag+" "+o.name)
		}
	}
	return strings.Join(out, ", ")
}

// knownTask is the action of --task.
func knownTask(c *cli.Context, name string) error {
	return oneOf("task", append(task.Names(), "none")...)(c, name)
}

// taskFrom builds the task that the flags ask for, nil for none.
func taskFrom(c *cli.Context) (task.Task, error) {
	if c.String("task") == "none" {
		return nil, nil
	}
	if err := knownTask(c, c.String("task")); err != nil {
		return nil, err
	}
	t, err := task.New(c.String("task"))
	if err != nil {
		return nil, err
	}
	for _, s := range task.Settings(t) {
		if !c.IsSet(s.Flag) {
			continue
		}
		if _, err := task.Set(t, s.Flag, fmt.Sprint(c.Value(s.Flag))); err != nil {
			return nil, err
		}
	}
	return t, task.Validate(t)
}

// rightSettings is the action of --method: wrong settings are told before anything is read.
func rightSettings(c *cli.Context, _ []string) error {
	ms, err := methodsFrom(c)
	for _, m := range ms {
		if err == nil {
			err = inject.Validate(m)
		}
	}
	return wrongUsage(c, err)
}

func rightHeadDropout(c *cli.Context, rate float64) error {
	return wrongUsage(c, inject.CheckDropout("head-dropout", rate))
}

// notASetting are the flags of methodFlags that belong to injection as a whole.
var notASetting = map[string]bool{"method": true, "task": true, "labels": true, "head": true, "head-dropout": true, "seed": true}

// labelsFrom splits --labels.
func labelsFrom(c *cli.Context) []string {
	if c.String("labels") == "" {
		return nil
	}
	parts := strings.Split(c.String("labels"), ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// injectOptions are what the flags say to inject.
func injectOptions(c *cli.Context) (peftgraph.InjectOptions, error) {
	ms, err := methodsFrom(c)
	if err != nil {
		return peftgraph.InjectOptions{}, wrongUsage(c, err)
	}
	t, err := taskFrom(c)
	if err != nil {
		return peftgraph.InjectOptions{}, wrongUsage(c, err)
	}
	return peftgraph.InjectOptions{Methods: ms, Task: t, NoHead: t == nil, Labels: labelsFrom(c), Head: inject.HeadKind(c.String("head")),
		HeadDropout: c.Float64("head-dropout"), Seed: c.Uint64("seed"), Tokenizer: c.String("tokenizer")}, nil
}
