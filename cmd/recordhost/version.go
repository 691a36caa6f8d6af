package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/recordhost/recordhost/sdk/plugin"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  exactly(0, "no argument"),
		Run: func(c *cobra.Command, _ []string) {
			fmt.Fprintf(c.OutOrStdout(), "recordhost %s (%s %s/%s, plugin protocol %d)\n",
				version, runtime.Version(), runtime.GOOS, runtime.GOARCH, plugin.Protocol)
		},
	}
}
