package folder

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/train/task"
)

// Card are the facts of a model card. What is empty isn't mentioned.
type Card struct {
	Name string // of the model; "" is the folder's
	Base Base
	// Head is what the classifier reads.
	Head    inject.HeadKind
	Methods []inject.Applied
	// Merged methods are in the base's weights.
	Merged []string
	// Trained of Total parameters were trained.
	Trained, Total int64
	Settings       map[string]string // of training, by their flags
	Data           []Data
	// Metrics are of the last of Data that has UsedFor "evaluation", Decides the one that the run was judged by.
	Metrics task.Scores
	Decides string
	Command string // that made the model
	Program string // that it was made with: "peftgraph v1.2.3"
}

// programTag is the card's tag that says who wrote the folder.
const programTag = "peftgraph"

// Base is the model that was fine-tuned.
type Base struct {
	Name     string
	Hub      string // "organisation/name" where it is on the hub
	Revision string
	Licence  string // as the hub names licences; "" is what its own card says
}

// Data is a file of examples.
type Data struct {
	UsedFor  string // "training", "evaluation"
	Name     string
	Examples int
	SHA256   string
}

// card is README.md: the hub's entries, then text.
func (c *Contents) card(dir string, l Layout) ([]byte, error) {
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	name := c.Card.Name
	if name == "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, fmt.Errorf("folder: %w", err)
		}
		name = filepath.Base(abs)
	}
	var out bytes.Buffer
	c.entries(&out, base)
	w := &page{&out}
	w.line("# %s\n", name)
	c.summary(w, base)
	c.labels(w)
	c.training(w)
	c.evaluation(w)
	c.use(w, l)
	return out.Bytes(), nil
}

// base fills in what the base's own folder says.
func (c *Contents) base() (Base, error) {
	b := c.Card.Base
	text, err := c.beside(cardName)
	if err != nil {
		return b, fmt.Errorf("folder: %w", err)
	}
	if b.Licence == "" {
		b.Licence = entry(text, "license")
	}
	return b, nil
}

// entry is one of the entries at the head of a card, where it stands on one line.
func entry(card []byte, key string) string {
	head, ok := strings.CutPrefix(string(card), "---\n")
	if !ok {
		return ""
	}
	head, _, ok = strings.Cut(head, "\n---")
	if !ok {
		return ""
	}
	for line := range strings.Lines(head) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return ""
}

// entries are what the hub sorts models by, in YAML. Every text is quoted, as JSON's are.
func (c *Contents) entries(out *bytes.Buffer, base Base) {
	text := func(key, value string) {
		if value != "" {
			fmt.Fprintf(out, "%s: %s\n", key, quoted(value))
		}
	}
	list := func(key string, values []string) {
		if len(values) > 0 {
			fmt.Fprintf(out, "%s:\n", key)
		}
		for _, v := range values {
			fmt.Fprintf(out, "- %s\n", quoted(v))
		}
	}
	out.WriteString("---\n")
	text("library_name", "optimum")
	text("pipeline_tag", c.Task.Head().Pipeline())
	text("base_model", base.Hub)
	text("license", base.Licence)
	tags := []string{"onnx", programTag}
	for _, m := range c.Card.Methods {
		tags = append(tags, m.Name)
	}
	list("tags", tags)
	list("metrics", slices.Sorted(maps.Keys(c.Card.Metrics)))
	out.WriteString("---\n\n")
}

func quoted(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		return `""` // no string is refused
	}
	return string(text)
}

// page writes Markdown.
type page struct{ *bytes.Buffer }

func (w *page) line(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

// rows writes a table of two columns, unless it has no rows.
func (w *page) rows(a, b string, rows [][2]string) {
	if len(rows) == 0 {
		return
	}
	w.line("| %s | %s |\n|---|---|", a, b)
	for _, r := range rows {
		w.line("| %s | %s |", cell(r[0]), cell(r[1]))
	}
	w.line("")
}

// cell keeps a text inside its cell.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "\r", " ").Replace(s)
}

