package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/recordhost/recordhost/internal/doctor"
)

func newDoctor() *cobra.Command {
	var file string
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor [--config FILE]",
		Short: "Examine whether this machine can record, and say what to do where it cannot",
		Args:  exactly(0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			var o doctor.Options
			if file != "" {
				settings, err := load(file)
				if err != nil {
					return err
				}
				o = doctor.Options{
					Chrome: settings.Engine.Chrome, FFmpeg: settings.Engine.FFmpeg,
					DataDir: settings.DataDir, MinFree: settings.Engine.MinFree, SandboxOff: !settings.Engine.Sandbox,
				}
			}
			return findings(c, doctor.Examine(c.Context(), o), asJSON)
		},
	}
	c.Flags().StringVar(&file, "config", "", "examine with the paths and settings of this configuration")
	c.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	return c
}

// findings prints them, one a line, and what to do below those that are not well.
func findings(c *cobra.Command, list []doctor.Finding, asJSON bool) error {
	out := c.OutOrStdout()
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(list); err != nil {
			return err
		}
	} else {
		for _, f := range list {
			state := "ok  "
			if !f.OK {
				state = "FAIL"
			}
			fmt.Fprintf(out, "%s  %s: %s\n", state, f.Name, f.Detail)
			if f.Advice != "" {
				fmt.Fprintf(out, "      -> %s\n", f.Advice)
			}
		}
	}
	if !doctor.Well(list) {
		return errors.New("this machine cannot record well as it is; what to do stands in the findings")
	}
	return nil
}
