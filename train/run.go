package train

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/format"
	"github.com/peftgraph/peftgraph/internal/atomicfile"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

// The files of a run folder beside the adapter's own.
const (
	runFile        = "peftgraph.json"
	metricsFile    = "metrics.jsonl"
	checkpointFile = "checkpoint.safetensors"
)

// RunVersion is the version of a run folder's layout.
const RunVersion = 1

// A Run is a run folder: the best adapter in Hugging Face PEFT's layout, what it was trained from and with, the metrics as
// JSON lines, and the checkpoint that resuming needs.
type Run struct {
	Dir string `json:"-"`

	Version   int          `json:"version"`
	Model     string       `json:"model"`          // the base or injected model, relative to the folder
	ModelAt   string       `json:"model_absolute"` // the same, absolute, for when the folder was moved
	Tokenizer string       `json:"tokenizer"`      // relative to the folder
	MaxLength int          `json:"max_length"`
	Data      DataColumns  `json:"data"`
	Settings  Settings     `json:"settings"`
	Plan      *inject.Plan `json:"plan"`
	// TrainFile and EvalFile are what the run was trained and judged on, absolute; "-" is standard input. Where there were
	// several files, TrainFiles and EvalFiles are all of them, of which those are the first.
	TrainFile  string   `json:"train_file"`
	EvalFile   string   `json:"eval_file,omitempty"`
	TrainFiles []string `json:"train_files,omitempty"`
	EvalFiles  []string `json:"eval_files,omitempty"`
	// Digests are the SHA-256 of those files and of the tokenizer's, in hex, by what the file is to the run. Runs of older
	// versions have none.
	Digests   map[string]string `json:"digests,omitempty"`
	BestEpoch int               `json:"best_epoch,omitempty"`
	Best      task.Scores       `json:"best,omitempty"`
	Finished  bool              `json:"finished"`
}

// DataColumns says how the data files were read, so that evaluation reads alike.
type DataColumns struct {
	Format string `json:"format,omitempty"`
	Text   string `json:"text,omitempty"`
	Pair   string `json:"pair,omitempty"`
	Label  string `json:"label,omitempty"`
	Header bool   `json:"header"`
	Base   *int   `json:"label_base,omitempty"`
	Join   string `json:"join,omitempty"`
	Strict bool   `json:"strict,omitempty"`
	Latin1 bool   `json:"latin1,omitempty"`
	// Forced: the format was asked for, whatever the files' names say.
	Forced bool `json:"format_forced,omitempty"`
	// Split is the share of the training data that the run is judged on, drawn with the run's seed; 0 is none.
	Split float64 `json:"split,omitempty"`
}

// NewRun returns a run that will live in dir, which [Run.Create] makes. A folder that holds a run already is refused.
func NewRun(dir string) (*Run, error) {
	if _, err := os.Stat(filepath.Join(dir, runFile)); err == nil {
		return nil, &RunExistsError{dir}
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("train: %s is a file; a run needs a folder", dir)
	}
	return &Run{Dir: dir, Version: RunVersion}, nil
}

// besideTokenizer are files that say how a tokenizer's file is meant: which letters it tells apart, for one.
var besideTokenizer = []string{"tokenizer_config.json", "special_tokens_map.json"}

// Create makes the run's folder, with a copy of the tokenizer's files so that the folder is enough to predict.
func (r *Run) Create(tokenizer string) error {
	text, err := os.ReadFile(tokenizer)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	r.Tokenizer = filepath.Base(tokenizer)
	r.digest(tokenizerRole, sha256.Sum256(text))
	if err := atomicfile.WriteBytes(r.TokenizerPath(), text); err != nil {
		return err
	}
	for _, name := range besideTokenizer {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(tokenizer), name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
		r.digest(name, sha256.Sum256(text))
		if err := atomicfile.WriteBytes(filepath.Join(r.Dir, name), text); err != nil {
			return err
		}
	}
	return r.Write()
}

// What the files with a digest are to a run.
const (
	trainRole     = "training data"
	evalRole      = "evaluation data"
	tokenizerRole = "tokenizer"
)

func (r *Run) digest(role string, sum [sha256.Size]byte) {
	if r.Digests == nil {
		r.Digests = map[string]string{}
	}
	r.Digests[role] = hex.EncodeToString(sum[:])
}

