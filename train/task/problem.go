package task

import (
	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/models"
)

// The problem types of a classifier of texts, as Hugging Face's config.json names them. They say what its logits mean.
const (
	SingleLabel = "single_label_classification" // one of the labels: softmax
	ManyLabels  = "multi_label_classification"  // each label for itself: sigmoid
	ANumber     = "regression"                  // the logits are the answer
)

// ProblemType returns what a classifier of texts is to other programs, and "" for other heads. It follows from what the loss
// compares the logits with: a class, a number for each label, or a number.
func ProblemType(t Task, labels []string) string {
	if t.Head() != models.SequenceClassification {
		return ""
	}
	switch target := t.Targets(labels)[0]; {
	case target.DType == graph.Int64:
		return SingleLabel
	case target.Width > 0:
		return ManyLabels
	}
	return ANumber
}

// A Tempered is a task whose answers are read from its logits over a fitted number.
type Tempered interface {
	// Temper returns that number, and the task that reads the same answers from logits that are divided by it already.
	Temper() (by float64, after Task)
}
