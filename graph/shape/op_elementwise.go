package shape

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", sameAsInput, "Abs", "Sqrt", "Exp", "Log", "Erf", "Tanh", "Sigmoid", "Relu", "Reciprocal", "Sin",
		"Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Sign", "Elu", "Selu", "LeakyRelu",
		"Softplus", "Softsign", "HardSigmoid", "HardSwish", "ThresholdedRelu", "Gelu", "Mish", "Swish", "Clip",
		"Softmax", "LogSoftmax", "Hardmax", "CumSum", "Trilu", "Not", "ScatterElements", "Scatter",
		"ScatterND")
	register("com.microsoft", sameAsInput, "Gelu", "FastGelu", "BiasGelu", "QuickGelu")
	register("", sameElements, "Identity", "Floor", "Ceil", "Round")
	register("", negate, "Neg")
	register("", booleanOfInput, "IsNaN", "IsInf")
	register("", binary(Expr.Add), "Add")
	register("", binary(Expr.Sub), "Sub")
	register("", binary(Expr.Mul), "Mul")
	register("", divide, "Div")
	register("", binary(unknownElement), "Pow", "Mod", "PRelu")
	register("", variadic(Expr.Add), "Sum")
	register("", variadic(Expr.Max), "Max")
	register("", variadic(Expr.Min), "Min")
	register("", variadic(unknownElement), "Mean")
	register("", compare(equal), "Equal")
	register("", compare(less), "Less")
	register("", compare(lessEq), "LessOrEqual")
	register("", compare(func(a, b Expr) Expr { return less(b, a) }), "Greater")
	register("", compare(func(a, b Expr) Expr { return lessEq(b, a) }), "GreaterOrEqual")
	register("", compare(and), "And")
	register("", compare(or), "Or")
	register("", compare(unknownElement), "Xor")
	register("", where, "Where")
	register("", cast, "Cast")
	register("", castLike, "CastLike")
	register("", dropout, "Dropout")
	register("", randomLike, "RandomNormalLike", "RandomUniformLike", "Bernoulli")
	register("", random, "RandomNormal", "RandomUniform")
}

func unknownElement(Expr, Expr) Expr { return Expr{} }

func sameAsInput(c *context) error { return c.set(0, c.dtype(0), c.shape(0)) }

func sameElements(c *context) error {
	c.keepsElements()
	return sameAsInput(c)
}

func negate(c *context) error {
	c.info.note(c.Output(0), combine(c.elements(0), []Expr{Int(-1)}, Expr.Mul))
	return sameAsInput(c)
}

func booleanOfInput(c *context) error { return c.set(0, graph.Bool, c.shape(0)) }

// legacyBroadcast reports whether the node uses the axis attribute of opsets below 7, by which the second input is
// aligned somewhere else and never widens the first.
func (c *context) legacyBroadcast() bool { return c.opset < 7 }

func (c *context) broadcast() (graph.Shape, error) {
	if c.legacyBroadcast() {
		return c.shape(0), nil
	}
	shapes := make([]graph.Shape, len(c.Inputs()))
	for i := range shapes {
		shapes[i] = c.shape(i)
	}
	return Broadcast(shapes...)
}

// agree returns the element type that the given inputs share.
func (c *context) agree(inputs ...int) (graph.DType, error) {
	dtype := graph.Undefined
	for _, i := range inputs {
		d := c.dtype(i)
		if dtype != graph.Undefined && d != graph.Undefined && d != dtype {
			return dtype, fmt.Errorf("inputs are of types %s and %s", dtype, d)
		}
		dtype = max(dtype, d)
	}
	return dtype, nil
}

func binary(f func(a, b Expr) Expr) rule {
	return func(c *context) error {
		dtype := c.dtype(0)
		if c.Op != "Pow" {
			var err error
			if dtype, err = c.agree(0, 1); err != nil {
				return err
			}
		}
		s, err := c.broadcast()
		if err != nil {
			return err
		}
		c.info.note(c.Output(0), combine(c.elements(0), c.elements(1), f))
		return c.set(0, dtype, s)
	}
}