// SetData remembers the files of a run that is trained on some and judged on others, if there are any, and what is in them.
func (r *Run) SetData(train, eval []string) (err error) {
	if r.TrainFile, r.TrainFiles, err = r.files(trainRole, train); err != nil {
		return err
	}
	r.EvalFile, r.EvalFiles, err = r.files(evalRole, eval)
	return err
}

// files takes the files' digests, and returns the first one's path and, where there are several, all paths.
func (r *Run) files(role string, paths []string) (first string, all []string, err error) {
	for i, path := range paths {
		if path != data.Stdin {
			sum, err := fileSum(path)
			if err != nil {
				return "", nil, fmt.Errorf("train: %w", err)
			}
			r.digest(numbered(role, i), sum)
			if path, err = filepath.Abs(path); err != nil {
				return "", nil, fmt.Errorf("train: %w", err)
			}
		}
		all = append(all, path)
	}
	if len(all) > 1 {
		return all[0], all, nil
	}
	return cmp.Or(all...), nil, nil
}

// numbered is the role of one of several files; the first has that of a single one.
func numbered(role string, i int) string {
	if i == 0 {
		return role
	}
	return fmt.Sprintf("%s, file %d", role, i+1)
}

// TrainPaths are the files that the run was trained on.
func (r *Run) TrainPaths() []string { return pathsOf(r.TrainFile, r.TrainFiles) }

// EvalPaths are the files that the run was judged on, nil for none.
func (r *Run) EvalPaths() []string { return pathsOf(r.EvalFile, r.EvalFiles) }

func pathsOf(first string, all []string) []string {
	if all == nil && first != "" {
		return []string{first}
	}
	return all
}

// CheckData compares the run's data files with what they were at its start: a run that goes on with others is another run.
func (r *Run) CheckData() (err error) {
	for _, of := range []struct {
		role  string
		paths []string
	}{{trainRole, r.TrainPaths()}, {evalRole, r.EvalPaths()}} {
		for i, path := range of.paths {
			if path == data.Stdin {
				return &StdinError{r.Dir}
			}
			err = cmp.Or(err, r.check(numbered(of.role, i), path))
		}
	}
	return err
}

// StdinError says that a run can't be resumed, since its data came from standard input.
type StdinError struct{ Run string }

func (e *StdinError) Error() string {
	return fmt.Sprintf("train: %s: its data came from standard input, which can't be read again", e.Run)
}

// Hint says what to try.
func (e *StdinError) Hint() string {
	return "start another run, with the data in a file if it is to be resumable"
}

// CheckTokenizer does the same for the tokenizer's files in the folder.
func (r *Run) CheckTokenizer() error {
	err := r.check(tokenizerRole, r.TokenizerPath())
	for _, name := range besideTokenizer {
		err = cmp.Or(err, r.check(name, filepath.Join(r.Dir, name)))
	}
	return err
}

func (r *Run) check(role, path string) error {
	want, known := r.Digests[role]
	if !known {
		return nil
	}
	sum, err := fileSum(path)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if hex.EncodeToString(sum[:]) != want {
		return &ChangedFileError{path, role, r.Dir}
	}
	return nil
}

func fileSum(path string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return [sha256.Size]byte(h.Sum(nil)), err
}

// ChangedFileError says that a file isn't what it was when the run began.
type ChangedFileError struct{ Path, Role, Run string }

func (e *ChangedFileError) Error() string {
	return fmt.Sprintf("train: %s is not what it was when %s began: it is the run's %s", e.Path, e.Run, e.Role)
}

// Hint says what to try.
func (e *ChangedFileError) Hint() string {
	return "put the file back as it was, or start another run with it"
}

// RunExistsError says that a folder holds a run already.
type RunExistsError struct{ Dir string }

func (e *RunExistsError) Error() string { return fmt.Sprintf("train: %s holds a run already", e.Dir) }

// Hint says what to try.
func (e *RunExistsError) Hint() string {
	return "continue it with --resume, give another folder with -o, or remove this one"
}

