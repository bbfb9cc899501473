// Command check_hugot loads a folder with hugot and its session in pure Go, and compares its answers with peftgraph's. It is a
// module of its own, so that hugot is no dependency of peftgraph's.
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

type answer struct {
	Text        string  `json:"text"`
	Label       string  `json:"label"`
	Probability float64 `json:"probability"`
}

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
	session, err := hugot.NewGoSession()
	if err != nil {
		return err
	}
	defer session.Destroy()
	config := hugot.TextClassificationConfig{ModelPath: folder, Name: "check", Options: []hugot.TextClassificationOption{pipelines.WithSoftmax()}}
	pipeline, err := hugot.NewPipeline(session, config)
	if err != nil {
		return err
	}
	worst, wrong := 0.0, 0
	for _, a := range answers {
		out, err := pipeline.RunPipeline([]string{a.Text})
		if err != nil {
			return err
		}
		theirs := out.ClassificationOutputs[0][0]
		difference := math.Abs(a.Probability - float64(theirs.Score))
		worst = max(worst, difference)
		if theirs.Label != a.Label || !(difference <= limit) {
			wrong++
			fmt.Printf("%.60q: ours %s %v, theirs %s %v\n", a.Text, a.Label, a.Probability, theirs.Label, theirs.Score)
		}
	}
	fmt.Printf("hugot, text-classification from %s: %d texts (%d left out), %d differ, largest difference %.2g\n", folder, len(answers), skipped, wrong, worst)
	if wrong > 0 || len(answers) == 0 {
		return fmt.Errorf("%d of %d texts differ", wrong, len(answers))
	}
	return nil
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
