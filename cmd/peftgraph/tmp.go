package main

import (
	"github.com/peftgraph/peftgraph/graph"
	"github.com/urfave/cli/v2"
)

func crossRead(string, *graph.Graph) ([]string, error) { return nil, nil }
func pullCommand() *cli.Command                        { return &cli.Command{Name: "pull"} }
