package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// github gets the archives of the project's own releases.
type github struct{ base string }

func (github) name() string { return "github" }

// githubPlatforms are the release's names for the platforms, and the suffix of the files.
var githubPlatforms = map[string][2]string{
	"linux/amd64":        {"linux-x64", "tgz"},
	"linux/arm64":        {"linux-aarch64", "tgz"},
	"darwin/arm64":       {"osx-arm64", "tgz"},
	"windows/amd64":      {"win-x64", "zip"},
	"windows/arm64":      {"win-arm64", "zip"},
	"linux/amd64/cuda":   {"linux-x64-gpu_cuda13", "tgz"},
	"windows/amd64/cuda": {"win-x64-gpu_cuda13", "zip"},
}

func (github) find(b build) (archive, bool) {
	platform, ok := githubPlatforms[b.key()]
	if !ok {
		return archive{}, false
	}
	stem := fmt.Sprintf("onnxruntime-%s-%s", platform[0], b.version)
	members := b.files()
	for i, name := range members {
		// The CUDA archives' folder has been named with and without "_cuda13".
		members[i] = fmt.Sprintf("onnxruntime-*-%s/lib/%s", b.version, name)
	}
	return archive{pkg: stem + "." + platform[1], members: members}, true
}

// key is how the sources' tables name a build's platform.
func (b build) key() string {
	key := b.goos + "/" + b.goarch
	if b.provider != "cpu" {
		key += "/" + b.provider
	}
	return key
}

// files are patterns for the names of a build's shared libraries, libonnxruntime first.
func (b build) files() []string {
	pattern, main := "libonnxruntime_providers_%s.so", "libonnxruntime.so."+b.version
	switch b.goos {
	case "darwin":
		return []string{"libonnxruntime." + b.version + ".dylib"}
	case "windows":
		pattern, main = "onnxruntime_providers_%s.dll", "onnxruntime.dll"
	}
	if b.provider == "cpu" {
		return []string{main, fmt.Sprintf(pattern, "shared") + optional}
	}
	return []string{main, fmt.Sprintf(pattern, "shared"), fmt.Sprintf(pattern, b.provider)}
}

const (
	connectTimeout = 5 * time.Second  // a firewall that drops packets must not cost a user minutes
	stallTimeout   = 30 * time.Second // without a byte
)

var httpClient = &http.Client{Transport: &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: connectTimeout}).DialContext,
	TLSHandshakeTimeout:   connectTimeout,
	ResponseHeaderTimeout: 3 * connectTimeout,
	ForceAttemptHTTP2:     true,
}}

func (g github) fetch(ctx context.Context, a archive, b build, dir string, opts InstallOptions) (string, error) {
	url := fmt.Sprintf("%s/microsoft/onnxruntime/releases/download/v%s/%s", g.base, b.version, a.pkg)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", url, resp.Status)
	}
	path := filepath.Join(dir, a.pkg)
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	stall := time.AfterFunc(stallTimeout, func() { cancel(fmt.Errorf("no data for %s", stallTimeout)) })
	defer stall.Stop()
	body := &meter{r: resp.Body, total: resp.ContentLength, progress: opts.Progress, alive: func() { stall.Reset(stallTimeout) }}
	_, err = io.Copy(f, body)
	if err != nil && context.Cause(ctx) != nil {
		err = context.Cause(ctx)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("%s: after %d of %d bytes: %w", url, body.done, body.total, err)
	}
	return path, nil
}

// meter reports what passes through a reader.
type meter struct {
	r           io.Reader
	done, total int64
	progress    func(done, total int64)
	alive       func()
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if n > 0 {
		m.done += int64(n)
		m.alive()
		m.progress(m.done, m.total)
	}
	return n, err
}
