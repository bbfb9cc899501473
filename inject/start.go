package inject

// A Starter is a method whose initial parameters may change what the model computes.
type Starter interface {
	// ChangesAtStart says why the outputs are not the base's before training, or returns "" when they are.
	ChangesAtStart() string
}

// ChangesAtStart says why injecting m changes the model's outputs before any training, or returns "" when it doesn't.
func ChangesAtStart(m Method) string {
	if s, ok := m.(Starter); ok {
		return s.ChangesAtStart()
	}
	return ""
}
