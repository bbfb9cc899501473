//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"syscall"
	"time"
)

// A process is what running a program took.
type process struct {
	seconds float64
	peak    float64 // megabytes (10⁶) of resident memory
}

// runProcess runs a program to its end. Linux counts a parent's memory as a child's too, so this process has to stay small.
func runProcess(ctx context.Context, name string, args ...string) (process, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return process{}, fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	p := process{seconds: time.Since(start).Seconds()}
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		unit := 1024.0 // Linux and the BSDs count kilobytes, macOS bytes
		if goruntime.GOOS == "darwin" {
			unit = 1
		}
		p.peak = float64(u.Maxrss) * unit / 1e6
	}
	return p, nil
}

// Files say what injecting into a file takes.
type files struct {
	base          float64 // megabytes of the model
	seconds, peak float64 // of inject
	output        float64 // megabytes it wrote
	toCopy        float64 // time of inject --self-contained / time of cp
	selfPeak      float64 // of inject --self-contained, megabytes
	copySpeed     float64 // megabytes a second of cp
}

// fileRounds is how often each is run.
const fileRounds = 5

// measureFiles runs the built program on a model, in turns with cp where it writes as much.
func measureFiles(ctx context.Context, program, model string) (f files, err error) {
	dir := filepath.Dir(model)
	small, whole, copied := filepath.Join(dir, "small.onnx"), filepath.Join(dir, "whole.onnx"), filepath.Join(dir, "copied.onnx")
	defer func() {
		for _, path := range []string{small, whole, copied} {
			_ = os.Remove(path)
		}
	}()
	inject := []string{"inject", "--method", "lora", "--rank", "8", "--alpha", "16", "--target", "query,value", "--labels", "neg,pos", "--quiet", model, "-o"}
	var seconds, copies []float64
	for range fileRounds {
		var p, self, cp process
		_ = os.Remove(whole)
		_ = os.Remove(copied)
		if p, err = runProcess(ctx, program, append(inject, small)...); err != nil {
			return f, err
		}
		if self, err = runProcess(ctx, program, append(inject, whole, "--self-contained")...); err != nil {
			return f, err
		}
		if cp, err = runProcess(ctx, "cp", "--reflink=never", model, copied); err != nil {
			return f, err
		}
		seconds = append(seconds, p.seconds)
		copies = append(copies, self.seconds/cp.seconds)
		f.peak, f.selfPeak = max(f.peak, p.peak), max(f.selfPeak, self.peak)
		f.copySpeed = max(f.copySpeed, megabytes(model)/cp.seconds)
	}
	f.base, f.output, f.seconds, f.toCopy = megabytes(model), megabytes(small), median(seconds), median(copies)
	return f, nil
}

func megabytes(path string) float64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return float64(info.Size()) / 1e6
}
