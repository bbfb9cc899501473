package main

import (
	"github.com/urfave/cli/v2"
)

func pullCommand() *cli.Command { return &cli.Command{Name: "pull"} }
