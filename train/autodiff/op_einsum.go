package autodiff

import (
	"strings"

	"github.com/peftgraph/peftgraph/graph"
)

func init() { register("", "Einsum", 12, einsum) }

// einsum: Y = einsum("a,b->y", A, B), each letter an axis:  dA = einsum("y,b->a", dY, B),  dB = einsum("a,y->b", A, dY).
// That holds where each axis of an input is in Y or in the other input, and in none twice.
func einsum(c *Context) []*graph.Value {
	equation := strings.ReplaceAll(c.Node.Str("equation", ""), " ", "")
	left, out, explicit := strings.Cut(equation, "->")
	terms := strings.Split(left, ",")
	if !explicit || strings.Contains(equation, ".") || len(terms) > 2 || len(terms) != len(c.Node.Inputs()) {
		return c.Failf("equation %q is not differentiated: want one or two inputs, an explicit result and no ellipsis", equation)
	}
	return c.Grads(func(i int) *graph.Value {
		from, operands := out, []*graph.Value{c.DY()}
		if len(terms) == 2 {
			from += "," + terms[1-i]
			operands = append(operands, c.In(1-i))
		}
		for k, letter := range terms[i] {
			if !strings.ContainsRune(from, letter) || strings.ContainsRune(terms[i][:k], letter) {
				c.Failf("equation %q is not differentiated: axis %q of input %d is summed alone or repeated", equation, letter, i)
				return nil
			}
		}
		return c.With(graph.StringAttr("equation", from+"->"+terms[i])).Op("Einsum", operands...)
	})
}
