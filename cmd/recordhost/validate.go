package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recordhost/recordhost/internal/config"
	"github.com/recordhost/recordhost/internal/host"
)

func newValidate() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "validate --config FILE",
		Short: "Check a configuration, the plugins' own settings included",
		Long: "validate reads a configuration as serve would, starts the plugins that it names and lets each check its settings. " +
			"It does not touch what the plugins lead to: no object store is asked.",
		Args: exactly(0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				return usage("validate needs --config FILE")
			}
			settings, err := load(file)
			if err != nil {
				return err
			}
			log, err := logger(c, silent)
			if err != nil {
				return err
			}
			plugins, err := host.Inspect(c.Context(), settings, log)
			if err != nil {
				return &exitError{exitUsage, mistakes(err)}
			}
			for _, p := range plugins {
				err = errors.Join(err, p.Err)
			}
			if err != nil {
				return fmt.Errorf("the configuration is well formed, but a plugin does not work: %w", err)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: ok, %d runtimes and %d storages\n", file, len(settings.Runtimes), len(settings.Storages))
			return nil
		},
	}
	c.Flags().StringVar(&file, "config", "", "the configuration file")
	return c
}

// load reads a configuration. Its mistakes are the caller's.
func load(file string) (*config.Config, error) {
	settings, err := config.Load(file)
	if err != nil {
		return nil, &exitError{exitUsage, mistakes(err)}
	}
	return settings, nil
}

// mistakes lists them one a line, below a heading where there are several.
func mistakes(err error) error {
	list := config.List(err)
	if len(list) < 2 {
		return err
	}
	lines := make([]string, 0, len(list))
	for _, e := range list {
		lines = append(lines, e.Error())
	}
	return fmt.Errorf("the configuration has %d mistakes:\n%s", len(list), strings.Join(lines, "\n"))
}