// OpenRun reads a run folder.
func OpenRun(dir string) (*Run, error) {
	text, err := os.ReadFile(filepath.Join(dir, runFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("train: %s is not a run folder: it has no %s", dir, runFile)
	}
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	r := &Run{Dir: dir}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("train: %s is damaged: %w", filepath.Join(dir, runFile), err)
	}
	if r.Plan == nil && r.Version == RunVersion {
		return nil, fmt.Errorf("train: %s is damaged: it has no plan", filepath.Join(dir, runFile))
	}
	if r.Version != RunVersion {
		return nil, fmt.Errorf("train: %s: version %d; this peftgraph reads version %d", filepath.Join(dir, runFile), r.Version, RunVersion)
	}
	return r, nil
}

// Write saves the run's own file.
func (r *Run) Write() error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return atomicfile.WriteBytes(filepath.Join(r.Dir, runFile), append(text, '\n'))
}

// SetModel remembers where the model is.
func (r *Run) SetModel(path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	dir, err := filepath.Abs(r.Dir)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	r.ModelAt = abs
	if r.Model, err = filepath.Rel(dir, abs); err != nil {
		r.Model = abs
	}
	return nil
}

// ModelPath returns the model's path: relative to the folder when it is there, else where it was.
func (r *Run) ModelPath() (string, error) {
	for _, p := range []string{filepath.Join(r.Dir, r.Model), r.ModelAt} {
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("train: %s: the model it was trained on is neither at %s nor at %s; name it with --model", r.Dir, filepath.Join(r.Dir, r.Model), r.ModelAt)
}

// TokenizerPath returns where the run's tokenizer is.
func (r *Run) TokenizerPath() string { return filepath.Join(r.Dir, r.Tokenizer) }

// SaveAdapter writes the best parameters; g is the injected model, which has what of the adapter doesn't train.
func (r *Run) SaveAdapter(s State, g *graph.Graph) error {
	f, err := format.For(r.Plan)
	if err != nil {
		return err
	}
	values, err := r.Plan.Values(g)
	if err != nil {
		return err
	}
	maps.Copy(values, NewLayout(r.Plan).Tensors(s.Best))
	if s.Fitted != nil {
		r.Plan.Task.Settings = s.Fitted
	}
	return format.Save(f, r.Dir, r.Plan, values)
}

// Adapter reads the best parameters by trainable name.
func (r *Run) Adapter() (map[string]*graph.Tensor, error) {
	f, err := format.For(r.Plan)
	if err != nil {
		return nil, err
	}
	a, err := f.Load(r.Dir)
	if err != nil {
		if r.BestEpoch == 0 {
			return nil, fmt.Errorf("train: %s has no adapter yet: it was stopped in its first epoch; continue it with peftgraph train --resume %s", r.Dir, r.Dir)
		}
		return nil, err
	}
	return a.Bind(r.Plan)
}

// SaveCheckpoint writes what [Run.Checkpoint] reads.
func (r *Run) SaveCheckpoint(s State) error {
	return SaveState(filepath.Join(r.Dir, checkpointFile), s, r.Settings)
}

// Checkpoint reads the state to resume from. The error is fs.ErrNotExist, wrapped, when the run was killed before it wrote one.
func (r *Run) Checkpoint() (State, error) {
	path := filepath.Join(r.Dir, checkpointFile)
	if _, err := os.Stat(path); err != nil {
		return State{}, fmt.Errorf("train: checkpoint: %w", err)
	}
	s, settings, err := LoadState(path)
	if err != nil {
		return s, err
	}
	if settings != r.Settings {
		return s, fmt.Errorf("train: %s: the checkpoint was made with other settings than %s says", r.Dir, runFile)
	}
	return s, nil
}

// Metrics opens the metrics file for appending; lines after the given step, left by a run that was killed, are cut off.
func (r *Run) Metrics(after int) (io.WriteCloser, error) {
	path := filepath.Join(r.Dir, metricsFile)
	keep, err := linesUpTo(path, after)
	if err != nil {
		return nil, err
	}
	if err := atomicfile.WriteBytes(path, keep); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	return f, nil
}

func linesUpTo(path string, step int) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) || step == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	defer f.Close()
	var keep []byte
	for d := json.NewDecoder(f); ; {
		var line json.RawMessage
		var e Event
		if d.Decode(&line) != nil || json.Unmarshal(line, &e) != nil || e.Step > step {
			return keep, nil
		}
		keep = append(append(keep, line...), '\n')
	}
}
