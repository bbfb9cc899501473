package pull

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/models"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

// fakeHub is a hub with the repositories of a test. Files of safetensors and onnx are on another host, as large files are.
type fakeHub struct {
	t     *testing.T
	repos map[string]map[string][]byte
	// cut ends an answer early, as often as it says, after half of the file.
	cut      map[string]int
	spoil    string // a file whose bytes change on their way
	token    string // wanted, if not ""
	mu       sync.Mutex
	requests []string
	store    *httptest.Server
}

func newHub(t *testing.T, repos map[string]map[string][]byte) *fakeHub {
	t.Helper()
	h := &fakeHub{t: t, repos: repos, cut: map[string]int{}}
	front := httptest.NewServer(http.HandlerFunc(h.front))
	h.store = httptest.NewServer(http.HandlerFunc(h.content))
	h.store.URL = strings.Replace(h.store.URL, "127.0.0.1", "localhost", 1) // another host than the hub's
	t.Cleanup(front.Close)
	t.Cleanup(h.store.Close)
	t.Setenv("HF_ENDPOINT", front.URL)
	t.Setenv("HF_TOKEN", "")
	return h
}

// split takes /organisation/name/resolve/revision/path apart.
func split(path string) (repo, revision, file string) {
	parts := strings.SplitN(strings.TrimPrefix(path, "/"), "/", 5)
	if len(parts) < 5 || parts[2] != "resolve" {
		return "", "", ""
	}
	return parts[0] + "/" + parts[1], parts[3], parts[4]
}

func large(file string) bool {
	return strings.HasSuffix(file, ".safetensors") || strings.HasSuffix(file, ".onnx")
}

func (h *fakeHub) front(w http.ResponseWriter, r *http.Request) {
	repo, revision, file := split(r.URL.Path)
	h.mu.Lock()
	h.requests = append(h.requests, r.Method+" "+revision+" "+file+" "+r.Header.Get("Range"))
	h.mu.Unlock()
	data, ok := h.repos[repo][file]
	switch {
	case h.token != "" && r.Header.Get("Authorization") != "Bearer "+h.token:
		http.Error(w, "", http.StatusUnauthorized)
		return
	case !ok:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("X-Repo-Commit", commit)
	if !large(file) {
		blob := sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(data)), data...))
		w.Header().Set("ETag", `"`+hex.EncodeToString(blob[:])+`"`)
		h.serve(w, r, file, data)
		return
	}
	sum := sha256.Sum256(data)
	w.Header().Set("X-Linked-Etag", `"`+hex.EncodeToString(sum[:])+`"`)
	http.Redirect(w, r, h.store.URL+r.URL.Path, http.StatusFound)
}

func (h *fakeHub) content(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		h.t.Error("the token was sent to another host")
	}
	repo, _, file := split(r.URL.Path)
	h.mu.Lock()
	h.requests = append(h.requests, "STORE "+file+" "+r.Header.Get("Range"))
	h.mu.Unlock()
	w.Header().Set("ETag", `"store"`)
	h.serve(w, r, file, h.repos[repo][file])
}

func (h *fakeHub) serve(w http.ResponseWriter, r *http.Request, file string, data []byte) {
	if file == h.spoil {
		data = slices.Clone(data)
		data[len(data)/2] ^= 1
	}
	h.mu.Lock()
	cut := h.cut[file] > 0 && r.Method == http.MethodGet
	if cut {
		h.cut[file]--
	}
	h.mu.Unlock()
	if cut {
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Write(data[:len(data)/2])
		return // the connection breaks: the answer is shorter than announced
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(data)))
}

