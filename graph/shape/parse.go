package shape

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// longest bounds the text that is parsed, and so the parser's recursion: dimension names come from files.
const longest = 500

// Parse reads an expression in the form that [Expr.String] writes and in those that exporters write into files
// ("Min(512, sequence)", "2*s0", "(s0//2)"). Text that is none of these is taken as a name as a whole, so parsing never
// fails and a strange name still equals itself.
func Parse(s string) Expr {
	if len(s) > longest {
		return Name(s)
	}
	p := parser{rest: s}
	e, err := p.sum()
	if err != nil || p.rest != "" {
		return Name(s)
	}
	return e
}

// splitCall takes "fn(a,b)" apart.
func splitCall(atom string) (fn string, args []Expr, ok bool) {
	p := parser{rest: atom}
	fn = p.name()
	if fn == "" || !p.accept("(") {
		return "", nil, false
	}
	args, err := p.arguments()
	return fn, args, err == nil && p.rest == "" && len(args) == 2
}

type parser struct{ rest string }

func (p *parser) accept(token string) bool {
	p.rest = strings.TrimLeft(p.rest, " ")
	if !strings.HasPrefix(p.rest, token) {
		return false
	}
	p.rest = strings.TrimLeft(p.rest[len(token):], " ")
	return true
}

func (p *parser) sum() (Expr, error) {
	total, err := p.product()
	for err == nil {
		var e Expr
		switch {
		case p.accept("+"):
			e, err = p.product()
			total = total.Add(e)
		case p.accept("-"):
			e, err = p.product()
			total = total.Sub(e)
		default:
			return total, nil
		}
	}
	return Expr{}, err
}

func (p *parser) product() (Expr, error) {
	total, err := p.factor()
	for err == nil {
		var e Expr
		switch {
		case p.accept("//"):
			e, err = p.factor()
			total = total.Div(e)
		case p.accept("*"):
			e, err = p.factor()
			total = total.Mul(e)
		default:
			return total, nil
		}
	}
	return Expr{}, err
}

func (p *parser) factor() (Expr, error) {
	switch {
	case p.accept("-"):
		e, err := p.factor()
		return e.Mul(Int(-1)), err
	case p.accept("("):
		e, err := p.sum()
		if err == nil && !p.accept(")") {
			err = fmt.Errorf("shape: %q: a closing parenthesis is missing", p.rest)
		}
		return e, err
	}
	if digits := p.digits(); digits != "" {
		n, err := strconv.ParseInt(digits, 10, 64)
		return Int(n), err
	}
	name := p.name()
	if name == "" {
		return Expr{}, fmt.Errorf("shape: %q: a number or a name is missing", p.rest)
	}
	if !p.accept("(") {
		return Name(name), nil
	}
	args, err := p.arguments()
	if err != nil {
		return Expr{}, err
	}
	return apply(strings.ToLower(name), args)
}

func apply(fn string, args []Expr) (Expr, error) {
	if len(args) == 2 {
		switch fn {
		case "min":
			return args[0].Min(args[1]), nil
		case "max":
			return args[0].Max(args[1]), nil
		case "div":
			return args[0].Div(args[1]), nil
		}
	}
	return Expr{}, fmt.Errorf("shape: no function %s of %d arguments", fn, len(args))
}

// arguments reads up to and with the closing parenthesis.
func (p *parser) arguments() ([]Expr, error) {
	var args []Expr
	for {
		e, err := p.sum()
		if err != nil {
			return nil, err
		}
		args = append(args, e)
		switch {
		case p.accept(")"):
			return args, nil
		case !p.accept(","):
			return nil, fmt.Errorf("shape: %q: a comma or a closing parenthesis is missing", p.rest)
		}
	}
}

func (p *parser) digits() string {
	n := 0
	for n < len(p.rest) && p.rest[n] >= '0' && p.rest[n] <= '9' {
		n++
	}
	// "2d_mask" is a name that happens to start with a digit.
	if r, _ := utf8.DecodeRuneInString(p.rest[n:]); n < len(p.rest) && (unicode.IsLetter(r) || r == '_') {
		return ""
	}
	s := p.rest[:n]
	p.rest = p.rest[n:]
	return s
}

// name reads a name: letters, digits and "_.:"; "-" and "/" only before a letter, since "batch-size" is a name that people
// give and the printer never writes a minus before a letter.
func (p *parser) name() string {
	end := 0
	for end < len(p.rest) {
		r, size := utf8.DecodeRuneInString(p.rest[end:])
		next, _ := utf8.DecodeRuneInString(p.rest[end+size:])
		joins := (r == '-' || r == '/') && end > 0 && unicode.IsLetter(next)
		if !joins && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_.:", r) {
			break
		}
		end += size
	}
	s := p.rest[:end]
	p.rest = p.rest[end:]
	return s
}
