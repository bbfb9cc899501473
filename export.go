package peftgraph

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/folder"
)

// DefaultThreshold is the largest difference of an output that counts as rounding.
const DefaultThreshold = 1e-4

// DefaultExamples is how many texts an export is proven on, where nothing else is said.
const DefaultExamples = 256

// ExportOptions say what is exported, and how it is proven.
type ExportOptions struct {
	Engine
	// Path is the model to write, a name that ends in .onnx, or a folder to write model.onnx into; with All, the folder to write
	// merged.onnx, unmerged.onnx and adapter-inputs.onnx into. What is there is replaced once the new is proven.
	//
	// Beside a model.onnx lies what other programs load it with ([folder.Write]), unless the folder has files of the same names
	// that are none of an export's: a Path that is a folder is refused then, and beside a file nothing is written.
	Path   string
	Layout folder.Layout // of that folder; "" is [folder.Linked]
	Bare   bool          // write the model alone
	Form   Form          // "" is [Merged]; a joint model has none
	All    bool          // write every form, and compare them with each other
	// ONNXAdapter, where set, is a file to write the adapter's tensors to, for onnxruntime's LoraAdapter: with the form
	// [AdapterInputs], or All.
	ONNXAdapter string
	Reference   bool         // leave the base's weights in the base's file, which must lie in Path's folder or below it
	KeepOutputs bool         // keep the base's own outputs beside the logits
	Data        string       // text to prove the export on; "" is the run's own, or made up where that is gone
	DataOptions data.Options // how it is read; the zero value reads it as the run's own data
	Examples    int          // how many texts to prove it on; 0 is [DefaultExamples], below 0 is all
	Threshold   float64      // largest difference from the trained model that passes, before a temperature above 1; 0 is [DefaultThreshold]
	BatchSize   int          // 0 is that of train.DefaultSettings
	Command     string       // for the model's card: the command line that made it, "" for none
	Program     string       // for the same: the program and its version

	folder string // Path, where it is one
}

// Exported says what was written, and how it was proven.
type Exported struct {
	Forms []ExportedForm `json:"forms"` // one, but with ExportOptions.All
	Pairs []FormPair     `json:"pairs"`
}

// ExportedForm is one model that was written.
type ExportedForm struct {
	Form      Form     `json:"form"`
	Output    string   `json:"output"`
	Bytes     int64    `json:"bytes"`
	WeightsIn []string `json:"weights_in,omitempty"` // with Reference: the files, relative to its folder, that hold the base's
	Merged    []string `json:"merged"`               // the methods that the weights took in
	Unmerged  []string `json:"unmerged"`
	Adapter   string   `json:"onnx_adapter,omitempty"`
	// Folder is where the files for other programs lie, in its layout; "" where only the model was written.
	Folder     string        `json:"folder,omitempty"`
	Layout     folder.Layout `json:"layout,omitempty"`
	Comparison Comparison    `json:"comparison"` // with the trained model
	Latency    Latency       `json:"latency"`
	Crosscheck Reading       `json:"crosscheck"`
}

// FormPair is the comparison of two exported forms with each other.
type FormPair struct {
	Forms [2]Form `json:"forms"`
	Comparison
}

// Export writes the trained model in a form that can be deployed, and proves it: the written file is read back and run beside
// the trained model, and onnx-go has to read it the same. Only then does it take its place; the error of one that differs by
// more than the threshold is a [*DiffersError], and the old file stays.
func (r *Run) Export(ctx context.Context, opt ExportOptions) (*Exported, error) {
	targets, err := opt.targets()
	if err != nil {
		return nil, err
	}
	e, err := opt.open(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.exportable(); err != nil {
		return nil, err
	}
	d, err := r.proofData(opt)
	if err != nil {
		return nil, err
	}
	x := &export{run: r, opt: opt, targets: targets}
	defer x.discard()
	if err := x.stage(); err != nil {
		return nil, err
	}
	res, err := x.prove(ctx, e, d)
	if err != nil {
		return nil, err
	}
	return res, x.commit(res)
}

// exportable loads the run, and refuses what was exported already.
func (r *Run) exportable() error {
	if err := r.load(); err != nil {
		return err
	}
	if r.deployed != "" {
		return hinted(fmt.Errorf("%s is a deployed model, in which nothing can be told from the base any more", r.deployed), "the folder that train wrote to")
	}
	return nil
}

// targets says what is to be written where.
func (opt *ExportOptions) targets() ([]*target, error) {
	opt.Threshold = cmp.Or(opt.Threshold, DefaultThreshold)
	opt.Examples = cmp.Or(opt.Examples, DefaultExamples)
	opt.BatchSize = cmp.Or(opt.BatchSize, train.DefaultSettings().EvalBatch)
	opt.Form = cmp.Or(opt.Form, Merged)
	opt.Layout = cmp.Or(opt.Layout, folder.Linked)
	if !opt.All && folder.Named(opt.Path) {
		opt.folder, opt.Path = opt.Path, folder.ModelPath(opt.Path, opt.Layout)
	}
	switch {
	case opt.Path == "":
		return nil, settingf("Path", "say where to write the model")
	case !slices.Contains(folder.Layouts(), opt.Layout):
		return nil, settingf("Layout", "%q: unknown; the layouts are %v", opt.Layout, folder.Layouts())
	case opt.Layout == folder.Subfolder && opt.folder == "":
		return nil, settingf("Layout", "%s is that of a folder, and %s is no folder", opt.Layout, opt.Path)
	case opt.folder != "" && !opt.Bare && opt.alone() != "":
		return nil, settingf("Path", "%s is a folder for other programs: %s; name a file, or give setting Bare", opt.folder, opt.alone())
	case !opt.All && filepath.Ext(opt.Path) != ".onnx":
		return nil, settingf("Path", "%s: the name of a model ends in .onnx", opt.Path)
	case opt.ONNXAdapter != "" && !opt.All && opt.Form != AdapterInputs:
		return nil, settingf("ONNXAdapter", "it is for a model whose adapter is among its inputs")
	}
	if !opt.All {
		f, err := formOf(opt.Form)
		return []*target{{form: f, path: opt.Path, adapter: opt.ONNXAdapter}}, err
	}
	var targets []*target
	for _, f := range forms {
		t := &target{form: f, path: filepath.Join(opt.Path, f.name.File())}
		if f.name == AdapterInputs {
			t.adapter = opt.ONNXAdapter
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// proofData is the text that the export is proven on: the options', else what the run was judged or trained on, else made up.
func (r *Run) proofData(opt ExportOptions) (*data.Dataset, error) {
	path, reading := opt.Data, readAs(opt.DataOptions, r.Run)
	if path == "" {
		for _, p := range []string{r.EvalFile, r.TrainFile} {
			if _, err := os.Stat(p); err == nil && path == "" {
				path = p
			}
		}
	}
	if path == "" {
		opt.notef("neither the run's data nor setting Data is there: proving on random tokens")
		return madeUp(r.Plan.Encoder.Vocab, r.reader.maxLength), nil
	}
	reading.NoLabel, reading.LabelColumn = true, ""
	set, err := data.Read(path, reading)
	if err != nil {
		return nil, err
	}
	if n := opt.Examples; n > 0 && n < len(set.Examples) {
		set.Examples = set.Examples[:n]
	}
	return r.reader.dataset(Engine{}, set, r.Plan.Task) // that some are cut was said when the run was trained on them
}
