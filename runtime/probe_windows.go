package runtime

import (
	"errors"
	"syscall"
	"unsafe"
)

// Positions in onnxruntime's OrtApi, a table of functions in a fixed order (onnxruntime_c_api.h).
const (
	getAvailableProviders     = 125
	releaseAvailableProviders = 126
)

// apiBase is onnxruntime's OrtApiBase.
type apiBase struct{ getAPI, version uintptr }

// probe is a loaded library, seen only through the part of its ABI that all its versions share. The binding itself does not
// tell an old library's version, nor the providers.
type probe struct{ base *apiBase }

func openProbe(path string) (*probe, error) {
	handle, err := loadLibrary(path)
	if err != nil {
		return nil, err
	}
	get, err := syscall.GetProcAddress(handle, "OrtGetApiBase")
	if err != nil {
		syscall.FreeLibrary(handle)
		return nil, errors.New("it is no onnxruntime: it has no symbol OrtGetApiBase")
	}
	base, _, _ := syscall.SyscallN(get)
	if base == 0 {
		return nil, errors.New("OrtGetApiBase returned nothing")
	}
	return &probe{(*apiBase)(pointer(base))}, nil
}

// loadLibrary maps a shared library.
func loadLibrary(path string) (syscall.Handle, error) { return syscall.LoadLibrary(path) }

func (p *probe) version() string {
	text, _, _ := syscall.SyscallN(p.base.version)
	return goString(text)
}

func (p *probe) providers() []string {
	api, _, _ := syscall.SyscallN(p.base.getAPI, MinAPIVersion)
	if api == 0 {
		return nil
	}
	table := (*[releaseAvailableProviders + 1]uintptr)(pointer(api))
	var names uintptr
	var n int32
	status, _, _ := syscall.SyscallN(table[getAvailableProviders], uintptr(unsafe.Pointer(&names)), uintptr(unsafe.Pointer(&n)))
	if status != 0 || n == 0 {
		return nil
	}
	defer syscall.SyscallN(table[releaseAvailableProviders], names, uintptr(n))
	out := make([]string, n)
	for i, name := range unsafe.Slice((*uintptr)(pointer(names)), n) {
		out[i] = goString(name)
	}
	return out
}

// pointer turns an address outside Go's heap, as a system call returns it, into a pointer.
func pointer(addr uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }

func goString(addr uintptr) string {
	var text []byte
	for p := (*byte)(pointer(addr)); *p != 0; p = (*byte)(unsafe.Add(unsafe.Pointer(p), 1)) {
		text = append(text, *p)
	}
	return string(text)
}
