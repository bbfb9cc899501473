package optim

import "math"

func init() {
	registerSchedule("linear", func(step, warmup, total int) float64 {
		return math.Max(0, float64(total-step)/float64(max(1, total-warmup)))
	})
	registerSchedule("cosine", func(step, warmup, total int) float64 {
		progress := float64(step-warmup) / float64(max(1, total-warmup))
		return 0.5 * (1 + math.Cos(math.Pi*math.Min(1, progress)))
	})
	registerSchedule("constant", func(int, int, int) float64 { return 1 })
}
