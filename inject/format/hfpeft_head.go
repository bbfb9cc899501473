package format

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
)

// An hfHead is the head of Hugging Face's sequence classifier of a family: which of our heads compute the same, and the paths
// of its linear maps where ours are called pooler.dense or pre_classifier, and classifier. PEFT saves them whole.
type hfHead struct {
	kinds             []inject.HeadKind
	dense, classifier string
}

var (
	hfClassificationHead = hfHead{[]inject.HeadKind{inject.HeadNewPooler}, "classifier.dense", "classifier.out_proj"}

	hfHeads = map[string]hfHead{
		"bert":       {[]inject.HeadKind{inject.HeadExisting, inject.HeadPooler, inject.HeadNewPooler}, "bert.pooler.dense", "classifier"},
		"distilbert": {[]inject.HeadKind{inject.HeadPreClassifier}, "pre_classifier", "classifier"},
		"roberta":    hfClassificationHead,
		"mpnet":      hfClassificationHead,
	}
)

// hfMetaHead is the entry in the metadata of a tensor file that says what the classifier reads, for heads that no model of
// Hugging Face's has. To PEFT such an adapter is one of the bare encoder, task type FEATURE_EXTRACTION; it reads over the
// classifier.
const hfMetaHead = "peftgraph.head"

// hfMetaTask is the entry that names the task of a classifier whose outputs aren't classes: whether labels exclude each other stands
// in the problem_type of the base's configuration, and PEFT doesn't write that down.
const hfMetaTask = "peftgraph.task"

// hfDeclareTask says what the classifier's tensors don't.
func hfDeclareTask(p *inject.Plan, metadata map[string]string) {
	if c := p.Find("head", "classifier", "weight"); c != nil && p.Task.Type != hfTaskType(c.Shape[0]) {
		metadata[hfMetaTask] = p.Task.Type
	}
}

// headed reports whether a plan has a head with parameters: an embedding is pooled, and its adapter is one of the bare encoder.
func headed(p *inject.Plan) bool {
	return p.Task.Type != "" && p.Task.Head() != models.FeatureExtraction
}

// hfHeadOf returns Hugging Face's head that computes what the plan's does, or false where there is none.
func hfHeadOf(p *inject.Plan) (hfHead, bool) {
	h, _, ok := hfTokenHead(p)
	if !ok {
		h = hfHeads[p.Encoder.Family]
	}
	return h, headed(p) && slices.Contains(h.kinds, p.Head.Kind)
}

// PEFTReadsHead reports whether PEFT computes the plan's logits: the model of Hugging Face's that it wraps has the plan's head,
// or there is none. Otherwise a PEFT folder is one of the bare encoder, and PEFT reads over the head's tensors in it.
func PEFTReadsHead(p *inject.Plan) bool { return hfInTaskModel(p) || p.Task.Type == "" }

// hfInTaskModel reports whether PEFT wraps a task model of Hugging Face's, which has the plan's head: a sequence classifier or,
// where the head is the base's own and frozen, AutoModelForMaskedLM, for which PEFT has no task type.
func hfInTaskModel(p *inject.Plan) bool {
	_, ok := hfHeadOf(p)
	return ok || p.Head.Kind == inject.HeadOwnLM
}

// hfModule is the path of a module in the model that PEFT wraps: Hugging Face's task model where it has the plan's head, else
// the bare encoder.
func hfModule(p *inject.Plan, target string) string {
	if hfInTaskModel(p) {
		return p.Encoder.Prefix + target
	}
	return target
}

// hfHeadModule is hfModule for the head's own modules.
func hfHeadModule(p *inject.Plan, target string) string {
	switch h, ok := hfHeadOf(p); {
	case !ok:
		return target
	case target == "classifier":
		return h.classifier
	default:
		return h.dense
	}
}

// hfSavedModules is what PEFT writes for sequence classification: the modules trained whole, then its two usual names.
func hfSavedModules(p *inject.Plan) []string {
	out := []string{"classifier", "score"}
	if p.Find("head", "pooler.dense", "weight") != nil && p.Encoder.Family == "bert" {
		out = append([]string{"pooler"}, out...)
	}
	return out
}

