package models

import (
	"math"

	"github.com/peftgraph/peftgraph/graph"
)

// fusedMask checks the mask of an Attention node, which says itself what it does with it: true or 0 for tokens that are seen.
func (t *trial) fusedMask(a *Attention, hide bool) *NotRecognisedError {
	if a.Mask == nil {
		return nil
	}
	mask, err := t.value(a.Mask)
	if err != nil {
		return cantFollow(a.MaskNode, "its mask can't be followed: %v", err)
	}
	rows, ok := t.perRow(mask)
	if !ok {
		return refuse(a.MaskNode, "its mask is %v, not [batch, 1, sequence, sequence]", mask.Dims)
	}
	for i, got := range rows {
		b, query, key := i/(t.length*t.length), i/t.length%t.length, i%t.length
		if !t.visible(b, query, hide) {
			continue
		}
		switch shown := t.visible(b, key, hide); {
		case shown && got != 0:
			return refuse(a.MaskNode, "its mask hides or weighs tokens that the mask input shows: causal attention, or a bias of positions")
		case !shown && !(got <= -hides):
			return refuse(a.MaskNode, "the mask input %s doesn't hide tokens from the attention", t.e.AttentionMask)
		}
	}
	return nil
}

// perRow spreads a mask [batch or 1, 1, sequence or 1, sequence] to [batch, sequence, sequence], as what is added to the scores.
func (t *trial) perRow(mask *graph.Tensor) ([]float64, bool) {
	d := mask.Dims
	if len(d) != 4 || d[0] != 1 && d[0] != int64(t.batch) || d[1] != 1 || d[2] != 1 && d[2] != int64(t.length) || d[3] != int64(t.length) {
		return nil, false
	}
	data, err := mask.Float64s()
	if mask.DType == graph.Bool {
		var shown []bool
		shown, err = graph.Data[bool](mask)
		data = make([]float64, len(shown))
		for i := range shown {
			if !shown[i] {
				data[i] = math.Inf(-1)
			}
		}
	}
	if err != nil {
		return nil, false
	}
	out := make([]float64, 0, t.batch*t.length*t.length)
	for b := range t.batch {
		for i := range t.length {
			at := (b%int(d[0])*int(d[2]) + i%int(d[2])) * t.length
			out = append(out, data[at:at+t.length]...)
		}
	}
	return out, true
}
