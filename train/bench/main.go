//go:build unix

// Command bench measures what a training step costs, as ratios to a chain of matrix products that runs in the same process:
// milliseconds say more about the machine and its other users than about the graph. It prints Markdown.
//
// Each thing is measured in a process of its own, so that peaks of memory are apart; what is compared is measured in one
// process, in turns.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/peftgraph/peftgraph/runtime"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// childVerb is the first argument of a process that measures one thing for another.
const childVerb = "child"

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 3 && args[0] == childVerb {
		return runChild(ctx, args[1], []byte(args[2]), stdout)
	}
	s := settings{}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&s.only, "only", "", "measure this one model: bert-base or minilm")
	fs.IntVar(&s.job.Batch, "batch", 8, "texts per batch")
	fs.IntVar(&s.job.Length, "length", 128, "tokens per text")
	fs.IntVar(&s.job.Threads, "threads", 2, "onnxruntime's threads")
	fs.IntVar(&s.job.Rounds, "rounds", 12, "rounds in which the chain, the forward and the step take turns")
	fs.StringVar(&s.dir, "dir", "", "folder for the models (default: a temporary one); those in it are used again")
	fs.StringVar(&s.program, "peftgraph", "", "the built program, whose inject is measured too")
	fs.BoolVar(&s.profile, "profile", false, "also print where onnxruntime spends the step's time")
	fs.BoolVar(&s.sweep, "sweep", false, "also compare other session options and graph forms with the defaults")
	if err := fs.Parse(args); err != nil {
		return err
	}
	return s.run(ctx, stdout, stderr)
}

// A job is what a child process is asked to measure.
type job struct {
	Model   string // ONNX file of the base
	Batch   int
	Length  int
	Threads int
	Rounds  int
	Dropout float64
	Shape   string // name in subjects, for building
	Vocab   int    // the same; 0 is the shape's own
	Variant variant
	Others  []variant // to compare with each other
}

// A variant is one way to write the training graph and to run it.
type variant struct {
	Name    string
	Fused   bool             // gradients use com.microsoft.FusedMatMul
	Options *runtime.Options // nil: the program's own
}

// children measure. Each gets its job and returns what is printed as JSON.
var children = map[string]func(context.Context, job) (any, error){
	"build":   buildModel,
	"ratios":  measureRatios,
	"train":   measureTraining,
	"serving": measureServing,
	"profile": measureProfile,
	"sweep":   measureSweep,
}

func runChild(ctx context.Context, what string, text []byte, stdout io.Writer) error {
	measure, ok := children[what]
	if !ok {
		return fmt.Errorf("%q is not measured", what)
	}
	var j job
	if err := json.Unmarshal(text, &j); err != nil {
		return err
	}
	result, err := measure(ctx, j)
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(result)
}