func checkpoint(t *testing.T, name string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{"tokenizer.json": []byte("{}"), "vocab.txt": []byte("[PAD]\n")}
	dir := filepath.Join(modelstest.Dir(), "checkpoints", name)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if files[entry.Name()], err = os.ReadFile(filepath.Join(dir, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	delete(files, "expected.json")
	return files
}

func options(t *testing.T) Options {
	t.Helper()
	return Options{CacheDir: filepath.Join(t.TempDir(), "cache"), Source: "hub"}
}

// whole fails the test unless the model can be loaded and is recognised.
func whole(t *testing.T, m Model) *models.Encoder {
	t.Helper()
	g, err := onnxfile.Load(m.ONNX)
	if err != nil {
		t.Fatal(err)
	}
	e, err := models.Recognise(g)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// clean fails the test when a failed download has left anything but the lock.
func clean(t *testing.T, opts Options) {
	t.Helper()
	err := filepath.WalkDir(opts.CacheDir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && path != opts.CacheDir && d.Name() != ".lock" {
			t.Errorf("left behind: %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestCheckpointsFromTheHub(t *testing.T) {
	h := newHub(t, map[string]map[string][]byte{
		"some/bert": checkpoint(t, "bert"), "some/shards": checkpoint(t, "bert_legacy_sharded"), "some/roberta": checkpoint(t, "roberta"),
	})
	for name, family := range map[string]string{"some/bert": "bert", "some/shards": "bert", "some/roberta": "roberta"} {
		opts := options(t)
		m, err := Get(context.Background(), name, opts)
		if err != nil {
			t.Fatal(err)
		}
		e := whole(t, m)
		if e.Family != family || m.Source != "hub" || m.Cached || filepath.Base(m.Tokenizer) != "tokenizer.json" {
			t.Errorf("%s: family %s, %+v", name, e.Family, m)
		}
		if ref := e.Embeddings.Word.Init().Ref(); ref == nil || filepath.Dir(ref.File.Path()) != m.Dir || !strings.HasSuffix(ref.File.Path(), ".safetensors") {
			t.Errorf("%s: model.onnx doesn't refer to the checkpoint beside it", name)
		}
		asked := len(h.requests)
		again, err := Get(context.Background(), name, opts)
		if m.Cached = true; err != nil || again != m || len(h.requests) != asked {
			t.Errorf("%s: the second time got %+v, %v and asked the hub %v", name, again, err, h.requests[asked:])
		}
	}
	// The first answer says which commit the branch is at, and everything else is asked of that commit.
	for i, r := range h.requests {
		if strings.Contains(r, " main ") && !strings.HasPrefix(r, "HEAD main config.json") {
			t.Errorf("request %d: %s", i, r)
		}
	}
}

func TestONNXFromTheHub(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(modelstest.Dir(), "bert_optimum_op18.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	unknown := []byte(`{"model_type": "mystery"}`)
	newHub(t, map[string]map[string][]byte{
		"some/unknown": {"config.json": unknown, "onnx/model.onnx": data, "model.safetensors": []byte("never read")},
		"some/pickle":  {"config.json": checkpoint(t, "bert")["config.json"], "onnx/model.onnx": data, "pytorch_model.bin": []byte("never read")},
		"some/neither": {"config.json": unknown},
	})
	for _, name := range []string{"some/unknown", "some/pickle"} {
		m, err := Get(context.Background(), name, options(t))
		if err != nil {
			t.Fatal(err)
		}
		whole(t, m)
		if m.Tokenizer != "" {
			t.Errorf("%s: a tokenizer %s from nowhere", name, m.Tokenizer)
		}
	}
	opts := options(t)
	if _, err := Get(context.Background(), "some/neither", opts); err == nil || !strings.Contains(err.Error(), "mystery") || !strings.Contains(err.Error(), "404") {
		t.Errorf("got %v", err)
	}
	clean(t, opts)
}

func TestBrokenConnectionsAreTakenUpAgain(t *testing.T) {
	h := newHub(t, map[string]map[string][]byte{"some/bert": checkpoint(t, "bert")})
	h.cut["model.safetensors"], h.cut["config.json"] = 1, 1
	var last, total int64
	opts := options(t)
	opts.Progress = func(file string, done, of int64) {
		if file == "model.safetensors" {
			last, total = done, of
		}
	}
	m, err := Get(context.Background(), "some/bert", opts)
	if err != nil {
		t.Fatal(err)
	}
	whole(t, m)
	size := len(checkpoint(t, "bert")["model.safetensors"])
	if last != int64(size) || total != int64(size) {
		t.Errorf("progress ended at %d of %d, want %d", last, total, size)
	}
	if want := fmt.Sprintf("STORE model.safetensors bytes=%d-", size/2); !slices.Contains(h.requests, want) {
		t.Errorf("no request %q among %q", want, h.requests)
	}
}

func TestDamageIsNoticed(t *testing.T) {
	for _, file := range []string{"model.safetensors", "config.json", "vocab.txt"} {
		h := newHub(t, map[string]map[string][]byte{"some/bert": checkpoint(t, "bert")})
		h.spoil = file
		opts := options(t)
		if _, err := Get(context.Background(), "some/bert", opts); err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: got %v", file, err)
		}
		clean(t, opts)
	}
}

func TestPins(t *testing.T) {
	files := checkpoint(t, "bert")
	newHub(t, map[string]map[string][]byte{"sentence-transformers/all-MiniLM-L6-v2": files})
	opts := options(t)
	if _, err := Get(context.Background(), "all-MiniLM-L6-v2", opts); err == nil || !strings.Contains(err.Error(), "953f9c0d") {
		t.Errorf("another model under a pinned name: got %v", err)
	}
	clean(t, opts)
	opts.Revision = "v9" // not the pinned one
	m, err := Get(context.Background(), "all-MiniLM-L6-v2", opts)
	if err != nil || filepath.Base(m.Dir) != "all-MiniLM-L6-v2@v9" {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestToken(t *testing.T) {
	h := newHub(t, map[string]map[string][]byte{"some/bert": checkpoint(t, "bert")})
	h.token = "hf_secret"
	opts := options(t)
	if _, err := Get(context.Background(), "some/bert", opts); err == nil || !strings.Contains(err.Error(), "HF_TOKEN") {
		t.Errorf("got %v", err)
	}
	t.Setenv("HF_TOKEN", h.token)
	if _, err := Get(context.Background(), "some/bert", opts); err != nil {
		t.Error(err)
	}
}

func TestCancelLeavesNothing(t *testing.T) {
	newHub(t, map[string]map[string][]byte{"some/bert": checkpoint(t, "bert")})
	stop := errors.New("stopped by the user")
	ctx, cancel := context.WithCancelCause(context.Background())
	opts := options(t)
	opts.Progress = func(file string, _, _ int64) {
		if file == "model.safetensors" {
			cancel(stop)
		}
	}
	if _, err := Get(ctx, "some/bert", opts); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	clean(t, opts)
}

func TestSeveralAtOnce(t *testing.T) {
	h := newHub(t, map[string]map[string][]byte{"some/bert": checkpoint(t, "bert")})
	opts := options(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := Get(context.Background(), "some/bert", opts); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	downloads := 0
	for _, r := range h.requests {
		if strings.HasPrefix(r, "STORE model.safetensors") {
			downloads++
		}
	}
	if downloads != 1 {
		t.Errorf("downloaded %d times", downloads)
	}
}

func TestDamagedCacheIsRepaired(t *testing.T) {
	newHub(t, map[string]map[string][]byte{"some/bert": checkpoint(t, "bert")})
	opts := options(t)
	m, err := Get(context.Background(), "some/bert", opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(m.Dir, "model.safetensors"), 100); err != nil {
		t.Fatal(err)
	}
	var log []string
	opts.Log = func(line string) { log = append(log, line) }
	if m, err = Get(context.Background(), "some/bert", opts); err != nil || m.Cached {
		t.Fatalf("got %+v, %v", m, err)
	}
	whole(t, m)
	if !strings.Contains(strings.Join(log, "\n"), "damaged") {
		t.Errorf("log %q", log)
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"", "bert", "../x", "a/../b", "a/b/c", "a/.b", "-a/b", `a\b/c`} {
		if _, err := Get(context.Background(), name, options(t)); err == nil || !strings.Contains(err.Error(), "all-MiniLM-L6-v2") {
			t.Errorf("%q: got %v", name, err)
		}
	}
	for _, opts := range []Options{{Source: "ftp"}, {Revision: "../x"}} {
		if _, err := Get(context.Background(), "bert-base-cased", opts); err == nil {
			t.Errorf("%+v is accepted", opts)
		}
	}
	if !slices.IsSorted(List()) || len(List()) != len(known) {
		t.Errorf("List: %q", List())
	}
}
