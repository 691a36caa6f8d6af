package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/recordhost/recordhost/internal/config"
	"github.com/recordhost/recordhost/internal/host"
	"github.com/recordhost/recordhost/sdk/runtime"
	"github.com/recordhost/recordhost/sdk/storage"
)

func newPlugin() *cobra.Command {
	c := &cobra.Command{
		Use:   "plugin",
		Short: "What the plugins are",
		Args:  unknown,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newPluginList())
	return c
}

func newPluginList() *cobra.Command {
	var file string
	var asJSON bool
	c := &cobra.Command{
		Use:   "list [--config FILE]",
		Short: "Start the plugins of a configuration and list what they say of themselves",
		Long:  "list starts every plugin that the configuration names. Without a configuration it shows those that record uses.",
		Args:  exactly(0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			settings, err := loadOrLocal(file)
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
			return printPlugins(c.OutOrStdout(), plugins, asJSON)
		},
	}
	c.Flags().StringVar(&file, "config", "", "the configuration file")
	c.Flags().BoolVar(&asJSON, "json", false, "print the list as JSON")
	return c
}

// loadOrLocal reads a configuration, or answers the embedded one, which keeps nothing here.
func loadOrLocal(file string) (*config.Config, error) {
	if file != "" {
		return load(file)
	}
	return config.Local("/nowhere", "/")
}

// listed is a line of the list.
type listed struct {
	Kind         string                `json:"kind"`
	Plugin       string                `json:"plugin"`
	Name         string                `json:"name"`
	Version      string                `json:"version,omitempty"`
	Protocol     int                   `json:"protocol,omitempty"`
	Capabilities *storage.Capabilities `json:"capabilities,omitempty"` // of a storage
	Capacity     *runtime.Capacity     `json:"capacity,omitempty"`     // of a runtime
	Path         string                `json:"path"`
	State        string                `json:"state"`
	Error        string                `json:"error,omitempty"`
}

// printPlugins lists all, and fails when one of them does not work.
func printPlugins(out io.Writer, plugins []host.Plugin, asJSON bool) error {
	var list []listed
	var broken []error
	for _, p := range plugins {
		l := listed{
			Kind: string(p.Kind), Plugin: p.Plugin, Name: p.Name, Version: p.Version, Protocol: p.Protocol,
			Capabilities: p.Capabilities, Capacity: p.Capacity, Path: p.Path, State: string(p.State),
		}
		if p.Err != nil {
			l.Error = p.Err.Error()
			broken = append(broken, p.Err)
		}
		list = append(list, l)
	}
	if err := writePlugins(out, list, asJSON); err != nil {
		return err
	}
	return errors.Join(broken...)
}

func writePlugins(out io.Writer, list []listed, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(list)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KIND\tPLUGIN\tNAME\tVERSION\tPROTOCOL\tSTATE\tCAPABILITIES")
	for _, l := range list {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", l.Kind, l.Plugin, l.Name, l.Version, l.Protocol, l.State, abilities(l))
	}
	return table.Flush()
}

// abilities is what a plugin can do, in words.
func abilities(l listed) string {
	switch {
	case l.Capacity != nil && l.Capacity.Free < 0:
		return "as many recordings as there is room for"
	case l.Capacity != nil:
		return fmt.Sprintf("%d recordings at a time", l.Capacity.Running+l.Capacity.Free)
	case l.Capabilities != nil:
		return storageAbilities(*l.Capabilities)
	default:
		return "-"
	}
}

func storageAbilities(c storage.Capabilities) string {
	words := []string{"whole files"}
	for _, ability := range []struct {
		has  bool
		word string
	}{
		{c.Parts, "parts"}, {c.OutOfOrder, "in any order"}, {c.EqualParts, "of equal size"},
		{c.Folders, "folders"}, {c.ReadBack, "read back"},
	} {
		if ability.has {
			words = append(words, ability.word)
		}
	}
	return strings.Join(words, ", ")
}
