package graphtest

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
)

// A cursor reads the pieces of one line.
type cursor struct {
	line string
	pos  int
}

// rest returns what is unread, without leading space.
func (c *cursor) rest() string {
	for c.pos < len(c.line) && strings.IndexByte(" \t", c.line[c.pos]) >= 0 {
		c.pos++
	}
	return c.line[c.pos:]
}

func (c *cursor) at(b byte) bool { return strings.HasPrefix(c.rest(), string(b)) }

func (c *cursor) accept(s string) bool {
	if !strings.HasPrefix(c.rest(), s) {
		return false
	}
	c.pos += len(s)
	return true
}

func (c *cursor) expect(s string) error {
	if !c.accept(s) {
		return fmt.Errorf("%q expected before %q", s, c.rest())
	}
	return nil
}

// list reads items separated by commas between two delimiters.
func (c *cursor) list(open, shut byte, item func() error) error {
	if err := c.expect(string(open)); err != nil {
		return err
	}
	if c.accept(string(shut)) {
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		if c.accept(string(shut)) {
			return nil
		}
		if err := c.expect(","); err != nil {
			return err
		}
	}
}

func (c *cursor) quoted() (string, error) {
	q, err := strconv.QuotedPrefix(c.rest())
	if err != nil {
		return "", fmt.Errorf("a quoted string expected before %q", c.rest())
	}
	c.pos += len(q)
	return strconv.Unquote(q)
}

// name reads a quoted name, or a bare one: all up to a space, a quote, "=" or a parenthesis or brace. A comma belongs to a
// bare name unless it ends it, since names of constants list dimensions: "const/int64[2,3]".
func (c *cursor) name() (string, error) {
	if c.at('"') {
		return c.quoted()
	}
	rest := c.rest()
	n := strings.IndexAny(rest, " \t\"(){}=")
	if n < 0 {
		n = len(rest)
	}
	name := strings.TrimSuffix(rest[:n], ",")
	if name == "" {
		return "", fmt.Errorf("a name expected before %q", rest)
	}
	c.pos += len(name)
	return name, nil
}

// valueType reads "float[batch,4]".
func (c *cursor) valueType() (graph.DType, graph.Shape, error) {
	rest := c.rest()
	n := strings.IndexByte(rest, '[')
	if n < 0 {
		return 0, nil, fmt.Errorf("a type such as float[2,3] expected before %q", rest)
	}
	dtype := graph.Undefined
	if name := rest[:n]; name != graph.Undefined.String() {
		var err error
		if dtype, err = graph.ParseDType(name); err != nil {
			return 0, nil, err
		}
	}
	c.pos += n
	if c.accept("[...]") {
		return dtype, nil, nil
	}
	shape := graph.Shape{}
	err := c.list('[', ']', func() error {
		d, err := c.dim()
		shape = append(shape, d)
		return err
	})
	return dtype, shape, err
}

func (c *cursor) dim() (graph.Dim, error) {
	if c.at('"') {
		s, err := c.quoted()
		return graph.Symbol(s), err
	}
	text := c.until(",]")
	if text == "?" {
		return graph.UnknownDim(), nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return graph.Fixed(n), nil
	}
	if text == "" {
		return graph.Dim{}, fmt.Errorf("a dimension expected before %q", c.rest())
	}
	return graph.Symbol(text), nil
}

// until reads up to one of the given bytes.
func (c *cursor) until(stop string) string {
	rest := c.rest()
	n := strings.IndexAny(rest, stop)
	if n < 0 {
		n = len(rest)
	}
	c.pos += n
	return strings.TrimSpace(rest[:n])
}

// tensor reads "int64[2] = [1,2]"; content that is left out is derived from the tensor's name.
func (c *cursor) tensor(name string) (*graph.Tensor, error) {
	dtype, shape, err := c.valueType()
	if err != nil {
		return nil, err
	}
	dims, ok := shape.Dims()
	if !ok {
		return nil, fmt.Errorf("a tensor of shape %s: its dimensions must be numbers", shape)
	}
	if dtype.Size() == 0 || dtype == graph.Complex64 || dtype == graph.Complex128 {
		return nil, fmt.Errorf("a tensor of type %s holds no numbers that can be read", dtype)
	}
	if !c.accept("=") {
		return filled(name, dtype, dims), nil
	}
	var floats []float64
	var ints []int64
	err = c.list('[', ']', func() error {
		text := c.until(",]")
		if dtype.IsFloat() {
			v, err := strconv.ParseFloat(text, 64)
			floats = append(floats, v)
			return err
		}
		v, err := strconv.ParseInt(text, 10, 64)
		ints = append(ints, v)
		return err
	})
	if err != nil {
		return nil, err
	}
	want, got := graph.Tensor{Dims: dims}, int64(len(floats)+len(ints))
	if want.Len() != got {
		return nil, fmt.Errorf("%d elements for a tensor of shape %s", got, shape)
	}
	return numbers(dtype, dims, floats, ints)
}

// filled returns numbers that depend on the name alone, floats in [-0.5, 0.5) and integers 0 or 1.
func filled(name string, dtype graph.DType, dims []int64) *graph.Tensor {
	h := fnv.New64a()
	h.Write([]byte(name))
	if dtype.IsFloat() {
		return Rand(h.Sum64(), dtype, dims, -.5, .5)
	}
	return Rand(h.Sum64(), dtype, dims, 0, 2)
}
