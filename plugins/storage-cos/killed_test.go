package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/recordhost/recordhost/sdk/storage"
	"github.com/recordhost/recordhost/test/fakecos/cos"
)

// victim is set in the process that TestKilled starts: what it is to do until it is killed.
const victim = "STORAGE_COS_TEST_VICTIM"

// errand is what the victim does: it puts a file, or sends a part and finishes.
type errand struct {
	Dir, Endpoint string
	State         storage.State
	File          storage.File
	Upload        storage.Upload // nil: Put
	Part          storage.Part
	Receipts      []storage.Receipt // with them FinishParts
}

func (e errand) run(t *testing.T) {
	w := &world{dir: e.Dir}
	d := w.driver(t, configAt(e.Endpoint))
	var err error
	switch {
	case e.Upload == nil:
		err = d.Put(t.Context(), e.State, e.File)
	case e.Receipts != nil:
		err = d.FinishParts(t.Context(), e.State, e.Upload, e.Receipts)
	default:
		_, err = d.PutPart(t.Context(), e.State, e.Upload, e.Part)
	}
	t.Errorf("the process was to be killed, and has ended with %v", err)
}

// The plugin's process is killed while it sends, and around Complete. A new one goes on from what is on disk and in the store: one
// object, the right one, no more sent again than was under way.
func TestKilled(t *testing.T) {
	if text := os.Getenv(victim); text != "" {
		var e errand
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		e.run(t)
		return
	}
	for name, c := range map[string]struct {
		growing, finishing bool
		on                 cos.Operation
		part               int
		late               bool // when the store has done it
		underWay           int64
	}{
		"sending a part":             {growing: true, on: cos.UploadPart, part: 1, underWay: mib},
		"when a part is stored":      {growing: true, on: cos.UploadPart, part: 1, late: true, underWay: mib},
		"sending a file":             {on: cos.UploadPart, part: 3, underWay: atOnce * partBytes},
		"before a file is complete":  {on: cos.CompleteUpload},
		"after a file is complete":   {on: cos.CompleteUpload, late: true},
		"before parts are complete":  {growing: true, finishing: true, on: cos.CompleteUpload},
		"after parts are complete":   {growing: true, finishing: true, on: cos.CompleteUpload, late: true},
		"before an upload was begun": {on: cos.InitiateUpload},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			size := 3*partBytes + 77
			if c.growing {
				size = 2*mib + 77
			}
			content, f := recording(t, size)
			before := w.driver(t, w.config())
			e := errand{Dir: w.dir, Endpoint: w.URL(), State: mustOpen(t, before, lesson("t")), File: f}
			if c.growing {
				e.Upload, e.Part = mustBegin(t, before, e.State), piece(f, 1, mib)
				for _, number := range []int{2, 3} {
					e.Receipts = append(e.Receipts, mustPutPart(t, before, e.State, e.Upload, piece(f, number, mib)))
				}
			}
			receipts := e.Receipts
			if c.finishing {
				receipts = append(receipts, mustPutPart(t, before, e.State, e.Upload, e.Part))
				e.Receipts = receipts
			} else {
				e.Receipts = nil
			}
			w.kill(t, e, cos.Rule{On: c.on, Part: c.part, Times: 1}, c.late)

			after := w.driver(t, w.config())
			switch {
			case !c.growing:
				if err := after.Put(t.Context(), e.State, f); err != nil {
					t.Fatal(err)
				}
			default:
				if !c.finishing {
					receipts = append(receipts, mustPutPart(t, after, e.State, e.Upload, e.Part))
				}
				if err := after.FinishParts(t.Context(), e.State, e.Upload, receipts); err != nil {
					t.Fatal(err)
				}
			}
			l, err := after.Commit(t.Context(), e.State)
			if err != nil || l.Size != f.Size {
				t.Fatalf("commit: %+v, %v", l, err)
			}
			if c.on == cos.InitiateUpload {
				w.onlyEmptyUploads(t, 1) // its id came to nobody
			} else {
				w.stored(t, content)
			}
			var received int64
			for _, r := range w.Requests(cos.UploadPart) {
				received += r.Received
			}
			if received > f.Size+c.underWay {
				t.Errorf("%d bytes were sent of %d, more than %d too many", received, f.Size, c.underWay)
			}
		})
	}
}

// kill runs an errand in a process of its own, which is killed when the store meets the rule.
func (w *world) kill(t *testing.T, e errand, r cos.Rule, late bool) {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), program, "-test.run=^TestKilled$")
	child.Env = []string{victim + "=" + string(text), "TMPDIR=" + t.TempDir()}
	started := make(chan struct{})
	end := func() {
		<-started
		_ = child.Process.Kill()
	}
	r.Fault = cos.Then(end)
	if late {
		r.Fault = cos.Finally(end)
	}
	w.Inject(r)
	var out bytes.Buffer
	child.Stdout, child.Stderr = &out, &out
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	close(started)
	if err := child.Wait(); err == nil || child.ProcessState.ExitCode() != -1 {
		t.Fatalf("the process was not killed: %v\n%s", err, out.String())
	}
	// The rest of what it had sent is on its way until the store has seen the connections end.
	w.Settle()
}
