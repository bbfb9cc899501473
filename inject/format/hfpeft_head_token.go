package format

import (
	"fmt"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
)

// An hfTokenTask is a task of Hugging Face's whose head is one linear map of each token, in the models of all families alike.
type hfTokenTask struct {
	taskType, classifier string
	saved                []string // the names by which PEFT looks for it
	of                   inject.Task
}

// hfTokenTasks are those tasks by what the head computes.
var hfTokenTasks = map[models.Task]hfTokenTask{
	models.TokenClassification: {"TOKEN_CLS", "classifier", []string{"classifier", "score"},
		inject.Task{Type: "token-classification", Kind: models.TokenClassification}},
	models.QuestionAnswering: {"QUESTION_ANS", "qa_outputs", []string{"qa_outputs"},
		inject.Task{Type: "question-answering", Kind: models.QuestionAnswering, Width: 2}},
}

// hfTokenHead is the head of such a task, ok where the plan is of one.
func hfTokenHead(p *inject.Plan) (h hfHead, t hfTokenTask, ok bool) {
	t, ok = hfTokenTasks[p.Task.Head()]
	return hfHead{kinds: []inject.HeadKind{inject.HeadExisting, inject.HeadTokens}, classifier: t.classifier}, t, ok
}

// hfHeadNames are the names by which PEFT looks for the head of the plan's task.
func hfHeadNames(p *inject.Plan) []string {
	if _, t, ok := hfTokenHead(p); ok {
		return slices.Clone(t.saved)
	}
	return []string{"classifier", "score"}
}

// isHFHead reports whether PEFT looks for the head of any task by that name.
func isHFHead(module string) bool {
	saved := []string{"classifier", "score"}
	for _, t := range hfTokenTasks {
		saved = append(saved, t.saved...)
	}
	return slices.Contains(saved, module)
}

// hfTaskOf is PEFT's name of the task of a plan whose head is one of Hugging Face's, and the modules that it then saves whole.
func hfTaskOf(p *inject.Plan) (taskType string, saved []string) {
	if _, t, ok := hfTokenHead(p); ok {
		return t.taskType, hfSavedModules(p)
	}
	return "SEQ_CLS", hfSavedModules(p)
}

// hfSpellOut names the modules that all-linear stands for: for these tasks PEFT takes it to mean the classifier too, which it
// then can't save whole.
func hfSpellOut(p *inject.Plan, method string, c map[string]any) {
	names, _ := c["target_modules"].(inject.ModuleNames)
	if _, _, ok := hfTokenHead(p); !ok || !strings.EqualFold(names.Pattern, inject.AllLinear) {
		return
	}
	var paths []string
	for _, s := range p.Sites {
		if s.Method == method && !slices.Contains(paths, s.Target) {
			paths = append(paths, s.Target)
		}
	}
	c["target_modules"] = paths
}

// readTokenHead takes the task from the classifier's weight, if task is one of those with a linear map of each token.
func (a *Adapter) readTokenHead(task, root string) (found bool, err error) {
	for _, t := range hfTokenTasks {
		if t.taskType != task {
			continue
		}
		key := root + t.classifier + ".weight"
		w := a.Tensors[key]
		switch {
		case w == nil:
			return true, fmt.Errorf("tensor %q is missing: the classifier would stay random", key)
		case len(w.Dims) != 2 || w.Dims[0] < 1 || w.Dims[0] > maxLabels || w.Dims[1] < 1:
			return true, fmt.Errorf("tensor %q is %v: want [labels, hidden]", key, w.Dims)
		case t.of.Width > 0 && w.Dims[0] != int64(t.of.Width):
			return true, fmt.Errorf("tensor %q is %v: a head of %s has %d outputs", key, w.Dims, t.of.Type, t.of.Width)
		}
		a.Task, a.Head = t.of, inject.HeadTokens
		if t.of.Width == 0 {
			a.Task.Labels = numberedLabels(int(w.Dims[0]))
		}
		return true, nil
	}
	return false, nil
}

// hfTaskTypes are the types of tasks that are read, sorted.
func hfTaskTypes() []string {
	out := []string{"FEATURE_EXTRACTION", "SEQ_CLS"}
	for _, t := range hfTokenTasks {
		out = append(out, t.taskType)
	}
	slices.Sort(out)
	return out
}