func (c *Contents) summary(w *page, base Base) {
	what := c.Task.Head().Pipeline()
	if c.Task.Type != "" {
		what = c.Task.Type
	}
	of := base.Name
	if base.Hub != "" {
		of = base.Hub
	}
	if of == "" {
		of = fmt.Sprintf("a %s encoder", c.Info.Family)
	}
	w.line("%s, fine-tuned for %s, as ONNX.\n", of, what)
	rows := [][2]string{{"architecture", fmt.Sprintf("%s, %d layers of %d", c.Info.Family, c.Info.Layers, c.Info.Hidden)}}
	if base.Revision != "" {
		rows = append(rows, [2]string{"base's revision", base.Revision})
	}
	licence := base.Licence
	if licence == "" {
		licence = "not known"
	}
	rows = append(rows, [2]string{"licence of the base", licence})
	if c.Card.Head != "" {
		rows = append(rows, [2]string{"the head reads", inject.HeadSummary(c.Card.Head)})
	}
	rows = append(rows, [2]string{"texts are cut to", fmt.Sprintf("%d tokens", c.maxLength())})
	w.rows("model", "", rows)
}

func (c *Contents) labels(w *page) {
	if len(c.Task.Labels) == 0 {
		return
	}
	w.line("## Labels\n")
	var rows [][2]string
	for i, name := range c.Task.Labels {
		rows = append(rows, [2]string{strconv.Itoa(i), name})
	}
	w.rows("index", "label", rows)
}

func (c *Contents) training(w *page) {
	w.line("## Training\n")
	var rows [][2]string
	for _, m := range c.Card.Methods {
		where := "beside the base's weights"
		if slices.Contains(c.Card.Merged, m.Name) {
			where = "merged into the base's weights"
		}
		rows = append(rows, [2]string{"method", m.Name + ", " + where}, [2]string{m.Name + "'s settings", compact(m.Settings)})
	}
	if c.Card.Total > 0 {
		rows = append(rows, [2]string{"parameters trained", fmt.Sprintf("%d of %d (%.2f %%)", c.Card.Trained, c.Card.Total, 100*float64(c.Card.Trained)/float64(c.Card.Total))})
	}
	if len(c.Task.Settings) > 0 {
		rows = append(rows, [2]string{"the task's settings", compact(c.Task.Settings)})
	}
	for _, d := range c.Card.Data {
		text := d.Name
		if d.Examples > 0 {
			text += fmt.Sprintf(", %d examples", d.Examples)
		}
		if d.SHA256 != "" {
			text += ", SHA-256 " + d.SHA256
		}
		rows = append(rows, [2]string{"data for " + d.UsedFor, text})
	}
	for _, name := range slices.Sorted(maps.Keys(c.Card.Settings)) {
		rows = append(rows, [2]string{name, c.Card.Settings[name]})
	}
	if c.Card.Program != "" {
		rows = append(rows, [2]string{"made with", c.Card.Program})
	}
	w.rows("training", "", rows)
	if c.Card.Command != "" {
		w.line("```sh\n%s\n```\n", c.Card.Command)
	}
}

// compact is JSON on one line.
func compact(raw json.RawMessage) string {
	var out bytes.Buffer
	if json.Compact(&out, raw) != nil {
		return string(raw)
	}
	return out.String()
}

func (c *Contents) evaluation(w *page) {
	if len(c.Card.Metrics) == 0 {
		return
	}
	w.line("## Evaluation\n")
	var rows [][2]string
	for _, name := range slices.Sorted(maps.Keys(c.Card.Metrics)) {
		value := "undefined"
		if v := c.Card.Metrics[name]; !math.IsNaN(v) {
			value = strconv.FormatFloat(v, 'f', 4, 64)
		}
		if name == c.Card.Decides {
			name += " (the run was judged by it)"
		}
		rows = append(rows, [2]string{name, value})
	}
	w.rows("metric", "value", rows)
}

// use says how the folder is loaded.
func (c *Contents) use(w *page, l Layout) {
	w.line("## Use\n")
	w.line("The inputs and outputs have Optimum's names. With transformers and Optimum, where `folder` is the path of this folder:\n")
	w.line("```python\nfrom optimum.onnxruntime import pipeline\n\npipe = pipeline(%q, model=folder)\n```\n", c.Task.Head().Pipeline())
	option := ""
	if l == Flat {
		option = ", subfolder: ''"
	}
	w.line("With transformers.js:\n")
	w.line("```js\nimport { pipeline } from '@huggingface/transformers';\n\nconst pipe = await pipeline('%s', folder, { dtype: 'fp32'%s });\n```\n", c.Task.Head().Pipeline(), option)
	if problem, err := c.problem(); err == nil && problem == task.ANumber {
		w.line("transformers.js has no pipeline for a number: take the logits of `AutoModelForSequenceClassification`.\n")
	}
	w.line("With peftgraph: `peftgraph predict FOLDER`.")
}
