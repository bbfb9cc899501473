package inject

import (
	"fmt"
	"slices"
)

func init() {
	register("bitfit", "the base's own biases, LayerNorms' included (Ben Zaken et al. 2022)", func() Method { return &BitFit{} })
}

// BitFit trains every bias of the encoder's layers and of its pooler.
type BitFit struct {
	copies
	Embeddings bool `json:"embeddings" flag:"embedding-bias" usage:"train the bias of the embeddings' LayerNorm too"`
}

// Inject makes the biases' readers read trainable copies.
func (b *BitFit) Inject(in *Injection) error {
	bs := in.allBiases()
	if !b.Embeddings {
		bs = slices.DeleteFunc(bs, func(x bias) bool { return x.module == in.Encoder.Embeddings.Norm.Name })
	}
	if len(bs) == 0 {
		return fmt.Errorf("the model has no biases")
	}
	return in.trainBiases(bs)
}
