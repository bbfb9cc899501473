package graphtest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
)

// attrs reads "{axis=1, eps=1e-05f, perm=[0,1], scales=[1,2]f, names=["a" "b"]s, mode="x", value=int64[1] = [3]}".
// owner seeds the content of tensors that stand without one.
func (c *cursor) attrs(owner string) ([]graph.Attr, error) {
	var out []graph.Attr
	err := c.list('{', '}', func() error {
		name, err := c.name()
		if err != nil {
			return err
		}
		if err := c.expect("="); err != nil {
			return err
		}
		a, err := c.attr(owner, name)
		if err != nil {
			return fmt.Errorf("attribute %q: %w", name, err)
		}
		out = append(out, a)
		return nil
	})
	return out, err
}

func (c *cursor) attr(owner, name string) (graph.Attr, error) {
	rest := c.rest()
	switch {
	case c.at('"'):
		s, err := c.quoted()
		return graph.StringAttr(name, s), err
	case c.at('['):
		return c.listAttr(name)
	case c.at('<'):
		return graph.Attr{}, fmt.Errorf("%s has no textual form", c.until(",}"))
	case rest != "" && strings.IndexByte("0123456789+-N", rest[0]) >= 0: // N for NaN
		return numberAttr(name, c.until(",}"))
	}
	t, err := c.tensor(owner + "/" + name)
	return graph.TensorAttr(name, t), err
}

// numberAttr tells floats from integers by the f that ends them.
func numberAttr(name, text string) (graph.Attr, error) {
	if s, ok := strings.CutSuffix(text, "f"); ok {
		v, err := strconv.ParseFloat(s, 32)
		return graph.FloatAttr(name, float32(v)), err
	}
	v, err := strconv.ParseInt(text, 10, 64)
	return graph.IntAttr(name, v), err
}

// listAttr reads a list of integers, of floats (an f follows it) or of quoted strings (an s follows it).
func (c *cursor) listAttr(name string) (graph.Attr, error) {
	if err := c.expect("["); err != nil {
		return graph.Attr{}, err
	}
	if c.at('"') {
		return c.stringsAttr(name)
	}
	var items []string
	if text := c.until("]"); text != "" {
		items = strings.Split(text, ",")
	}
	if err := c.expect("]"); err != nil {
		return graph.Attr{}, err
	}
	switch {
	case c.accept("s"):
		return graph.Attr{Name: name, Kind: graph.AttrStrings}, nil
	case c.accept("f"):
		a := graph.Attr{Name: name, Kind: graph.AttrFloats}
		for _, s := range items {
			v, err := strconv.ParseFloat(s, 32)
			if err != nil {
				return a, err
			}
			a.Floats = append(a.Floats, float32(v))
		}
		return a, nil
	}
	a := graph.Attr{Name: name, Kind: graph.AttrInts}
	for _, s := range items {
		v, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
		if err != nil {
			return a, err
		}
		a.Ints = append(a.Ints, v)
	}
	return a, nil
}

func (c *cursor) stringsAttr(name string) (graph.Attr, error) {
	a := graph.Attr{Name: name, Kind: graph.AttrStrings}
	for !c.accept("]") {
		s, err := c.quoted()
		if err != nil {
			return a, err
		}
		a.Strings = append(a.Strings, s)
	}
	return a, c.expect("s")
}
