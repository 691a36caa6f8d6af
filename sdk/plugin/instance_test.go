package plugin

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/recordhost/recordhost/sdk/plugin/plugintest"
	"github.com/recordhost/recordhost/sdk/schema"
	"github.com/recordhost/recordhost/sdk/status"
)

type testConfig struct {
	URL  string        `config:"url"`
	Key  schema.Secret `config:"key,optional"`
	Fail string        `config:"fail,optional"`
}

func (c *testConfig) Validate() error {
	if c.URL == "bad" {
		return errors.New("url: bad is bad")
	}
	c.URL += "/"
	return nil
}

type testDriver struct {
	env    Env
	config testConfig
	closed bool
}

func (d *testDriver) Close() error {
	d.closed = true
	return nil
}

func testDefinition() Definition[testConfig, *testDriver] {
	return Definition[testConfig, *testDriver]{
		Kind: KindStorage, Name: "test", Version: "1.2.3",
		New: func(_ context.Context, env Env, c testConfig) (*testDriver, error) {
			if c.Fail != "" {
				return nil, status.Errorf(status.PermissionDenied, "%s", c.Fail)
			}
			return &testDriver{env: env, config: c}, nil
		},
	}
}

// The life of a plugin from its start to its end, as its author and, over the wire, its host see it.
func TestInstance(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for _, mode := range []string{"direct", "grpc"} {
		t.Run(mode, func(t *testing.T) {
			instance, err := NewInstance(testDefinition(), log)
			if err != nil {
				t.Fatal(err)
			}
			var base Base = instance
			if mode == "grpc" {
				base = plugintest.Dispense[Base](t, NewGRPCPlugin(instance))
			}
			ctx := t.Context()
			info, err := base.Info(ctx)
			if want := (Info{KindStorage, "test", "1.2.3", Protocol}); err != nil || info != want {
				t.Errorf("info is %+v, %v, want %+v", info, err, want)
			}
			form, err := base.ConfigSchema(ctx)
			if err != nil || len(form.Attributes) != 3 || !form.Attributes[1].Sensitive {
				t.Errorf("the schema is %+v, %v", form, err)
			}
			if _, err := instance.Driver(); !errors.Is(err, status.FailedPrecondition) {
				t.Errorf("the driver before it is configured: %v", err)
			}
			if err := instance.Close(); err != nil {
				t.Errorf("close before it is configured: %v", err)
			}
			refuseConfigurations(t, base)
			good := Configuration{JSON: []byte(`{"url": "u", "key": "k"}`), StateDir: "/state", HostExecutable: "/bin/host"}
			for range 2 {
				if err := base.Configure(ctx, good); err != nil {
					t.Fatalf("configure: %v", err)
				}
			}
			other := good
			other.StateDir = "/elsewhere"
			if err := base.Configure(ctx, other); !errors.Is(err, status.FailedPrecondition) {
				t.Errorf("configure with something else: %v", err)
			}
			d, err := instance.Driver()
			if err != nil {
				t.Fatal(err)
			}
			if d.env != (Env{"/state", "/bin/host", log}) || d.config.URL != "u/" || d.config.Key.Reveal() != "k" {
				t.Errorf("the driver was made of %+v, %+v", d.env, d.config)
			}
			if err := instance.Close(); err != nil || !d.closed {
				t.Errorf("close: %v, the driver is closed: %v", err, d.closed)
			}
		})
	}
}

func refuseConfigurations(t *testing.T, base Base) {
	t.Helper()
	for _, c := range []struct {
		config Configuration
		kind   status.Kind
		text   string
	}{
		{Configuration{JSON: []byte(`{"url": "bad"}`)}, status.InvalidArgument, "url: bad is bad"},
		{Configuration{JSON: []byte(`{"key": "hunter2"}`)}, status.InvalidArgument, "url: must be set"},
		{Configuration{JSON: []byte(`{"url": "u", "fail": "no"}`)}, status.PermissionDenied, "configure storage-test: no"},
		{Configuration{JSON: []byte(`{"url": "u"}`), StateDir: "rel"}, status.InvalidArgument, "state directory"},
		{Configuration{JSON: []byte(`{"url": "u"}`), HostExecutable: "rel"}, status.InvalidArgument, "host executable"},
	} {
		err := base.Configure(t.Context(), c.config)
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("configure with %s: %v, want %q with %q", c.config.JSON, err, c.kind, c.text)
		}
	}
}

func TestDefinitionsThatCannotBe(t *testing.T) {
	def := Definition[struct{ A chan int }, *testDriver]{Kind: KindStorage, Name: "test"}
	if _, err := NewInstance(def, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "storage-test") {
		t.Errorf("settings that no schema has: %v", err)
	}
	def2 := testDefinition()
	def2.Version = ""
	instance, err := NewInstance(def2, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := instance.Info(t.Context()); err != nil || info.Version == "" {
		t.Errorf("without a version: %+v, %v", info, err)
	}
}
