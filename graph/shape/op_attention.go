package shape

import "github.com/peftgraph/peftgraph/graph"

func init() {
	register("", attention, "Attention")
	register("com.microsoft", contribAttention, "Attention")
	register("com.microsoft", multiHeadAttention, "MultiHeadAttention")
}

// attention is ai.onnx Attention-23: inputs Q K V mask past_key past_value, outputs Y present_key present_value
// qk_matmul_output. The 4-D form is [batch, heads, sequence, head], the 3-D form [batch, sequence, heads*head].
func attention(c *context) error {
	q, k, v := c.shape(0), c.shape(1), c.shape(2)
	dtype := c.dtype(0)
	switch {
	case len(q) == 4 && len(k) == 4 && len(v) == 4:
		if err := c.attentionScores(q[0], q[1], q[2], k[2]); err != nil {
			return err
		}
		return c.set(0, dtype, graph.Shape{q[0], q[1], q[2], v[3]})
	case len(q) == 3 && len(k) == 3 && len(v) == 3:
		heads := c.Int("q_num_heads", 0)
		head := FromDim(v[2]).Div(Int(c.Int("kv_num_heads", 0)))
		if err := c.attentionScores(q[0], Int(heads).Dim(), q[1], k[1]); err != nil {
			return err
		}
		return c.set(0, dtype, graph.Shape{q[0], q[1], head.Mul(Int(heads)).Dim()})
	}
	return c.set(0, dtype, nil)
}

// attentionScores sets output 3, [batch, heads, sequence, keys]; past keys add a number that is not followed up.
func (c *context) attentionScores(batch, heads, sequence, keys graph.Dim) error {
	if c.Input(4) != nil {
		keys = graph.UnknownDim()
	}
	return c.set(3, c.dtype(0), graph.Shape{batch, heads, sequence, keys})
}

// contribAttention: input [batch, sequence, hidden], weights [hidden, q+k+v]; the output's width is that of V.
func contribAttention(c *context) error {
	x, w := c.shape(0), c.shape(1)
	if len(x) != 3 {
		return c.set(0, c.dtype(0), nil)
	}
	width := graph.UnknownDim()
	if sizes := c.Ints("qkv_hidden_sizes"); len(sizes) == 3 {
		width = Int(sizes[2]).Dim()
	} else if len(w) == 2 {
		width = FromDim(w[1]).Div(Int(3)).Dim()
	}
	return c.set(0, c.dtype(0), graph.Shape{x[0], x[1], width})
}

// multiHeadAttention: query [batch, sequence, hidden], key, value [batch, keys, width]; packed forms stay as stated.
func multiHeadAttention(c *context) error {
	q, v := c.shape(0), c.shape(2)
	if len(q) != 3 || len(v) != 3 {
		return c.set(0, c.dtype(0), nil)
	}
	return c.set(0, c.dtype(0), graph.Shape{q[0], q[1], v[2]})
}
