package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	connectTimeout = 5 * time.Second  // a firewall that drops packets must not cost a user minutes
	stallTimeout   = 30 * time.Second // without a byte
	attempts       = 5                // in a row, without a byte in between
)

// firstWait is the pause before the second attempt; it doubles. Tests set it lower.
var firstWait = time.Second / 4

// Client is the HTTP client of all downloads: the user's proxy settings, and short timeouts for connecting.
var Client = &http.Client{Transport: &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: connectTimeout}).DialContext,
	TLSHandshakeTimeout:   connectTimeout,
	ResponseHeaderTimeout: 3 * connectTimeout,
	ForceAttemptHTTP2:     true,
}}

// A StatusError is an answer other than success.
type StatusError struct {
	URL  string
	Code int
}

// Error names the address and the status.
func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: %d %s", e.URL, e.Code, http.StatusText(e.Code))
}

// Download writes what url answers to path and returns its digest. A connection that breaks off is taken up again where it
// broke (with Range and If-Range), as long as each attempt brings something; an answer such as 404 is a *[StatusError] at
// once. progress is told how many bytes there are of how many, -1 while that is unknown. After an error path may hold a part.
func Download(ctx context.Context, url string, header http.Header, path string, progress func(done, total int64)) (Digest, error) {
	f, err := os.Create(path)
	if err != nil {
		return Digest{}, fmt.Errorf("fetch: %w", err)
	}
	d := &download{url: url, header: header, f: f, progress: progress}
	err = d.run(ctx)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return Digest{}, fmt.Errorf("fetch: %w", err)
	}
	return DigestFile(path)
}

type download struct {
	url      string
	header   http.Header
	f        *os.File
	progress func(done, total int64)

	done int64
	etag string
}

func (d *download) run(ctx context.Context) error {
	for failed, wait := 0, firstWait; ; wait *= 2 {
		before := d.done
		err := d.attempt(ctx)
		var status *StatusError
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &status) && status.Code < 500 && status.Code != http.StatusTooManyRequests:
			return err
		}
		if failed++; d.done > before {
			failed, wait = 0, firstWait
		}
		// Nothing at all came: this address can't be reached, and other sources may.
		if failed >= attempts || d.done == 0 && status == nil {
			return fmt.Errorf("%s: after %d bytes: %w", d.url, d.done, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// attempt asks for what is missing and appends it.
func (d *download) attempt(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return err
	}
	for k, v := range d.header {
		req.Header[k] = v
	}
	req.Header.Set("Accept-Encoding", "identity") // lengths and ranges are those of the file
	if d.done > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.done))
		if d.etag != "" {
			req.Header.Set("If-Range", d.etag)
		}
	}
	resp, err := Client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := d.accept(resp); err != nil {
		return err
	}
	total := int64(-1)
	if resp.ContentLength >= 0 {
		total = d.done + resp.ContentLength
	}
	stall := time.AfterFunc(stallTimeout, func() { cancel(fmt.Errorf("no data for %s", stallTimeout)) })
	defer stall.Stop()
	_, err = io.Copy(d.f, &meter{r: resp.Body, read: func(n int) {
		stall.Reset(stallTimeout)
		d.done += int64(n)
		d.progress(d.done, total)
	}})
	if err != nil && context.Cause(ctx) != nil {
		return context.Cause(ctx)
	}
	return err
}

// accept takes the answer's place in the file: the end for the part that was asked for, the start for the whole.
func (d *download) accept(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusOK:
		d.done, d.etag = 0, ""
		if tag := resp.Header.Get("ETag"); !strings.HasPrefix(tag, "W/") {
			d.etag = tag
		}
	case http.StatusPartialContent:
		start, _, _ := strings.Cut(strings.TrimPrefix(resp.Header.Get("Content-Range"), "bytes "), "-")
		if n, err := strconv.ParseInt(start, 10, 64); err != nil || n != d.done {
			return fmt.Errorf("asked for bytes from %d, got %q", d.done, resp.Header.Get("Content-Range"))
		}
	default:
		return &StatusError{d.url, resp.StatusCode}
	}
	if err := d.f.Truncate(d.done); err != nil {
		return err
	}
	_, err := d.f.Seek(d.done, io.SeekStart)
	return err
}

// meter reports what passes through a reader.
type meter struct {
	r    io.Reader
	read func(n int)
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if n > 0 {
		m.read(n)
	}
	return n, err
}
