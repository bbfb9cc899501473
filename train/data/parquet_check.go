package data

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"slices"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// A Parquet file says itself how much memory reading it takes: lengths in its metadata, sizes in the headers of its pages, and
// counts in runs of equal values, of which six bytes may stand for gigabytes. The library believes them, so they are looked at
// before it sees them: none may ask for more than what a file of this size can need.

// What one byte of a file may become, and what is free for small files.
const (
	parquetBytes  = 64 // bytes of all pages that are read
	parquetFixed  = 32 << 20
	parquetValues = 8 // rows of the file, and values of a page
	parquetRows   = 1 << 18
)

// damaged is what is wrong with a file that can't be as its writer made it.
func damaged(format string, args ...any) error {
	return fmt.Errorf("the file is damaged: "+format, args...)
}

// checkFooter checks the metadata at a file's end: every length in them must lie in them.
func checkFooter(in io.ReaderAt, size int64) error {
	const magic = "PAR1"
	var end [8]byte
	if size < 12 {
		return fmt.Errorf("no Parquet file: it has %d bytes", size)
	}
	if _, err := in.ReadAt(end[:], size-8); err != nil {
		return err
	}
	if string(end[4:]) != magic {
		return fmt.Errorf("no Parquet file: it ends with %q, not %s (an encrypted one ends with PARE and can't be read)", end[4:], magic)
	}
	n := int64(binary.LittleEndian.Uint32(end[:4]))
	if n > size-12 {
		return damaged("its metadata are %d bytes of %d", n, size)
	}
	t := &thrift{bufio.NewReader(io.NewSectionReader(in, size-8-n, n)), n}
	if err := t.fields(0, nil); err != nil {
		return damaged("metadata: %v", err)
	}
	return nil
}

// thrift walks a structure in Thrift's compact protocol, of which left bytes are there.
type thrift struct {
	in   *bufio.Reader
	left int64
}

func (t *thrift) ReadByte() (byte, error) {
	if t.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	t.left--
	return t.in.ReadByte()
}

func (t *thrift) skip(n uint64) error {
	if n > uint64(max(t.left, 0)) {
		return fmt.Errorf("%d bytes where %d are left", n, t.left)
	}
	t.left -= int64(n)
	_, err := t.in.Discard(int(n))
	return err
}

// The compact protocol's types.
const (
	thriftTrue, thriftFalse, thriftByte = 1, 2, 3
	thriftI16, thriftI32, thriftI64     = 4, 5, 6
	thriftDouble, thriftBinary          = 7, 8
	thriftList, thriftSet, thriftMap    = 9, 10, 11
	thriftStruct                        = 12
	thriftDeepest                       = 32
)

// fields walks a structure's fields. take, where set, is given integers and booleans, and returns what takes the fields of a
// structure in it.
func (t *thrift) fields(depth int, take func(id int, value int64) (inner func(int, int64))) error {
	if depth > thriftDeepest {
		return fmt.Errorf("structures in structures, %d deep", depth)
	}
	id := int64(0)
	for {
		b, err := t.ReadByte()
		if err != nil || b == 0 {
			return err
		}
		if id += int64(b >> 4); b>>4 == 0 {
			if id, err = binary.ReadVarint(t); err != nil {
				return err
			}
		}
		switch kind := b & 15; {
		case take == nil:
			err = t.pass(kind, depth, false)
		case kind == thriftTrue || kind == thriftFalse:
			take(int(id), int64(thriftFalse-kind))
		case kind >= thriftI16 && kind <= thriftI64:
			var v int64
			if v, err = binary.ReadVarint(t); err == nil {
				take(int(id), v)
			}
		case kind == thriftStruct:
			if inner := take(int(id), 0); inner != nil {
				err = t.fields(depth+1, func(id int, v int64) func(int, int64) { inner(id, v); return nil })
				break
			}
			err = t.fields(depth+1, nil)
		default:
			err = t.pass(kind, depth, false)
		}
		if err != nil {
			return err
		}
	}
}

