package runtime

import (
	"fmt"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
)

// Runtime is a loaded libonnxruntime. It is global to the process, as onnxruntime itself is.
type Runtime struct {
	lib  Library
	info Info
}

var opened struct {
	sync.Mutex
	runtime *Runtime
}

// Open loads a library and starts onnxruntime's environment. A process holds one library: opening the same path again
// returns the same Runtime, another path is an error. It stays until the process ends. A library that is too old gives a
// [VersionError].
func Open(lib Library) (*Runtime, error) {
	opened.Lock()
	defer opened.Unlock()
	if r := opened.runtime; r != nil {
		if r.lib.Path != lib.Path {
			return nil, fmt.Errorf("runtime: library %s: this process already runs %s", lib.Path, r.lib.Path)
		}
		return r, nil
	}
	info, err := lib.Info()
	if err != nil {
		return nil, err
	}
	ort.SetSharedLibraryPath(lib.Path)
	// What onnxruntime logs as an error it also returns as one; its log is off unless a session asks for it.
	if err := ort.InitializeEnvironment(ort.WithLogLevelFatal()); err != nil {
		return nil, fmt.Errorf("runtime: library %s: %w", lib.Path, err)
	}
	opened.runtime = &Runtime{lib: lib, info: info}
	return opened.runtime, nil
}

// Library returns the library that was opened.
func (r *Runtime) Library() Library { return r.lib }

// Info returns the library's version and providers.
func (r *Runtime) Info() Info { return r.info }
