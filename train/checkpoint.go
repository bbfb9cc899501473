package train

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/safetensors"
	"github.com/peftgraph/peftgraph/train/task"
)

// checkpointKey is the safetensors metadata entry with the counters.
const checkpointKey = "peftgraph.state"

type counters struct {
	Epoch      int             `json:"epoch"`
	Batch      int             `json:"batch"`
	Steps      int             `json:"steps"`
	LossSum    float64         `json:"loss_sum"`
	LossCount  float64         `json:"loss_count"`
	BestEpoch  int             `json:"best_epoch"`
	BestMetric task.Scores     `json:"best_metric,omitempty"`
	Fitted     json.RawMessage `json:"fitted,omitempty"`
	Settings   Settings        `json:"settings"`
}

// SaveState writes a checkpoint, one file, whole or not at all.
func SaveState(path string, s State, settings Settings) error {
	text, err := json.Marshal(counters{s.Epoch, s.Batch, s.Steps, s.LossSum, s.LossCount, s.BestEpoch, s.BestMetric, s.Fitted, settings})
	if err != nil {
		return fmt.Errorf("train: checkpoint: %w", err)
	}
	c := &safetensors.Contents{Metadata: map[string]string{checkpointKey: string(text)}, Tensors: map[string]*graph.Tensor{
		"params": graph.TensorOf(nil, s.Params),
	}}
	if s.Best != nil {
		c.Tensors["best"] = graph.TensorOf(nil, s.Best)
	}
	for name, v := range s.Optimizer {
		c.Tensors["optimizer/"+name] = graph.TensorOf(nil, v)
	}
	if err := safetensors.Save(path, c); err != nil {
		return fmt.Errorf("train: checkpoint: %w", err)
	}
	return nil
}

// LoadState reads a checkpoint and the settings it was made with.
func LoadState(path string) (State, Settings, error) {
	var s State
	c, err := safetensors.Open(path)
	if err != nil {
		return s, Settings{}, fmt.Errorf("train: checkpoint: %w", err)
	}
	var n counters
	if err := json.Unmarshal([]byte(c.Metadata[checkpointKey]), &n); err != nil {
		return s, Settings{}, fmt.Errorf("train: checkpoint %s: its counters: %w", path, err)
	}
	s = State{Epoch: n.Epoch, Batch: n.Batch, Steps: n.Steps, LossSum: n.LossSum, LossCount: n.LossCount, BestEpoch: n.BestEpoch,
		BestMetric: n.BestMetric, Fitted: n.Fitted, Optimizer: map[string][]float32{}}
	for name, t := range c.Tensors {
		data, err := graph.Data[float32](t)
		if err != nil {
			return s, n.Settings, fmt.Errorf("train: checkpoint %s: %s: %w", path, name, err)
		}
		// A checkpoint is replaced while the run goes on, so nothing may keep referring to the file.
		data = append([]float32(nil), data...)
		switch own, isOptimizer := strings.CutPrefix(name, "optimizer/"); {
		case isOptimizer:
			s.Optimizer[own] = data
		case name == "params":
			s.Params = data
		case name == "best":
			s.Best = data
		}
	}
	return s, n.Settings, nil
}
