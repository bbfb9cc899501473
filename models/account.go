package models

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph/refeval"
)

// account makes sure that nothing enters the softmax but what was recognised, whatever form the exporter gave it: on queries
// and keys that are made up, the scores must be
//
//	c·(q·kᵀ + q·Rᵀ + k·Rᵀ) + bias + mask,
//
// with one number c at every length, relative terms only where a table of distances R was found, a bias of positions only
// where one was found, and a mask that is 0 for every token that the mask input shows and hides every other.
func (m *matcher) account(e *Encoder) *NotRecognisedError {
	program, err := refeval.NewPartial(m.g)
	if err != nil {
		return refuse(nil, "the graph can't be followed: %v", err).during("attention")
	}
	var first *NotRecognisedError
	for _, r := range m.ranks(&e.Layers[0]) {
		why := m.accountRanked(e, program, r)
		if why == nil || !why.unfollowed {
			return why
		}
		if first == nil {
			first = why
		}
	}
	return first
}

type ranks struct{ in, out int }

// ranks returns which ranks a layer's input and the outputs of its projections may have. The last is for files that split
// heads in a way that ONNX never allowed: see [trial.layer].
func (m *matcher) ranks(l *Layer) []ranks {
	var out []ranks
	for _, r := range []ranks{{3, 3}, {3, 2}, {2, 2}, {2, 3}} {
		in, projected := rankOf(l.Input), rankOf(l.Query.Output)
		if (in < 0 || in == r.in) && (projected < 0 || projected == r.out) {
			out = append(out, r)
		}
	}
	return append(out, ranks{3, 4})
}

// maxTrial bounds the multiplications that one check costs: of a file that fixes a length of several hundred, the last layers are
// taken to be like the first.
const maxTrial = 1e8

func (m *matcher) accountRanked(e *Encoder, p *refeval.Program, r ranks) *NotRecognisedError {
	scales := make([]float64, len(e.Layers))
	for _, length := range e.trialLengths() {
		work := 0
		for _, hide := range []bool{false, true} {
			if hide && (e.AttentionMask == nil || length <= hiddenTokens) {
				continue
			}
			t := newTrial(e, p, length, hide)
			for i := range e.Layers {
				if work += t.batch * length * length * m.heads * m.headDim; work > maxTrial && i > 0 {
					break
				}
				if why := m.accountLayer(t, &e.Layers[i], r, &scales[i], hide); why != nil {
					return why.during(fmt.Sprintf("layer %d", i))
				}
				if i > 0 {
					t.forget(&e.Layers[i]) // sizes may be those of the first layer everywhere
				}
			}
		}
	}
	return nil
}

// trialLengths returns two lengths that the graph can compute, or the one that its inputs fix.
func (e *Encoder) trialLengths() []int {
	if s := e.InputIDs.Shape; len(s) == 2 && s[1].Known() {
		return []int{int(s[1].N)}
	}
	out := []int{5, 7}
	if n := e.MaxPositions - e.PositionOffset; n > 0 && n < 7 {
		out = []int{n}
	}
	return out
}