// pass passes over a value. In a list, a boolean is a byte.
func (t *thrift) pass(kind byte, depth int, listed bool) error {
	switch kind {
	case thriftTrue, thriftFalse:
		if !listed {
			return nil
		}
		return t.skip(1)
	case thriftByte:
		return t.skip(1)
	case thriftI16, thriftI32, thriftI64:
		_, err := binary.ReadUvarint(t)
		return err
	case thriftDouble:
		return t.skip(8)
	case thriftBinary:
		n, err := binary.ReadUvarint(t)
		if err != nil {
			return err
		}
		return t.skip(n)
	case thriftStruct:
		return t.fields(depth+1, nil)
	case thriftList, thriftSet, thriftMap:
		return t.passMany(kind, depth)
	}
	return fmt.Errorf("a value of type %d", kind)
}

func (t *thrift) passMany(kind byte, depth int) error {
	if depth > thriftDeepest {
		return fmt.Errorf("lists in lists, %d deep", depth)
	}
	var n uint64
	var kinds []byte
	if kind == thriftMap {
		var err error
		if n, err = binary.ReadUvarint(t); err != nil || n == 0 {
			return err
		}
		b, err := t.ReadByte()
		if err != nil {
			return err
		}
		kinds = []byte{b >> 4, b & 15}
	} else {
		b, err := t.ReadByte()
		if err != nil {
			return err
		}
		if n, kinds = uint64(b>>4), []byte{b & 15}; n == 15 {
			if n, err = binary.ReadUvarint(t); err != nil {
				return err
			}
		}
	}
	if n > uint64(max(t.left, 0)) {
		return fmt.Errorf("a list of %d where %d bytes are left", n, t.left)
	}
	for range n {
		for _, kind := range kinds {
			if err := t.pass(kind, depth+1, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// pageHeader is what a page says of itself, by the field names of parquet.thrift.
type pageHeader struct {
	kind, uncompressed, compressed int64
	values, encoding               int64 // of any kind of page
	defEncoding, repEncoding       int64 // of DATA_PAGE
	defBytes, repBytes, packed     int64 // of DATA_PAGE_V2
}

// The kinds of pages.
const (
	dataPage, indexPage, dictionaryPage, dataPageV2 = 0, 1, 2, 3
)

// readPageHeader reads what of a page's header says how much is to come.
func readPageHeader(t *thrift) (*pageHeader, error) {
	h := &pageHeader{packed: 1}
	inner := map[int][]*int64{ // by the field numbers of the header, and in it
		5: {1: &h.values, 2: &h.encoding, 3: &h.defEncoding, 4: &h.repEncoding},
		7: {1: &h.values, 2: &h.encoding},
		8: {1: &h.values, 4: &h.encoding, 5: &h.defBytes, 6: &h.repBytes, 7: &h.packed},
	}
	own := []*int64{1: &h.kind, 2: &h.uncompressed, 3: &h.compressed}
	set := func(to []*int64, id int, v int64) {
		if id >= 0 && id < len(to) && to[id] != nil {
			*to[id] = v
		}
	}
	err := t.fields(0, func(id int, v int64) func(int, int64) {
		set(own, id, v)
		if to := inner[id]; to != nil {
			return func(id int, v int64) { set(to, id, v) }
		}
		return nil
	})
	return h, err
}

// pageCheck checks a column's pages.
type pageCheck struct {
	fileSize       int64
	left           *int64 // bytes that pages may still come to
	codec          int    // of parquet.thrift's CompressionCodec
	maxDef, maxRep int    // levels
	zstd           *zstd.Decoder
	body, raw      []byte // of the page before, for the next one
}

// The codecs that are read.
const (
	codecNone, codecSnappy, codecGzip, codecZstd = 0, 1, 2, 6
)

// chunk checks the pages of a column in a row group, which are n bytes from start.
func (c *pageCheck) chunk(in io.ReaderAt, start, n int64) error {
	if start < 0 || n < 0 || start > c.fileSize-n {
		return damaged("%d bytes at %d, of %d", n, start, c.fileSize)
	}
	t := &thrift{bufio.NewReaderSize(io.NewSectionReader(in, start, n), 1<<16), n}
	for t.left > 0 {
		h, err := readPageHeader(t)
		if err != nil {
			return damaged("header of a page: %v", err)
		}
		if h.compressed < 0 || h.compressed > t.left {
			return damaged("a page of %d bytes where %d are left", h.compressed, t.left)
		}
		c.body = slices.Grow(c.body[:0], int(h.compressed))[:h.compressed]
		if _, err := io.ReadFull(t.in, c.body); err != nil {
			return err
		}
		t.left -= h.compressed
		if err := c.page(h, c.body); err != nil {
			return err
		}
	}
	return nil
}

func (c *pageCheck) page(h *pageHeader, body []byte) error {
	if h.uncompressed < 0 || h.uncompressed > *c.left {
		return damaged("a page of %d bytes that come to %d", h.compressed, h.uncompressed)
	}
	*c.left -= h.uncompressed
	if h.values < 0 || h.values > parquetRows+parquetValues*c.fileSize {
		return damaged("a page of %d values", h.values)
	}
	switch h.kind {
	case dictionaryPage:
		_, err := c.unpack(body, h.uncompressed)
		return err
	case dataPage:
		raw, err := c.unpack(body, h.uncompressed)
		if err != nil {
			return err
		}
		return c.dataV1(h, raw)
	case dataPageV2:
		return c.dataV2(h, body)
	case indexPage:
		return nil
	}
	return damaged("a page of kind %d", h.kind)
}

func (c *pageCheck) dataV1(h *pageHeader, raw []byte) (err error) {
	const rle = 3
	for _, level := range []struct {
		most     int
		encoding int64
	}{{c.maxRep, h.repEncoding}, {c.maxDef, h.defEncoding}} {
		if level.most == 0 {
			continue
		}
		if level.encoding != rle {
			return fmt.Errorf("levels in encoding %d, which only writers of before 2013 use; write the file again", level.encoding)
		}
		if raw, err = checkSized(raw, bits.Len(uint(level.most)), h.values); err != nil {
			return err
		}
	}
	return checkValues(h, raw)
}

func (c *pageCheck) dataV2(h *pageHeader, body []byte) error {
	levels := h.defBytes + h.repBytes
	if h.defBytes < 0 || h.repBytes < 0 || levels > int64(len(body)) || levels > h.uncompressed {
		return damaged("levels of %d bytes in a page of %d", levels, len(body))
	}
	if err := checkRuns(body[:h.repBytes], bits.Len(uint(c.maxRep)), h.values); err != nil {
		return err
	}
	if err := checkRuns(body[h.repBytes:levels], bits.Len(uint(c.maxDef)), h.values); err != nil {
		return err
	}
	raw, err := body[levels:], error(nil)
	if h.packed != 0 {
		if raw, err = c.unpack(raw, h.uncompressed-levels); err != nil {
			return err
		}
	}
	return checkValues(h, raw)
}

// checkValues checks the values behind a page's levels by their encoding.
func checkValues(h *pageHeader, raw []byte) error {
	switch h.encoding {
	case 0, 9: // PLAIN and BYTE_STREAM_SPLIT have as many bytes as values
		return nil
	case 2, 8: // PLAIN_DICTIONARY, RLE_DICTIONARY: the width of an index, then runs
		if len(raw) == 0 {
			return nil // all null
		}
		return checkRuns(raw[1:], int(raw[0]), h.values)
	case 3: // RLE, of booleans
		_, err := checkSized(raw, 1, h.values)
		return err
	case 5, 6: // DELTA_BINARY_PACKED, and DELTA_LENGTH_BYTE_ARRAY, which begins with lengths so packed
		return checkDelta(raw, h.values)
	}
	return fmt.Errorf("encoding %d isn't read; have the file written with plain or dictionary encoding", h.encoding)
}

// checkSized checks runs behind their length in four bytes, and returns what follows them.
func checkSized(raw []byte, width int, values int64) ([]byte, error) {
	if len(raw) < 4 {
		return nil, damaged("a page ends in its levels")
	}
	n := int64(binary.LittleEndian.Uint32(raw))
	if raw = raw[4:]; n > int64(len(raw)) {
		return nil, damaged("levels of %d bytes where %d are left", n, len(raw))
	}
	return raw[n:], checkRuns(raw[:n], width, values)
}

// checkRuns checks runs of values of so many bits: there may be no more than are needed, and some that fill up the last.
func checkRuns(raw []byte, width int, values int64) error {
	if width > 32 {
		return damaged("values of %d bits", width)
	}
	const filler = 512
	total := uint64(0)
	for len(raw) > 0 {
		head, n := binary.Uvarint(raw)
		if n <= 0 || head>>1 > uint64(values)+filler {
			return damaged("a run of %d values in a page of %d", head>>1, values)
		}
		raw = raw[n:]
		count, size := head>>1, uint64(width+7)/8
		if head&1 == 1 {
			count, size = 8*count, count*uint64(width)
		}
		if total += count; total > uint64(values)+filler {
			return damaged("runs of %d values and more in a page of %d", total, values)
		}
		if size > uint64(len(raw)) {
			return damaged("a run of %d bytes where %d are left", size, len(raw))
		}
		raw = raw[size:]
	}
	return nil
}

// checkDelta checks the head of differences: block size, blocks in it, number of values.
func checkDelta(raw []byte, values int64) error {
	for _, most := range []uint64{1 << 16, 1 << 10, uint64(values)} {
		v, n := binary.Uvarint(raw)
		if n <= 0 || v > most {
			return damaged("differences of %d values in a page of %d", v, values)
		}
		raw = raw[n:]
	}
	return nil
}

// unpack decompresses a page to the size that it says it has. What it returns is good until the next page.
func (c *pageCheck) unpack(body []byte, size int64) (out []byte, err error) {
	if len(body) == 0 && size == 0 {
		return nil, nil
	}
	switch c.codec {
	case codecNone:
		return body, nil
	case codecSnappy:
		n, err := snappy.DecodedLen(body)
		if err != nil || int64(n) != size {
			return nil, damaged("a page of %d bytes that says it has %d", n, size)
		}
		c.raw = slices.Grow(c.raw[:0], n)[:n]
		if out, err = snappy.Decode(c.raw, body); err != nil {
			return nil, damaged("%v", err)
		}
	case codecGzip:
		if out, err = c.unzip(body, size); err != nil {
			return nil, damaged("%v", err)
		}
	case codecZstd:
		if c.zstd == nil {
			most := uint64(parquetFixed + parquetBytes*c.fileSize)
			if c.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(most)); err != nil {
				return nil, err
			}
		}
		if out, err = c.zstd.DecodeAll(body, c.raw[:0]); err != nil {
			return nil, damaged("%v", err)
		}
		c.raw = out
	default:
		return nil, fmt.Errorf("compression %d isn't read; have the file written with snappy, gzip or zstd", c.codec)
	}
	if int64(len(out)) != size {
		return nil, damaged("a page of %d bytes that says it has %d", len(out), size)
	}
	return out, nil
}

func (c *pageCheck) unzip(body []byte, size int64) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	b := bytes.NewBuffer(c.raw[:0])
	_, err = b.ReadFrom(io.LimitReader(z, size+1))
	c.raw = b.Bytes()
	return c.raw, err
}

// close frees what the decoder holds.
func (c *pageCheck) close() {
	if c.zstd != nil {
		c.zstd.Close()
	}
}
