package shape

import (
	"fmt"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", matmul, "MatMul")
	register("com.microsoft", matmul, "FusedMatMul")
	register("", matmulInteger, "MatMulInteger")
	register("com.microsoft", dynamicQuantizeMatMul, "DynamicQuantizeMatMul")
	register("com.microsoft", matmulNBits, "MatMulNBits")
	register("", gemm, "Gemm")
	register("", einsum, "Einsum")
}

// matrixProduct returns the shape of a·b with NumPy's rules: vectors gain a dimension that is dropped again, leading
// dimensions broadcast.
func matrixProduct(a, b graph.Shape, transA, transB bool) (graph.Shape, error) {
	if a == nil || b == nil {
		return nil, nil
	}
	if len(a) == 0 || len(b) == 0 {
		return nil, fmt.Errorf("a matrix product of %s and %s", a, b)
	}
	vectorA, vectorB := len(a) == 1, len(b) == 1
	if vectorA {
		a = graph.Shape{graph.Fixed(1), a[0]}
	}
	if vectorB {
		b = graph.Shape{b[0], graph.Fixed(1)}
	}
	rows, innerA := a[len(a)-2], a[len(a)-1]
	innerB, cols := b[len(b)-2], b[len(b)-1]
	if transA && !vectorA {
		rows, innerA = innerA, rows
	}
	if transB && !vectorB {
		innerB, cols = cols, innerB
	}
	if _, err := sameDim(innerA, innerB); err != nil {
		return nil, fmt.Errorf("%s · %s: inner dimensions %w", a, b, err)
	}
	out, err := Broadcast(a[:len(a)-2], b[:len(b)-2])
	if err != nil {
		return nil, err
	}
	if !vectorA {
		out = append(out, rows)
	}
	if !vectorB {
		out = append(out, cols)
	}
	return out, nil
}

func matmul(c *context) error {
	dtype, err := c.agree(0, 1)
	if err != nil {
		return err
	}
	a, b := c.shape(0), c.shape(1)
	if c.Int("transBatchA", 0) != 0 {
		a = batchFirst(a)
	}
	if c.Int("transBatchB", 0) != 0 {
		b = batchFirst(b)
	}
	s, err := matrixProduct(a, b, c.Int("transA", 0) != 0, c.Int("transB", 0) != 0)
	if err != nil {
		return err
	}
	return c.set(0, dtype, s)
}

// batchFirst moves the first dimension behind the batch dimensions, which is what transBatchA and transBatchB mean.
func batchFirst(s graph.Shape) graph.Shape {
	if len(s) < 3 {
		return s
	}
	last := len(s) - 1
	return joinDims(s[1:last], s[:1], s[last:])
}

func matmulInteger(c *context) error {
	s, err := matrixProduct(c.shape(0), c.shape(1), false, false)
	if err != nil {
		return err
	}
	return c.set(0, graph.Int32, s)
}

func dynamicQuantizeMatMul(c *context) error {
	s, err := matrixProduct(c.shape(0), c.shape(1), false, false)
	if err != nil {
		return err
	}
	return c.set(0, c.dtype(0), s)
}

func matmulNBits(c *context) error {
	s := c.shape(0).Clone()
	if len(s) > 0 {
		s[len(s)-1] = Int(c.Int("N", -1)).Dim()
	}
	return c.set(0, c.dtype(0), s)
}

func gemm(c *context) error {
	dtype, err := c.agree(0, 1, 2)
	if err != nil {
		return err
	}
	a, b := c.shape(0), c.shape(1)
	for _, s := range []graph.Shape{a, b} {
		if s != nil && len(s) != 2 {
			return fmt.Errorf("an input is %s, not a matrix", s)
		}
	}
	if a == nil {
		a = unknownShape(2)
	}
	if b == nil {
		b = unknownShape(2)
	}
	s, err := matrixProduct(a, b, c.Int("transA", 0) != 0, c.Int("transB", 0) != 0)
	if err != nil {
		return err
	}
	if bias := c.shape(2); bias != nil {
		if _, err := Broadcast(s, bias); err != nil {
			return err
		}
	}
	return c.set(0, dtype, s)
}

// einsum reads equations without an ellipsis; one with it leaves the output as stated.
func einsum(c *context) error {
	left, right, explicit := strings.Cut(strings.ReplaceAll(c.Str("equation", ""), " ", ""), "->")
	if strings.Contains(left, "...") {
		return c.set(0, c.dtype(0), nil)
	}
	sizes, counts, order := map[rune]graph.Dim{}, map[rune]int{}, ""
	for i, letters := range strings.Split(left, ",") {
		s := c.shape(i)
		if s == nil {
			s = unknownShape(len(letters))
		}
		if len(s) != len(letters) {
			return fmt.Errorf("%q doesn't fit input %d, %s", letters, i, s)
		}
		for k, r := range letters {
			d, err := s[k], error(nil)
			if old, seen := sizes[r]; seen {
				if d, err = broadcastDim(old, d); err != nil {
					return fmt.Errorf("letter %c: %w", r, err)
				}
			} else {
				order += string(r)
			}
			sizes[r] = d
			counts[r]++
		}
	}
	if !explicit {
		right = implicitOutput(order, counts)
	}
	out := graph.Shape{}
	for _, r := range right {
		d, ok := sizes[r]
		if !ok {
			return fmt.Errorf("letter %c of the output is in no input", r)
		}
		out = append(out, d)
	}
	return c.set(0, c.dtype(0), out)
}

// implicitOutput returns the letters that occur once, in alphabetical order.
func implicitOutput(letters string, counts map[rune]int) string {
	out := ""
	for r := 'A'; r <= 'z'; r++ {
		if counts[r] == 1 && strings.ContainsRune(letters, r) {
			out += string(r)
		}
	}
	return out
}
