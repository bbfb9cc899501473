package inject

import "fmt"

func init() {
	register("head-only", "nothing of the base: a linear probe", func() Method { return &HeadOnly{} })
}

// HeadOnly trains the task's head on the frozen encoder.
type HeadOnly struct{ copies }

// Inject adds nothing: the head is the task's.
func (*HeadOnly) Inject(in *Injection) error {
	if in.Plan.Task.Type == "" {
		return fmt.Errorf("it needs a --task: without a head nothing would be trained")
	}
	return nil
}
