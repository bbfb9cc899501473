package refeval

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", "Attention", 23, arity{3, 7}, one(attention))
	register("com.microsoft", "Attention", 1, arity{2, 6}, one(packedAttention))
	register("com.microsoft", "EmbedLayerNormalization", 1, arity{1, 9}, embedNorm)
}

// attend is softmax(scale·q·kᵀ + bias)·v, Vaswani et al. 2017, for q [batch, heads, queries, head], k and v [batch, heads,
// keys, head]; bias broadcasts to [batch, heads, queries, keys] and may be nil.
func attend(q, k, v, bias *array, scale float64) (*array, error) {
	scores, err := matmul(q, k.lastAxesSwapped())
	if err != nil {
		return nil, err
	}
	scores = scores.scaled(scale)
	if bias != nil {
		dims := scores.dims
		if scores, err = combine(scores, bias, add[float64], nil); err != nil {
			return nil, err
		}
		if !slices.Equal(scores.dims, dims) {
			return nil, fmt.Errorf("mask %s doesn't broadcast to the scores' shape %v", bias, dims)
		}
	}
	return matmul(scores.alongAxis(3, softmax), v)
}

// splitHeads turns [batch, sequence, heads·head] into [batch, heads, sequence, head].
func splitHeads(x *array, heads int) (*array, error) {
	if x.rank() != 3 || heads < 1 || x.dims[2]%heads != 0 {
		return nil, fmt.Errorf("%s doesn't split into %d heads", x, heads)
	}
	return x.reshaped([]int{x.dims[0], x.dims[1], heads, x.dims[2] / heads}).transposed([]int{0, 2, 1, 3}), nil
}

// joinHeads is the inverse of splitHeads.
func joinHeads(x *array) *array {
	b, h, s, d := x.dims[0], x.dims[1], x.dims[2], x.dims[3]
	return x.transposed([]int{0, 2, 1, 3}).reshaped([]int{b, s, h * d})
}

// attention is the standard's operator without a cache of past keys and without soft capping.
func attention(c *call) (*array, error) {
	if c.arg(4) != nil || c.arg(5) != nil || c.arg(6) != nil || attr(c, "softcap", 0) != 0 {
		return nil, errors.New("past_key, past_value, nonpad_kv_seqlen and softcap are not supported")
	}
	if err := c.floatArgs(3); err != nil {
		return nil, err
	}
	qkv, flat := slices.Clone(c.in[:3]), c.in[0].rank() == 3
	for k, x := range qkv {
		heads := "kv_num_heads"
		if k == 0 {
			heads = "q_num_heads"
		}
		var err error
		if flat {
			qkv[k], err = splitHeads(x, int(c.node.Int(heads, 0)))
		} else if x.rank() != 4 {
			err = fmt.Errorf("input %d is %s, must have rank 3 or 4 as the others", k, x)
		}
		if err != nil {
			return nil, err
		}
	}
	q, k, v := qkv[0], qkv[1], qkv[2]
	if k.dims[1] == 0 || q.dims[1]%k.dims[1] != 0 {
		return nil, fmt.Errorf("%d query heads share %d key heads", q.dims[1], k.dims[1])
	}
	shared := make([]int, q.dims[1]) // which key head a query head reads
	for h := range shared {
		shared[h] = h / (q.dims[1] / k.dims[1])
	}
	bias, err := attentionBias(c, q.dims[2], k.dims[2])
	if err != nil {
		return nil, err
	}
	y, err := attend(q, k.pickAxis(1, shared), v.pickAxis(1, shared), bias, attr(c, "scale", 1/math.Sqrt(float64(q.dims[3]))))
	if err != nil || !flat {
		return y, err
	}
	return joinHeads(y), nil
}

// attentionBias is the mask as something to add to the scores: a bool mask and is_causal exclude by -∞.
func attentionBias(c *call, queries, keys int) (*array, error) {
	dtype, mask := c.in[0].dtype, c.arg(3)
	if mask != nil && mask.dtype == graph.Bool {
		mask = excluding(dtype, mask.dims, func(k int) bool { return mask.i[k] == 0 }, math.Inf(-1))
	}
	if c.node.Int("is_causal", 0) == 0 {
		return mask, nil
	}
	causal := excluding(dtype, []int{queries, keys}, func(k int) bool { return k%keys > k/keys }, math.Inf(-1))
	if mask == nil {
		return causal, nil
	}
	return combine(mask, causal, add[float64], nil)
}

// excluding is an array of zeros with value where out says so.
func excluding(dtype graph.DType, dims []int, out func(k int) bool, value float64) *array {
	a := newArray(dtype, dims)
	for k := range a.f {
		if out(k) {
			a.f[k] = value
		}
	}
	return a
}

