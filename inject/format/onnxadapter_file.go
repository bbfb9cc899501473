package format

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/peftgraph/peftgraph/graph"
)

// The schema of a .onnx_adapter file, onnxruntime/lora/adapter_format/adapter_schema.fbs:
//
//	namespace onnxruntime.adapters;
//	table Parameter { name:string; dims:[int64]; data_type:TensorDataType; raw_data:[uint8] (force_align:8); }
//	table Adapter { format_version:int; adapter_version:int; model_version:int; parameters:[Parameter]; }
//	root_type Adapter;
//	file_identifier "TORT";
//
// TensorDataType is an int32 with the values of ONNX's TensorProto.DataType. Below, a slot is a field's place in its table.
const (
	adapterIdentifier = "TORT"
	adapterVersion    = 1 // the only format_version that onnxruntime reads

	slotFormatVersion  = 0
	slotAdapterVersion = 1
	slotModelVersion   = 2
	slotParameters     = 3
	adapterSlots       = 4

	slotName       = 0
	slotDims       = 1
	slotDataType   = 2
	slotRawData    = 3
	parameterSlots = 4

	rawAlignment = 8
	longestFile  = math.MaxInt32 // what 32-bit signed offsets reach
)

// encodeAdapter writes the tensors, by name, as a .onnx_adapter file.
func encodeAdapter(tensors map[string]*graph.Tensor) ([]byte, error) {
	size := int64(256)
	for name, t := range tensors {
		if len(t.Dims) == 0 {
			return nil, fmt.Errorf("tensor %q is a scalar: onnxruntime reads none from an adapter", name)
		}
		size += t.Len()*t.DType.Size() + int64(len(name)+8*len(t.Dims)) + 128
	}
	if size > longestFile {
		return nil, fmt.Errorf("%d bytes: a .onnx_adapter file holds 2 GiB at most", size)
	}
	b := flatbuffers.NewBuilder(int(size))
	var params []flatbuffers.UOffsetT
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		p, err := encodeParameter(b, name, tensors[name])
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		params = append(params, p)
	}
	list := b.CreateVectorOfTables(params)
	b.StartObject(adapterSlots)
	b.PrependUOffsetTSlot(slotParameters, list, 0)
	b.PrependInt32Slot(slotFormatVersion, adapterVersion, 0)
	b.FinishWithFileIdentifier(b.EndObject(), []byte(adapterIdentifier))
	return b.FinishedBytes(), nil
}

func encodeParameter(b *flatbuffers.Builder, name string, t *graph.Tensor) (flatbuffers.UOffsetT, error) {
	data, err := t.Bytes()
	if err != nil {
		return 0, err
	}
	at := b.CreateString(name)
	b.StartVector(8, len(t.Dims), 8)
	for _, d := range slices.Backward(t.Dims) {
		b.PrependInt64(d)
	}
	dims := b.EndVector(len(t.Dims))
	b.Prep(rawAlignment, len(data))
	raw := b.CreateByteVector(data)
	b.StartObject(parameterSlots)
	b.PrependUOffsetTSlot(slotRawData, raw, 0)
	b.PrependInt32Slot(slotDataType, int32(t.DType), 0)
	b.PrependUOffsetTSlot(slotDims, dims, 0)
	b.PrependUOffsetTSlot(slotName, at, 0)
	return b.EndObject(), nil
}

// decodeAdapter reads a .onnx_adapter file. The tensors' bytes stay where they are: f gives them, all size of them.
func decodeAdapter(f graph.File, size int64) (map[string]*graph.Tensor, error) {
	if size < 8 || size > longestFile {
		return nil, fmt.Errorf("%d bytes can't be a .onnx_adapter file", size)
	}
	b, err := f.Bytes(0, size)
	if err != nil {
		return nil, err
	}
	if id := b[4:8]; string(id) != adapterIdentifier {
		return nil, fmt.Errorf("identifier %q at byte 4: a .onnx_adapter file has %q", id, adapterIdentifier)
	}
	root, err := tableAt(b, int64(flatbuffers.GetUOffsetT(b)))
	if err != nil {
		return nil, err
	}
	version, err := root.int32(slotFormatVersion)
	if err != nil {
		return nil, err
	}
	if version != adapterVersion {
		return nil, fmt.Errorf("format_version %d: only version %d is known", version, adapterVersion)
	}
	list, n, err := root.vector(slotParameters, 4)
	if err != nil {
		return nil, fmt.Errorf("parameters: %w", err)
	}
	out := make(map[string]*graph.Tensor, n)
	for i := range n {
		at := list + 4*i
		name, t, err := decodeParameter(f, b, at+int64(flatbuffers.GetUOffsetT(b[at:])))
		if err != nil {
			return nil, fmt.Errorf("parameter %d: %w", i, err)
		}
		if out[name] != nil {
			return nil, fmt.Errorf("parameter %d: there are two %q", i, name)
		}
		out[name] = t
	}
	return out, nil
}

