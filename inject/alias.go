package inject

import "slices"

// aliases are other names under which people look for a method.
var aliases = map[string]string{}

func alias(name, method string) {
	if _, dup := aliases[name]; dup {
		panic("inject: alias " + name + " registered twice")
	}
	aliases[name] = method
}

// Aliases returns the other names of a method, or of all when method is empty: "p-tuning-v2" of "prefix".
func Aliases(method string) []string {
	var out []string
	for name, m := range aliases {
		if method == "" || m == method {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
