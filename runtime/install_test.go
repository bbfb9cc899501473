//go:build !windows

package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peftgraph/peftgraph/internal/fetch"
	"github.com/peftgraph/peftgraph/internal/fetch/fetchtest"
)

// unknown is a release that no pin exists for, so that its archives can be made up here.
const unknown = "1.99.0"

type file = fetchtest.File

// world is a machine that loads any file as a library, with a cache folder, a GitHub that serves what a test wants, and only the tools that a test puts there.
type world struct {
	t     *testing.T
	cache string
	bin   string
	log   []string
	mu    sync.Mutex
}

func newWorld(t *testing.T, release http.HandlerFunc) *world {
	t.Helper()
	w := &world{t: t, cache: filepath.Join(t.TempDir(), "cache"), bin: t.TempDir()}
	t.Setenv("PATH", w.bin)
	server := httptest.NewServer(release)
	t.Cleanup(server.Close)
	old := sources
	sources = []source{github{base: server.URL}, npm{}, pip{}}
	check := loads
	loads = func(string) error { return nil }
	t.Cleanup(func() { sources, loads = old, check })
	return w
}

func (w *world) options() InstallOptions {
	return InstallOptions{Version: unknown, CacheDir: w.cache, Log: func(line string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.log = append(w.log, line)
	}}
}

// tool puts a shell script on the PATH.
func (w *world) tool(name, script string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		w.t.Fatal(err)
	}
}

// store keeps an archive for a fake tool to "download".
func (w *world) store(name string, data []byte) string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func (w *world) logged(part string) bool {
	return slices.ContainsFunc(w.log, func(line string) bool { return strings.Contains(line, part) })
}

// clean fails the test when a failed install has left anything that Find could take, or any part.
func (w *world) clean() {
	w.t.Helper()
	var left []string
	filepath.WalkDir(w.cache, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Base(path) != ".lock" && filepath.Base(path) != trustedName {
			left = append(left, path)
		}
		return nil
	})
	parts, _ := filepath.Glob(filepath.Join(w.cache, fetch.PartPrefix+"*"))
	if left = append(left, parts...); len(left) > 0 {
		w.t.Errorf("left behind: %v", left)
	}
	if path := newestInstalled(w.cache); path != "" {
		w.t.Errorf("a failed install can be found: %s", path)
	}
}

func offline(w http.ResponseWriter, _ *http.Request) { http.Error(w, "blocked", http.StatusForbidden) }

func serve(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.Write(data) }
}

func here(t *testing.T, sources map[string]string) string {
	t.Helper()
	name, ok := sources[goruntime.GOOS+"/"+goruntime.GOARCH]
	if !ok {
		t.Skipf("onnxruntime has no build for %s/%s", goruntime.GOOS, goruntime.GOARCH)
	}
	return name
}

func npmMember(t *testing.T) string {
	a, _ := npm{}.find(build{unknown, "cpu", goruntime.GOOS, goruntime.GOARCH})
	here(t, npmPlatforms)
	return strings.Replace(a.members[0], "*", "6", 1)
}

func mainLibrary() string {
	return build{unknown, "cpu", goruntime.GOOS, goruntime.GOARCH}.files()[0]
}

func githubRelease(t *testing.T, text string) []byte {
	dir := "onnxruntime-some-platform-" + unknown + "/lib/"
	return fetchtest.Tgz(t, file{dir + "libonnxruntime.so", "-> " + mainLibrary()}, file{dir + mainLibrary(), text}, file{dir + "pkgconfig/x.pc", "no"})
}

