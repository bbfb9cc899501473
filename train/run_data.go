package train

import (
	"os"
	"path/filepath"
)

// IsRun reports whether a folder holds a run, readable or not.
func IsRun(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, runFile))
	return err == nil
}

// A DataFile is a file that a run was trained or judged on.
type DataFile struct{ UsedFor, Path, SHA256 string }

// DataFiles are the run's data files, "training" and "evaluation".
func (r *Run) DataFiles() (out []DataFile) {
	for _, f := range []DataFile{{"training", r.TrainFile, r.Digests[trainRole]}, {"evaluation", r.EvalFile, r.Digests[evalRole]}} {
		if f.Path != "" {
			out = append(out, f)
		}
	}
	return out
}
