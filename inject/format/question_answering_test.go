package format

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
)

var answering = inject.Task{Type: "question-answering", Kind: models.QuestionAnswering, Width: 2}

// A head of question answering that starts here goes under the names of Hugging Face's models for it, in every family.
func TestWrittenPEFTQuestionAnswering(t *testing.T) {
	lora := func(modules string) inject.Method {
		return &inject.LoRA{R: 2, Alpha: 5, Bias: "none", Init: "default", Targets: inject.Targets{Modules: inject.ParseNames(modules)}}
	}
	place := inject.Placement{Tokens: 3, Layout: inject.LayoutPEFT, Combine: inject.CombinePrefix, Pool: inject.PoolCLS}
	for _, c := range []struct {
		base, name string
		method     inject.Method
	}{
		{"encoder.onnx", "lora", lora("query")},
		{"encoder.onnx", "prompt", &inject.Prompt{Placement: place, Init: "vocab"}},
		{"encoder.onnx", "prefix", &inject.Prefix{Tokens: 3, Layout: inject.LayoutPEFT, Init: "random"}},
		{"roberta", "roberta", lora("query")},
		{"distilbert", "distilbert", lora("q_lin")},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := fixtureOf(t, "lora_seqcls")
			if filepath.Ext(c.base) == "" {
				f = fixtureOf(t, "families/"+c.base+"_hub_lora")
			}
			f.Base = c.base
			if types, ok := f.Inputs["token_type_ids"]; ok {
				clear(types.Data) // which PEFT doesn't pass on to a model for question answering
			}
			_, loaded, _ := f.rewritten(t, "head_qa_"+c.name, c.method, inject.Options{Task: answering})
			if loaded.Task.Head() != models.QuestionAnswering || loaded.Task.Outputs() != 2 || len(loaded.Task.Labels) > 0 {
				t.Errorf("the task is read as %+v", loaded.Task)
			}
			if !PEFTReadsHead(loaded) {
				t.Error("PEFT would read over the head")
			}
			var task string
			c, err := readConfig(filepath.Join(f.dir, hfConfigFile))
			if err == nil {
				err = read(c, "task_type", &task)
			}
			if err != nil || task != "QUESTION_ANS" {
				t.Errorf("task_type %q: %v", task, err)
			}
		})
	}
}

// A head of question answering that has another form is refused by the name of what is wrong.
func TestQuestionAnsweringRefusals(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"layers", "2", "layers is 2"},
		{"num_labels", "3", "num_labels is 3"},
		{"head_type", `"dependency_parsing"`, "question_answering"},
	} {
		dir := copyFolder(t, "families/bert_hub_qa_seq_bn")
		setHub(t, filepath.Join(dir, hubHeadConfigFile), c.key, c.value)
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s=%s: got %v, want an error with %q", c.key, c.value, err, c.want)
		}
	}
	dir := copyFolder(t, "families/bert_peft_qa_lora")
	edit(t, filepath.Join(dir, hfTensorFile), func(b []byte) []byte {
		return []byte(strings.ReplaceAll(string(b), "qa_outputs", "qa_inputs_"))
	})
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), `qa_outputs.weight" is missing`) {
		t.Errorf("without a head: %v", err)
	}
	dir = copyFolder(t, "lora_seqcls")
	edit(t, filepath.Join(dir, hfConfigFile), func(b []byte) []byte {
		return []byte(strings.Replace(string(b), "SEQ_CLS", "CAUSAL_LM", 1))
	})
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "QUESTION_ANS") {
		t.Errorf("another task: %v", err)
	}
}
