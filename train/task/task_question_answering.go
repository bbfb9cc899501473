package task

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/numeric"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/metric"
)

func init() {
	register("question-answering", "the part of a context that answers a question; cross entropy of its first and last token", func() Task {
		return &QuestionAnswering{Stride: 128, MaxAnswer: 30}
	})
}

// QuestionAnswering finds the answer to a question in a context: two outputs for each token say whether the answer begins and
// whether it ends there. A context that is too long becomes several windows; in those that lack the answer, it is the first
// token, [CLS].
type QuestionAnswering struct {
	Stride    int     `json:"doc_stride" flag:"doc-stride" usage:"tokens by which the windows of a long context overlap, at most half a window"`
	MaxAnswer int     `json:"max_answer_length" flag:"max-answer-length" usage:"the longest answer, in tokens"`
	NoAnswer  bool    `json:"no_answer,omitempty" flag:"no-answer" usage:"a question may have no answer in its context, as in SQuAD 2.0"`
	Threshold float64 `json:"null_score_diff_threshold,omitempty"` // fitted: there is no answer where its score is more than this above the best answer's
}

// The names in [data.Example.Fields].
const (
	qaID         = "id"
	qaAnswers    = "answers"
	qaStarts     = "answer_start"
	qaImpossible = "is_impossible"
)

// Head is a classifier of tokens.
func (*QuestionAnswering) Head() models.Task { return models.QuestionAnswering }

// Shape is a score as the answer's first token, and one as its last.
func (*QuestionAnswering) Shape(t *inject.Task) { t.Width = 2 }

// Schema is SQuAD's, as Hugging Face's data sets flatten it.
func (*QuestionAnswering) Schema() *data.Schema {
	return &data.Schema{
		Texts:  []data.TextNames{{Text: "question", Pair: "context"}, {Text: "question", Pair: "passage"}, {Text: "query", Pair: "context"}},
		Labels: []string{}, Unlabelled: true,
		Fields: []data.Field{
			{Name: qaID, Columns: []string{"id"}},
			{Name: qaAnswers, Columns: []string{"answers.text"}, Required: true},
			{Name: qaStarts, Columns: []string{"answers.answer_start"}, Required: true},
			{Name: qaImpossible, Columns: []string{"is_impossible"}},
		},
	}
}

// Labels are none.
func (*QuestionAnswering) Labels(_ *data.Set, given []string) ([]string, error) {
	return nil, noLabels("question-answering", given)
}

// Targets are the answer's first and last token.
func (*QuestionAnswering) Targets([]string) []data.TargetSpec {
	return []data.TargetSpec{{Name: "start", DType: graph.Int64}, {Name: "end", DType: graph.Int64}}
}

func (q *QuestionAnswering) validate() error {
	switch {
	case q.Stride < 0:
		return fmt.Errorf("--doc-stride %d: must be at least 0", q.Stride)
	case q.MaxAnswer < 1:
		return fmt.Errorf("--max-answer-length %d: must be at least 1", q.MaxAnswer)
	}
	return nil
}

// Encode makes a question and its context one or several windows. Of several right answers, the first is learned.
func (q *QuestionAnswering) Encode(e Encoder, set *data.Set, _ []string) (*data.Dataset, error) {
	labelled := false
	for i := range set.Examples {
		labelled = labelled || set.Examples[i].Fields[qaAnswers] != nil
	}
	answers := make([]answerAt, len(set.Examples))
	for i := range set.Examples {
		var err error
		if answers[i], err = q.check(&set.Examples[i], labelled); err != nil {
			return nil, set.At(i, err)
		}
	}
	d, err := data.NewWindows(e.Tokenizer, set, e.MaxLength, q.Stride)
	if err != nil || !labelled {
		return d, err
	}
	var starts, ends []int64
	for i := range d.Encodings {
		start, end := answers[d.Origin[i]].in(&d.Encodings[i])
		starts, ends = append(starts, start), append(ends, end)
	}
	d.Targets = []data.Target{data.Scalars("start", starts), data.Scalars("end", ends)}
	return d, nil
}

// An answerAt is where an answer starts and ends in its context, in code points; {-1, -1} for none.
type answerAt struct{ start, end int }

