package shape

import "github.com/peftgraph/peftgraph/graph"

func init() {
	register("", crossEntropy, "SoftmaxCrossEntropyLoss")
	register("", likelihood, "NegativeLogLikelihoodLoss")
}

// crossEntropy: the loss is a scalar, or the labels' shape with reduction "none"; the second output is log_softmax(scores).
func crossEntropy(c *context) error {
	if err := c.set(1, c.dtype(0), c.shape(0)); err != nil {
		return err
	}
	return likelihood(c)
}

func likelihood(c *context) error {
	if c.Str("reduction", "mean") == "none" {
		return c.set(0, c.dtype(0), c.shape(1))
	}
	return c.set(0, c.dtype(0), graph.Shape{})
}
