package data

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Files returns the files that paths name, in their order: a file's own path, a pattern such as part-*.csv, whose files come
// sorted, or several of those with commas between them. What is the path of a file is that file, whatever characters it has.
func Files(paths ...string) ([]string, error) {
	var out []string
	for _, path := range paths {
		found, err := filesOf(path)
		if err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
		out = append(out, found...)
	}
	for i, path := range out {
		if slices.Contains(out[:i], path) {
			return nil, fmt.Errorf("data: %s is given twice", pathText(path))
		}
	}
	return out, nil
}

func filesOf(path string) ([]string, error) {
	_, err := os.Lstat(path)
	switch {
	case path == Stdin || err == nil:
		return []string{path}, nil
	case strings.Contains(path, ","):
		var out []string
		for part := range strings.SplitSeq(path, ",") {
			found, err := filesOf(part)
			if err != nil {
				return nil, err
			}
			out = append(out, found...)
		}
		return out, nil
	case !errors.Is(err, fs.ErrNotExist) || !strings.ContainsAny(path, "*?["):
		return nil, fmt.Errorf("%s: %w", path, errors.Unwrap(err)) // without the name of the system call
	}
	found, err := filepath.Glob(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if found == nil {
		return nil, fmt.Errorf("%s: no file has such a name", path)
	}
	return found, nil // Glob sorts
}

// ReadAll reads the files that paths name, as [Files] finds them, into one set. Each follows its own format; the columns that hold
// the texts and the label must be the same in all.
func ReadAll(paths []string, opt Options) (*Set, error) {
	return ReadEach(paths, func(string) Options { return opt })
}

// ReadEach is ReadAll with each file's own options.
func ReadEach(paths []string, opt func(path string) Options) (*Set, error) {
	files, err := Files(paths...)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("data: no file is given")
	}
	all, err := Read(files[0], opt(files[0]))
	if err != nil {
		return nil, err
	}
	for _, path := range files[1:] {
		set, err := Read(path, opt(path))
		if err != nil {
			return nil, err
		}
		if err := all.add(set); err != nil {
			return nil, err
		}
	}
	if n := len(files) - 1; n == 1 {
		all.Path += " and 1 other file"
	} else if n > 1 {
		all.Path += fmt.Sprintf(" and %d other files", n)
	}
	return all, nil
}

// add puts another set's examples behind s's own.
func (s *Set) add(set *Set) error {
	if set.Columns() != s.Columns() {
		return fmt.Errorf("data: %s and %s are unlike: %s in one, %s in the other; say which with --text-column, --pair-column and --label-column",
			s.Files[0], set.Path, s.Columns(), set.Columns())
	}
	part := int32(len(s.Files))
	for i := range set.Examples {
		set.Examples[i].Part = part
	}
	s.Files = append(s.Files, set.Path)
	s.Examples = append(s.Examples, set.Examples...)
	s.Skipped += set.Skipped
	s.Bad = append(s.Bad, set.Bad[:min(len(set.Bad), badShown-len(s.Bad))]...)
	return nil
}

// For returns the options for another file than the one that they were found out from, such as the training file of a run: its
// format follows its own name. Where that is another, whether it has a header is its own too, and so are columns that are known
// by number only.
func (o Options) For(path string) Options {
	f, err := formatFor(path, "")
	if err != nil || o.Format == "" || f.name == o.Format {
		return o
	}
	o.Format, o.NoHeader = "", false
	if !asksByName(o) {
		o.TextColumn, o.LabelColumn = "", ""
		if o.PairColumn != "-" {
			o.PairColumn = ""
		}
	}
	return o
}
