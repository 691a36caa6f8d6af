package synthetic_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/recordhost/recordhost/test/synthetic"
)

// One of two targets refuses: what the other one holds is told, and stays. When the store is mended, RetryUpload brings the same
// bytes there, and nothing else.
func TestATargetThatRefuses(t *testing.T) {
	in, err := synthetic.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.Remove(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("it took too long"))
	defer cancel()
	store := s3mem.New()
	if err := store.CreateBucket("lessons"); err != nil {
		t.Fatal(err)
	}
	var open atomic.Bool
	protocol := gofakes3.New(store).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !open.Load() {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `<Error><Code>AccessDenied</Code><Message>not now</Message></Error>`)
			return
		}
		protocol.ServeHTTP(w, r)
	}))
	defer server.Close()
	stand, err := in.Serve(ctx, 1, fmt.Sprintf(`storage "blob" "cloud" {
  url = "s3://lessons?endpoint=%s&use_path_style=true&region=us-east-1"
  env = { AWS_ACCESS_KEY_ID = "k", AWS_SECRET_ACCESS_KEY = "s", AWS_EC2_METADATA_DISABLED = "true" }
}`, server.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			_ = stand.Abandon()
		}
		if err := stand.Close(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	}()
	if err := retryTarget(ctx, stand, store, &open); err != nil {
		t.Error(err)
	}
}

func retryTarget(ctx context.Context, stand *synthetic.Stand, store *s3mem.Backend, open *atomic.Bool) error {
	cloud := map[string]any{"Storage": "cloud", "TargetDir": "a", "TargetName": "b"}
	task, err := stand.Start(ctx, map[string]any{
		"RecordURL": synthetic.Script{}.URL(), "Width": synthetic.FilmWidth, "Height": synthetic.FilmHeight,
		"Output": map[string]any{"Targets": []any{map[string]any{}, cloud}},
	})
	if err != nil {
		return err
	}
	if err := stand.AwaitRecorded(ctx, task, 2*time.Second); err != nil {
		return err
	}
	if err := stand.Tell(ctx, "Stop", task); err != nil {
		return err
	}
	d, err := stand.AwaitStatus(ctx, task, "finished")
	if err != nil {
		return err
	}
	if d.Result.ErrorCode != "UploadDenied" || len(d.Result.Videos) != 1 {
		return fmt.Errorf("with one target that refuses: %+v", d.Result)
	}
	local := stand.File(task, d.Result.Videos[0])
	before, err := os.ReadFile(local)
	if err != nil || int64(len(before)) != d.Result.Videos[0].FileSize {
		return fmt.Errorf("%s has %d bytes: %w", local, len(before), err)
	}
	if _, err := os.Stat(filepath.Join(stand.Dir, "data", "spool", task, "spool", "journal")); err != nil {
		return fmt.Errorf("the spool is not kept: %w", err)
	}
	changed, err := os.Stat(local)
	if err != nil {
		return err
	}

	open.Store(true)
	if err := stand.Tell(ctx, "RetryUpload", task); err != nil {
		return err
	}
	err = synthetic.Until(ctx, "the other target has it", func() (bool, error) {
		d, err = stand.Describe(ctx, task)
		return err == nil && d.Result.ErrorCode == "", err
	})
	if err != nil {
		return err
	}
	if len(d.Result.Videos) != 2 || d.Status != "finished" || d.Quality.Restarts != 0 {
		return fmt.Errorf("after RetryUpload: %+v, %+v", d.Result, d.Quality)
	}
	object, err := store.GetObject("lessons", "a/b.mp4", nil)
	if err != nil {
		return err
	}
	after, err := io.ReadAll(object.Contents)
	if err != nil || !bytes.Equal(before, after) {
		return fmt.Errorf("the two targets have %d and %d bytes, and not the same: %w", len(before), len(after), err)
	}
	if again, err := os.Stat(local); err != nil || !again.ModTime().Equal(changed.ModTime()) {
		return fmt.Errorf("the first target was written once more: %w", err)
	}
	return (&experiment{stand: stand}).gone(ctx)
}
