package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/internal/fetch"
)

// DefaultVersion is the onnxruntime release that [Install] gets when asked for no other.
const DefaultVersion = "1.30.0"

// InstallOptions says which build of onnxruntime to install, and from where. The zero value is the default release for the
// CPU from the first source that works.
type InstallOptions struct {
	Version  string // "" is DefaultVersion
	Provider string // "cpu", the same as "", or "cuda"
	Source   string // "auto", the same as "": each of Sources in turn; or one of them
	CacheDir string // "" is CacheDir()

	// Progress, when set, is told how many bytes of a download have arrived; total is -1 while it is unknown.
	Progress func(done, total int64)
	// Log, when set, is told in one line each what is being tried, and why a source was passed over.
	Log func(string)
}

// build names one binary distribution of onnxruntime.
type build struct{ version, provider, goos, goarch string }

func (b build) String() string {
	return fmt.Sprintf("onnxruntime %s (%s) for %s/%s", b.version, b.provider, b.goos, b.goarch)
}

// archive is where a source keeps a build.
type archive struct {
	// pkg is what to ask the source for: a package, or a release file.
	pkg string
	// members are patterns for the files to take out of the archive; the first one is libonnxruntime itself.
	members []string
}

// source is one place that official builds of onnxruntime come from.
type source interface {
	// name is what a user types.
	name() string
	// find says where the source keeps a build, or false where it has none.
	find(b build) (archive, bool)
	// fetch downloads the archive into dir and returns its path.
	fetch(ctx context.Context, a archive, b build, dir string, opts InstallOptions) (string, error)
}

// sources are tried in this order: the project's own release first, then the package managers, which reach a mirror where
// the user has configured one.
var sources = []source{github{base: "https://github.com"}, npm{}, pip{}}

// Sources lists the names that InstallOptions.Source takes, in the order in which "auto" tries them.
func Sources() []string {
	var names []string
	for _, s := range sources {
		names = append(names, s.name())
	}
	return names
}

// Install makes a build of onnxruntime available to this user and returns it. A build that is already there, and whole, is
// returned as it is. Otherwise each source is tried in turn: its archive is downloaded, checked against a pinned sha256 (or,
// for a release that this program does not know, against the one seen first, which Log is told), unpacked beside its final
// place and renamed into it; then it must load on this system, else the next source is tried. So an install that fails or is
// cancelled leaves nothing that [Find] would take, and several at once wait for each other. A CUDA build also needs CUDA 13 and cuDNN 9 on the loader's path; they are not
// installed.
func Install(ctx context.Context, opts InstallOptions) (Library, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return Library{}, fmt.Errorf("runtime: install: %w", err)
	}
	b := build{opts.Version, opts.Provider, goruntime.GOOS, goruntime.GOARCH}
	path, err := install(ctx, b, opts)
	if err != nil {
		return Library{}, fmt.Errorf("runtime: install %s: %w", b, err)
	}
	return Library{Path: path, Origin: "cache"}, nil
}

func (o InstallOptions) withDefaults() (InstallOptions, error) {
	o.Version = cmp.Or(o.Version, DefaultVersion)
	o.Provider = cmp.Or(o.Provider, "cpu")
	o.Source = cmp.Or(o.Source, "auto")
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	switch {
	// The version becomes part of a path and of package managers' arguments.
	case strings.Trim(o.Version, "0123456789.") != "" || strings.Contains(o.Version, ".."):
		return o, fmt.Errorf("version %q: want numbers, such as %s", o.Version, DefaultVersion)
	case !enough(o.Version):
		return o, fmt.Errorf("version %q: peftgraph needs >= 1.%d", o.Version, MinAPIVersion)
	case o.Provider != "cpu" && o.Provider != "cuda":
		return o, fmt.Errorf("provider %q: want cpu or cuda", o.Provider)
	case o.Source != "auto" && !slices.Contains(Sources(), o.Source):
		return o, fmt.Errorf("source %q: want auto or one of %s", o.Source, strings.Join(Sources(), ", "))
	}
	var err error
	if o.CacheDir == "" {
		o.CacheDir, err = CacheDir()
	}
	return o, err
}

func install(ctx context.Context, b build, opts InstallOptions) (string, error) {
	if err := os.MkdirAll(opts.CacheDir, 0o755); err != nil {
		return "", err
	}
	unlock, err := fetch.Lock(ctx, filepath.Join(opts.CacheDir, ".lock"), func() { opts.Log("another install is running; waiting for it") })
	if err != nil {
		return "", err
	}
	defer unlock()
	fetch.Sweep(opts.CacheDir)

	dir := entryDir(opts.CacheDir, b)
	r, err := readRecord(dir)
	if err == nil {
		if err = r.verify(dir); err == nil {
			opts.Log(fmt.Sprintf("%s is already installed", b))
			return filepath.Join(dir, r.Library), nil
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		opts.Log(fmt.Sprintf("%s is installed but damaged or unusable, so it is installed anew: %v", b, err))
	}
	r, err = installFromAny(ctx, b, opts)
	return filepath.Join(dir, r.Library), err
}

const advice = "get libonnxruntime by hand and name it with --ort-lib or " + EnvLibrary

func installFromAny(ctx context.Context, b build, opts InstallOptions) (record, error) {
	var r record
	var from []fetch.Source
	for _, s := range sources {
		if opts.Source == "auto" || opts.Source == s.name() {
			from = append(from, fetch.Source{Name: s.name(), Get: func() (err error) {
				r, err = installFrom(ctx, s, b, opts)
				return err
			}})
		}
	}
	err := fetch.FirstOf(ctx, from, advice, opts.Log)
	return r, err
}

// installFrom downloads, checks, unpacks, renames and, last, loads: a library that was loaded can't be renamed on Windows.
func installFrom(ctx context.Context, s source, b build, opts InstallOptions) (record, error) {
	r := record{Version: b.version, Provider: b.provider, Source: s.name()}
	a, ok := s.find(b)
	if !ok {
		return r, errors.New("it has no such build")
	}
	opts.Log(fmt.Sprintf("getting %s from %s", a.pkg, s.name()))
	dir := entryDir(opts.CacheDir, b)
	err := fetch.Fill(ctx, opts.CacheDir, dir, func(work, dir string) error {
		path, err := s.fetch(ctx, a, b, work, opts)
		if err != nil {
			return err
		}
		return r.unpack(path, a, dir, opts)
	})
	if err != nil {
		return r, err
	}
	if err := loads(filepath.Join(dir, r.Library)); err != nil {
		return r, errors.Join(err, os.RemoveAll(dir))
	}
	return r, nil
}

// unpack checks an archive and fills dir with its libraries and the record of them.
func (r *record) unpack(path string, a archive, dir string, opts InstallOptions) error {
	got, err := fetch.DigestFile(path)
	if err != nil {
		return err
	}
	r.Archive, r.SHA256 = filepath.Base(path), got.SHA256
	if r.Pinned, err = checkArchive(opts.CacheDir, r.Archive, got, opts.Log); err != nil {
		return err
	}
	if r.Files, err = fetch.Unpack(path, a.members, dir); err != nil {
		return err
	}
	r.Library = filepath.Base(libraryIn(dir))
	return fetch.WriteJSON(filepath.Join(dir, recordName), r)
}