// packedAttention is onnxruntime's self-attention: one weight [hidden, 3·hidden] projects queries, keys and values.
func packedAttention(c *call) (*array, error) {
	x, heads := c.in[0], int(c.node.Int("num_heads", 0))
	if c.arg(4) != nil || c.arg(5) != nil || c.node.Int("unidirectional", 0) != 0 || c.node.Attr("qkv_hidden_sizes") != nil {
		return nil, errors.New("past, attention_bias, unidirectional and qkv_hidden_sizes are not supported")
	}
	qkv, err := matmul(x, c.in[1])
	if err == nil && c.arg(2) != nil {
		qkv, err = combine(qkv, c.arg(2), add[float64], nil)
	}
	if err != nil {
		return nil, err
	}
	all, err := splitHeads(qkv, 3*heads)
	if err != nil {
		return nil, err
	}
	part := func(k int) *array { return all.pickAxis(1, sequence(3 * heads)[k*heads:(k+1)*heads]) }
	bias, err := keyMask(c, all.dims[0], all.dims[2])
	if err != nil {
		return nil, err
	}
	y, err := attend(part(0), part(1), part(2), bias, attr(c, "scale", 1/math.Sqrt(float64(all.dims[3]))))
	if err != nil {
		return nil, err
	}
	return joinHeads(y), nil
}

// keyMask reads mask_index: [batch, keys] with 0 for padding, or [batch] with the number of keys that are no padding.
func keyMask(c *call, batch, keys int) (*array, error) {
	mask, dims := c.arg(3), []int{batch, 1, 1, keys}
	if mask == nil {
		return nil, nil
	}
	padding := func(k int) bool { return mask.i[k] == 0 }
	switch {
	case mask.isFloat():
		return nil, fmt.Errorf("mask_index is %s, must be integers", mask)
	case slices.Equal(mask.dims, []int{batch}):
		padding = func(k int) bool { return int64(k%keys) >= mask.i[k/keys] }
	case !slices.Equal(mask.dims, []int{batch, keys}):
		return nil, fmt.Errorf("mask_index %s: only shapes [%d] and [%d %d] are supported", mask, batch, batch, keys)
	}
	return excluding(c.in[0].dtype, dims, padding, attr(c, "mask_filter_value", -10000)), nil
}

// embedNorm is onnxruntime's sum of word, position and segment embeddings, normalised. Outputs: the normalised sum, how many
// ones each row of the mask has, the sum.
func embedNorm(c *call) ([]*array, error) {
	for _, i := range []int{2, 3, 5, 6} {
		if _, err := c.floatArg(i); err != nil {
			return nil, err
		}
	}
	ids, segments, positions := c.in[0], c.in[1], c.arg(8)
	if ids.isFloat() || ids.rank() != 2 {
		return nil, fmt.Errorf("input_ids are %s, must be integers [batch, sequence]", ids)
	}
	if positions == nil {
		positions = newArray(graph.Int64, []int{1, ids.dims[1]})
		for k := range positions.i {
			positions.i[k] = int64(k)
		}
	}
	total, err := lookUp(c.in[2], ids)
	if err != nil {
		return nil, err
	}
	for _, e := range [][2]*array{{c.in[3], positions}, {c.arg(4), segments}} {
		if e[0] == nil || e[1] == nil {
			continue
		}
		rows, err := lookUp(e[0], e[1])
		if err == nil {
			total, err = combine(total, rows, add[float64], nil)
		}
		if err != nil {
			return nil, err
		}
	}
	r, err := normalize(total, c.in[5], c.in[6], 2, attr(c, "epsilon", 1e-12), true, graph.Float)
	if err != nil {
		return nil, err
	}
	counts := newArray(graph.Int32, ids.dims[:1])
	if mask := c.arg(7); mask != nil {
		counts = mask.reduced([]int{1}, false, reduction{i: sum[int64]}).as(graph.Int32)
	}
	return []*array{r.y, counts, total}, nil
}

// lookUp replaces each id by its row of a table [rows, hidden].
func lookUp(table, ids *array) (*array, error) {
	if table.rank() != 2 || !table.isFloat() {
		return nil, fmt.Errorf("an embedding table is %s, must be a floating matrix", table)
	}
	at := make([]int, len(ids.i))
	for k, v := range ids.i {
		var err error
		if at[k], err = indexOf(v, table.dims[0]); err != nil {
			return nil, err
		}
	}
	return table.pickAxis(0, at).reshaped(append(slices.Clone(ids.dims), table.dims[1])), nil
}
