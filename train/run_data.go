package train

import (
	"os"
	"path/filepath"

	"github.com/peftgraph/peftgraph/train/data"
)

// IsRun reports whether a folder holds a run, readable or not.
func IsRun(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, runFile))
	return err == nil
}

// A DataFile is a file that a run was trained or judged on.
type DataFile struct{ UsedFor, Path, SHA256 string }

// DataFiles are the run's data files, for "training" and for "evaluation"; standard input is none.
func (r *Run) DataFiles() (out []DataFile) {
	for _, of := range []struct {
		usedFor, role string
		paths         []string
	}{{"training", trainRole, r.TrainPaths()}, {"evaluation", evalRole, r.EvalPaths()}} {
		for i, path := range of.paths {
			if path != data.Stdin {
				out = append(out, DataFile{of.usedFor, path, r.Digests[numbered(of.role, i)]})
			}
		}
	}
	return out
}
