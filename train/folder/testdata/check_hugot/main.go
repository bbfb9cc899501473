// Command check_hugot loads a folder with hugot and its session in pure Go, and compares its answers with peftgraph's: of
// classifiers of texts, with one label or several, and of tokens. It is a module of its own, so that hugot is no dependency of
// peftgraph's.
//
//	peftgraph predict --json FOLDER < texts.txt > answers.jsonl
//	cd train/folder/testdata/check_hugot && go run . FOLDER answers.jsonl [LARGEST DIFFERENCE]
//
// hugot's session in Go cuts words by another library's tokenizer than Hugging Face's, whose ids differ for some texts, among
// them those with accents: texts in plain ASCII are compared, and others counted.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"os"
	"strconv"

	"github.com/knights-analytics/hugot"
	"github.com/knights-analytics/hugot/pipelines"
)

// answer is a line of peftgraph predict --json: of one task or another.
type answer struct {
	Text          string             `json:"text"`
	Label         string             `json:"label"`
	Probability   float64            `json:"probability"`
	Probabilities map[string]float64 `json:"probabilities"`
	Entities      []entity           `json:"entities"`
}

type entity struct {
	Label      string
	Start, End int
}

// ask returns by how much hugot's answer differs, and what it is if it is another.
type ask func(a answer) (difference float64, other string, err error)

func main() {
	log.SetFlags(0)
	limit := 1e-5
	if len(os.Args) < 3 {
		log.Fatal("usage: check_hugot FOLDER answers.jsonl [LARGEST DIFFERENCE]")
	}
	if len(os.Args) > 3 {
		var err error
		if limit, err = strconv.ParseFloat(os.Args[3], 64); err != nil {
			log.Fatal(err)
		}
	}
	if err := check(os.Args[1], os.Args[2], limit); err != nil {
		log.Fatal(err)
	}
}

func check(folder, file string, limit float64) error {
	answers, skipped, err := read(file)
	if err != nil {
		return err
	}
	if len(answers) == 0 {
		return fmt.Errorf("%s: no text to compare", file)
	}
	session, err := hugot.NewGoSession()
	if err != nil {
		return err
	}
	defer session.Destroy()
	question, err := open(session, folder, answers[0])
	if err != nil {
		return err
	}
	worst, wrong := 0.0, 0
	for _, a := range answers {
		difference, other, err := question(a)
		if err != nil {
			return err
		}
		worst = max(worst, difference)
		if other != "" || !(difference <= limit) {
			wrong++
			fmt.Printf("%.60q: differs by %v %s\n", a.Text, difference, other)
		}
	}
	fmt.Printf("hugot, from %s: %d texts (%d left out), %d differ, largest difference %.2g\n", folder, len(answers), skipped, wrong, worst)
	if wrong > 0 {
		return fmt.Errorf("%d of %d texts differ", wrong, len(answers))
	}
	return nil
}

// open makes the pipeline that answers as like does.
func open(session *hugot.Session, folder string, like answer) (ask, error) {
	switch {
	case like.Label != "":
		p, err := classifier(session, folder, pipelines.WithSoftmax())
		return func(a answer) (float64, string, error) {
			out, err := p.RunPipeline([]string{a.Text})
			if err != nil {
				return 0, "", err
			}
			theirs, other := out.ClassificationOutputs[0][0], ""
			if theirs.Label != a.Label {
				other = theirs.Label
			}
			return math.Abs(a.Probability - float64(theirs.Score)), other, nil
		}, err
	case like.Probabilities != nil:
		p, err := classifier(session, folder, pipelines.WithSigmoid(), pipelines.WithMultiLabel())
		return func(a answer) (worst float64, other string, err error) {
			out, err := p.RunPipeline([]string{a.Text})
			if err != nil {
				return 0, "", err
			}
			for _, theirs := range out.ClassificationOutputs[0] {
				worst = max(worst, math.Abs(a.Probabilities[theirs.Label]-float64(theirs.Score)))
			}
			return worst, other, nil
		}, err
	}
	p, err := hugot.NewPipeline(session, hugot.TokenClassificationConfig{ModelPath: folder, Name: "check",
		Options: []hugot.TokenClassificationOption{pipelines.WithFirstAggregation()}})
	return func(a answer) (float64, string, error) {
		out, err := p.RunPipeline([]string{a.Text})
		if err != nil {
			return 0, "", err
		}
		theirs := []entity{}
		for _, e := range out.Entities[0] {
			theirs = append(theirs, entity{e.Entity, int(e.Start), int(e.End)})
		}
		if fmt.Sprint(theirs) != fmt.Sprint(a.Entities) {
			return 0, fmt.Sprintf("%v, not %v", theirs, a.Entities), nil
		}
		return 0, "", nil
	}, err
}

func classifier(session *hugot.Session, folder string, options ...hugot.TextClassificationOption) (*pipelines.TextClassificationPipeline, error) {
	return hugot.NewPipeline(session, hugot.TextClassificationConfig{ModelPath: folder, Name: "check", Options: options})
}

func read(file string) (answers []answer, skipped int, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var a answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return nil, 0, err
		}
		if !ascii(a.Text) {
			skipped++
			continue
		}
		answers = append(answers, a)
	}
	return answers, skipped, lines.Err()
}

func ascii(s string) bool {
	for _, r := range s {
		if r > 0x7e {
			return false
		}
	}
	return true
}
