package main

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/schema"
	"github.com/recordhost/recordhost/sdk/storage"
	"github.com/recordhost/recordhost/sdk/storage/storagetest"
	"github.com/recordhost/recordhost/test/fakecos/cos"
	"github.com/recordhost/recordhost/test/fakevod"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testID     = "AKIDtest"
	testKey    = "the account's own key"
	testSubApp = 1500000123
)

// service is VOD and its store, both faked.
type service struct {
	vod   *fakevod.Server
	cos   *cos.Server
	state string // the plugin's state directory
}

func newService(t *testing.T, o fakevod.Options) *service {
	t.Helper()
	store, err := cos.Start(cos.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	o.SecretID, o.SecretKey, o.COS, o.Host = testID, testKey, store, "http://media.example.com"
	o.SubAppIDs = append(o.SubAppIDs, testSubApp)
	vod, err := fakevod.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := vod.Close(); err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return &service{vod: vod, cos: store, state: t.TempDir()}
}

func (s *service) config() Config {
	return Config{
		SecretID: testID, SecretKey: schema.NewSecret(testKey), Region: "ap-guangzhou", SubAppID: testSubApp, StorageRegion: "ap-shanghai",
		Endpoint: s.vod.URL(), COSEndpoint: s.cos.URL(),
	}
}

// driver is the plugin, started.
func (s *service) driver(t *testing.T, c Config) *Driver {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	d, err := New(t.Context(), plugin.Env{StateDir: s.state, Log: slog.New(slog.DiscardHandler)}, c)
	if err != nil {
		t.Fatal(err)
	}
	return d.(*Driver)
}

// observed remembers the sessions of deliveries, in which the suite looks for their files.
type observed struct {
	*Driver
	seen *sessions
}

type sessions struct {
	mu sync.Mutex
	of map[string][]state // by the delivery's id
}

func (o observed) Open(ctx context.Context, d storage.Delivery) (storage.State, error) {
	s, err := o.Driver.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	st, err := parseState(s)
	o.seen.mu.Lock()
	defer o.seen.mu.Unlock()
	o.seen.of[d.ID()] = append(o.seen.of[d.ID()], st)
	return s, err
}

// find reads a file in the store, from the delivery's last session that has it.
func (s *sessions) find(t *testing.T, svc *service, d storage.Delivery, name string, onlyMedia bool) ([]byte, bool) {
	t.Helper()
	s.mu.Lock()
	all := slices.Clone(s.of[d.ID()])
	s.mu.Unlock()
	slices.Reverse(all)
	for _, st := range all {
		isMedia := func(m fakevod.Media) bool { return m.Path == "/"+st.Path }
		if onlyMedia && !slices.ContainsFunc(svc.vod.Media(), isMedia) {
			continue
		}
		key, err := st.key(name)
		if err != nil {
			t.Fatal(err)
		}
		if o, ok := svc.cos.Object(st.Bucket, key); ok {
			return o.Content, true
		}
	}
	return nil, false
}

// The suite runs with keys that allow everything in the session's folder, and with such as are for uploading alone: then what is in
// the store is known from the plugin's own records, and only what has become a media counts as being there.
func TestConforms(t *testing.T) {
	for name, o := range map[string]fakevod.Options{
		"keys for the folder":     {},
		"keys for uploading only": {UploadOnly: true, MetaDelay: 1},
	} {
		t.Run(name, func(t *testing.T) {
			svc := newService(t, o)
			seen := &sessions{of: map[string][]state{}}
			wrong := svc.config()
			wrong.SecretKey = schema.NewSecret("another")
			storagetest.Run(t, storagetest.Harness{
				NewDriver: func(t *testing.T) storage.Driver { return observed{svc.driver(t, svc.config()), seen} },
				Denied:    func(t *testing.T) storage.Driver { return observed{svc.driver(t, wrong), seen} },
				Read: func(t *testing.T, d storage.Delivery, name string) ([]byte, bool) {
					return seen.find(t, svc, d, name, o.UploadOnly)
				},
				OwnNames: true,
				Target:   []byte(`{"MediaInfo":{"SourceContext":"suite"},"ProcedureInfo":{"Procedure":"p"},"SubAppId":"1500000123"}`),
			})
		})
	}
}
