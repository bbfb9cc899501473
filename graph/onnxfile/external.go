package onnxfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile/internal/onnxpb"
)

// An externalError says what is wrong with a tensor's external data.
type externalError struct {
	location, why string
}

func (e *externalError) Error() string {
	return fmt.Sprintf("external data %q: %s", e.location, e.why)
}

// external makes a tensor whose bytes are in a file beside the model, at the offset and of the length that p says;
// without a length, as many as its type needs.
func (d *decoder) external(p *onnxpb.TensorProto, dtype graph.DType, dims []int64) (*graph.Tensor, error) {
	e, err := parseEntries(p.ExternalData)
	if err != nil {
		return nil, err
	}
	src, err := d.open(e.location)
	if err != nil {
		return nil, err
	}
	if e.length < 0 {
		if e.length = src.size - e.offset; dtype.Size() > 0 {
			e.length = (&graph.Tensor{Dims: dims}).Len() * dtype.Size()
		}
	}
	if _, err := src.Bytes(e.offset, e.length); err != nil {
		return nil, &externalError{e.location, fmt.Sprintf("bytes %d to %d are wanted and the file has %d", e.offset, e.offset+e.length, src.size)}
	}
	return graph.NewRefTensor(dtype, dims, graph.Ref{File: src, Offset: e.offset, Length: e.length})
}

// entries is the content of external_data.
type entries struct {
	location       string
	offset, length int64 // length is -1 when it isn't given
}

func parseEntries(list []*onnxpb.StringStringEntryProto) (entries, error) {
	e := entries{length: -1}
	for _, kv := range list {
		var dst *int64
		switch kv.GetKey() {
		case "location":
			e.location = kv.GetValue()
			continue
		case "offset":
			dst = &e.offset
		case "length":
			dst = &e.length
		default:
			continue
		}
		n, err := strconv.ParseInt(kv.GetValue(), 10, 64)
		if err != nil || n < 0 {
			return e, &externalError{e.location, fmt.Sprintf("%s %q is not a number of bytes", kv.GetKey(), kv.GetValue())}
		}
		*dst = n
	}
	if e.location == "" {
		return e, &externalError{"", "no location is given"}
	}
	return e, nil
}

// open returns the external data file at location, which must lie below the model's folder.
func (d *decoder) open(location string) (*source, error) {
	if d.dir == "" {
		return nil, &externalError{location, "the model is in memory and has no folder"}
	}
	local := filepath.FromSlash(location)
	if filepath.IsAbs(local) || strings.HasPrefix(location, "/") || !filepath.IsLocal(local) {
		return nil, &externalError{location, "it must lie below the model's folder, and this leads out of it"}
	}
	path := filepath.Join(d.dir, local)
	if src := d.sources[path]; src != nil {
		return src, nil
	}
	if err := d.contained(path, location); err != nil {
		return nil, err
	}
	src, err := openSource(path)
	if err != nil {
		return nil, &externalError{location, err.Error()}
	}
	if d.src != nil && d.src.sameFile(path) {
		src = d.src
	}
	if d.sources == nil {
		d.sources = map[string]*source{}
	}
	d.sources[path] = src
	return src, nil
}

// contained refuses a path that leads out of the model's folder through a symbolic link. When the model itself is a link,
// as in Hugging Face's cache, the folder it points to is its folder too.
func (d *decoder) contained(path, location string) error {
	real, err := filepath.EvalSymlinks(path)
	if os.IsNotExist(err) {
		return &externalError{location, fmt.Sprintf("there is no file %s", path)}
	}
	if err != nil {
		return &externalError{location, err.Error()}
	}
	folders := []string{d.dir}
	if d.src != nil {
		if model, err := filepath.EvalSymlinks(d.src.path); err == nil {
			folders = append(folders, filepath.Dir(model))
		}
	}
	for _, dir := range folders {
		if _, err := below(dir, real); err == nil {
			return nil
		}
	}
	return &externalError{location, fmt.Sprintf("it must lie below the model's folder, and is a link to %s", real)}
}

// below returns the path of file relative to dir, and fails when it doesn't lie in or below it. Links are resolved.
func below(dir, file string) (string, error) {
	realDir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	realFile, err := filepath.EvalSymlinks(file)
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(realDir, realFile)
	if err != nil {
		return "", err
	}
	if !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%s does not lie below %s", file, dir)
	}
	return rel, nil
}
