package runtime

import ort "github.com/yalue/onnxruntime_go"

func init() {
	register(provider{
		name: "cpu",
		// onnxruntime appends it itself, behind all others.
		add:  func(*ort.SessionOptions, map[string]string) error { return nil },
		hint: "run `peftgraph runtime install`",
	})
}
