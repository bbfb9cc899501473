package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

// A console is where a command tells its user what happens: results go to out, progress and remarks to err.
type console struct {
	out, err io.Writer
	json     bool
	quiet    bool
	terminal bool
	bar      *bar // what is shown now, or nil
}

func newConsole(c *cli.Context) *console {
	f, isFile := c.App.ErrWriter.(*os.File)
	return &console{out: c.App.Writer, err: c.App.ErrWriter, json: c.Bool("json"), quiet: c.Bool("quiet"),
		terminal: isFile && term.IsTerminal(int(f.Fd()))}
}

// action is that of a command that works with the console.
func action(run func(*cli.Context, *console) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		o := newConsole(c)
		defer o.end()
		return run(c, o)
	}
}

// outputFlags are the flags of every command with a result.
func outputFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "json", Usage: "print the result as JSON"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print no progress"},
	}
}

// note tells the user something in passing, above the bar if one is shown.
func (o *console) note(format string, args ...any) {
	if o.quiet {
		return
	}
	if o.bar != nil {
		o.bar.clear()
	}
	fmt.Fprintf(o.err, format+"\n", args...)
}

// remark passes on what the library has to say, with its settings called by their flags.
func (o *console) remark(line string) { o.note("%s", asFlags(line)) }

// progress shows how far a step is; another step takes its place.
func (o *console) progress(step string, done, total int64, detail string) {
	if o.bar == nil || o.bar.what != step {
		o.end()
		o.bar = o.newBar(step, strings.HasPrefix(step, "downloading"))
	}
	o.bar.at(done, total, detail)
}

// end takes the bar off the terminal, if one is shown.
func (o *console) end() {
	if o.bar != nil {
		o.bar.end()
		o.bar = nil
	}
}

// result prints a value as JSON, or calls text.
func (o *console) result(v any, text func(w io.Writer)) error {
	o.end()
	if !o.json {
		text(o.out)
		return nil
	}
	e := json.NewEncoder(o.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// A bar shows how far a long step is: a progress bar on a terminal, a line every few seconds elsewhere.
type bar struct {
	o       *console
	what    string
	isBytes bool
	bar     *progressbar.ProgressBar // nil before the first call of at, and where there is no terminal
	total   int64
	last    time.Time // of the last drawing or plain line
	start   time.Time // of the first call of at
	first   int64     // what was done then: a resumed run doesn't begin at 0
}

// The least time between two drawings of a bar, and between two lines of progress where there is no terminal.
const (
	drawnEvery = 100 * time.Millisecond
	plainEvery = 10 * time.Second
)

func (o *console) newBar(what string, isBytes bool) *bar {
	b := &bar{o: o, what: what, isBytes: isBytes}
	if !o.terminal {
		b.last = time.Now() // a line only for what takes long
	}
	return b
}

// draw makes the terminal's bar once its length is known: one that was made without stays a spinner.
func (b *bar) draw(total int64) {
	if b.bar != nil && b.total == total {
		return
	}
	b.total = total
	b.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(b.o.err), progressbar.OptionShowCount(),
		progressbar.OptionShowBytes(b.isBytes), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(24), progressbar.OptionUseANSICodes(true), progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false))
}

// at says that done of total (−1 while unknown) is finished; detail stands behind the description.
func (b *bar) at(done, total int64, detail string) {
	if b.start.IsZero() {
		b.start, b.first = time.Now(), done
	}
	switch {
	case b.o.quiet:
	case b.o.terminal:
		if time.Since(b.last) < drawnEvery {
			return
		}
		b.last = time.Now()
		b.draw(total)
		_ = b.bar.Set64(done)
		b.bar.Describe(b.what + detail + b.left(done, total))
	case time.Since(b.last) >= plainEvery:
		b.last = time.Now()
		if total > 0 {
			b.o.note("%s: %d of %d%s%s", b.what, done, total, detail, b.left(done, total))
		} else {
			b.o.note("%s: %d%s", b.what, done, detail)
		}
	}
}

// left is how long the rest will take at the speed so far, once that can be told.
func (b *bar) left(done, total int64) string {
	since := time.Since(b.start)
	if done-b.first < 3 || since < time.Second || total <= done {
		return ""
	}
	rest := time.Duration(float64(since) / float64(done-b.first) * float64(total-done))
	return fmt.Sprintf(", %s left", rest.Round(time.Second))
}

// clear makes room for a line that stays; the bar is drawn again below it.
func (b *bar) clear() {
	if b.bar != nil {
		_ = b.bar.Clear()
	}
}

// end takes the bar off the terminal.
func (b *bar) end() {
	if b.bar != nil {
		_ = b.bar.Finish()
		_ = b.bar.Clear()
	}
}