func mustInstall(t *testing.T, w *world, opts InstallOptions, want string) Library {
	t.Helper()
	lib, err := Install(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(lib.Path)
	if err != nil || string(got) != want {
		t.Fatalf("%s holds %q, %v; want %q", lib.Path, got, err, want)
	}
	if found := newestInstalled(w.cache); found != lib.Path {
		t.Errorf("newestInstalled = %q, want %q", found, lib.Path)
	}
	return lib
}

func TestInstallFromGitHub(t *testing.T) {
	here(t, npmPlatforms)
	var asked string
	w := newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path
		rw.Write(githubRelease(t, "from github"))
	})
	opts := w.options()
	var done, total int64
	opts.Progress = func(d, n int64) { done, total = d, n }
	lib := mustInstall(t, w, opts, "from github")
	if !strings.HasPrefix(asked, "/microsoft/onnxruntime/releases/download/v"+unknown+"/onnxruntime-") {
		t.Errorf("asked for %s", asked)
	}
	if done == 0 || done != total {
		t.Errorf("progress ended at %d of %d", done, total)
	}
	if !w.logged("no checksum is known") {
		t.Errorf("the log does not say that the download is trusted unseen: %q", w.log)
	}
	r, err := readRecord(filepath.Dir(lib.Path))
	if err != nil || r.Pinned || r.Source != "github" || r.SHA256 == "" {
		t.Errorf("record = %+v, %v", r, err)
	}
}

func TestInstallFallsThroughToNpmThenPip(t *testing.T) {
	member := npmMember(t)
	archive := "onnxruntime-node-" + unknown + ".tgz"
	w := newWorld(t, offline)
	npmPackage := w.store(archive, fetchtest.Tgz(t, file{member, "from npm"}, file{"package/script/install.js", "evil"}))
	w.tool("npm", fmt.Sprintf(`[ "$1 $2 $3" = "pack onnxruntime-node@%s --ignore-scripts" ] && /bin/cp %s .`, unknown, npmPackage))
	mustInstall(t, w, w.options(), "from npm")
	if !w.logged("403") {
		t.Errorf("the log does not say why github was passed over: %q", w.log)
	}

	w = newWorld(t, offline)
	w.tool("npm", "echo 'npm error 404 no such package' >&2; exit 1")
	whl := w.store("onnxruntime-1.99.0-cp312-cp312-any.whl", fetchtest.Zip(t, file{"onnxruntime/capi/" + mainLibrary(), "from pip"}))
	w.tool("python3", "exit 1") // a Python without pip
	w.tool("pip", `if [ "$1" = --version ]; then exit 0; fi
while [ "$1" != --dest ]; do shift; done
/bin/cp `+whl+` "$2"`)
	mustInstall(t, w, w.options(), "from pip")
	if !w.logged("404 no such package") {
		t.Errorf("the log does not hold npm's reason: %q", w.log)
	}
}

func TestInstallWithoutAnySource(t *testing.T) {
	here(t, npmPlatforms)
	w := newWorld(t, offline)
	_, err := Install(context.Background(), w.options())
	for _, want := range []string{"github: ", "403", "no npm on this machine", "no pip on this machine", EnvLibrary} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	w.clean()
}

func TestInstallRefusesBadArchives(t *testing.T) {
	here(t, npmPlatforms)
	good := githubRelease(t, strings.Repeat("library", 1000))
	dir := "onnxruntime-p-" + unknown + "/lib/"
	part := false
	for name, test := range map[string]struct {
		serve http.HandlerFunc
		want  string
	}{
		"not an archive": {serve([]byte("<html>log in to the hotel's wifi</html>")), "no gzip file"},
		"cut archive":    {serve(good[:len(good)/2]), "cut off"},
		"cut download": {func(w http.ResponseWriter, r *http.Request) {
			if part = !part; !part { // it is asked for the rest
				offline(w, r)
				return
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(good)))
			w.Write(good[:len(good)/2])
		}, "403"},
		"library missing": {serve(fetchtest.Tgz(t, file{dir + "README", "x"})), "it holds no"},
		"library a link":  {serve(fetchtest.Tgz(t, file{dir + mainLibrary(), "-> /etc/passwd"})), "it holds no"},
		"climbing name":   {serve(fetchtest.Tgz(t, file{"../../" + dir + mainLibrary(), "x"}, file{dir + mainLibrary(), "x"})), "unsafe"},
		"absolute name":   {serve(fetchtest.Tgz(t, file{"/" + dir + mainLibrary(), "x"})), "unsafe"},
		"library twice":   {serve(fetchtest.Tgz(t, file{dir + mainLibrary(), "x"}, file{dir + mainLibrary(), "y"})), "exists"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, test.serve)
			_, err := Install(context.Background(), w.options())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want %q", err, test.want)
			}
			w.clean()
		})
	}
}

