package e2e_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/browser"
	"github.com/recordhost/recordhost/sdk/proc"
	"github.com/recordhost/recordhost/test/media"
	"github.com/recordhost/recordhost/test/product"
)

// player is a page that plays a playlist with hls.js, muted, and tells how it goes.
const player = `<!doctype html><title>player</title><video id=v width=640 height=360 muted></video>
<script src="/hls.min.js"></script>
<script>
const tell = o => fetch("/tell", {method: "POST", body: JSON.stringify(o)});
const v = document.getElementById("v"), hls = new Hls({liveSyncDurationCount: 1});
hls.on(Hls.Events.ERROR, (_, e) => { if (e.fatal) tell({Error: e.type + " " + e.details}); });
hls.on(Hls.Events.MANIFEST_PARSED, () => v.play().catch(e => tell({Error: String(e)})));
hls.loadSource(new URLSearchParams(location.search).get("list"));
hls.attachMedia(v);
setInterval(() => tell({At: v.currentTime, Pictures: v.getVideoPlaybackQuality().totalVideoFrames}), 500);
</script>`

// played is what the player tells.
type played struct {
	Error    string
	At       float64 // seconds
	Pictures int
}

// cinema serves recordings, the key to them for those who have a ticket, and the player.
type cinema struct {
	*httptest.Server
	key  atomic.Pointer[[]byte]
	told chan played
}

const ticket = "ticket-4711"

func openCinema(t *testing.T, files string, key []byte) *cinema {
	t.Helper()
	const folder = "../../.cache/hlsjs"
	fetch := exec.CommandContext(limit(t), "../../hack/hlsjs.sh", folder)
	if out, err := fetch.CombinedOutput(); err != nil {
		t.Fatalf("fetch hls.js: %v\n%s", err, out)
	}
	c := &cinema{told: make(chan played, 1000)}
	c.key.Store(&key)
	mux := http.NewServeMux()
	mux.Handle("/files/", http.StripPrefix("/files/", http.FileServer(http.Dir(files))))
	mux.HandleFunc("/hls.min.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, folder+"/hls.min.js") })
	mux.HandleFunc("/player.html", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, player) })
	mux.HandleFunc("/key", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("ticket") != ticket {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = w.Write(*c.key.Load())
	})
	mux.HandleFunc("/tell", func(_ http.ResponseWriter, r *http.Request) {
		var p played
		if json.NewDecoder(r.Body).Decode(&p) == nil {
			c.told <- p
		}
	})
	c.Server = httptest.NewServer(mux)
	t.Cleanup(c.Close)
	return c
}

