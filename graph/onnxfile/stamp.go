package onnxfile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
)

// stampKey is the metadata_props entry of a model saved with [Reference]: by initializer, a digest of the sample that
// [Fingerprint] takes. Names, types and sizes alone don't tell a file of weights from another training of the same model, which
// would run as well and answer otherwise.
const stampKey = "peftgraph.weights"

// digestSize is how many bytes of a sample's SHA-256 are kept: enough against chance, which is all there is against a file in
// the wrong place.
const digestSize = 8

// A ReplacedError says that a file of weights isn't the one that the model was written for.
type ReplacedError struct {
	File   string
	Tensor string // the first that differs
}

func (e *ReplacedError) Error() string {
	return fmt.Sprintf("the weights in %s are not those it was written for: %q differs", e.File, e.Tensor)
}

// Hint says what to try.
func (e *ReplacedError) Hint() string {
	return "put the original file back, or make the model again from the file that is there now"
}

// stamped returns g with the digests of the initializers that place leaves in other files, and without those it came with.
func stamped(g *graph.Graph, place placer) (*graph.Graph, error) {
	_, had := g.Meta(stampKey)
	digests := map[string]string{}
	if refs, ok := place.(*references); ok {
		for _, v := range g.Initializers() {
			if at, err := refs.place(v.Init()); at == nil || err != nil {
				continue // the encoder tells of errors
			}
			var err error
			if digests[v.Name()], err = digest(v.Init()); err != nil {
				return nil, err
			}
		}
	}
	if len(digests) == 0 && !had {
		return g, nil
	}
	g = g.Clone()
	g.RemoveMeta(stampKey)
	if len(digests) == 0 {
		return g, nil
	}
	text, err := json.Marshal(digests)
	if err != nil {
		return nil, err
	}
	g.SetMeta(stampKey, string(text))
	return g, nil
}

// checkStamp compares the initializers that lie in files other than the model's own with the digests that g carries. What
// another program has added since has none, and what it has taken into the model itself is the model's own.
func checkStamp(g *graph.Graph, own graph.File) error {
	text, ok := g.Meta(stampKey)
	if !ok {
		return nil
	}
	digests := map[string]string{}
	if err := json.Unmarshal([]byte(text), &digests); err != nil {
		return fmt.Errorf("metadata %s: %w", stampKey, err)
	}
	for _, v := range g.Initializers() {
		ref := v.Init().Ref()
		want, known := digests[v.Name()]
		if ref == nil || ref.File == own || !known {
			continue
		}
		got, err := digest(v.Init())
		if err != nil {
			return err
		}
		if got != want {
			return &ReplacedError{ref.File.Path(), v.Name()}
		}
	}
	return nil
}

func digest(t *graph.Tensor) (string, error) {
	p := &printer{hash: sha256.New()}
	p.tensor(t)
	return hex.EncodeToString(p.hash.Sum(nil)[:digestSize]), p.err
}

// Unchanged reports an error when a file that holds weights of g was written to since g was loaded.
func Unchanged(g *graph.Graph) error {
	return eachSource(g, (*source).changed)
}

// InPlace reports an error when a path of a file that holds weights of g leads to another file or content by now: a program
// that opens the path itself, as onnxruntime does, would read something else than g says.
func InPlace(g *graph.Graph) error {
	return eachSource(g, func(s *source) error {
		if !s.sameFile(s.path) {
			return fmt.Errorf("%s was replaced after it was loaded; load it again", s.path)
		}
		return s.changed()
	})
}

func eachSource(g *graph.Graph, check func(*source) error) error {
	for f := range sources(g) {
		if s, ok := f.(*source); ok {
			if err := check(s); err != nil {
				return fmt.Errorf("onnxfile: %w", err)
			}
		}
	}
	return nil
}
