package pull

import (
	"path/filepath"

	"github.com/peftgraph/peftgraph/internal/fetch"
)

// An Origin is where a model came from.
type Origin struct {
	Name     string
	Hub      string // repository of the Hugging Face hub: "organisation/name"
	Revision string // of the repository; "" where the source doesn't say
	Licence  string // as the hub names it; "" where it isn't known
}

// About tells of the model in a folder that [Get] filled; ok is false for any other folder.
func About(dir string) (o Origin, ok bool) {
	var r record
	if err := fetch.ReadJSON(filepath.Join(dir, recordName), &r); err != nil {
		return o, false
	}
	m, err := lookup(r.Name)
	if err != nil {
		return o, false
	}
	return Origin{Name: m.name, Hub: m.hub, Revision: r.Revision, Licence: m.licence}, true
}
