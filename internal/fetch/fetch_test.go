package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peftgraph/peftgraph/internal/fetch/fetchtest"
)

func TestMain(m *testing.M) {
	firstWait = time.Millisecond
	os.Exit(m.Run())
}

type member = fetchtest.File

// pack writes an archive of the kind that its name says.
func pack(t *testing.T, name string, members ...member) string {
	t.Helper()
	data := fetchtest.Zip
	if filepath.Ext(name) == ".tgz" {
		data = fetchtest.Tgz
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data(t, members...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnpack(t *testing.T) {
	for _, name := range []string{"a.tgz", "a.zip", "a.whl", "a.jar"} {
		archive := pack(t, name, member{"pkg/lib/x.so.1", "library"}, member{"pkg/README", "text"}, member{"./pkg/lib/y.so", "other"})
		dir := t.TempDir()
		files, err := Unpack(archive, []string{"pkg/lib/x.so.*", "pkg/lib/y.so", "pkg/lib/z.so" + Optional}, dir)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "x.so.1"))
		if err != nil || string(got) != "library" || len(files) != 2 {
			t.Errorf("%s: %q, %v, %v", name, got, err, files)
		}
		for file, want := range files {
			if d, err := DigestFile(filepath.Join(dir, file)); err != nil || d != want {
				t.Errorf("%s: %s has %v, want %v (%v)", name, file, d, want, err)
			}
		}
	}
}

func TestUnpackRefuses(t *testing.T) {
	cut := func(path string) string {
		info, err := os.Stat(path)
		if err == nil {
			err = os.Truncate(path, info.Size()/2)
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct{ archive, want string }{
		"tar missing":  {pack(t, "a.tgz", member{"other", "x"}), "it holds no wanted"},
		"zip missing":  {pack(t, "a.zip", member{"other", "x"}), "it holds no wanted"},
		"tar escaping": {pack(t, "a.tgz", member{"../wanted", "x"}), "unsafe"},
		"zip escaping": {pack(t, "a.zip", member{"/wanted", "x"}), "unsafe"},
		"tar link":     {pack(t, "a.tgz", member{"wanted", "-> /etc/passwd"}), "it holds no wanted"},
		"tar cut":      {cut(pack(t, "a.tgz", member{"wanted", strings.Repeat("x", 100)})), "cut off"},
		"zip cut":      {cut(pack(t, "a.zip", member{"wanted", strings.Repeat("x", 100)})), "cut off"},
		"twice":        {pack(t, "a.zip", member{"wanted", "x"}, member{"wanted", "y"}), "exists"},
		"no tar":       {pack(t, "a.bin", member{"wanted", "x"}), "no gzip file"},
	} {
		dir := t.TempDir()
		if _, err := Unpack(c.archive, []string{"wanted"}, dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if _, err := os.Lstat(filepath.Join(filepath.Dir(dir), "wanted")); err == nil {
			t.Errorf("%s: a member was written outside", name)
		}
	}
}

// answers serves data, each answer cut after the next of the given lengths.
func answers(t *testing.T, data []byte, ranges bool, lengths ...int) (url string, requests *atomic.Int64) {
	t.Helper()
	requests = &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(requests.Add(1)) - 1
		rest, from := data, 0
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil && ranges && r.Header.Get("If-Range") == `"v1"` {
			rest = data[from:]
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
		}
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(rest)))
		if len(rest) < len(data) {
			w.WriteHeader(http.StatusPartialContent)
		}
		if n < len(lengths) {
			rest = rest[:lengths[n]]
		}
		w.Write(rest)
	}))
	t.Cleanup(server.Close)
	return server.URL, requests
}

func TestDownloadResumes(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 1000)
	sum := sha256.Sum256(data)
	want := Digest{Size: 10000, SHA256: hex.EncodeToString(sum[:])}
	for _, c := range []struct {
		name     string
		ranges   bool
		lengths  []int
		requests int64
	}{
		{"whole", true, nil, 1},
		{"twice broken", true, []int{4000, 3000}, 3},
		{"a server without ranges", false, []int{4000, 3000}, 3},
	} {
		url, requests := answers(t, data, c.ranges, c.lengths...)
		var done, total int64
		got, err := Download(context.Background(), url, nil, filepath.Join(t.TempDir(), "f"), func(d, of int64) { done, total = d, of })
		if err != nil || got != want || requests.Load() != c.requests || done != 10000 || total != 10000 {
			t.Errorf("%s: %v, %v after %d requests; progress %d of %d", c.name, got, err, requests.Load(), done, total)
		}
	}
}