// check says what is wrong with a question, and returns its first answer.
func (q *QuestionAnswering) check(e *data.Example, labelled bool) (answerAt, error) {
	first := answerAt{-1, -1}
	name := fmt.Sprintf("question %.60q", e.Text)
	if id := e.Fields[qaID]; len(id) == 1 && id[0] != "" {
		name = fmt.Sprintf("question %q", id[0])
	}
	fail := func(format string, args ...any) (answerAt, error) {
		return first, fmt.Errorf("%s: %s", name, fmt.Sprintf(format, args...))
	}
	switch {
	case strings.TrimSpace(e.Text) == "":
		return fail("the question is empty")
	case strings.TrimSpace(e.Pair) == "":
		return fail("it has no context to look for an answer in")
	case !labelled:
		return first, nil
	}
	texts, starts := e.Fields[qaAnswers], e.Fields[qaStarts]
	impossible := e.Fields[qaImpossible]
	switch said := len(impossible) == 1 && impossible[0] == "true"; {
	case texts == nil:
		return fail("it has no answers, and others have: leave it out")
	case len(texts) != len(starts):
		return fail("%d answers and %d places of answers (answer_start)", len(texts), len(starts))
	case said && len(texts) > 0:
		return fail("is_impossible is true, and yet it has the answer %q", texts[0])
	case len(texts) == 0 && !q.NoAnswer:
		return fail("it has no answer; with --no-answer questions may have none, as in SQuAD 2.0")
	case len(texts) == 0 && len(impossible) == 1 && !said:
		return fail("it has no answer, and yet is_impossible is %s", impossible[0])
	}
	context := []rune(e.Pair)
	for i := range texts {
		at, err := findAnswer(context, texts[i], starts[i])
		if err != nil {
			return fail("%v", err)
		}
		if i == 0 {
			first = at
		}
	}
	return first, nil
}

// findAnswer checks that an answer stands where it is said to stand.
func findAnswer(context []rune, text, start string) (answerAt, error) {
	at, err := strconv.Atoi(start)
	end := at + len([]rune(text))
	switch {
	case err != nil:
		return answerAt{}, fmt.Errorf("answer_start %q of the answer %q is no whole number", start, text)
	case text == "":
		return answerAt{}, fmt.Errorf("the answer at %d is empty", at)
	}
	stands := fmt.Sprintf("which ends at %d", len(context))
	if at >= 0 && end <= len(context) {
		if stands = fmt.Sprintf("where %q is", string(context[at:end])); string(context[at:end]) == text {
			return answerAt{at, end}, nil
		}
	}
	found := "it is nowhere in it"
	if before, _, ok := strings.Cut(string(context), text); ok {
		found = fmt.Sprintf("it is at %d; answer_start counts Unicode code points from 0", len([]rune(before)))
	}
	return answerAt{}, fmt.Errorf("the answer %q isn't at %d of its context, %s: %s", text, at, stands, found)
}

// in returns an answer's first and last token in a window, 0 for both where it isn't there as a whole. These are Hugging Face's
// (prepare_train_features in run_qa.py), but that an answer in a window's last token stays in the context: there, it starts in
// the [SEP] or the padding after it.
func (a answerAt) in(w *data.Encoding) (start, end int64) {
	first, last := -1, -1
	for i, s := range w.Sequence {
		if s != 1 {
			continue
		}
		if last = i; first < 0 {
			first = i
		}
	}
	if a.start < 0 || first < 0 || w.Offsets[first][0] > a.start || w.Offsets[last][1] < a.end {
		return 0, 0
	}
	for i := first; i <= last; i++ {
		if w.Offsets[i][0] <= a.start {
			start = int64(i)
		}
	}
	for i := last; i >= first && w.Offsets[i][1] >= a.end; i-- {
		end = int64(i)
	}
	return start, end
}

// Loss is the mean of the cross entropies of the first and of the last token over the window's positions, as Hugging Face's
// ForQuestionAnswering has it but for padding, which doesn't count here: there, the loss of a text depends on what it is
// padded to.
func (*QuestionAnswering) Loss(l *Loss) *graph.Value {
	columns := l.With(graph.IntAttr("axis", -1)).OpN("Split", 2, l.Output, l.Ints(1, 1))
	start, end := l.crossEntropyOfPositions(columns[0], l.Targets["start"]), l.crossEntropyOfPositions(columns[1], l.Targets["end"])
	return l.weighted(l.Op("Mul", l.Op("Add", start, end), l.constant(0.5)))
}

// crossEntropyOfPositions is −log softmax(scores)_target [batch] of scores [batch, tokens, 1], over the positions that the mask
// admits. The target is chosen by comparing, for the reason that oneHot gives.
func (l *Loss) crossEntropyOfPositions(scores, target *graph.Value) *graph.Value {
	const never = -1e9
	x := l.Op("Squeeze", scores, l.Ints(2))
	if l.Mask != nil {
		x = l.Op("Where", l.With(graph.IntAttr("to", int64(graph.Bool))).Op("Cast", l.Mask), x, l.constant(never))
	}
	tokens := l.With(graph.IntAttr("axis", 0)).Op("Gather", l.Op("Shape", x), l.Int(1))
	hit := l.Op("Equal", l.Op("Unsqueeze", target, l.Ints(1)), l.Op("Range", l.Int(0), tokens, l.Int(1)))
	hot := l.With(graph.IntAttr("to", int64(graph.Float))).Op("Cast", hit)
	return l.Op("Neg", l.sumLast(l.Op("Mul", l.logSoftmax(x), hot), 2))
}

