package fetch

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Optional ends a pattern of [Unpack] that need not match.
const Optional = "?"

// maxMember bounds what one file may unpack to, in bytes.
const maxMember = 8 << 30

// A Digest tells a file from every other.
type Digest struct {
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// Expect returns an error that names the file unless its SHA-256 is the one given.
func (d Digest) Expect(name, sha256 string) error {
	if d.SHA256 != sha256 {
		return fmt.Errorf("%s: its sha256 is %s, want %s: it was damaged or changed on its way", name, d.SHA256, sha256)
	}
	return nil
}

// DigestFile reads a file and returns its digest.
func DigestFile(path string) (Digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return Digest{}, fmt.Errorf("fetch: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return Digest{}, fmt.Errorf("fetch: %w", err)
	}
	return Digest{Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}

// Unpack writes the regular files of a zip archive (.zip, .whl, .jar) or a gzipped tar that match one of the patterns into
// dir, flat, and returns their digests by base name. The patterns are [path.Match]'s, over the whole name inside the
// archive; each one that doesn't end with [Optional] must match. No name inside the archive is ever used as a path: one that
// would lead out of it makes the archive invalid. Two members of one base name are an error.
func Unpack(archive string, patterns []string, dir string) (map[string]Digest, error) {
	u := unpacker{patterns: patterns, dir: dir, matched: make([]bool, len(patterns)), files: map[string]Digest{}}
	read := u.readTar
	switch filepath.Ext(archive) {
	case ".zip", ".whl", ".jar":
		read = u.readZip
	}
	if err := read(archive); err != nil {
		return nil, fmt.Errorf("fetch: %s: %w", filepath.Base(archive), err)
	}
	for i, pattern := range patterns {
		if !u.matched[i] && !strings.HasSuffix(pattern, Optional) {
			return nil, fmt.Errorf("fetch: %s: it holds no %s", filepath.Base(archive), pattern)
		}
	}
	return u.files, nil
}

type unpacker struct {
	patterns []string
	dir      string
	matched  []bool
	files    map[string]Digest
}

func (u *unpacker) readTar(archive string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	gz, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return fmt.Errorf("it is no gzip file, or a damaged one: %w", err)
	}
	for r := tar.NewReader(gz); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("it is cut off or damaged: %w", err)
		}
		if err := u.take(header.Name, header.FileInfo().Mode(), r); err != nil {
			return err
		}
	}
}

func (u *unpacker) readZip(archive string) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("it is no zip file, or it is cut off: %w", err)
	}
	defer z.Close()
	for _, member := range z.File {
		r, err := member.Open()
		if err != nil {
			return err
		}
		err = u.take(member.Name, member.Mode(), r)
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	return nil
}

// take unpacks one member where a pattern asks for it.
func (u *unpacker) take(name string, mode fs.FileMode, r io.Reader) error {
	name = strings.TrimPrefix(name, "./")
	if !filepath.IsLocal(filepath.FromSlash(name)) && name != "" {
		return fmt.Errorf("it is unsafe: a member is named %q", name)
	}
	for i, pattern := range u.patterns {
		ok, err := path.Match(strings.TrimSuffix(pattern, Optional), name)
		if err != nil {
			return fmt.Errorf("pattern %q: %w", pattern, err)
		}
		if !ok || !mode.IsRegular() {
			continue
		}
		u.matched[i] = true
		base := path.Base(name)
		u.files[base], err = writeMember(filepath.Join(u.dir, base), r)
		if err != nil {
			return fmt.Errorf("member %s: %w", name, err)
		}
		return nil
	}
	return nil
}

// writeMember stores one file, synced, so that no later crash can leave it short under its final name.
func writeMember(dst string, r io.Reader) (Digest, error) {
	f, err := os.OpenFile(dst, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return Digest{}, err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(r, maxMember+1))
	if err == nil && n > maxMember {
		err = fmt.Errorf("it unpacks to more than %d bytes", int64(maxMember))
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return Digest{}, err
	}
	return Digest{Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}
