package refeval

import (
	"errors"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", "Dropout", 7, arity{1, 1}, dropout(false))
	register("", "Dropout", 10, arity{1, 1}, dropout(true))
	register("", "Dropout", 12, arity{1, 3}, dropoutInputs)
}

// dropout is the identity, as in inference; the mask keeps everything.
func dropout(boolMask bool) kernel {
	return func(c *call) ([]*array, error) {
		x, err := c.floatArg(0)
		if err != nil {
			return nil, err
		}
		mask := newArray(graph.Bool, x.dims)
		for k := range mask.i {
			mask.i[k] = 1
		}
		if !boolMask {
			mask = cast(mask, x.dtype)
		}
		return []*array{x, mask}, nil
	}
}

func dropoutInputs(c *call) ([]*array, error) {
	ratio, err := c.scalar(1, .5)
	if err != nil {
		return nil, err
	}
	training, err := c.scalar(2, 0)
	if err != nil {
		return nil, err
	}
	if training != 0 && ratio != 0 {
		return nil, errors.New("training_mode is true: random dropping has no reference; multiply by a mask that is fed")
	}
	return dropout(true)(c)
}
