package main

import (
	"errors"
	"os"
	"strconv"
	"testing"

	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/runtime"
)

func TestConfig(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config config
		env    plugin.Env
		ok     bool
	}{
		"defaults":           {config{KeepLogs: 1}, plugin.Env{HostExecutable: exe}, true},
		"another worker":     {config{KeepLogs: 1, Worker: exe}, plugin.Env{}, true},
		"no worker":          {config{KeepLogs: 1}, plugin.Env{}, false},
		"a missing worker":   {config{KeepLogs: 1, Worker: "/nonexistent"}, plugin.Env{}, false},
		"a folder as worker": {config{KeepLogs: 1, Worker: "/"}, plugin.Env{}, false},
		"a relative worker":  {config{KeepLogs: 1, Worker: "worker"}, plugin.Env{}, false},
		"less than no slots": {config{KeepLogs: 1, Slots: -1}, plugin.Env{HostExecutable: exe}, false},
		"logs not kept":      {config{}, plugin.Env{HostExecutable: exe}, false},
	} {
		err := errors.Join(c.config.Validate(), c.config.complete(c.env))
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if c.ok && (c.config.Slots < 1 || c.config.Worker != exe) {
			t.Errorf("%s: %+v", name, c.config)
		}
	}
}

func TestEndsAreBounded(t *testing.T) {
	var e ends
	for i := range maxEnds + 10 {
		e.add(strconv.Itoa(i), runtime.Exit{Known: true, Code: i})
	}
	if _, ok := e.of("9"); ok || len(e.exits) != maxEnds {
		t.Errorf("%d ends are remembered", len(e.exits))
	}
	if exit, ok := e.of("10"); !ok || exit.Code != 10 {
		t.Errorf("the end of 10 is %+v, %v", exit, ok)
	}
}
