package folder

import (
	"encoding/json"
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
)

// taskKey is the metadata entry of a deployed model that says what its head is for, labels and fitted settings included.
const taskKey = "peftgraph.task"

// StoreTask writes the task into a graph's metadata.
func StoreTask(g *graph.Graph, t inject.Task) error {
	text, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("folder: task: %w", err)
	}
	g.SetMeta(taskKey, string(text))
	return nil
}

// ReadTask returns the task that a graph's metadata tells of; ok is false where it tells of none.
func ReadTask(g *graph.Graph) (t inject.Task, ok bool, err error) {
	text, ok := g.Meta(taskKey)
	if !ok {
		return t, false, nil
	}
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return t, false, fmt.Errorf("folder: metadata %s: %w", taskKey, err)
	}
	return t, true, nil
}
