package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	goruntime "runtime"

	"github.com/peftgraph/peftgraph/internal/fetch"
)

const (
	recordName  = "install.json" // in each installed build's folder; a folder without one is not an install
	trustedName = "trusted.json" // in the cache folder: checksums of archives that no table of this program holds
)

// record is what an install leaves beside the library: what it is, where it came from and how to recognise damage.
type record struct {
	Version  string                  `json:"version"`
	Provider string                  `json:"provider"`
	Library  string                  `json:"library"` // file name of libonnxruntime
	Source   string                  `json:"source"`
	Archive  string                  `json:"archive"`
	SHA256   string                  `json:"sha256"` // of the archive
	Pinned   bool                    `json:"pinned"` // whether SHA256 is in this program's table, rather than trusted at first use
	Files    map[string]fetch.Digest `json:"files"`
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
	err := fetch.ReadJSON(filepath.Join(dir, recordName), &r)
	return r, err
}

// complete reports whether the library, and every file with it, is there at its full size; it reads no contents.
func (r record) complete(dir string) bool {
	return fetch.Complete(dir, r.Files) == nil && r.Files[r.Library].Size > 0
}

// verify reads every file and compares it with what was installed, and loads the library.
func (r record) verify(dir string) error {
	for name, want := range r.Files {
		got, err := fetch.DigestFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%s has changed since it was installed", filepath.Join(dir, name))
		}
	}
	return loads(filepath.Join(dir, r.Library))
}

// loads returns an error unless this system can load the library, and it is new enough. Tests put text files in a library's
// place, and replace it.
var loads = func(path string) error {
	_, err := Library{Path: path, Origin: "cache"}.Info()
	return err
}

// checkArchive compares a downloaded archive with the checksum that this program pins for it or, for an archive that it does
// not know, with the one seen at its first download, which is then recorded. Other archives are told from it by name.
func checkArchive(cache, name string, got fetch.Digest, log func(string)) (pinned bool, err error) {
	if want, ok := pins[name]; ok {
		return true, got.Expect(name, want)
	}
	path := filepath.Join(cache, trustedName)
	trusted := map[string]string{}
	if err := fetch.ReadJSON(path, &trusted); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
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
	return false, fetch.WriteJSON(path, trusted)
}
