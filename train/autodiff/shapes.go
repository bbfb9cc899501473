package autodiff

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
)

// A shapeCache emits the sizes of symbolic dimensions once, computed from the graph's inputs. Taking them from the inputs,
// and not from the activations that have these shapes, lets onnxruntime free the activations early.
type shapeCache struct {
	origin map[string]axisOf       // where a named dimension can be read
	sizes  map[string]*graph.Value // int64[1] by dimension
	dims   map[string]*graph.Value // int64[rank] by shape
	ones   map[string]*graph.Value // vectors of ones by length and type
}

type axisOf struct {
	input *graph.Value
	axis  int
}

func newShapeCache(g *graph.Graph) shapeCache {
	s := shapeCache{map[string]axisOf{}, map[string]*graph.Value{}, map[string]*graph.Value{}, map[string]*graph.Value{}}
	for _, in := range g.Inputs() {
		for i, d := range in.Shape {
			if _, ok := s.origin[d.Sym]; d.Sym != "" && !ok {
				s.origin[d.Sym] = axisOf{in, i}
			}
		}
	}
	return s
}

// size returns a dimension as int64[1], or nil when it can't be computed from constants and the graph's inputs. Products
// such as "batch*sequence" can.
func (e *engine) size(d graph.Dim) *graph.Value {
	if d.Known() {
		return e.build.Ints(d.N)
	}
	if v := e.shapes.sizes[d.Sym]; v != nil || d.Sym == "" {
		return v
	}
	b := e.build.Scope("shape")
	var v *graph.Value
	if o, ok := e.shapes.origin[d.Sym]; ok {
		v = b.Op("Gather", b.Op("Shape", o.input), b.Ints(int64(o.axis)))
	} else if factors := strings.Split(d.Sym, "*"); len(factors) > 1 {
		v = b.Ints(1)
		for _, f := range factors {
			size := e.size(parseDim(f))
			if size == nil {
				return nil
			}
			v = b.Op("Mul", v, size)
		}
	}
	e.shapes.sizes[d.Sym] = v
	return v
}

func parseDim(s string) graph.Dim {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return graph.Fixed(n)
	}
	return graph.Symbol(s)
}

// dims returns a shape as int64[rank], or nil when a dimension can't be computed from constants and the graph's inputs.
func (e *engine) dims(s graph.Shape) *graph.Value {
	if s == nil {
		return nil
	}
	if fixed, ok := s.Dims(); ok {
		return e.build.Ints(fixed...)
	}
	if v := e.shapes.dims[s.String()]; v != nil {
		return v
	}
	parts := make([]*graph.Value, len(s))
	for i, d := range s {
		if parts[i] = e.size(d); parts[i] == nil {
			return nil
		}
	}
	v := e.build.Scope("shape").With(graph.IntAttr("axis", 0)).Op("Concat", parts...)
	e.shapes.dims[s.String()] = v
	return v
}

// ShapeOf returns the dimensions of v as int64[rank].
func (c *Context) ShapeOf(v *graph.Value) *graph.Value {
	if dims := c.engine.dims(v.Shape); dims != nil {
		return dims
	}
	return c.Op("Shape", v)
}

// ReshapeLike returns a with the shape of v.
func (c *Context) ReshapeLike(a, v *graph.Value) *graph.Value {
	if target, ok := reshapeTarget(v.Shape); ok {
		return c.Op("Reshape", a, c.Ints(target...))
	}
	return c.Op("Reshape", a, c.ShapeOf(v))
}

// reshapeTarget writes a shape with at most one unknown dimension as a constant, -1 standing for that dimension.
func reshapeTarget(s graph.Shape) ([]int64, bool) {
	out := make([]int64, len(s))
	unknown := 0
	for i, d := range s {
		out[i] = d.N
		if d.N == 0 {
			return nil, false // Reshape reads 0 as "copy this dimension"
		}
		if !d.Known() {
			out[i] = -1
			unknown++
		}
	}
	return out, s != nil && unknown <= 1
}

// ExpandLike broadcasts a to the shape of v.
func (c *Context) ExpandLike(a, v *graph.Value) *graph.Value { return c.Op("Expand", a, c.ShapeOf(v)) }

// ZerosLike returns zeros of v's shape and element type.
func (c *Context) ZerosLike(v *graph.Value) *graph.Value {
	return fill(c.Builder, v.DType, c.ShapeOf(v), 0)
}

// fill returns a tensor of those dimensions, each element the same value.
func fill(b *graph.Builder, dtype graph.DType, dims *graph.Value, value float64) *graph.Value {
	if dtype != graph.Float && dtype != graph.Double {
		b.Fail(fmt.Errorf("%s constants are not emitted, only float and double", dtype))
		return nil
	}
	t := graph.FloatTensor(dtype, []int64{1}, []float64{value})
	return b.With(graph.TensorAttr("value", t)).Op("ConstantOfShape", dims)
}

// Sizes returns dimensions from…to−1 of v as int64[to−from].
func (c *Context) Sizes(v *graph.Value, from, to int) *graph.Value {
	if dims := c.engine.dims(v.Shape[from:to]); dims != nil {
		return dims
	}
	return c.Op("Slice", c.Op("Shape", v), c.Ints(int64(from)), c.Ints(int64(to)))
}

// SizeOf returns one dimension of v as int64[1].
func (c *Context) SizeOf(v *graph.Value, axis int64) *graph.Value {
	return c.Sizes(v, int(axis), int(axis)+1)
}

// count returns 0, 1, …, n−1 for n an int64[1].
func (c *Context) count(n *graph.Value) *graph.Value {
	scalar := c.Op("Reshape", n, c.Const(graph.TensorOf([]int64{0}, []int64{})))
	return c.Op("Range", c.Int(0), scalar, c.Int(1))
}
