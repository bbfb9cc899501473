package pull

import (
	"cmp"
	"context"
	"crypto/sha1" // git's names of files, not a protection
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/internal/fetch"
	"github.com/peftgraph/peftgraph/models"
)

// hub gets a repository's files from the Hugging Face hub, or from the mirror that HF_ENDPOINT names, with the token in
// HF_TOKEN where there is one.
type hub struct{}

const hubEndpoint = "https://huggingface.co"

func (hub) name() string   { return "hub" }
func (hub) has(model) bool { return true }

// fetch takes the checkpoint where models.Build can make a graph of it, else the repository's own onnx/model.onnx.
func (hub) fetch(ctx context.Context, m model, j *job) error {
	r := newRepo(m, j)
	if err := r.file(ctx, "config.json", "config.json"); err != nil {
		return err
	}
	_, unbuildable := models.ReadConfig(j.dir)
	err := unbuildable
	if err == nil {
		err = r.checkpoint(ctx)
	}
	if unbuildable != nil || isMissing(err) {
		if other := r.onnx(ctx); isMissing(other) {
			return errors.Join(err, other)
		} else if other != nil {
			return other
		}
		err = nil
	}
	if err != nil {
		return err
	}
	return r.tokenizer(ctx)
}

// repo is one revision of one repository.
type repo struct {
	base     string // https://host/organisation/name
	revision string // a commit from the first answer on, so that all files are of one
	header   http.Header
	pins     map[string]string
	j        *job
}

func newRepo(m model, j *job) *repo {
	r := &repo{
		base: strings.TrimRight(cmp.Or(os.Getenv("HF_ENDPOINT"), hubEndpoint), "/") + "/" + m.hub,
		// A known name stays what it was pinned to, unless another revision is asked for.
		revision: cmp.Or(j.Revision, m.revision, "main"), header: http.Header{"User-Agent": {"peftgraph"}}, j: j,
	}
	if r.revision == m.revision {
		r.pins = m.pins
	}
	if token := os.Getenv("HF_TOKEN"); token != "" {
		r.header.Set("Authorization", "Bearer "+token)
	}
	return r
}

func isMissing(err error) bool {
	var status *fetch.StatusError
	return errors.As(err, &status) && status.Code == http.StatusNotFound
}

// checkpoint gets model.safetensors or, where there is none, the index and its shards.
func (r *repo) checkpoint(ctx context.Context) error {
	const whole, index = "model.safetensors", "model.safetensors.index.json"
	err := r.file(ctx, whole, whole)
	if !isMissing(err) {
		return err
	}
	if err := r.file(ctx, index, index); err != nil {
		return err
	}
	var list struct {
		Files map[string]string `json:"weight_map"`
	}
	if err := fetch.ReadJSON(filepath.Join(r.j.dir, index), &list); err != nil {
		return err
	}
	var shards []string
	for _, file := range list.Files {
		if filepath.Base(file) != file || !filepath.IsLocal(file) {
			return fmt.Errorf("%s: it lists the shard %q", index, file)
		}
		shards = append(shards, file)
	}
	slices.Sort(shards)
	for _, file := range slices.Compact(shards) {
		if err := r.file(ctx, file, file); err != nil {
			return err
		}
	}
	return nil
}

func (r *repo) onnx(ctx context.Context) error {
	if err := r.file(ctx, "onnx/"+onnxName, onnxName); err != nil {
		return err
	}
	return r.optional(ctx, "onnx/"+onnxName+"_data", onnxName+"_data")
}

// tokenizer gets the tokenizer's files, what the model is pooled by, and the card, which says under what licence it is.
func (r *repo) tokenizer(ctx context.Context) error {
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "modules.json", "1_Pooling/config.json", "README.md"} {
		if err := r.optional(ctx, name, name); err != nil {
			return err
		}
	}
	return nil
}

func (r *repo) optional(ctx context.Context, path, as string) error {
	if err := r.file(ctx, path, as); !isMissing(err) {
		return err
	}
	return nil
}

// file downloads one file of the repository and checks it.
func (r *repo) file(ctx context.Context, path, as string) error {
	address := func() string { return fmt.Sprintf("%s/resolve/%s/%s", r.base, url.PathEscape(r.revision), path) }
	about, err := r.head(ctx, address())
	if err != nil {
		return err
	}
	if about.commit != "" {
		r.revision = about.commit
	}
	r.j.commit = r.revision
	dst, err := r.j.place(as)
	if err != nil {
		return err
	}
	got, err := fetch.Download(ctx, address(), r.header, dst, func(done, total int64) { r.j.Progress(path, done, total) })
	if err != nil {
		return err
	}
	if want, ok := r.pins[path]; ok {
		if err := got.Expect(path, want); err != nil {
			return err
		}
	}
	return about.check(path, dst, got)
}

// about is what the hub says of a file.
type about struct {
	tag    string // sha256 of a large file, git's blob id of a small one
	commit string
}

// head asks for a file's headers at the hub itself: large files are redirected to a store that doesn't know them.
func (r *repo) head(ctx context.Context, address string) (about, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err != nil {
		return about{}, err
	}
	for k, v := range r.header {
		req.Header[k] = v
	}
	req.Header.Set("Accept-Encoding", "identity")
	client := *fetch.Client
	client.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if len(via) > 5 || next.URL.Host != req.URL.Host {
			return http.ErrUseLastResponse
		}
		return nil // a repository that was renamed
	}
	resp, err := client.Do(req)
	if err != nil {
		return about{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		return about{}, explain(&fetch.StatusError{URL: address, Code: resp.StatusCode})
	}
	tag := cmp.Or(resp.Header.Get("X-Linked-Etag"), resp.Header.Get("ETag"))
	a := about{tag: strings.Trim(strings.TrimPrefix(tag, "W/"), `"`)}
	if commit := resp.Header.Get("X-Repo-Commit"); validRevision.MatchString(commit) {
		a.commit = commit
	}
	return a, nil
}

// explain adds what a status of the hub means.
func explain(status *fetch.StatusError) error {
	if status.Code == http.StatusUnauthorized || status.Code == http.StatusForbidden {
		return fmt.Errorf("%w: there is no such repository, or it is private or gated: set HF_TOKEN", status)
	}
	return status
}

// check compares the file with the hub's tag. A tag of another form, as a mirror may send, says nothing.
func (a about) check(name, path string, got fetch.Digest) error {
	have := got.SHA256
	switch len(a.tag) {
	case 64:
	case 40:
		var err error
		if have, err = gitBlob(path, got.Size); err != nil {
			return err
		}
	default:
		return nil
	}
	if _, err := hex.DecodeString(a.tag); err == nil && a.tag != have {
		return fmt.Errorf("%s: it is %s, and by the hub it should be %s: it was damaged on its way", name, have, a.tag)
	}
	return nil
}

// gitBlob is git's name of a file: sha1("blob <size>\0" + content).
func gitBlob(path string, size int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", size)
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
