package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// Where there is a terminal the bar shows how far it is and how long the rest takes; elsewhere lines come now and then.
func TestBar(t *testing.T) {
	for _, c := range []struct {
		name            string
		terminal, quiet bool
		want, never     string
	}{
		{"terminal", true, false, "(60/100)", "60 of 100"},
		{"plain", false, false, "training: 60 of 100, loss 0.5, 40s left\n", "(60/100)"},
		{"quiet", true, true, "", "60"},
	} {
		var out bytes.Buffer
		o := &console{err: &out, terminal: c.terminal, quiet: c.quiet}
		b := o.newBar("training", false)
		o.bar = b
		b.at(20, 100, ", loss 0.7") // a run that was resumed
		b.start = time.Now().Add(-40 * time.Second)
		b.last = time.Now().Add(-plainEvery)
		b.at(60, 100, ", loss 0.5")
		o.note("epoch 1")
		b.end()
		got := out.String()
		if !strings.Contains(got, c.want) || strings.Contains(got, c.never) {
			t.Errorf("%s: %q", c.name, got)
		}
		if c.quiet != (got == "") {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

func TestLeft(t *testing.T) {
	b := (&console{}).newBar("x", false)
	b.start = time.Now().Add(-30 * time.Second)
	for _, c := range []struct {
		done, total int64
		want        string
	}{{10, 100, ", 4m30s left"}, {2, 100, ""}, {100, 100, ""}, {5, -1, ""}} {
		if got := b.left(c.done, c.total); got != c.want {
			t.Errorf("%d of %d: %q, want %q", c.done, c.total, got, c.want)
		}
	}
}

func TestBytesText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1 kB", 90123456: "90.1 MB", 4_380_000_000: "4.38 GB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestShellQuoted(t *testing.T) {
	for path, want := range map[string]string{"run": "run", "my run": "'my run'", "it's": `'it'\''s'`} {
		if got := shellQuoted(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
