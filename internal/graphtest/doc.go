// Package graphtest is for tests of everything that reads or writes graphs: the textual form of a graph ([Parse]), equality
// up to the names of intermediate values ([Isomorphic]), golden files, random and nearly equal tensors.
package graphtest