func decodeParameter(f graph.File, b []byte, at int64) (string, *graph.Tensor, error) {
	p, err := tableAt(b, at)
	if err != nil {
		return "", nil, err
	}
	start, n, err := p.vector(slotName, 1)
	if err != nil || n == 0 {
		return "", nil, orElse(err, "it has no name")
	}
	if start+n == int64(len(b)) || b[start+n] != 0 {
		return "", nil, fmt.Errorf("its name at byte %d has no end", start)
	}
	name := string(b[start : start+n])
	dtype, err := p.int32(slotDataType)
	if err != nil {
		return "", nil, fmt.Errorf("%q: data_type: %w", name, err)
	}
	if graph.DType(dtype).Size() == 0 {
		return "", nil, fmt.Errorf("%q: data_type %d (%s) can't be read", name, dtype, graph.DType(dtype))
	}
	start, n, err = p.vector(slotDims, 8)
	if err != nil || n == 0 {
		return "", nil, fmt.Errorf("%q: dims: %w", name, orElse(err, "none"))
	}
	dims := make([]int64, n)
	for i := range dims {
		dims[i] = flatbuffers.GetInt64(b[start+8*int64(i):])
	}
	if start, n, err = p.vector(slotRawData, 1); err != nil {
		return "", nil, fmt.Errorf("%q: raw_data: %w", name, err)
	}
	t, err := graph.NewRefTensor(graph.DType(dtype), dims, graph.Ref{File: f, Offset: start, Length: n})
	if err != nil {
		return "", nil, fmt.Errorf("%q: %w", name, err)
	}
	return name, t, nil
}

func orElse(err error, text string) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%s", text)
}

// A table is a flatbuffers table whose extent and vtable lie inside the buffer: the library's own accessors check nothing.
type table struct {
	buf    []byte
	pos    int64
	size   int64  // of the inline fields
	fields []byte // the vtable's entries, two bytes each
}

func tableAt(buf []byte, pos int64) (table, error) {
	n := int64(len(buf))
	bad := fmt.Errorf("a table at byte %d of %d is damaged or cut off", pos, n)
	if pos < 0 || pos%4 != 0 || pos+4 > n {
		return table{}, bad
	}
	vt := pos - int64(flatbuffers.GetSOffsetT(buf[pos:]))
	if vt < 0 || vt%2 != 0 || vt+4 > n {
		return table{}, bad
	}
	length, size := int64(binary.LittleEndian.Uint16(buf[vt:])), int64(binary.LittleEndian.Uint16(buf[vt+2:]))
	if length < 4 || length%2 != 0 || vt+length > n || size < 4 || pos+size > n {
		return table{}, bad
	}
	return table{buf, pos, size, buf[vt+4 : vt+length]}, nil
}

// field returns where a slot's inline bytes are, or 0 where the table doesn't have it.
func (t table) field(slot int, size int64) (int64, error) {
	if 2*slot+2 > len(t.fields) {
		return 0, nil
	}
	off := int64(flatbuffers.GetVOffsetT(t.fields[2*slot:]))
	if off == 0 {
		return 0, nil
	}
	if off < 4 || off+size > t.size {
		return 0, fmt.Errorf("field %d of the table at byte %d lies outside it", slot, t.pos)
	}
	return t.pos + off, nil
}

func (t table) int32(slot int) (int32, error) {
	at, err := t.field(slot, 4)
	if at == 0 || err != nil {
		return 0, err
	}
	return flatbuffers.GetInt32(t.buf[at:]), nil
}

// vector returns where a vector's elements start and how many there are, elem bytes each; none where the field is absent.
func (t table) vector(slot int, elem int64) (start, n int64, err error) {
	at, err := t.field(slot, 4)
	if at == 0 || err != nil {
		return 0, 0, err
	}
	all := int64(len(t.buf))
	start = at + int64(flatbuffers.GetUOffsetT(t.buf[at:])) + 4
	if start > all {
		return 0, 0, fmt.Errorf("its vector at byte %d lies past the file's %d", start-4, all)
	}
	if n = int64(flatbuffers.GetUOffsetT(t.buf[start-4:])); n*elem > all-start {
		return 0, 0, fmt.Errorf("its vector at byte %d of %d elements lies past the file's %d bytes: it was cut short", start-4, n, all)
	}
	return start, n, nil
}