func TestInstallChecksThePinnedSum(t *testing.T) {
	here(t, npmPlatforms)
	w := newWorld(t, serve(githubRelease(t, "changed on its way")))
	opts := w.options()
	opts.Version = DefaultVersion
	_, err := Install(context.Background(), opts)
	if err == nil || !strings.Contains(err.Error(), "sha256 is") {
		t.Errorf("error = %v, want a wrong sha256", err)
	}
	w.clean()
}

func TestInstallRemembersAnUnknownSum(t *testing.T) {
	here(t, npmPlatforms)
	text := "first"
	w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) { rw.Write(githubRelease(t, text)) })
	lib := mustInstall(t, w, w.options(), "first")
	if err := os.RemoveAll(filepath.Dir(lib.Path)); err != nil {
		t.Fatal(err)
	}
	text = "second"
	_, err := Install(context.Background(), w.options())
	if err == nil || !strings.Contains(err.Error(), "when it was first downloaded") {
		t.Errorf("error = %v, want a changed sha256", err)
	}
	w.clean()
	text = "first"
	mustInstall(t, w, w.options(), "first")
}

func TestInstallRepairsDamageAndKeepsWhatIsWhole(t *testing.T) {
	here(t, npmPlatforms)
	downloads := 0
	w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
		downloads++
		rw.Write(githubRelease(t, "library"))
	})
	lib := mustInstall(t, w, w.options(), "library")
	mustInstall(t, w, w.options(), "library")
	if downloads != 1 {
		t.Errorf("%d downloads for two installs", downloads)
	}
	if err := os.Truncate(lib.Path, 3); err != nil {
		t.Fatal(err)
	}
	if found := newestInstalled(w.cache); found != "" {
		t.Errorf("a cut library is found: %s", found)
	}
	mustInstall(t, w, w.options(), "library")
	if !w.logged("damaged") {
		t.Errorf("the log does not tell of the damage: %q", w.log)
	}
}

func TestInstallCancelled(t *testing.T) {
	here(t, npmPlatforms)
	good := githubRelease(t, strings.Repeat("library", 1000))
	ctx, cancel := context.WithCancel(context.Background())
	w := newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Write(good[:100])
		rw.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	})
	if _, err := Install(ctx, w.options()); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want %v", err, context.Canceled)
	}
	w.clean()

	ctx, cancel = context.WithCancel(context.Background())
	w = newWorld(t, offline)
	w.tool("npm", ": > half.tgz; exec /bin/sleep 60")
	time.AfterFunc(300*time.Millisecond, cancel)
	start := time.Now()
	if _, err := Install(ctx, w.options()); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want %v", err, context.Canceled)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the cancel took %s", took)
	}
	w.clean()
}

func TestInstallTwiceAtOnce(t *testing.T) {
	here(t, npmPlatforms)
	var mu sync.Mutex
	downloads := 0
	w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		downloads++
		mu.Unlock()
		time.Sleep(150 * time.Millisecond)
		rw.Write(githubRelease(t, "library"))
	})
	opts := w.options()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, err := Install(context.Background(), opts); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if downloads != 1 {
		t.Errorf("%d downloads for three installs at once", downloads)
	}
}

func TestInstallSweepsWhatAKilledOneLeft(t *testing.T) {
	here(t, npmPlatforms)
	w := newWorld(t, serve(githubRelease(t, "library")))
	left := filepath.Join(w.cache, fetch.PartPrefix+"123")
	if err := os.MkdirAll(filepath.Join(left, "unpacked"), 0o755); err != nil {
		t.Fatal(err)
	}
	mustInstall(t, w, w.options(), "library")
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there (%v)", left, err)
	}
}

