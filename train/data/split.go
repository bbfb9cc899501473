package data

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// Split cuts a set into one to train on and one to judge by, which gets about a share of the examples between 0 and 1. Each class
// is in both by its own share, as far as whole examples go, and one that has a single example is in the first. Lists of labels,
// scores and sets without labels are drawn from as a whole. Examples with the same texts are in the same part, for a model would
// be judged by what it was trained on. The draw depends on the seed and the set alone; in each part the order is the set's.
func Split(set *Set, share float64, seed uint64) (train, dev *Set, err error) {
	if !(share > 0 && share < 1) {
		return nil, nil, fmt.Errorf("data: a share of %v can't be split off; want one between 0 and 1", share)
	}
	rng := rand.New(rand.NewPCG(seed, 0x73706c6974)) // another sequence than other uses of the seed: "split"
	strata := set.strata()
	names := slices.Sorted(maps.Keys(strata))
	quota := quotas(strata, names, share)
	chosen := make([]bool, len(set.Examples))
	for _, name := range names {
		groups := strata[name]
		rng.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
		left := quota[name]
		for _, group := range groups {
			if len(group) > left {
				continue
			}
			left -= len(group)
			for _, i := range group {
				chosen[i] = true
			}
		}
	}
	train, dev = set.like(), set.like()
	for i, ex := range set.Examples {
		to := train
		if chosen[i] {
			to = dev
		}
		to.Examples = append(to.Examples, ex)
	}
	if len(dev.Examples) == 0 {
		return nil, nil, fmt.Errorf("data: %s: a share of %v of %d examples leaves none to judge by; give a larger one, or another file", set.Path, share, len(set.Examples))
	}
	return train, dev, nil
}

// like is a set without s's examples. Its bad rows stay with s.
func (s *Set) like() *Set {
	out := *s
	out.Examples, out.Skipped, out.Bad = nil, 0, nil
	return &out
}

// strata returns the examples' indices by label, those with the same texts together and where the first of them is.
func (s *Set) strata() map[string][][]int {
	type place struct {
		stratum string
		group   int
	}
	classes := s.classes()
	strata, places := map[string][][]int{}, map[string]place{}
	for i := range s.Examples {
		ex := &s.Examples[i]
		key := ex.key()
		at, known := places[key]
		if !known {
			if classes {
				at.stratum = ex.Label
			}
			at.group = len(strata[at.stratum])
			strata[at.stratum] = append(strata[at.stratum], nil)
			places[key] = at
		}
		group := &strata[at.stratum][at.group]
		*group = append(*group, i)
	}
	return strata
}

// classes reports whether each example has one label and the labels are few: scores are as many as examples.
func (s *Set) classes() bool {
	seen := map[string]bool{}
	for i := range s.Examples {
		if s.Examples[i].Labels != nil {
			return false
		}
		seen[s.Examples[i].Label] = true
	}
	return 2*len(seen) <= len(s.Examples)
}

// quotas returns how many examples of each stratum are split off: its share, rounded so that all of them together come as near as
// they can (by largest remainders), and less than all of it.
func quotas(strata map[string][][]int, names []string, share float64) map[string]int {
	out, rest, all, given := map[string]int{}, map[string]float64{}, 0, 0
	size := map[string]int{}
	for _, name := range names {
		for _, group := range strata[name] {
			size[name] += len(group)
		}
		exact := share * float64(size[name])
		out[name] = int(exact)
		rest[name] = exact - math.Floor(exact)
		all += size[name]
		given += out[name]
	}
	byRest := slices.Clone(names)
	slices.SortStableFunc(byRest, func(a, b string) int { return cmp.Compare(rest[b], rest[a]) })
	left := int(math.Round(share*float64(all))) - given
	for _, name := range byRest {
		if left > 0 && out[name]+1 < size[name] {
			out[name]++
			left--
		}
	}
	return out
}

// SplitText says in one line what [Split] made.
func SplitText(train, dev *Set) string {
	n := len(train.Examples) + len(dev.Examples)
	text := fmt.Sprintf("%s: %d of %d examples are held out to judge by", train.Path, len(dev.Examples), n)
	count := map[string][2]int{}
	for i, set := range []*Set{dev, train} {
		for _, ex := range set.Examples {
			if ex.Label == "" {
				return text
			}
			c := count[ex.Label]
			c[i]++
			count[ex.Label] = c
		}
	}
	if len(count) > splitShown || 2*len(count) > n {
		return text
	}
	var each []string
	for _, label := range slices.Sorted(maps.Keys(count)) {
		c := count[label]
		each = append(each, fmt.Sprintf("%s %d of %d", label, c[0], c[0]+c[1]))
	}
	return text + ": " + strings.Join(each, ", ")
}

// splitShown is for how many classes a line has room.
const splitShown = 10
