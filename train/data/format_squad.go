package data

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

func init() {
	register(&format{name: "squad", extensions: []string{".json"}, parse: parseSQuAD})
}

// squadColumns are the names that Hugging Face's data sets give to the same in a table.
var squadColumns = []string{"id", "title", "question", "context", "answers.text", "answers.answer_start", "is_impossible"}

// A squadFile is SQuAD's JSON, 1.1 or 2.0: questions below paragraphs below articles.
type squadFile struct {
	Data []struct {
		Title      string `json:"title"`
		Paragraphs []struct {
			Context *string           `json:"context"`
			QAs     []json.RawMessage `json:"qas"`
		} `json:"paragraphs"`
	} `json:"data"`
}

type squadQuestion struct {
	ID           any            `json:"id"`
	Question     *string        `json:"question"`
	Answers      *[]squadAnswer `json:"answers"`
	IsImpossible *bool          `json:"is_impossible"`
}

type squadAnswer struct {
	Text  *string `json:"text"`
	Start *int    `json:"answer_start"`
}

// parseSQuAD makes each question a row, on the line where it begins.
func parseSQuAD(text string) (*table, error) {
	const want = "SQuAD has {\"data\": [{\"paragraphs\": [{\"context\", \"qas\": …}]}]}; for one JSON object a line the format is jsonl"
	var file squadFile
	if err := json.Unmarshal([]byte(text), &file); err != nil {
		return nil, jsonError(text, 0, err, want)
	}
	t, at := &table{names: squadColumns}, position{text: text, line: 1}
	for i, article := range file.Data {
		if article.Paragraphs == nil {
			return nil, fmt.Errorf("element %d of \"data\" has no \"paragraphs\"; %s", i+1, want)
		}
		for _, p := range article.Paragraphs {
			for _, raw := range p.QAs {
				at.find(string(raw))
				row, err := squadRow(article.Title, p.Context, raw)
				var bad *json.UnmarshalTypeError
				if errors.As(err, &bad) {
					return nil, jsonError(text, at.bytes, err, want)
				}
				if err != nil {
					return nil, &lineError{at.line, err.Error()}
				}
				row.line = at.line
				t.rows = append(t.rows, row)
			}
		}
	}
	if len(t.rows) == 0 {
		return nil, fmt.Errorf("no question in it; %s", want)
	}
	return t, nil
}

// squadRow is one question with what stands above it. A question without "answers" has no cell for them: it is unlabelled.
func squadRow(title string, context *string, raw json.RawMessage) (row, error) {
	var q squadQuestion
	if err := json.Unmarshal(raw, &q); err != nil {
		return row{}, err
	}
	id := ""
	if q.ID != nil {
		id = fmt.Sprint(q.ID)
	}
	if q.Question == nil || context == nil {
		return row{}, fmt.Errorf("question %q has no \"question\" or its paragraph no \"context\"", id)
	}
	cells := []cell{{text: id, ok: q.ID != nil}, {text: title, ok: title != ""}, {text: *q.Question, ok: true}, {text: *context, ok: true}, {}, {}, {}}
	if q.Answers != nil {
		texts, starts := cell{list: []string{}, ok: true}, cell{list: []string{}, ok: true}
		for _, a := range *q.Answers {
			if a.Text == nil || a.Start == nil {
				return row{}, fmt.Errorf("question %q: an answer lacks \"text\" or \"answer_start\"", id)
			}
			texts.list, starts.list = append(texts.list, *a.Text), append(starts.list, strconv.Itoa(*a.Start))
		}
		cells[4], cells[5] = texts, starts
	}
	if q.IsImpossible != nil {
		cells[6] = cell{text: strconv.FormatBool(*q.IsImpossible), ok: true}
	}
	return row{cells: cells}, nil
}

// position is a place in a text, by byte and by line.
type position struct {
	text        string
	bytes, line int
	next        int // where the part that was found ends
}

// find goes on to the next place where part stands.
func (p *position) find(part string) {
	if i := strings.Index(p.text[p.next:], part); i >= 0 {
		p.line += strings.Count(p.text[p.bytes:p.next+i], "\n")
		p.bytes, p.next = p.next+i, p.next+i+len(part)
	}
}

// jsonError says on which line JSON that starts at a byte of text is none, or has another kind of value than it should.
func jsonError(text string, start int, err error, want string) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	why, offset := err.Error(), 0
	switch {
	case errors.As(err, &syntax):
		why, offset = "not JSON: "+why, int(syntax.Offset)
	case errors.As(err, &kind):
		why, offset = fmt.Sprintf("%q is of another kind, a JSON %s", kind.Field, kind.Value), int(kind.Offset)
	}
	return &lineError{1 + strings.Count(text[:min(start+offset, len(text))], "\n"), why + "; " + want}
}
