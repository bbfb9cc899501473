package folder

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train/task"
)

// The names of inputs and outputs, as Hugging Face's exporter Optimum has them.
const (
	inputIDs      = "input_ids"
	attentionMask = "attention_mask"
	tokenTypeIDs  = "token_type_ids"
	positionIDs   = "position_ids"
	startLogits   = "start_logits"
	endLogits     = "end_logits"
	lastHidden    = "last_hidden_state"
)

// Standard makes a model that is ready to deploy what other programs expect, and writes into its metadata what it is. output is
// what the head computes.
//
//   - The inputs have Optimum's names, and are int64, as tokenizers' ids are there.
//   - The head's output is called logits, of an embedding sentence_embedding. The two scores that question answering has for
//     each token become start_logits and end_logits, [batch, tokens] each.
//   - Logits are divided by a fitted temperature: nobody else knows of one.
//   - Of an embedding's graph, an output [batch, tokens, hidden] is called last_hidden_state. Other outputs stay as they are.
//
// The info and the task that it returns are the changed model's, which are in its metadata too.
func Standard(g *graph.Graph, info models.Info, t inject.Task, output string) (models.Info, inject.Task, error) {
	fail := func(err error) (models.Info, inject.Task, error) {
		return info, t, fmt.Errorf("folder: %w", err)
	}
	head := g.Value(output)
	if head == nil && t.Type != "" {
		return fail(fmt.Errorf("the graph has no output %q", output))
	}
	for _, in := range []struct {
		name *string
		to   string
	}{{&info.Inputs.IDs, inputIDs}, {&info.Inputs.Mask, attentionMask}, {&info.Inputs.TokenType, tokenTypeIDs}, {&info.Inputs.Position, positionIDs}} {
		if *in.name == "" {
			continue
		}
		if err := renameInput(g, *in.name, in.to); err != nil {
			return fail(err)
		}
		*in.name = in.to
	}
	t, err := temper(g, t, head)
	if err == nil {
		err = renameOutputs(g, info, t, output)
	}
	if err == nil {
		err = info.Store(g)
	}
	if err == nil {
		err = StoreTask(g, t)
	}
	if err != nil {
		return fail(err)
	}
	return info, t, nil
}

// renameInput gives an input another name, and int64 for a type: one of another type is computed from it.
func renameInput(g *graph.Graph, from, to string) error {
	v := g.Value(from)
	if v == nil || !v.IsInput() {
		return fmt.Errorf("the graph has no input %q", from)
	}
	if v.DType == graph.Int64 {
		return rename(g, v, to)
	}
	if v.Init() != nil {
		return fmt.Errorf("input %q has a default of type %s", from, v.DType)
	}
	p := g.NewPatch("standard/" + to)
	wide, err := g.AddInput(g.UniqueName("standard/"+to), graph.Int64, v.Shape.Clone())
	if err != nil {
		return err
	}
	p.Shunt(v, p.Typed(p.With(graph.IntAttr("to", int64(v.DType))).Op("Cast", wide), v.DType, v.Shape.Clone()))
	if err := p.Apply(); err != nil {
		return err
	}
	if err := g.RemoveInput(v); err != nil {
		return err
	}
	return rename(g, wide, to)
}

// rename gives a value a name, which a value inside the graph gives up for it.
func rename(g *graph.Graph, v *graph.Value, name string) error {
	if v.Name() == name {
		return nil
	}
	if old := g.Value(name); old != nil {
		if old.IsInput() || old.IsOutput() {
			return fmt.Errorf("%q can't be called %q as other programs expect it: another input or output has the name", v.Name(), name)
		}
		if err := g.Rename(old, g.UniqueName(name+"/base")); err != nil {
			return err
		}
	}
	return g.Rename(v, name)
}

