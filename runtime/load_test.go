//go:build !windows

package runtime

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/internal/fetch/fetchtest"
)

// fakeLibrary is C for the part of onnxruntime that tells its version and providers.
const fakeLibrary = `
typedef struct { void **(*get_api)(unsigned); const char *(*version)(void); } base;
static void *providers(char ***names, int *n) { *n = 0; return 0; }
static void *api[200] = {[125] = providers};
static void **get_api(unsigned v) { return api; }
static const char *version(void) { return VERSION; }
const base *OrtGetApiBase(void) { static const base b = {get_api, version}; return &b; }
`

// compile builds a shared library with the compiler that this package's own C was built with.
func compile(t *testing.T, source string, args ...string) string {
	t.Helper()
	cc, err := exec.Command("go", "env", "CC").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	code, path := filepath.Join(dir, "lib.c"), filepath.Join(dir, "libonnxruntime.so")
	if err := os.WriteFile(code, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	command := append(strings.Fields(string(cc)), "-shared", "-fPIC", "-o", path, code)
	if out, err := exec.Command(command[0], append(command[1:], args...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

func TestInfoOfAnOldLibrary(t *testing.T) {
	path := compile(t, fakeLibrary, `-DVERSION="1.17.3"`)
	_, err := Library{Path: path, Origin: "flag"}.Info()
	want := "library " + path + " is onnxruntime 1.17.3; peftgraph needs >= 1.24 (API 24): run `peftgraph runtime install`"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error = %v, want %q", err, want)
	}
}

// A system whose C library is too old, made by asking for one that does not exist yet.
func TestInfoOfALibraryForANewerSystem(t *testing.T) {
	if goruntime.GOOS != "linux" {
		t.Skip("only Linux has versions of symbols")
	}
	script := filepath.Join(t.TempDir(), "versions")
	if err := os.WriteFile(script, []byte("GLIBC_9.99 { from_the_future; };"), 0o644); err != nil {
		t.Fatal(err)
	}
	future := compile(t, "void from_the_future(void) {}", "-nostdlib", "-Wl,-soname,libc.so.6", "-Wl,--version-script="+script)
	path := compile(t, "void from_the_future(void); void use(void) { from_the_future(); }", "-nostdlib", future)
	_, err := Library{Path: path, Origin: "flag"}.Info()
	for _, want := range []string{path, "does not load", "GLIBC_9.99", "older than this build", "--ort-lib"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want %q", err, want)
		}
	}
}

// What is installed must load on this machine; where it doesn't, the next source is tried.
func TestInstallLoadsTheLibrary(t *testing.T) {
	here(t, npmPlatforms)
	load := loads
	newLibrary := func(version string) string {
		text, err := os.ReadFile(compile(t, fakeLibrary, `-DVERSION="`+version+`"`))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	works := newLibrary(unknown)
	npmPackage := fetchtest.Tgz(t, file{npmMember(t), works})
	for _, c := range []struct{ name, library, want string }{
		{"no library", "text", "does not load"},
		{"too old", newLibrary("1.17.3"), "1.17.3; peftgraph needs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, serve(githubRelease(t, c.library)))
			loads = load
			if _, err := Install(context.Background(), w.options()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want %q", err, c.want)
			}
			w.clean()
			w.tool("npm", "/bin/cp "+w.store("onnxruntime-node-"+unknown+".tgz", npmPackage)+" .")
			mustInstall(t, w, w.options(), works)
			if !w.logged(c.want) {
				t.Errorf("the log does not say why github was passed over: %q", w.log)
			}
		})
	}
}

// A build that can't be loaded any more, as after a home folder's move to an older system, is not called installed.
func TestInstallLoadsWhatIsThere(t *testing.T) {
	here(t, npmPlatforms)
	w := newWorld(t, serve(githubRelease(t, "library")))
	mustInstall(t, w, w.options(), "library")
	broken := errors.New("does not load here")
	loads = func(string) error { return broken }
	if _, err := Install(context.Background(), w.options()); !errors.Is(err, broken) {
		t.Errorf("error = %v, want %v", err, broken)
	}
	w.clean()
}
