package shape

import (
	"math"
	"testing"
)

func TestNormalForm(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"sequence*batch", "batch*sequence"},
		{"10+sequence", "sequence+10"},
		{"batch*3*sequence*2", "6*batch*sequence"},
		{"(a+1)*(a-1)", "a*a-1"},
		{"a-b", "a-b"}, // a name as people give it, not a difference
		{"a - b", "a-1*b"},
		{"a-1*b", "a-1*b"},
		{"a-a+0*b", "a-a"}, // and so is this
		{"a - a", "0"},
		{"Min(512, sequence)", "min(512,sequence)"},
		{"min(sequence,512)", "min(512,sequence)"},
		{"min(1,sequence)", "1"},
		{"max(0,sequence)", "sequence"},
		{"max(0,sequence-1)", "sequence-1"},
		{"max(0,sequence-2)", "max(0,sequence-2)"},
		{"(2*s0//2)", "s0"},
		{"(s0//2)", "div(s0,2)"},
		{"batch-size", "batch-size"},
		{"2*batch-size", "2*batch-size"},
		{"2d_mask", "2d_mask"},
		{"what is this?", "what is this?"},
		{"", ""},
	} {
		if got := Parse(c.in).String(); got != c.want {
			t.Errorf("%q prints as %q, want %q", c.in, got, c.want)
		}
		if again := Parse(Parse(c.in).String()).String(); again != c.want {
			t.Errorf("%q is not stable: %q", c.in, again)
		}
	}
}

func TestDivision(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"batch*sequence*768", "batch*sequence", "768"},
		{"batch*sequence*768", "12*batch*64", "sequence"},
		{"a+1", "a+1", "1"},
		{"4*a+2", "2", "2*a+1"},
		{"7", "2", "3"},
		{"a", "0", "?"},
		{"a", "2", "div(a,2)"},
	} {
		if got := Parse(c.a).Div(Parse(c.b)).String(); got != c.want {
			t.Errorf("%s / %s = %s, want %s", c.a, c.b, got, c.want)
		}
	}
}

func TestEval(t *testing.T) {
	sizes := map[string]int64{"batch": 3, "sequence": 7}
	for in, want := range map[string]int64{
		"2*batch*sequence+10": 52, "min(5,sequence)": 5, "max(0,sequence-9)": 0, "div(sequence,2)": 3, "4": 4,
		"min(batch,min(sequence,2))": 2,
	} {
		if got, ok := Parse(in).Eval(sizes); !ok || got != want {
			t.Errorf("%s = %d %t, want %d", in, got, ok, want)
		}
	}
	if v, ok := Parse("batch*heads").Eval(sizes); ok {
		t.Errorf("an unbound name evaluates to %d", v)
	}
}

func TestOverflowIsUnknown(t *testing.T) {
	big := Int(math.MaxInt64)
	if e := big.Mul(Int(2)); e.Known() {
		t.Errorf("2 * 2^63 = %s", e)
	}
	if e := big.Add(Int(1)); e.Known() {
		t.Errorf("2^63 + 1 = %s", e)
	}
	if e := Int(-1).Mul(Int(math.MinInt64)); e.Known() {
		t.Errorf("-(-2^63) = %s", e)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a*b+1", "min(a,2)", "((((", "-", "a-1*b", "9999999999999999999", "Max(1,2,3)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e := Parse(s)
		if again := Parse(e.String()); e.Known() && again.Known() && again.String() != e.String() && len(s) < 100 {
			// A text that is no expression becomes a name; printing alone must then give it back.
			t.Errorf("%q prints as %q, which prints as %q", s, e, again)
		}
	})
}