// temper divides the logits by the task's fitted temperature, and returns the task that reads them.
func temper(g *graph.Graph, t inject.Task, logits *graph.Value) (inject.Task, error) {
	if t.Type == "" {
		return t, nil
	}
	of, err := task.Of(t)
	if err != nil {
		return t, err
	}
	tempered, ok := of.(task.Tempered)
	if !ok {
		return t, nil
	}
	by, after := tempered.Temper()
	if by == 0 || by == 1 {
		return t, nil
	}
	p := g.NewPatch("standard/temperature")
	p.Shunt(logits, p.Typed(p.Op("Div", logits, p.Float(logits.DType, by)), logits.DType, logits.Shape.Clone()))
	if err := p.Apply(); err != nil {
		return t, err
	}
	cold, err := task.ForInjection(after, t.Labels)
	if err != nil {
		return t, err
	}
	t.Settings = cold.Settings
	return t, nil
}

// renameOutputs names the outputs by what the head computes.
func renameOutputs(g *graph.Graph, info models.Info, t inject.Task, output string) error {
	switch t.Head() {
	case models.QuestionAnswering:
		return split(g, g.Value(output))
	case models.FeatureExtraction, models.NoTask:
		for _, v := range g.Outputs() {
			if v.Name() != output && isHidden(v, info) {
				if err := rename(g, v, lastHidden); err != nil {
					return err
				}
				break
			}
		}
		if t.Head() == models.NoTask {
			return nil
		}
		return rename(g, g.Value(output), inject.EmbeddingName)
	}
	return rename(g, g.Value(output), inject.LogitsName)
}

// isHidden reports whether an output is [batch, tokens, hidden].
func isHidden(v *graph.Value, info models.Info) bool {
	return len(v.Shape) == 3 && v.Shape[2:].Compatible(graph.Shape{graph.Fixed(int64(info.Hidden))})
}

// split puts two outputs [batch, tokens] in the place of one [batch, tokens, 2].
func split(g *graph.Graph, both *graph.Value) error {
	p := g.NewPatch("standard")
	var parts []*graph.Value
	for i := range 2 {
		part := p.With(graph.IntAttr("axis", 2)).Op("Gather", both, p.Int(int64(i)))
		if len(both.Shape) == 3 {
			p.Typed(part, both.DType, both.Shape[:2].Clone())
		}
		parts = append(parts, part)
	}
	if err := p.Apply(); err != nil {
		return err
	}
	var outputs []*graph.Value
	for _, v := range g.Outputs() {
		if v != both {
			outputs = append(outputs, v)
		}
	}
	g.SetOutputs(append(parts, outputs...)...)
	for i, name := range []string{startLogits, endLogits} {
		if err := rename(g, parts[i], name); err != nil {
			return err
		}
	}
	return nil
}

// join is split's inverse: predictions read one output. A graph that has it is left as it is.
func join(g *graph.Graph) (string, error) {
	start, end := g.Value(startLogits), g.Value(endLogits)
	if start == nil || end == nil {
		return "", fmt.Errorf("it has no outputs %s and %s", startLogits, endLogits)
	}
	p := g.NewPatch("standard/join")
	column := func(v *graph.Value) *graph.Value { return p.Op("Reshape", v, p.Ints(0, 0, 1)) }
	both := p.With(graph.IntAttr("axis", 2)).Op("Concat", column(start), column(end))
	if len(start.Shape) == 2 {
		p.Typed(both, start.DType, append(start.Shape.Clone(), graph.Fixed(2)))
	}
	if err := p.Apply(); err != nil {
		return "", err
	}
	g.SetOutputs(both)
	return both.Name(), nil
}

// Answers returns the outputs that a model in its standard form answers with, in the order in which they make up what the task
// reads; nil for an encoder without a head.
func Answers(t inject.Task) []string {
	switch t.Head() {
	case models.NoTask:
		return nil
	case models.QuestionAnswering:
		return []string{startLogits, endLogits}
	case models.FeatureExtraction:
		return []string{inject.EmbeddingName}
	}
	return []string{inject.LogitsName}
}
