package runtime

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/peftgraph/peftgraph/graph"
)

// call is one run of a session. onnxruntime reads feeds and writes outputs in Go's memory, which is pinned until release.
type call struct {
	session *Session
	feeds   map[string]*graph.Tensor
	fetches []string
	dims    map[string]int64 // sizes of the named input dimensions

	pinner goruntime.Pinner
	values []ort.Value // to destroy
}

func (c *call) release() {
	for _, v := range c.values {
		v.Destroy()
	}
	c.pinner.Unpin()
}

// output is where the result of one output goes.
type output struct {
	info   ValueInfo
	value  ort.Value     // nil: onnxruntime allocates it
	tensor *graph.Tensor // over value's memory; nil for a scalar too
}

// run takes one of the binding's two ways. A run by position feeds and fetches all that the model declares; onnxruntime may
// allocate outputs, and it can be stopped. A run by name takes any part, but each output's shape must be known before.
func (c *call) run(ctx context.Context) ([]*graph.Tensor, error) {
	sig := c.session.sig
	whole := len(c.fetches) == len(sig.outputs) && len(c.feeds) == len(sig.inputs) && len(sig.inputs) > 0
	if !whole {
		outputs, err := c.prepare(c.fetches)
		if err != nil {
			return nil, err
		}
		unknown := ""
		for _, o := range outputs {
			if o.value == nil {
				unknown = o.info.Name
			}
		}
		if unknown == "" {
			return c.byName(outputs)
		}
		if len(c.feeds) != len(sig.inputs) || len(sig.inputs) == 0 {
			return nil, fmt.Errorf("output %q: its shape must be declared for a run that feeds optional inputs, or none", unknown)
		}
	}
	outputs, err := c.prepare(valueNames(sig.outputs))
	if err != nil {
		return nil, err
	}
	return c.byPosition(ctx, outputs)
}

// prepare makes memory for the outputs whose shape is known.
func (c *call) prepare(names []string) ([]output, error) {
	outputs := make([]output, len(names))
	for i, name := range names {
		o := output{info: *find(c.session.sig.outputs, name)}
		dims, known := o.info.resolve(c.dims)
		// Scalars are always prepared: the binding can't return one that onnxruntime has allocated.
		if known && (len(dims) == 0 || !c.session.distrusted.Load()) {
			if err := c.allocate(&o, dims); err != nil {
				return nil, err
			}
		}
		outputs[i] = o
	}
	return outputs, nil
}

func (c *call) allocate(o *output, dims []int64) (err error) {
	if len(dims) == 0 {
		o.value, err = newScalar(o.info.DType, nil)
	} else {
		n, ok := byteSize(o.info.DType, dims)
		if !ok {
			return nil
		}
		if o.tensor, err = graph.NewTensor(o.info.DType, dims, c.session.pool.get(n)); err == nil {
			o.value, err = c.wrap(o.tensor)
		}
	}
	if err != nil {
		return fmt.Errorf("output %s: %w", o.info, err)
	}
	c.values = append(c.values, o.value)
	return nil
}

// maxPrepared is the size in bytes of the largest output that is given memory ahead of the run. A larger one may be a mistake
// in the model, which onnxruntime can report; Go would end the process.
const maxPrepared = 8 << 30

func byteSize(dtype graph.DType, dims []int64) (n int64, ok bool) {
	n = dtype.Size()
	for _, d := range dims {
		if d > 0 && n > maxPrepared/d {
			return 0, false
		}
		n *= d
	}
	return n, n <= maxPrepared
}

// wrap makes an onnxruntime value over a tensor's own memory.
func (c *call) wrap(t *graph.Tensor) (ort.Value, error) {
	data, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	if t.DType.Size() == 0 {
		return nil, fmt.Errorf("tensors of type %s can't be run", t.DType)
	}
	if len(t.Dims) == 0 {
		return newScalar(t.DType, data)
	}
	if len(data) == 0 {
		data = make([]byte, 1) // the binding wants an address even for a tensor without elements
	}
	c.pinner.Pin(&data[0])
	return ort.NewCustomDataTensor(t.Dims, data, ort.TensorElementDataType(t.DType))
}

