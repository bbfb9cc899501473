package models_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/models"
)

// config.json of every exporter's file says what its PyTorch model's did.
func TestHubConfigSaysWhatThePyTorchModelDid(t *testing.T) {
	keys := map[string][5]string{"distilbert": {"dim", "n_layers", "n_heads", "hidden_dim", "activation"}}
	classes := map[string]string{"bert": "Bert", "roberta": "Roberta", "distilbert": "DistilBert", "electra": "Electra", "mpnet": "MPNet"}
	for _, f := range modelstest.Encoders(t) {
		e, err := models.Recognise(f.Load(t))
		if err != nil {
			t.Fatal(err)
		}
		c, err := e.Info().HubConfig(nil, models.TokenClassification)
		if err != nil {
			t.Fatal(err)
		}
		k, ok := keys[e.Family]
		if !ok {
			k = [5]string{"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act"}
		}
		want := map[string]any{k[0]: f.Hidden, k[1]: f.Layers, k[2]: f.Heads, k[3]: f.Intermediate, "vocab_size": f.Vocab, "model_type": e.Family,
			"architectures": []string{classes[e.Family] + "ForTokenClassification"}}
		for key, value := range want {
			if fmt.Sprint(c[key]) != fmt.Sprint(value) {
				t.Errorf("%s: %s is %v, want %v", f.Name, key, c[key], value)
			}
		}
		if act := c[k[4]]; act != f.Activation && !strings.HasPrefix(fmt.Sprint(act), "gelu") {
			t.Errorf("%s: %s is %v, want %s", f.Name, k[4], act, f.Activation)
		}
		if eps, ok := c["layer_norm_eps"].(json.Number); !ok || eps.String() != fmt.Sprint(f.Eps) {
			t.Errorf("%s: layer_norm_eps is %v, want %v", f.Name, c["layer_norm_eps"], f.Eps)
		}
	}
}

func TestHubTask(t *testing.T) {
	for class, want := range map[string]models.Task{
		"BertForSequenceClassification": models.SequenceClassification, "XLMRobertaForTokenClassification": models.TokenClassification,
		"MPNetForQuestionAnswering": models.QuestionAnswering, "RobertaForMaskedLM": models.MaskedLM, "BertModel": models.FeatureExtraction,
	} {
		if got, ok := models.HubTask(class); got != want || !ok {
			t.Errorf("%s is for %q", class, got)
		}
	}
	if got, ok := models.HubTask("ElectraForPreTraining"); ok {
		t.Errorf("ElectraForPreTraining is for %q", got)
	}
}