// get answers what a URL holds.
func get(ctx context.Context, url string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

// follow asks for the playlist again and again until ctx ends, and for each segment as soon as it is named. It answers how
// many playlists named how many segments, and what was not there.
func follow(ctx context.Context, list string) (playlists, segments int, problem error) {
	seen := map[string]bool{}
	for ctx.Err() == nil {
		code, text, err := get(ctx, list)
		if err == nil && code == http.StatusOK {
			playlists++
			for line := range strings.Lines(string(text)) {
				if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") || seen[line] {
					continue
				}
				seen[line] = true
				code, _, err := get(ctx, list[:strings.LastIndex(list, "/")+1]+line)
				if ctx.Err() == nil && (err != nil || code != http.StatusOK) {
					problem = errors.Join(problem, fmt.Errorf("%s is named and not there: %d %w", line, code, err))
				}
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return playlists, len(seen), problem
}

// watch plays a playlist in Chromium until it has shown enough, and answers what it told last.
func (c *cinema) watch(t *testing.T, list string, enough func(played) bool) played {
	t.Helper()
	binary, err := browser.Find()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	child, err := proc.Start(t.Context(), proc.Spec{
		Path: binary,
		Args: []string{
			"--headless=new", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + dir, "--autoplay-policy=no-user-gesture-required",
			"--no-first-run", c.URL + "/player.html?list=" + list,
		},
		Env: []string{"HOME=" + dir, "LC_ALL=C.UTF-8"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := child.Stop(context.WithoutCancel(t.Context()), 3*time.Second); err != nil {
			t.Error(err)
		}
	}()
	for {
		select {
		case p := <-c.told:
			if p.Error != "" {
				t.Fatalf("hls.js: %s", p.Error)
			}
			if enough(p) {
				return p
			}
		case <-child.Done():
			t.Fatal("the player has ended")
		case <-limit(t).Done():
			t.Fatal("the player has not shown enough")
		}
	}
}

// A lesson that is recorded encrypted, as HLS: it is watched in a browser while it is recorded, never is a segment named that
// is not there, the key is nowhere, and in the end it is what an MP4 would be.
func TestHLSIsWatchedWhileItIsRecorded(t *testing.T) {
	const digits = "21834cca41778803e1afba3f41e70c90"
	key, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	server, host := servePages(t), serve(t, 1)
	c := openCinema(t, host.Files, key)
	task := start(t, host, map[string]any{
		"RecordURL": server.URL("sound.html"), "Width": 640, "Height": 360,
		"Output": map[string]any{"Video": map[string]any{
			"Muxer": "hls", "SegmentDuration": 2, "EncryptKey": digits, "AuthUrl": c.URL + "/key?ticket=" + ticket,
		}},
	})
	list := c.URL + "/files/" + task + "/playlist.m3u8"
	ctx, done := context.WithCancel(t.Context())
	var following sync.WaitGroup
	var playlists, segments int
	var problem error
	following.Go(func() { playlists, segments, problem = follow(ctx, list) })
	defer following.Wait()
	defer done()

	recorded(t, host, task, 5*time.Second)
	var first *played
	last := c.watch(t, list, func(p played) bool {
		if first == nil && p.Pictures > 0 {
			first = &p
		}
		return first != nil && p.At-first.At >= 4 && p.Pictures-first.Pictures >= 40
	})
	if d := await(t, host, task, "recording"); d.Progress == nil || d.Progress.Delivered == 0 {
		t.Errorf("it was watched and not delivered: %+v", d.Progress)
	}
	t.Logf("while it was recorded hls.js showed %d pictures in %.1f s", last.Pictures-first.Pictures, last.At-first.At)

	tell(t, host, "Stop", task)
	d := await(t, host, task, "finished")
	if d.Result == nil || d.Result.ErrorCode != "" || len(d.Result.Videos) != 1 || d.Result.Videos[0].Filename != "playlist.m3u8" {
		t.Fatalf("result %+v", d.Result)
	}
	time.AfterFunc(200*time.Millisecond, done)
	following.Wait()
	if problem != nil || playlists == 0 || segments < 4 {
		t.Errorf("%d playlists named %d segments: %v", playlists, segments, problem)
	}
	v := d.Result.Videos[0]
	secretIsNowhere(t, host, task, v, key, digits)

	f := film{Description: d, file: filepath.Join(t.TempDir(), "film.mp4"), video: v}
	remux(t, list, f.file)
	if f.info, err = media.Probe(limit(t), f.file); err != nil {
		t.Fatal(err)
	}
	near(t, "length against FileDuration", f.info.Duration.Seconds(), v.FileDuration, 0.1)
	// How well a page is recorded while a second browser wants the machine is not this test's matter, and that segments hold what an
	// MP4 would is package hls's: here it is one recording whose pictures can be read, and whose sound fits them.
	r := f.read(t)
	if r.Frames == 0 || r.Unreadable > 0 || r.Reloads > 0 {
		t.Errorf("%d frames, unreadable %d, reloads %d", r.Frames, r.Unreadable, r.Reloads)
	}
	if s := r.PlusHalfFrame; s == nil || math.Abs(s.Median) > 80 {
		t.Errorf("sound minus picture %+v", s)
	}

	another := []byte("fedcba9876543210")
	c.key.Store(&another)
	if err := play(t, list, filepath.Join(t.TempDir(), "none.mp4")); err == nil {
		t.Error("it plays with another key")
	}
}

// secretIsNowhere looks at all that is delivered, and at what the host has said and kept, and adds the files up.
func secretIsNowhere(t *testing.T, host *product.Host, task string, v product.Video, key []byte, digits string) {
	t.Helper()
	var size int64
	look := func(path string) error {
		data, err := os.ReadFile(path)
		if err == nil && (bytes.Contains(data, key) || bytes.Contains(bytes.ToLower(data), []byte(digits))) {
			t.Errorf("%s holds the key", path)
		}
		if err == nil && strings.HasPrefix(path, filepath.Join(host.Files, task)) {
			size += int64(len(data))
		}
		return err
	}
	err := filepath.WalkDir(host.Dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || filepath.Base(path) == "seal.key" {
			return err
		}
		return look(path)
	})
	if err != nil {
		t.Error(err)
	}
	if size != v.FileSize {
		t.Errorf("the files have %d bytes, FileSize is %d", size, v.FileSize)
	}
	if log := host.Log(); strings.Contains(log, digits) || strings.Contains(log, ticket) {
		t.Error("the host's log holds the key, or the ticket to it")
	}
}

// play has ffmpeg play a playlist into an MP4, by copying.
func play(t *testing.T, list, to string) error {
	t.Helper()
	cmd := exec.CommandContext(limit(t), "ffmpeg", "-v", "error", "-xerror", "-i", list, "-c", "copy", "-bsf:a", "aac_adtstoasc", to)
	out, err := cmd.CombinedOutput()
	if err == nil && len(out) > 0 {
		err = errors.New("it complained")
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func remux(t *testing.T, list, to string) {
	t.Helper()
	if err := play(t, list, to); err != nil {
		t.Fatal(err)
	}
}

// The page dies, and then the worker: the same playlist goes on, what was stored is as it was, and the gaps are to be seen.
func TestHLSOutlivesItsWorker(t *testing.T) {
	server, host := servePages(t), serve(t, 1)
	task := start(t, host, map[string]any{
		"RecordURL": server.URL("frames.html"), "Width": 640, "Height": 360,
		"Output": map[string]any{"TargetName": "lesson", "Video": map[string]any{"Muxer": "hls", "SegmentDuration": 2}},
	})
	recorded(t, host, task, 5*time.Second)
	killWhere(t, host, func(name, args string) bool { return name == "chromium" && strings.Contains(args, "--type=renderer") })
	if _, err := server.Wait(limit(t), "loaded", 2); err != nil {
		t.Fatal(err)
	}
	d := await(t, host, task, "recording")
	recorded(t, host, task, time.Duration(d.Progress.Recorded*float64(time.Second))+3*time.Second)
	folder := filepath.Join(host.Files, task)
	before := filesOf(t, folder)
	killWhere(t, host, func(name, args string) bool { return name == "recordhost" && strings.Contains(args, "worker") })
	if _, err := server.Wait(limit(t), "loaded", 3); err != nil {
		t.Fatal(err)
	}
	d = await(t, host, task, "recording")
	recorded(t, host, task, time.Duration(d.Progress.Recorded*float64(time.Second))+3*time.Second)
	tell(t, host, "Stop", task)
	d = await(t, host, task, "finished")
	if d.Result == nil || d.Result.ErrorCode != "" || len(d.Result.Videos) != 1 || len(d.Quality.Gaps) != 2 {
		t.Fatalf("result %+v, quality %+v", d.Result, d.Quality)
	}
	after := filesOf(t, folder)
	segments := 0
	for name, data := range before {
		if !strings.HasSuffix(name, ".ts") {
			continue
		}
		segments++
		if !bytes.Equal(after[name], data) {
			t.Errorf("%s has become another one", name)
		}
	}
	text := string(after["lesson.m3u8"])
	if segments < 3 || strings.Count(text, "#EXT-X-DISCONTINUITY\n") != 2 || !strings.HasSuffix(text, "#EXT-X-ENDLIST\n") {
		t.Errorf("%d segments before the worker died, and then:\n%s", segments, text)
	}
	f := film{Description: d, file: filepath.Join(t.TempDir(), "film.mp4"), video: d.Result.Videos[0]}
	remux(t, filepath.Join(folder, "lesson.m3u8"), f.file)
	var err error
	if f.info, err = media.Probe(limit(t), f.file); err != nil {
		t.Fatal(err)
	}
	near(t, "length against FileDuration", f.info.Duration.Seconds(), f.video.FileDuration, 0.1)
	r := f.read(t)
	if r.Reloads != 2 || r.PlusHalfFrame == nil || math.Abs(r.PlusHalfFrame.Median) > 100 {
		t.Errorf("%d reloads, sound against picture %+v", r.Reloads, r.PlusHalfFrame)
	}
}

// filesOf reads the files of a folder.
func filesOf(t *testing.T, folder string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") { // being written
			continue
		}
		if all[e.Name()], err = os.ReadFile(filepath.Join(folder, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return all
}
