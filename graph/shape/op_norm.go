package shape

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", layerNorm, "LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization")
	register("com.microsoft", skipLayerNorm, "SkipLayerNormalization", "SkipSimplifiedLayerNormalization")
	register("com.microsoft", embedLayerNorm, "EmbedLayerNormalization")
	register("", sameAsInput, "BatchNormalization", "InstanceNormalization")
	register("", quantize, "QuantizeLinear")
	register("", dequantize, "DequantizeLinear")
	register("", dynamicQuantize, "DynamicQuantizeLinear")
}

// layerNorm: the output has the scale's type, which may differ from the input's in onnxruntime's own older definition. The
// statistics Mean and InvStdDev keep the leading dimensions and have 1 for the normalised ones. Their type
// is stash_type, float unless stated.
func layerNorm(c *context) error {
	s := c.shape(0)
	stats := s.Clone()
	if s != nil {
		at, err := axis(c.Int("axis", -1), len(s))
		if err != nil {
			return err
		}
		for i := at; i < len(stats); i++ {
			stats[i] = graph.Fixed(1)
		}
		if scale := c.shape(1); scale != nil {
			if _, err := Broadcast(s, scale); err != nil {
				return fmt.Errorf("scale: %w", err)
			}
		}
	}
	stash := graph.DType(c.Int("stash_type", int64(graph.Float)))
	for i := 1; i < len(c.Outputs()); i++ {
		if err := c.set(i, stash, stats); err != nil {
			return err
		}
	}
	dtype := c.dtype(1)
	if dtype == graph.Undefined {
		dtype = c.dtype(0)
	}
	return c.set(0, dtype, s)
}

// skipLayerNorm: outputs are the norm, mean, inverse deviation (both unused in inference) and the sum that was normalised.
func skipLayerNorm(c *context) error {
	s := c.shape(0)
	if err := c.set(3, c.dtype(0), s); err != nil {
		return err
	}
	return c.set(0, c.dtype(0), s)
}

// embedLayerNorm: outputs [batch, sequence, hidden], the mask's lengths [batch], and the sum before the norm.
func embedLayerNorm(c *context) error {
	ids, table := c.shape(0), c.shape(2)
	var s, lengths graph.Shape
	if len(ids) == 2 && len(table) == 2 {
		s = graph.Shape{ids[0], ids[1], table[1]}
		lengths = graph.Shape{ids[0]}
	}
	if err := c.set(1, graph.Int32, lengths); err != nil {
		return err
	}
	if err := c.set(2, c.dtype(2), s); err != nil {
		return err
	}
	return c.set(0, c.dtype(2), s)
}

func quantize(c *context) error {
	to := graph.Uint8
	if d := c.dtype(2); d != graph.Undefined {
		to = d
	}
	return c.set(0, to, c.shape(0))
}

func dequantize(c *context) error { return c.set(0, c.dtype(1), c.shape(0)) }

func dynamicQuantize(c *context) error {
	if err := c.set(1, graph.Float, graph.Shape{}); err != nil {
		return err
	}
	if err := c.set(2, graph.Uint8, graph.Shape{}); err != nil {
		return err
	}
	return c.set(0, graph.Uint8, c.shape(0))
}