// readHead takes the task from the classifier's tensors: PEFT doesn't store label names. The metadata may say what the classifier
// reads and what its outputs are; it doesn't in PEFT's own files.
func (a *Adapter) readHead(task, root string, metadata map[string]string) error {
	declared := metadata[hfMetaHead]
	if found, err := a.readTokenHead(task, root); found {
		return err
	}
	key, kind, err := a.hfHeadKind(root, declared)
	if err != nil {
		return err
	}
	w := a.Tensors[key]
	if slices.Equal(inject.HeadTasks(kind), []models.Task{models.MaskedLM}) {
		// Its outputs are the base's vocabulary, so that nothing here says how many they are.
		a.Head, a.Task = kind, inject.Task{Type: string(models.MaskedLM), Kind: models.MaskedLM}
		return nil
	}
	switch {
	case task != "" && task != "SEQ_CLS" && task != "FEATURE_EXTRACTION":
		return fmt.Errorf("task_type %s is not supported; supported are %s", task, strings.Join(hfTaskTypes(), ", "))
	case task == "SEQ_CLS" && w == nil:
		return fmt.Errorf("tensor %q is missing: the classifier would stay random", key)
	case w == nil:
		return nil
	case task == "FEATURE_EXTRACTION" && declared == "":
		return fmt.Errorf("tensor %q belongs to a classifier, and task_type is %s: nothing says what it reads", key, task)
	}
	a.Head = kind
	a.Task, err = hfTask(key, w, metadata[hfMetaTask])
	return err
}

// hfHeadKind returns the key of the classifier's weight and what it reads. The pooler of a LoRA adapter is not the head's: its
// modules_to_save say whether it is trained.
func (a *Adapter) hfHeadKind(root, declared string) (key string, kind inject.HeadKind, err error) {
	_, lora := a.Methods[0].(*inject.LoRA)
	keys := slices.Collect(maps.Keys(a.Tensors))
	within := func(module string) bool {
		return slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(k, root+module) })
	}
	key, kind = root+"classifier.weight", inject.HeadPooler
	switch out := root + hfClassificationHead.classifier + ".weight"; {
	case declared != "":
		if kind = inject.HeadKind(declared); !slices.Contains(inject.HeadKinds(), kind) {
			err = fmt.Errorf("metadata %s: %q is none of %v", hfMetaHead, declared, inject.HeadKinds())
		}
	case a.Tensors[out] != nil && within("electra."):
		err = fmt.Errorf("tensor %q: ELECTRA's classifier, with a GELU between two linear maps, is not supported", out)
	case a.Tensors[out] != nil:
		key, kind = out, inject.HeadNewPooler
	case a.Tensors[root+"pre_classifier.weight"] != nil:
		kind = inject.HeadPreClassifier
	case !lora && (within("bert.pooler.dense.") || within("pooler.dense.")):
		kind = inject.HeadNewPooler
	}
	return key, kind, err
}

// hfTask returns the task of a classifier's weight [labels, hidden]: the one declared, or "" for what its shape says.
func hfTask(key string, w *graph.Tensor, declared string) (inject.Task, error) {
	if len(w.Dims) != 2 || w.Dims[0] < 1 || w.Dims[0] > maxLabels || w.Dims[1] < 1 {
		return inject.Task{}, fmt.Errorf("tensor %q is %v: want [labels, hidden]", key, w.Dims)
	}
	t := inject.Task{Type: cmp.Or(declared, hfTaskType(w.Dims[0]))}
	if t.Type != "regression" {
		t.Labels = numberedLabels(int(w.Dims[0]))
	}
	return t, nil
}

// hfTaskType is the task of a classifier with so many outputs: to Hugging Face one is a regression.
func hfTaskType(outputs int64) string {
	if outputs == 1 {
		return "regression"
	}
	return "classification"
}

// maxLabels is more than any classifier has: a damaged file must not make us allocate names for billions.
const maxLabels = 1 << 20

// numberedLabels returns the names that Hugging Face gives to classes without one.
func numberedLabels(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("LABEL_%d", i)
	}
	return out
}