func TestDownloadGivesUp(t *testing.T) {
	url, requests := answers(t, make([]byte, 100), true, 50, 0, 0, 0, 0, 0, 0, 0)
	silent := func(int64, int64) {}
	if _, err := Download(context.Background(), url, nil, filepath.Join(t.TempDir(), "f"), silent); err == nil || !strings.Contains(err.Error(), "after 50 bytes") {
		t.Errorf("got %v", err)
	}
	if n := requests.Load(); n != 1+attempts {
		t.Errorf("%d requests", n)
	}
	missing := httptest.NewServer(http.NotFoundHandler())
	defer missing.Close()
	var status *StatusError
	if _, err := Download(context.Background(), missing.URL, nil, filepath.Join(t.TempDir(), "f"), silent); !errors.As(err, &status) || status.Code != 404 {
		t.Errorf("got %v", err)
	}
}

func TestDownloadIsCancelled(t *testing.T) {
	stop := errors.New("stop")
	url, _ := answers(t, make([]byte, 100), true, 50, 0, 0, 0, 0)
	ctx, cancel := context.WithCancelCause(context.Background())
	_, err := Download(ctx, url, nil, filepath.Join(t.TempDir(), "f"), func(int64, int64) { cancel(stop) })
	if !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

func TestLockWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(context.Background(), path, func() { t.Error("a free lock was waited for") })
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan bool, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
	defer cancel()
	if _, err := Lock(ctx, path, func() { waiting <- true }); !errors.Is(err, context.DeadlineExceeded) || len(waiting) != 1 {
		t.Errorf("got %v", err)
	}
	unlock()
	if unlock, err = Lock(context.Background(), path, func() {}); err != nil {
		t.Error(err)
	} else {
		unlock()
	}
}

func TestToolErrors(t *testing.T) {
	err := Tool(context.Background(), t.TempDir(), "go", "no-such-command")
	if err == nil || !strings.Contains(err.Error(), "unknown command") || !strings.Contains(err.Error(), "go no-such-command") {
		t.Errorf("got %v", err)
	}
}

func TestFillReplacesOrChangesNothing(t *testing.T) {
	cache := t.TempDir()
	for _, dir := range []string{PartPrefix + "1/x", "old"} {
		if err := os.MkdirAll(filepath.Join(cache, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dst := filepath.Join(cache, "old")
	Sweep(cache)
	want := []string{"old"}
	check := func(when string) {
		t.Helper()
		var names []string
		err := filepath.WalkDir(cache, func(path string, _ os.DirEntry, err error) error {
			names = append(names, filepath.Base(path))
			return err
		})
		if err != nil || !slices.Equal(names[1:], want) {
			t.Errorf("%s: %q, %v; want %q", when, names[1:], err, want)
		}
	}
	check("after Sweep")

	boom := errors.New("boom")
	ctx, cancel := context.WithCancelCause(context.Background())
	put := func(err error, stop bool) func(work, dir string) error {
		return func(work, dir string) error {
			if stop {
				cancel(boom)
			}
			return errors.Join(WriteJSON(filepath.Join(work, "b.json"), 1), WriteJSON(filepath.Join(dir, "a.json"), map[string]int{"a": 1}), err)
		}
	}
	if err := Fill(ctx, cache, dst, put(boom, false)); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	check("after an error")
	if err := Fill(ctx, cache, dst, put(nil, false)); err != nil {
		t.Error(err)
	}
	want = []string{"old", "a.json"}
	check("after success")
	var got map[string]int
	if err := ReadJSON(filepath.Join(dst, "a.json"), &got); err != nil || got["a"] != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if err := Fill(ctx, cache, filepath.Join(cache, "new"), put(nil, true)); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	check("after a cancel")
}

func TestFirstOf(t *testing.T) {
	var asked, log []string
	source := func(name string, err error) Source {
		return Source{name, func() error { asked = append(asked, name); return err }}
	}
	tell := func(line string) { log = append(log, line) }
	first, second := source("a", errors.New("shut")), source("b", errors.New("far"))
	if err := FirstOf(context.Background(), []Source{first, source("ok", nil), second}, "", tell); err != nil || !slices.Equal(asked, []string{"a", "ok"}) {
		t.Errorf("%v, asked %q", err, asked)
	}
	if !slices.Equal(log, []string{"a: shut"}) {
		t.Errorf("log %q", log)
	}
	if err := FirstOf(context.Background(), []Source{first, second}, "walk", tell); err == nil || err.Error() != "no source worked:\na: shut\nb: far\nwalk" {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	asked = nil
	stop := Source{"stop", func() error { cancel(); return errors.New("killed") }}
	if err := FirstOf(ctx, []Source{stop, first}, "walk", tell); err != context.Canceled || len(asked) > 0 {
		t.Errorf("%v, asked %q", err, asked)
	}
}

func TestComplete(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, files := range map[string]map[string]Digest{
		"<nil>":                      {"f": {Size: 5}},
		"g is missing":               {"f": {Size: 5}, "g": {}},
		"f has 5 bytes instead of 6": {"f": {Size: 6}},
	} {
		if err := Complete(dir, files); !strings.HasSuffix(fmt.Sprint(err), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