func TestInstallRefusesBadOptions(t *testing.T) {
	for want, opts := range map[string]InstallOptions{
		"numbers":            {Version: "../../etc"},
		"needs >=":           {Version: "1.17.3"},
		"want cpu or cuda":   {Provider: "tpu"},
		"github, npm, pip":   {Source: "ftp"},
		`version "latest"`:   {Version: "latest"},
		`provider "CUDA"`:    {Provider: "CUDA"},
		`version "1.30.0 -"`: {Version: "1.30.0 -"},
	} {
		opts.CacheDir = t.TempDir()
		if _, err := Install(context.Background(), opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Install(%+v) = %v, want %q", opts, err, want)
		}
	}
}

// TestEveryPlatformOfTheDefaultReleaseIsPinned: an archive of the default release without a pin would be trusted unseen.
func TestEveryPlatformOfTheDefaultReleaseIsPinned(t *testing.T) {
	for key := range pipPlatforms {
		parts := append(strings.Split(key, "/"), "cpu")
		b := build{DefaultVersion, parts[2], parts[0], parts[1]}
		a, ok := github{}.find(b)
		if _, pinned := pins[a.pkg]; !ok || !pinned {
			t.Errorf("%s: github's %s has no pin", b, a.pkg)
		}
		stem := map[string]string{"cpu": "onnxruntime", "cuda": "onnxruntime_gpu"}[b.provider]
		if _, pinned := pins[fmt.Sprintf("%s-%s-cp312-cp312-%s.whl", stem, DefaultVersion, pipPlatforms[key][0])]; !pinned {
			t.Errorf("%s: pip's wheel has no pin", b)
		}
		if a, ok := (npm{}).find(b); ok != (b.provider == "cpu") {
			t.Errorf("%s: npm finds %v, %t", b, a, ok)
		}
	}
	if _, pinned := pins["onnxruntime-node-"+DefaultVersion+".tgz"]; !pinned {
		t.Error("npm's package has no pin")
	}
	for name, sum := range pins {
		if len(sum) != 64 || !strings.Contains(name, DefaultVersion) {
			t.Errorf("pin %s: %s", name, sum)
		}
	}
}

func TestNewestInstalled(t *testing.T) {
	cache := t.TempDir()
	put := func(version, provider, arch string, size int64) string {
		b := build{version, provider, goruntime.GOOS, arch}
		dir := entryDir(cache, b)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		lib := "libonnxruntime.so." + version
		r := record{Version: version, Provider: provider, Library: lib, Files: map[string]fetch.Digest{lib: {Size: size}}}
		text, _ := json.Marshal(r)
		if err := errors.Join(os.WriteFile(filepath.Join(dir, recordName), text, 0o644), os.WriteFile(filepath.Join(dir, lib), []byte("12345"), 0o644)); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, lib)
	}
	want := ""
	for _, step := range []struct {
		version, provider, arch string
		size                    int64
		wins                    bool
	}{
		{"1.23.0", "cpu", goruntime.GOARCH, 5, false}, // too old
		{"1.26.0", "cpu", goruntime.GOARCH, 5, true},
		{"1.30.0", "cpu", "other", 5, false},           // another machine's
		{"1.31.0", "cpu", goruntime.GOARCH, 50, false}, // cut off
		{"1.30.0", "cpu", goruntime.GOARCH, 5, true},
		{"1.30.0", "cuda", goruntime.GOARCH, 5, true}, // has the CPU provider too
		{"1.9.0", "cuda", goruntime.GOARCH, 5, false},
	} {
		path := put(step.version, step.provider, step.arch, step.size)
		if step.wins {
			want = path
		}
		if got := newestInstalled(cache); got != want {
			t.Errorf("after %+v: %q, want %q", step, got, want)
		}
	}
}
