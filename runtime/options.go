package runtime

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	ort "github.com/yalue/onnxruntime_go"
)

// Options are a session's settings. The zero value runs on the CPU with onnxruntime's threads, the extended graph
// optimizations, packed weights and an arena without memory patterns.
type Options struct {
	// Name is what errors call the session; "" is the file's name, or "model".
	Name string
	// Provider is one of Providers, or "auto" for the fastest that starts on this machine; "" is "cpu".
	Provider string
	// ProviderOptions are onnxruntime's own for that provider, such as device_id for CUDA.
	ProviderOptions map[string]string
	// Threads that one node may use; 0 is one per physical core.
	Threads int
	// OptLevel is "disable", "basic", "extended" or "all"; "" is "extended".
	OptLevel string
	// DisableOptimizers are onnxruntime's names of graph optimizers to leave out, such as "SkipLayerNormFusion".
	DisableOptimizers []string
	// DisablePrepacking leaves weights as they are in the file, mapped. Saves a copy of them; costs time at small batches.
	DisablePrepacking bool
	// MemPattern plans one block for all intermediate tensors of a known input shape. Costs memory in training graphs.
	MemPattern bool
	// DisableArena returns memory to the system after each use. Slow.
	DisableArena bool
	// ExternalDir is the folder that external data of a model given as bytes is relative to.
	ExternalDir string
	// ProfilePrefix, when set, makes onnxruntime write a profile of all runs to <prefix>_<time>.json when the session is closed.
	ProfilePrefix string
	// LogLevel is how much onnxruntime writes to stderr: "verbose", "info", "warning", "error"; "" is nothing, since what it
	// logs as an error it also returns.
	LogLevel string
	// Config holds further session configuration entries by onnxruntime's names, and wins over what the fields above set.
	Config map[string]string
}

// Mapped returns the settings for encoders, in training and forward. Weights stay in their file, mapped: packing would copy
// each matrix, and in training its transpose, to the heap. SkipLayerNormFusion is left out since onnxruntime's fused kernel was
// slower than the two it replaces. train/bench -sweep compares these settings with others.
func Mapped() Options {
	return Options{DisablePrepacking: true, DisableOptimizers: []string{"SkipLayerNormFusion"}}
}

// Stock returns onnxruntime's own settings, those of a program that sets none: what whoever deploys a model gets.
func Stock() Options { return Options{OptLevel: "all", MemPattern: true} }

var optLevels = map[string]ort.GraphOptimizationLevel{
	"disable":  ort.GraphOptimizationLevelDisableAll,
	"basic":    ort.GraphOptimizationLevelEnableBasic,
	"extended": ort.GraphOptimizationLevelEnableExtended,
	"all":      ort.GraphOptimizationLevelEnableAll,
}

var logLevels = map[string]ort.LoggingLevel{
	"verbose": ort.LoggingLevelVerbose,
	"info":    ort.LoggingLevelInfo,
	"warning": ort.LoggingLevelWarning,
	"error":   ort.LoggingLevelError,
	"fatal":   ort.LoggingLevelFatal,
}

// apply sets everything but the provider.
func (o Options) apply(so *ort.SessionOptions) error {
	level, ok := optLevels[cmp.Or(o.OptLevel, "extended")]
	if !ok {
		return fmt.Errorf("optimization level %q: want one of %s", o.OptLevel, names(optLevels))
	}
	logLevel, ok := logLevels[cmp.Or(o.LogLevel, "fatal")]
	if !ok {
		return fmt.Errorf("log level %q: want one of %s", o.LogLevel, names(logLevels))
	}
	err := errors.Join(
		so.SetGraphOptimizationLevel(level),
		so.SetLogSeverityLevel(logLevel),
		so.SetIntraOpNumThreads(o.Threads),
		so.SetMemPattern(o.MemPattern),
		so.SetCpuMemArena(!o.DisableArena),
	)
	if err == nil && o.ProfilePrefix != "" {
		err = so.EnableProfiling(o.ProfilePrefix)
	}
	config, dirErr := o.config()
	for key, value := range config {
		err = errors.Join(err, so.AddSessionConfigEntry(key, value))
	}
	return errors.Join(err, dirErr)
}

// config returns the session configuration entries, by the names in onnxruntime_session_options_config_keys.h.
func (o Options) config() (map[string]string, error) {
	config := map[string]string{}
	if o.DisablePrepacking {
		config["session.disable_prepacking"] = "1"
	}
	if len(o.DisableOptimizers) > 0 {
		config["optimization.disable_specified_optimizers"] = strings.Join(o.DisableOptimizers, ";")
	}
	if o.ExternalDir != "" {
		dir, err := filepath.Abs(o.ExternalDir)
		if err != nil {
			return nil, err
		}
		config["session.model_external_initializers_file_folder_path"] = dir
	}
	maps.Copy(config, o.Config)
	return config, nil
}

func names[V any](m map[string]V) string { return strings.Join(slices.Sorted(maps.Keys(m)), ", ") }