// divide rounds integers toward zero; the elements of floats are tracked only where the quotient is whole.
func divide(c *context) error {
	f := Expr.Div
	if c.dtype(0).IsFloat() {
		f = func(a, b Expr) Expr {
			if q, ok := a.divExact(b); ok && a.known && b.known && !isZero(b) {
				return q
			}
			return Expr{}
		}
	}
	return binary(f)(c)
}

func variadic(f func(a, b Expr) Expr) rule {
	return func(c *context) error {
		all := make([]int, len(c.Inputs()))
		es := c.elements(0)
		for i := range all {
			if all[i] = i; i > 0 {
				es = combine(es, c.elements(i), f)
			}
		}
		dtype, err := c.agree(all...)
		if err != nil {
			return err
		}
		s, err := c.broadcast()
		if err != nil {
			return err
		}
		c.info.note(c.Output(0), es)
		return c.set(0, dtype, s)
	}
}

func compare(f func(a, b Expr) Expr) rule {
	return func(c *context) error {
		if _, err := c.agree(0, 1); err != nil {
			return err
		}
		s, err := c.broadcast()
		if err != nil {
			return err
		}
		c.info.note(c.Output(0), combine(c.elements(0), c.elements(1), f))
		return c.set(0, graph.Bool, s)
	}
}

// where selects elements one by one: Where(Equal(shape, -1), ones, shape) is how exporters write the target of an Expand.
func where(c *context) error {
	dtype, err := c.agree(1, 2)
	if err != nil {
		return err
	}
	s, err := c.broadcast()
	if err != nil {
		return err
	}
	c.info.note(c.Output(0), choose(c.elements(0), c.elements(1), c.elements(2)))
	return c.set(0, dtype, s)
}

// choose returns yes where which is true and no where it isn't, whichever it is where both are equal.
func choose(which, yes, no []Expr) []Expr {
	n := max(len(which), len(yes), len(no))
	at := func(es []Expr, i int) Expr {
		switch {
		case i < len(es):
			return es[i]
		case len(es) == 1:
			return es[0]
		}
		return Expr{}
	}
	out := make([]Expr, n)
	for i := range out {
		switch cond := at(which, i); {
		case isTrue(cond) || at(yes, i).Equal(at(no, i)):
			out[i] = at(yes, i)
		case isZero(cond):
			out[i] = at(no, i)
		}
	}
	return out
}

func cast(c *context) error {
	to := graph.DType(c.Int("to", 0))
	if to == graph.Bool {
		c.info.note(c.Output(0), combine(c.elements(0), []Expr{Int(0)}, func(a, _ Expr) Expr {
			return truth(isZero(less(a, Int(1))), isZero(a))
		}))
	} else {
		c.keepsElements()
	}
	return c.set(0, to, c.shape(0))
}

func castLike(c *context) error {
	if c.dtype(1) != graph.Bool {
		c.keepsElements()
	}
	return c.set(0, c.dtype(1), c.shape(0))
}

// dropout's mask is boolean since opset 10.
func dropout(c *context) error {
	mask := graph.Bool
	if c.opset < 10 {
		mask = c.dtype(0)
	}
	if err := c.set(1, mask, c.shape(0)); err != nil {
		return err
	}
	return c.set(0, c.dtype(0), c.shape(0))
}

func randomLike(c *context) error {
	dtype := graph.DType(c.Int("dtype", int64(c.dtype(0))))
	return c.set(0, dtype, c.shape(0))
}

func random(c *context) error {
	s := graph.Shape{}
	for _, n := range c.Ints("shape") {
		s = append(s, Int(n).Dim())
	}
	return c.set(0, graph.DType(c.Int("dtype", int64(graph.Float))), s)
}