// feed wraps the tensor that is fed for an input.
func (c *call) feed(name string) (ort.Value, error) {
	t, err := aligned(c.feeds[name])
	if err != nil {
		return nil, fmt.Errorf("input %q: %w", name, err)
	}
	v, err := c.wrap(t)
	if err != nil {
		return nil, fmt.Errorf("input %q: %w", name, err)
	}
	c.values = append(c.values, v)
	return v, nil
}

// aligned returns t, or a copy where its bytes, in a file, don't start at a multiple of its element's size.
func aligned(t *graph.Tensor) (*graph.Tensor, error) {
	data, err := t.Bytes()
	size := min(t.DType.Size(), 8)
	if err != nil || size == 0 || len(data) == 0 || uintptr(unsafe.Pointer(&data[0]))%uintptr(size) == 0 {
		return t, err
	}
	return graph.NewTensor(t.DType, t.Dims, append(make([]byte, 0, len(data)), data...))
}

func (c *call) byPosition(ctx context.Context, outputs []output) ([]*graph.Tensor, error) {
	inputs := make([]ort.Value, len(c.session.sig.inputs))
	for i, in := range c.session.sig.inputs {
		v, err := c.feed(in.Name)
		if err != nil {
			return nil, err
		}
		inputs[i] = v
	}
	values := make([]ort.Value, len(outputs))
	for i, o := range outputs {
		values[i] = o.value
	}
	err := withCancel(ctx, func(ro *ort.RunOptions) error { return c.session.ort.RunWithOptions(inputs, values, ro) })
	for i := range outputs {
		if outputs[i].value == nil && values[i] != nil {
			outputs[i].value = values[i]
			c.values = append(c.values, values[i])
		}
	}
	if err != nil {
		if errors.Is(err, ort.ZeroShapeLengthError) {
			return nil, fmt.Errorf("an output without a declared shape came out as a scalar, which can't be fetched: declare its shape: %w", err)
		}
		return nil, err
	}
	return c.collect(outputs)
}

// withCancel runs f with options that ctx's end terminates.
func withCancel(ctx context.Context, f func(*ort.RunOptions) error) error {
	if ctx.Done() == nil {
		return f(nil)
	}
	ro, err := ort.NewRunOptions()
	if err != nil {
		return err
	}
	defer ro.Destroy()
	terminated := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		ro.Terminate()
		close(terminated)
	})
	err = f(ro)
	if !stop() {
		<-terminated // or it would touch the options after they are gone
	}
	return err
}

func (c *call) byName(outputs []output) ([]*graph.Tensor, error) {
	b, err := c.session.ort.CreateIoBinding()
	if err != nil {
		return nil, err
	}
	defer b.Destroy()
	for name := range c.feeds {
		v, err := c.feed(name)
		if err == nil {
			err = b.BindInput(name, v)
		}
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", name, err)
		}
	}
	for _, o := range outputs {
		if err := b.BindOutput(o.info.Name, o.value); err != nil {
			return nil, fmt.Errorf("output %q: %w", o.info.Name, err)
		}
	}
	if err := c.session.ort.RunWithBinding(b); err != nil {
		return nil, err
	}
	return c.collect(outputs)
}

// collect returns the fetched tensors in the order asked for.
func (c *call) collect(outputs []output) ([]*graph.Tensor, error) {
	byName := make(map[string]output, len(outputs))
	for _, o := range outputs {
		byName[o.info.Name] = o
	}
	out := make([]*graph.Tensor, len(c.fetches))
	for i, name := range c.fetches {
		o := byName[name]
		if o.tensor == nil {
			var err error
			if o.tensor, err = tensorOf(o.value, o.info.DType); err != nil {
				return nil, fmt.Errorf("output %s: %w", o.info, err)
			}
		}
		out[i] = o.tensor
	}
	return out, nil
}
