package data

import (
	"cmp"
	"math"
	"strings"
	"unicode/utf8"
)

// NewWordDataset encodes the examples of a set for a task with an answer for each word: by the words that they are cut into,
// or by those that the tokenizer finds in their text. A text that is longer than maxLen tokens becomes several windows, which
// overlap by a quarter, so that no word is lost and each has some text around it in one of them. The caller adds Targets.
//
// Examples of words get the text that their words make when they are joined by spaces, which the answers' offsets refer to.
func NewWordDataset(t *Tokenizer, set *Set, maxLen int) (*Dataset, error) {
	windows, errs := make([][]Encoding, len(set.Examples)), make([]error, len(set.Examples))
	stride := max(0, maxLen-t.single.specials()) / 4
	onAllCores(len(set.Examples), func(i int) {
		if ex := &set.Examples[i]; ex.Words != nil {
			windows[i], errs[i] = t.EncodeWordWindows(ex.Words, maxLen, stride)
		} else {
			windows[i], errs[i] = t.EncodeWindows(ex.Text, "", false, maxLen, stride)
		}
	})
	if err := cmp.Or(errs...); err != nil {
		return nil, err
	}
	d := &Dataset{Examples: make([]Example, len(set.Examples)), PadID: t.PadID()}
	several := false
	for i, ex := range set.Examples {
		if ex.Words != nil {
			ex.Text = strings.Join(ex.Words, " ")
		}
		d.Examples[i] = ex
		several = several || len(windows[i]) > 1
		for _, e := range windows[i] {
			d.Encodings, d.Origin = append(d.Encodings, e), append(d.Origin, i)
		}
	}
	if !several {
		d.Origin = nil
	}
	return d, nil
}

// A Piece is a token of an encoding.
type Piece struct{ Encoding, Token int }

// FirstPieces returns the first token of each word of an example whose windows are the encodings at the indices: where windows
// overlap, in the one in which it has most text around it. A word that gave no token has the encoding -1, as have those behind
// the last that did, up to the given number at least.
func (d *Dataset) FirstPieces(windows []int, words int) []Piece {
	var out []Piece
	var room []int
	for at, i := range windows {
		e := d.Encodings[i].Words
		first, last := 0, len(e)-1
		for first < last && e[first] < 0 {
			first++
		}
		for last > first && e[last] < 0 {
			last--
		}
		for k, w := range e {
			if w < 0 || k > 0 && e[k-1] == w || at > 0 && k == first {
				continue // no word, or not its first token, or perhaps not: the window before has it
			}
			for len(out) <= w {
				out, room = append(out, Piece{-1, 0}), append(room, -1)
			}
			left, right := k-first, last-k
			if at == 0 {
				left = math.MaxInt
			}
			if at == len(windows)-1 {
				right = math.MaxInt
			}
			if m := min(left, right); m > room[w] {
				out[w], room[w] = Piece{i, k}, m
			}
		}
	}
	for len(out) < words {
		out = append(out, Piece{-1, 0})
	}
	return out
}

// Extents returns where each word of an example starts and ends in its text, in code points.
func (d *Dataset) Extents(example int, windows []int) [][2]int {
	if words := d.Examples[example].Words; words != nil {
		out := make([][2]int, len(words))
		for i, start := range WordStarts(words) {
			out[i] = [2]int{start, start + utf8.RuneCountInString(words[i])}
		}
		return out
	}
	var out [][2]int
	for _, i := range windows {
		e := d.Encodings[i]
		for k, w := range e.Words {
			if w < 0 {
				continue
			}
			for len(out) <= w {
				out = append(out, [2]int{math.MaxInt, 0})
			}
			out[w] = [2]int{min(out[w][0], e.Offsets[k][0]), max(out[w][1], e.Offsets[k][1])}
		}
	}
	return out
}
