//go:build !windows

package runtime

/*
#cgo linux LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

// The head of onnxruntime's public ABI, which never changes: OrtApiBase's two functions, and an OrtApi that is a table of
// functions in a fixed order (onnxruntime_c_api.h).
typedef struct { void **(*get_api)(uint32_t); const char *(*version)(void); } api_base;
typedef void *(*providers_fn)(char ***, int *);
typedef void *(*release_fn)(char **, int);
enum { GET_AVAILABLE_PROVIDERS = 125, RELEASE_AVAILABLE_PROVIDERS = 126 };

static const api_base *probe_base(void *handle) {
	const api_base *(*get)(void) = (const api_base *(*)(void))dlsym(handle, "OrtGetApiBase");
	return get ? get() : NULL;
}
static const char *probe_version(const api_base *b) { return b->version(); }
static int probe_providers(const api_base *b, uint32_t v, char ***names) {
	void **api = b->get_api(v);
	int n = 0;
	if (!api || ((providers_fn)api[GET_AVAILABLE_PROVIDERS])(names, &n)) return 0;
	return n;
}
static void probe_release(const api_base *b, uint32_t v, char **names, int n) {
	((release_fn)b->get_api(v)[RELEASE_AVAILABLE_PROVIDERS])(names, n);
}
*/
import "C"

import (
	"errors"
	"unsafe"
)

// probe is a loaded library, seen only through the part of its ABI that all its versions share. The binding itself does not
// tell an old library's version, nor the providers.
type probe struct{ base *C.api_base }

func openProbe(path string) (*probe, error) {
	handle, err := loadLibrary(path)
	if err != nil {
		return nil, err
	}
	base := C.probe_base(handle)
	if base == nil {
		C.dlclose(handle)
		return nil, errors.New("it is no onnxruntime: it has no symbol OrtGetApiBase")
	}
	return &probe{base}, nil
}

// loadLibrary maps a shared library; its error names what is missing.
func loadLibrary(path string) (unsafe.Pointer, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	handle := C.dlopen(name, C.RTLD_LAZY|C.RTLD_LOCAL)
	if handle == nil {
		return nil, errors.New(C.GoString(C.dlerror()))
	}
	return handle, nil
}

func (p *probe) version() string { return C.GoString(C.probe_version(p.base)) }

func (p *probe) providers() []string {
	var names **C.char
	n := C.probe_providers(p.base, MinAPIVersion, &names)
	if n == 0 {
		return nil
	}
	defer C.probe_release(p.base, MinAPIVersion, names, n)
	out := make([]string, n)
	for i, name := range unsafe.Slice(names, n) {
		out[i] = C.GoString(name)
	}
	return out
}
