package runtime

import (
	"errors"

	ort "github.com/yalue/onnxruntime_go"
)

func init() {
	register(provider{
		name: "cuda",
		rank: 1,
		add:  addCUDA,
		hint: "run `peftgraph runtime install --provider cuda`, and have an NVIDIA driver, CUDA 13 and cuDNN 9 on the loader's path",
	})
}

func addCUDA(o *ort.SessionOptions, options map[string]string) error {
	cuda, err := ort.NewCUDAProviderOptions()
	if err != nil {
		return err
	}
	err = cuda.Update(options)
	if err == nil {
		err = o.AppendExecutionProviderCUDA(cuda)
	}
	return errors.Join(err, cuda.Destroy())
}
