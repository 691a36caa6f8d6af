package e2e_test

import (
	"image"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/recordhost/recordhost/test/media"
	"github.com/recordhost/recordhost/test/product"
)

// ground is the colour of pages that draw nothing but the measure, and middle a part of them that is nothing else. Whatever
// the browser put over the page would be seen there.
func ground() media.RGB { return media.RGB{0x22, 0x44, 0x66} }

func middle(f film) image.Rectangle {
	return image.Rect(0, 84, f.info.Video.Width-124, f.info.Video.Height)
}

// checkUncovered looks at every picture that shows the page.
func checkUncovered(t *testing.T, f film) {
	t.Helper()
	patches, err := media.Colours(limit(t), f.file, middle(f))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range patches {
		if !p.Uniform(ground(), 12) {
			t.Errorf("at %v something covers the page: colours from %v to %v", p.At, p.Min, p.Max)
		}
	}
}

func TestDialogsAreAnsweredAtOnce(t *testing.T) {
	server := servePages(t)
	f := record(t, server.URL("dialogs.html"), append(small(), "--duration", "5s")...)
	reports := server.Reports("answered")
	if len(reports) != 3 {
		t.Errorf("%d dialogs of 3 were answered", len(reports))
	}
	for _, report := range reports {
		var answered struct {
			Dialog int     `json:"dialog"`
			Answer string  `json:"answer"`
			MS     float64 `json:"ms"`
		}
		if err := report.Decode(&answered); err != nil {
			t.Fatal(err)
		}
		if answered.MS > 1500 {
			t.Errorf("dialog %d stood for %v ms", answered.Dialog, answered.MS)
		}
	}
	near(t, "length", f.video.FileDuration, 5, 1.0/15)
	checkUncovered(t, f)
}

func TestFurtherWindowsNeverCoverThePage(t *testing.T) {
	server := servePages(t)
	f := record(t, server.URL("windows.html"), append(small(), "--duration", "6s")...)
	if n := len(server.Reports("opened")); n != 2 {
		t.Errorf("the page went through %d of 2 attempts to open a window", n)
	}
	checkUncovered(t, f)
	r := f.read(t)
	if len(r.Cuts) > 0 || r.Reloads > 0 || len(r.Gaps) > 2 {
		t.Errorf("cuts %v, reloads %d, gaps %v", r.Cuts, r.Reloads, r.Gaps)
	}
	checkSteps(t, r.recording, 15)
}

func TestDownloadsAndPermissionsAreRefused(t *testing.T) {
	ctx, server, host := limit(t), servePages(t), serve(t, 1)
	task := start(t, host, map[string]any{"RecordURL": server.URL("refusals.html"), "Width": 640, "Height": 360})
	reports, err := server.Wait(ctx, "answered", 4)
	if err != nil {
		t.Fatal(err)
	}
	for _, report := range reports {
		var answered struct {
			What   string `json:"what"`
			Answer string `json:"answer"`
		}
		if err := report.Decode(&answered); err != nil {
			t.Fatal(err)
		}
		if answered.Answer == "granted" || answered.Answer == "default" {
			t.Errorf("%s: %s", answered.What, answered.Answer)
		}
	}
	for _, dir := range append(browserDirs(t, host), host.Dir) {
		checkNoDownload(t, dir)
	}
	checkUncovered(t, stop(t, host, task))
}

// browserDirs are the folders that the host's browsers keep their profiles in.
func browserDirs(t *testing.T, host *product.Host) []string {
	t.Helper()
	below, err := host.Below()
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for _, p := range below {
		line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID), "cmdline"))
		if err != nil {
			continue // it ended meanwhile
		}
		// Chrome writes its own line anew, with spaces.
		for argument := range strings.FieldsFuncSeq(string(line), func(r rune) bool { return r == 0 || r == ' ' }) {
			if profile, ok := strings.CutPrefix(argument, "--user-data-dir="); ok {
				dirs = append(dirs, filepath.Dir(profile))
			}
		}
	}
	if len(dirs) == 0 {
		t.Fatal("no browser runs below the host")
	}
	return dirs
}

func checkNoDownload(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // the browser removed it meanwhile
		}
		if err == nil && (strings.Contains(entry.Name(), "download.bin") || strings.HasSuffix(entry.Name(), ".crdownload")) {
			t.Errorf("a download was kept: %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Whoever leaves the page with the dialogs is asked whether that is meant; a refresh goes through all the same.
func TestARefreshIsNotHeldUp(t *testing.T) {
	ctx, server, host := limit(t), servePages(t), serve(t, 1)
	task := start(t, host, map[string]any{"RecordURL": server.URL("dialogs.html"), "Width": 640, "Height": 360})
	if _, err := server.Wait(ctx, "answered", 3); err != nil {
		t.Fatal(err)
	}
	tell(t, host, "Refresh", task)
	if _, err := server.Wait(ctx, "loaded", 2); err != nil {
		t.Fatal(err)
	}
	// The second life of the page must be seen too.
	if _, err := server.Wait(ctx, "answered", 4); err != nil {
		t.Fatal(err)
	}
	f := stop(t, host, task)
	if r := f.read(t); r.Reloads != 1 {
		t.Errorf("reloads %d", r.Reloads)
	}
	if n := server.Loads("dialogs.html"); n != 2 {
		t.Errorf("the page was loaded %d times", n)
	}
	if f.video.Length() < 3*time.Second {
		t.Errorf("length %v", f.video.Length())
	}
}
