package synthetic_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recordhost/recordhost/test/fakecos/cos"
	"github.com/recordhost/recordhost/test/fakevod"
	"github.com/recordhost/recordhost/test/product"
	"github.com/recordhost/recordhost/test/synthetic"
)

const (
	vodPlugin  = "plugins/storage-vod"
	vodSubApp  = 1500000123
	vodRegion  = "ap-shanghai"
	vodKeyID   = "AKIDsynthetic"
	vodContext = "lesson 7"
)

// A recording becomes one media of VOD, with all that the request says of it, whoever is killed on the way: the worker before the
// file was sent, or before the media was made; the plugin in either place.
func TestARecordingBecomesOneMedia(t *testing.T) {
	in, err := synthetic.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.Remove(); err != nil {
			t.Error(err)
		}
	})
	for name, c := range map[string]vodCell{
		"undisturbed":               {},
		"worker, before Put":        {hold: synthetic.Put, kill: synthetic.Worker},
		"worker, before Commit":     {hold: synthetic.Commit, kill: synthetic.Worker},
		"plugin, before Put":        {hold: synthetic.Put, kill: vodPlugin},
		"plugin, before Commit":     {hold: synthetic.Commit, kill: vodPlugin},
		"the answer of Commit lost": {lost: true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("it took too long"))
			defer cancel()
			if err := c.try(ctx, t, in); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// vodCell is a recording to VOD, and who is killed where.
type vodCell struct {
	hold synthetic.Moment
	kill synthetic.Component
	lost bool // the first answers to CommitUpload
}

func (c vodCell) try(ctx context.Context, t *testing.T, in *synthetic.Installation) (err error) {
	store, err := cos.Start(cos.Options{Dir: t.TempDir()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	vod, err := fakevod.Start(fakevod.Options{
		SecretID: vodKeyID, SecretKey: "key", SubAppIDs: []uint64{vodSubApp}, COS: store, Host: "http://media.example.com", MetaDelay: 1,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, vod.Close()) }()
	stand, err := in.Serve(ctx, 1, fmt.Sprintf(`storage "vod" "lessons" {
  secret_id      = %q
  secret_key     = "key"
  sub_app_id     = %d
  storage_region = %q
  endpoint       = %q
  cos_endpoint   = %q
}`, vodKeyID, vodSubApp, vodRegion, vod.URL(), store.URL()))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, stand.Abandon())
		}
		err = errors.Join(err, stand.Close(context.WithoutCancel(ctx)))
	}()
	if c.lost {
		vod.Fail("CommitUpload", 2, fakevod.Fault{Lost: true})
	}
	end, err := c.record(ctx, stand)
	if err != nil {
		return err
	}
	return c.check(ctx, end, vod, store)
}

// record makes the recording and answers how it ended.
func (c vodCell) record(ctx context.Context, stand *synthetic.Stand) (end product.Description, err error) {
	goOn := filepath.Join(stand.Dir, "go")
	task, err := stand.Start(ctx, map[string]any{
		"RecordURL": synthetic.Script{Hold: c.hold, Until: goOn}.URL(), "Width": synthetic.FilmWidth, "Height": synthetic.FilmHeight,
		"Output": map[string]any{"Vod": map[string]any{
			"MediaInfo": map[string]any{"MediaName": "Lesson 7", "ClassId": 3, "SourceContext": vodContext}, "SubAppId": vodSubApp,
		}},
	})
	if err != nil {
		return end, err
	}
	if err := stand.AwaitRecorded(ctx, task, 2*time.Second); err != nil {
		return end, err
	}
	if err := stand.Tell(ctx, "Stop", task); err != nil {
		return end, err
	}
	if c.hold != "" {
		err := synthetic.Until(ctx, "the worker is held", func() (bool, error) { return stand.Reached(task, c.hold) })
		if err != nil {
			return end, err
		}
		if err := c.strike(stand); err != nil {
			return end, err
		}
		if err := os.WriteFile(goOn, nil, 0o600); err != nil {
			return end, err
		}
	}
	return stand.AwaitStatus(ctx, task, "finished")
}

// strike kills the worker, or its plugin.
func (c vodCell) strike(stand *synthetic.Stand) error {
	running, err := stand.Running()
	if err != nil {
		return err
	}
	for _, p := range running[c.kill] {
		if p.Parent != stand.PID() || c.kill == synthetic.Worker {
			return syscall.Kill(p.PID, syscall.SIGKILL)
		}
	}
	return fmt.Errorf("no %s runs", c.kill)
}

// check looks at what VOD has, and what the caller is told of it.
func (c vodCell) check(ctx context.Context, end product.Description, vod *fakevod.Server, store *cos.Server) error {
	media := vod.Media()
	if end.Result == nil || end.Result.ErrorCode != "" || len(end.Result.Videos) != 1 || len(media) != 1 {
		return fmt.Errorf("result %+v, media %v", end.Result, media)
	}
	m, v := media[0], end.Result.Videos[0]
	if v.FileID != m.FileID || v.FileSize != m.Size || v.FileURL != "http://media.example.com"+m.Path {
		return fmt.Errorf("the caller is told %+v of %v", v, m)
	}
	if m.Name != "Lesson 7" || m.ClassID != 3 || m.SourceContext != vodContext || m.SubAppID != vodSubApp || m.Region != vodRegion {
		return fmt.Errorf("the media is %+v", m)
	}
	o, ok := store.Object(m.Bucket, strings.TrimPrefix(m.Path, "/"))
	if !ok {
		return fmt.Errorf("the media has no object among %+v", store.Objects(m.Bucket))
	}
	file := filepath.Join(os.TempDir(), m.FileID+".mp4")
	if err := os.WriteFile(file, o.Content, 0o600); err != nil {
		return err
	}
	defer func() { _ = os.Remove(file) }()
	return (&experiment{}).file(ctx, v, file)
}
