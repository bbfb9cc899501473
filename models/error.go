package models

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
)

// NotRecognisedError says where and why a graph stopped looking like a BERT-family encoder.
type NotRecognisedError struct {
	// Stage is the part that was being matched: "layer 0", "embeddings", "attention".
	Stage string
	// Node is where matching stopped; nil when the graph has nothing of the kind at all.
	Node *graph.Node
	// Why completes "node X: …".
	Why string
	// Hint is what the user can try, or "".
	Hint string

	unfollowed bool // a value couldn't be computed, which says nothing against another reading of the graph
}

// Error names the stage, the node and the reason; the hint is left to whoever prints for people.
func (e *NotRecognisedError) Error() string {
	s := "models: not a BERT-family encoder: " + e.Stage
	if e.Node != nil {
		s += fmt.Sprintf(": node %s", e.Node)
	}
	return s + ": " + e.Why
}

// refuse makes the reason that a matcher returns; the caller that knows the stage fills it in.
func refuse(n *graph.Node, format string, args ...any) *NotRecognisedError {
	return &NotRecognisedError{Node: n, Why: fmt.Sprintf(format, args...)}
}

// cantFollow is [refuse] for what a trial couldn't compute.
func cantFollow(n *graph.Node, format string, args ...any) *NotRecognisedError {
	why := refuse(n, format, args...)
	why.unfollowed = true
	return why
}

const unfused = "export without onnxruntime's optimizer and its attention fusion; optimize the graph after training instead"

// contrib is the domain of onnxruntime's own operators.
const contrib = "com.microsoft"

func (e *NotRecognisedError) during(stage string) *NotRecognisedError {
	if e.Stage == "" {
		e.Stage = stage
	}
	if e.Hint == "" && e.Node != nil && e.Node.Domain == contrib {
		e.Hint = unfused
	}
	return e
}

func (e *NotRecognisedError) hint(h string) *NotRecognisedError {
	e.Hint = h
	return e
}