// Metrics are the official script's.
func (*QuestionAnswering) Metrics() []string { return []string{"f1", "exact"} }

// Evaluate is SQuAD's evaluation, in percent as there. Where questions may have no answer, HasAns and NoAns are those that have
// one and those that don't, and best_f1 and best_exact what another threshold could give.
func (q *QuestionAnswering) Evaluate(r *Results) (Scores, error) {
	all, err := q.squad(r)
	if err != nil {
		return nil, err
	}
	out := Scores{}
	for name, v := range all {
		of := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(name, "best_"), "HasAns_"), "NoAns_")
		if of == name || q.NoAnswer {
			if of == "f1" || of == "exact" {
				out[name] = v
			}
		}
	}
	return out, nil
}

// Fit chooses the threshold above which there is no answer: that of the best F1.
func (q *QuestionAnswering) Fit(r *Results) error {
	if !q.NoAnswer {
		return nil
	}
	all, err := q.squad(r)
	if err != nil {
		return err
	}
	q.Threshold = all["best_f1_thresh"]
	const rounding = 1e-6
	if fitted, err := q.squad(r); err != nil || fitted["f1"] >= all["best_f1"]-rounding {
		return err
	}
	// The script says 0 where it is best to answer nothing, whatever the scores.
	for _, windows := range r.Data.Windows() {
		q.Threshold = min(q.Threshold, q.best(r, windows).difference()-1)
	}
	return nil
}

// squad evaluates the best answers with their no-answer scores. Its questions go by their numbers, since ids may be missing.
func (q *QuestionAnswering) squad(r *Results) (map[string]float64, error) {
	var questions []metric.Question
	predicted, none := map[string]string{}, map[string]float64{}
	for i, windows := range r.Data.Windows() {
		id := strconv.Itoa(i)
		best := q.best(r, windows)
		e := &r.Data.Examples[i]
		questions = append(questions, metric.Question{ID: id, Answers: e.Fields[qaAnswers]})
		predicted[id], none[id] = best.text(e), best.difference()
	}
	if !q.NoAnswer {
		none = nil
	}
	return metric.Squad(questions, predicted, none, q.Threshold)
}

// A SpanAnswer is the answer to a question.
type SpanAnswer struct {
	Answer string `json:"answer"` // "" for none
	// Start and End are where the answer stands in the context, in Unicode code points; both 0 for none.
	Start int `json:"start"`
	End   int `json:"end"`
	// Score is the probability that the answer starts and ends there, among all places of its window.
	Score float64 `json:"score"`
	// Difference is by how much the score of no answer is above the best answer's, where there may be none.
	Difference *float64 `json:"null_score_difference,omitempty"`
}

// Lines are the answer, where it stands, and its score.
func (a SpanAnswer) Lines() []string {
	text := strings.Join(strings.Fields(a.Answer), " ")
	if text == "" {
		text = "(no answer)"
	}
	return []string{fmt.Sprintf("%s\t%d-%d\t%.4f", text, a.Start, a.End, a.Score)}
}

// OfPair says that the answer stands in the context.
func (SpanAnswer) OfPair() {}

// Answer is the best part of the context.
func (q *QuestionAnswering) Answer(r *Results, example int, windows []int) Answer {
	best := q.best(r, windows)
	var out SpanAnswer
	if d := best.difference(); q.NoAnswer && best.found {
		out.Difference = &d
	}
	if !best.found || q.NoAnswer && best.difference() > q.Threshold {
		out.Score = best.noneProbability
		return out
	}
	out.Answer, out.Start, out.End, out.Score = best.text(&r.Data.Examples[example]), best.from, best.to, best.probability
	return out
}

// Same compares the likeliest first and last tokens.
func (*QuestionAnswering) Same(a, b []float32, width int) bool {
	for k := range width {
		if numeric.Argmax(column(a, k, width)) != numeric.Argmax(column(b, k, width)) {
			return false
		}
	}
	return true
}

// column is every width-th element from k on.
func column(x []float32, k, width int) []float32 {
	out := make([]float32, 0, len(x)/width)
	for ; k < len(x); k += width {
		out = append(out, x[k])
	}
	return out
}
