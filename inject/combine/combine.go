// Package combine makes one LoRA adapter of several that were trained on the same base.
//
// What an adapter adds to a module is ΔW = s·B·A, and what a combination should add is T = Σ wᵢ·sᵢ·Bᵢ·Aᵢ. Only "cat" adds
// exactly that; every result comes with its distance from T.
package combine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
)

// An Input is an adapter with its weight in the combination.
type Input struct {
	Name   string // for messages
	Plan   *inject.Plan
	Values map[string]*graph.Tensor // by trainable name
	Weight float64
}

// Options say how to combine.
type Options struct {
	Method  string
	Rank    int     // of the result of a method that ends in svd; 0 is the largest of the inputs'
	Density float64 // share of the elements that ties, dare and magnitude_prune keep, in (0, 1]
	Signs   string  // how ties elects a sign: "total" (default) by the sum, "frequency" by the number
	Seed    uint64  // of what dare drops
	Head    string  // Name of the input whose head is kept; "" averages the heads
	Force   bool    // combine adapters of different bases
}

// A Result is the combined adapter: a plan with the shapes of the new rank, and its values.
type Result struct {
	Plan   *inject.Plan
	Values map[string]*graph.Tensor
	Errors []Error
}

// An Error is how far a module's ΔW is from the weighted sum of the inputs', in the Frobenius norm.
type Error struct {
	Module   string  `json:"module"`
	Distance float64 `json:"distance"` // ‖ΔW − T‖
	Norm     float64 `json:"norm"`     // ‖T‖
}

// A recipe is a method in its parts: which elements are kept, how what is left is merged, and of what.
type recipe struct {
	summary string
	prune   string // "", "magnitude" or "random"
	ties    bool   // elect signs and average those that agree, else sum
	delta   bool   // of the ΔW, whose best approximation of the rank follows; else of the A and of the B, apart
	exact   bool   // no merging: the ranks add up
}

var recipes = map[string]recipe{
	"cat":                 {summary: "the weighted sum itself; the ranks add up", exact: true},
	"svd":                 {summary: "the weighted sum's best approximation of a rank", delta: true},
	"linear":              {summary: "A and B averaged apart, which is not the sum: cross terms appear"},
	"ties":                {summary: "largest elements, signs elected, of A and B apart (Yadav et al. 2023)", prune: "magnitude", ties: true},
	"ties_svd":            {summary: "the same of the updates themselves, then svd", prune: "magnitude", ties: true, delta: true},
	"dare_linear":         {summary: "random elements, rescaled, of A and B apart (Yu et al. 2023)", prune: "random"},
	"dare_linear_svd":     {summary: "the same of the updates themselves, then svd", prune: "random", delta: true},
	"dare_ties":           {summary: "random elements, rescaled, signs elected, of A and B apart", prune: "random", ties: true},
	"dare_ties_svd":       {summary: "the same of the updates themselves, then svd", prune: "random", ties: true, delta: true},
	"magnitude_prune":     {summary: "largest elements of A and B apart", prune: "magnitude"},
	"magnitude_prune_svd": {summary: "largest elements of the updates themselves, then svd", prune: "magnitude", delta: true},
}

// Methods returns the methods, sorted, by Hugging Face PEFT's names.
func Methods() []string { return slices.Sorted(maps.Keys(recipes)) }

// Summary returns a line about a method.
func Summary(method string) string { return recipes[method].summary }

// LoRA combines LoRA adapters.
func LoRA(inputs []Input, opt Options) (*Result, error) {
	r, ok := recipes[opt.Method]
	switch {
	case !ok:
		return nil, fmt.Errorf("combine: method %q: unknown; the methods are %s", opt.Method, strings.Join(Methods(), ", "))
	case len(inputs) == 0:
		return nil, fmt.Errorf("combine: no adapters")
	case r.prune != "" && !(opt.Density > 0 && opt.Density <= 1):
		return nil, fmt.Errorf("combine: %s: density %v: must be above 0 and at most 1", opt.Method, opt.Density)
	case opt.Signs != "" && opt.Signs != "total" && opt.Signs != "frequency":
		return nil, fmt.Errorf("combine: signs %q: must be total or frequency", opt.Signs)
	case opt.Rank < 0:
		return nil, fmt.Errorf("combine: rank %d: must not be negative", opt.Rank)
	}
	modules, err := collect(inputs, opt.Force)
	if err != nil {
		return nil, err
	}
	rank, err := r.rank(modules, opt)
	if err != nil {
		return nil, err
	}
	kept, err := headsOf(inputs, opt)
	if err != nil {
		return nil, err
	}
	out, err := newResult(inputs, kept[0], modules, rank)
	if err != nil {
		return nil, err
	}
	for _, m := range modules {
		a, b := r.combine(m, rank, opt)
		out.set(m, a, b, rank)
	}
	return out, out.heads(kept)
}

// rank returns the rank of the result.
func (r recipe) rank(modules []*module, opt Options) (int, error) {
	rank, largest, least := 0, 0, 1<<30
	for _, m := range modules {
		sum := 0
		for _, p := range m.parts {
			sum += p.rank
			largest = max(largest, p.rank)
			if !r.delta && !r.exact && p.rank != m.parts[0].rank {
				return 0, &RankError{opt.Method, m.target, m.parts[0].rank, p.rank}
			}
		}
		rank, least = max(rank, sum), min(least, m.in, m.out)
	}
	switch {
	case r.exact:
		return rank, nil
	case !r.delta:
		return largest, nil
	case opt.Rank > least:
		return 0, fmt.Errorf("combine: rank %d: a module has no more than %d", opt.Rank, least)
	case opt.Rank > 0:
		return opt.Rank, nil
	}
	return min(largest, least), nil
}

// RankError says that a method needs adapters of one rank.
type RankError struct {
	Method, Module string
	Have, Other    int
}

func (e *RankError) Error() string {
	return fmt.Sprintf("combine: %s needs adapters of one rank; at %q they have %d and %d", e.Method, e.Module, e.Have, e.Other)
}

// Hint says what to try.
func (*RankError) Hint() string {
	return "cat and the methods that end in svd take adapters of any ranks"
}
