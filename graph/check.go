package graph

import (
	"errors"
	"fmt"
)

// Check recounts every link of the graph and returns all that is wrong: uses, producers, names, order, types of
// initializers, operator sets. Passes call it in tests, and the writer calls it before saving.
func (g *Graph) Check() error {
	c := checker{g: g, uses: map[*Value]map[Use]int{}, seen: map[*Value]bool{}}
	c.roots()
	for i, n := range g.nodes {
		c.node(i, n)
	}
	c.values()
	return errors.Join(c.errs...)
}

type checker struct {
	g    *Graph
	uses map[*Value]map[Use]int
	seen map[*Value]bool // defined so far, in topological order
	errs []error
}

func (c *checker) fail(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("graph: check: "+format, args...))
}

func (c *checker) roots() {
	for _, v := range c.g.values {
		if v.isOuter {
			c.seen[v] = true
		}
	}
	for _, v := range c.g.inputs {
		if !v.isInput || c.g.values[v.name] != v {
			c.fail("input %q is not linked as one", v.name)
		}
		c.seen[v] = true
	}
	for _, v := range c.g.inits {
		if v.init == nil || c.g.values[v.name] != v {
			c.fail("initializer %q is not linked as one", v.name)
			continue
		}
		if v.DType != v.init.DType || !v.Shape.Compatible(ShapeOf(v.init.Dims...)) {
			c.fail("initializer %q is declared %s%s and holds %s%v", v.name, v.DType, v.Shape, v.init.DType, v.init.Dims)
		}
		c.seen[v] = true
	}
}

func (c *checker) node(i int, n *Node) {
	if _, ok := c.g.Opsets[n.Domain]; !ok {
		c.fail("node %s: the model imports no operator set for domain %q", n, n.Domain)
	}
	if n.graph != c.g {
		c.fail("node %s belongs to another graph", n)
	}
	read := func(v *Value, index int) {
		if v == nil {
			return
		}
		if !c.seen[v] {
			c.fail("node %s (number %d) reads %q, which nothing defines before it", n, i, v.name)
		}
		if c.uses[v] == nil {
			c.uses[v] = map[Use]int{}
		}
		c.uses[v][Use{n, index}]++
	}
	for k, in := range n.inputs {
		read(in, k)
	}
	for _, v := range n.captures {
		read(v, -1)
	}
	for k, o := range n.outputs {
		if o == nil {
			continue
		}
		if o.producer != n || o.index != k || c.g.values[o.name] != o || o.init != nil || o.isInput {
			c.fail("node %s: output %d, %q, is not linked to it alone", n, k, o.name)
		}
		if c.seen[o] {
			c.fail("value %q is defined twice", o.name)
		}
		c.seen[o] = true
	}
}

func (c *checker) values() {
	for name, v := range c.g.values {
		if v.name != name || v.graph != c.g {
			c.fail("value %q is filed under the name %q", v.name, name)
		}
		if !c.seen[v] {
			c.fail("value %q is neither an input, nor an initializer, nor the output of a node", name)
		}
		counted := 0
		for _, u := range v.uses {
			if c.uses[v][u] != 1 {
				c.fail("value %q claims a use by input %d of %s, which reads it %d times there", name, u.Index, u.Node, c.uses[v][u])
			}
			counted++
		}
		if counted != len(c.uses[v]) {
			c.fail("value %q has %d uses recorded and %d counted", name, counted, len(c.uses[v]))
		}
	}
	for _, o := range c.g.outputs {
		if o == nil || c.g.values[o.name] != o || !c.seen[o] {
			c.fail("output %s is not defined", o)
		}
	}
}
