package inject

import (
	"fmt"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/models"
)

// HeadExisting is the classifier that the model was exported with, trained further.
const HeadExisting HeadKind = "existing"

func init() {
	classifiers := []models.Task{models.SequenceClassification, models.TokenClassification, models.QuestionAnswering}
	registerHead(&head{
		kind: HeadExisting, rank: 1, summary: "the classifier that the model was exported with, trained further",
		tasks:       classifiers,
		readsPooler: true,
		fits: func(e *models.Encoder, t Task) error {
			switch {
			case e.Classifier == nil || !slices.Contains(classifiers, e.Task):
				return fmt.Errorf("the model was exported without a classifier; use pooler, cls or mean")
			case e.Task != t.Head():
				return fmt.Errorf("the model's own head is for %s and the task is %s", e.Task, t.Head())
			case e.Classifier.Out != t.Outputs():
				return fmt.Errorf("the model's classifier has %d outputs and the task %d", e.Classifier.Out, t.Outputs())
			}
			return nil
		},
		features:   func(in *Injection, _ *graph.Patch) *graph.Value { return in.Current(in.Encoder.Classifier.Input) },
		classifier: func(e *models.Encoder) *models.Linear { return e.Classifier },
	})
}
