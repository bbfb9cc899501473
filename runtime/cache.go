package runtime

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
)

const (
	recordName  = "install.json" // in each installed build's folder; a folder without one is not an install
	trustedName = "trusted.json" // in the cache folder: checksums of archives that no table of this program holds
	tempPrefix  = ".part-"       // a folder that an install is still filling
)

// record is what an install leaves beside the library: what it is, where it came from and how to recognise damage.
type record struct {
	Version  string            `json:"version"`
	Provider string            `json:"provider"`
	Library  string            `json:"library"` // file name of libonnxruntime
	Source   string            `json:"source"`
	Archive  string            `json:"archive"`
	SHA256   string            `json:"sha256"` // of the archive
	Pinned   bool              `json:"pinned"` // whether SHA256 is in this program's table, rather than trusted at first use
	Files    map[string]digest `json:"files"`
}

type digest struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// entryDir is the folder of one installed build, <cache>/<version>-<provider>/<os>-<arch>: home folders are shared between
// machines.
func entryDir(cache string, b build) string {
	return filepath.Join(cache, b.version+"-"+b.provider, b.goos+"-"+b.goarch)
}

// newestInstalled returns the path of the newest installed library for this platform that peftgraph can load, "" without
// one. At equal version a CUDA build goes first: it also has the CPU provider, and was asked for by name.
func newestInstalled(cache string) string {
	entries, _ := filepath.Glob(filepath.Join(cache, "*", goruntime.GOOS+"-"+goruntime.GOARCH))
	var best, bestDir = record{}, ""
	for _, dir := range entries {
		r, err := readRecord(dir)
		if err != nil || !enough(r.Version) || !r.complete(dir) {
			continue
		}
		order := compareVersions(r.Version, best.Version)
		if bestDir == "" || order > 0 || (order == 0 && r.Provider == "cuda") {
			best, bestDir = r, dir
		}
	}
	if bestDir == "" {
		return ""
	}
	return filepath.Join(bestDir, best.Library)
}

func readRecord(dir string) (record, error) {
	var r record
	text, err := os.ReadFile(filepath.Join(dir, recordName))
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	return r, err
}

// complete reports whether every file is there at its full size; it reads no contents.
func (r record) complete(dir string) bool {
	for name, want := range r.Files {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Size() != want.Size {
			return false
		}
	}
	return r.Files[r.Library].Size > 0
}

// verify reads every file and compares its checksum with the one taken at install time.
func (r record) verify(dir string) error {
	for name, want := range r.Files {
		got, err := digestFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%s has changed since it was installed", filepath.Join(dir, name))
		}
	}
	return nil
}

func digestFile(path string) (digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return digest{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return digest{Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}, err
}

// checkArchive compares a downloaded archive with the checksum that this program pins for it or, for an archive that it does
// not know, with the one seen at its first download, which is then recorded. Other archives are told from it by name.
func checkArchive(cache, name string, got digest, log func(string)) (pinned bool, err error) {
	if want, ok := pins[name]; ok {
		if got.SHA256 != want {
			return true, fmt.Errorf("%s: its sha256 is %s, want %s: it was damaged or changed on its way", name, got.SHA256, want)
		}
		return true, nil
	}
	path := filepath.Join(cache, trustedName)
	trusted := map[string]string{}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &trusted)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	if want, ok := trusted[name]; ok {
		if got.SHA256 != want {
			return false, fmt.Errorf("%s: its sha256 is %s, but was %s when it was first downloaded; remove its line from %s if the change is right",
				name, got.SHA256, want, path)
		}
		return false, nil
	}
	log(fmt.Sprintf("%s: no checksum is known for it, so this download is trusted as it is; sha256 %s is remembered for the next time", name, got.SHA256))
	trusted[name] = got.SHA256
	return false, writeJSON(path, trusted)
}

// writeJSON replaces a file at once: a reader sees the old contents or the new, never a part.
func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), tempPrefix+"*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(text, '\n'))
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// sweep removes what installs that were killed left behind; the caller holds the lock.
func sweep(cache string) {
	left, _ := filepath.Glob(filepath.Join(cache, tempPrefix+"*"))
	for _, path := range left {
		os.RemoveAll(path)
	}
}
