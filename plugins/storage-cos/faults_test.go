package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recordhost/recordhost/sdk/schema"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
	"github.com/recordhost/recordhost/test/fakecos/cos"
)

const mib = 1 << 20

// recording makes content of which no two places are alike, and a file that holds it.
func recording(t *testing.T, size int) ([]byte, storage.File) {
	t.Helper()
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size), byte(size >> 8)}).Read(content)
	path := filepath.Join(t.TempDir(), "recording")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return content, storage.File{Name: "a.mp4", Path: path, Size: int64(size), ContentType: "video/mp4"}
}

// piece is a part of a file, of size bytes but for the last.
func piece(f storage.File, number int, size int64) storage.Part {
	offset := int64(number-1) * size
	return storage.Part{Number: number, Extents: []storage.Extent{{Path: f.Path, Offset: offset, Length: min(size, f.Size-offset)}}}
}

func lesson(task string) storage.Delivery {
	return storage.Delivery{TaskID: task, Epoch: 1, Dir: "dir", Main: "a.mp4"}
}

func mustOpen(t *testing.T, d *Driver, delivery storage.Delivery) storage.State {
	t.Helper()
	s, err := d.Open(t.Context(), delivery)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustBegin(t *testing.T, d *Driver, s storage.State) storage.Upload {
	t.Helper()
	u, err := d.BeginParts(t.Context(), s, storage.Growing{Name: "a.mp4", ContentType: "video/mp4"})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func mustPutPart(t *testing.T, d *Driver, s storage.State, u storage.Upload, p storage.Part) storage.Receipt {
	t.Helper()
	r, err := d.PutPart(t.Context(), s, u, p)
	if err != nil {
		t.Fatalf("part %d: %v", p.Number, err)
	}
	return r
}

// again repeats a call as deliver does: as long as it may succeed.
func again(t *testing.T, what string, do func() error) (tries int) {
	t.Helper()
	for tries = 1; ; tries++ {
		err := do()
		if err == nil {
			return tries
		}
		if !status.Retryable(err) || tries == 10 {
			t.Fatalf("%s failed at try %d: %v", what, tries, err)
		}
	}
}

// stored demands that the store holds one object, this one, and no upload.
func (w *world) stored(t *testing.T, want []byte) {
	t.Helper()
	if o, ok := w.Object(testBucket, "dir/a.mp4"); !ok || !bytes.Equal(o.Content, want) {
		t.Errorf("the store has %d bytes that are not the %d of the recording", len(o.Content), len(want))
	}
	if all := w.Objects(testBucket); len(all) != 1 {
		t.Errorf("the store has %d objects, want one: %+v", len(all), all)
	}
	if uploads := w.Uploads(testBucket); len(uploads) != 0 {
		t.Errorf("uploads were left behind: %+v", uploads)
	}
}

// deliver sends a file in one of the two ways, repeating each call like deliver does.
func (w *world) deliver(t *testing.T, d *Driver, f storage.File, growing bool) storage.Location {
	t.Helper()
	var s storage.State
	again(t, "open", func() (err error) {
		s, err = d.Open(t.Context(), lesson("t"))
		return err
	})
	if growing {
		w.grow(t, d, s, f)
	} else {
		again(t, "put", func() error { return d.Put(t.Context(), s, f) })
	}
	var l storage.Location
	again(t, "commit", func() (err error) {
		l, err = d.Commit(t.Context(), s)
		return err
	})
	return l
}

// grow sends a file as a recording does: part 1 last. What the store has lost or spoiled begins anew.
func (w *world) grow(t *testing.T, d *Driver, s storage.State, f storage.File) {
	t.Helper()
	for range 3 {
		var u storage.Upload
		again(t, "begin", func() (err error) {
			u, err = d.BeginParts(t.Context(), s, storage.Growing{Name: f.Name, ContentType: f.ContentType})
			return err
		})
		var receipts []storage.Receipt
		for _, number := range []int{2, 3, 1} {
			again(t, "part", func() error {
				r, err := d.PutPart(t.Context(), s, u, piece(f, number, mib))
				if err == nil {
					receipts = append(receipts, r)
				}
				return err
			})
		}
		var err error
		for range 10 {
			if err = d.FinishParts(t.Context(), s, u, receipts); !errors.Is(err, status.Unavailable) {
				break
			}
		}
		if err == nil {
			return
		}
		if !errors.Is(err, status.DataLoss) && !errors.Is(err, status.NotFound) {
			t.Fatalf("finish: %v", err)
		}
	}
	t.Fatal("three uploads came to nothing")
}

// Whatever a store does twice to each operation, in the end it holds exactly one object, the right one, and nothing else.
func TestPassingFaults(t *testing.T) {
	faults := map[string]cos.Fault{
		"500":                    cos.Refuse(http.StatusInternalServerError, "InternalError"),
		"503":                    cos.Refuse(http.StatusServiceUnavailable, "SlowDown"),
		"429":                    cos.RefuseFor(http.StatusTooManyRequests, "TooManyRequests", time.Second),
		"the answer is lost":     cos.LoseAnswer(),
		"reset at once":          cos.Reset(0),
		"reset in the middle":    cos.Reset(mib / 2),
		"a flipped bit":          cos.Flip(false),
		"a flipped bit, hidden":  cos.Flip(true),
		"a byte missing":         cos.Cut(false),
		"a byte missing, hidden": cos.Cut(true),
		"200 with an error":      cos.ErrorInBody("InternalError"),
	}
	shapes := []struct {
		name       string
		growing    bool
		size       int
		operations []cos.Operation
	}{
		{"small", false, 100_000, []cos.Operation{cos.HeadObject, cos.PutObject}},
		{"large", false, maxWhole + 3*mib, []cos.Operation{cos.InitiateUpload, cos.UploadPart, cos.CompleteUpload}},
		{"growing", true, 2*mib + 77, []cos.Operation{cos.HeadObject, cos.InitiateUpload, cos.UploadPart, cos.CompleteUpload}},
	}
	for _, shape := range shapes {
		content, f := recording(t, shape.size)
		for name, fault := range faults {
			for _, on := range shape.operations {
				if name == "200 with an error" && on != cos.CompleteUpload {
					continue // no other answers before it knows
				}
				t.Run(fmt.Sprintf("%s/%s/%s", shape.name, on, name), func(t *testing.T) {
					w := newWorld(t)
					d := w.driver(t, w.config())
					w.Inject(cos.Rule{On: on, Times: 2, Fault: fault})
					l := w.deliver(t, d, f, shape.growing)
					if l.Size != f.Size || l.Checksum != formatCRC(w.Objects(testBucket)[0].CRC64) {
						t.Errorf("%+v", l)
					}
					if on == cos.InitiateUpload && name == "the answer is lost" {
						w.onlyEmptyUploads(t, 2)
						return
					}
					w.stored(t, content)
				})
			}
		}
	}
}

// onlyEmptyUploads: of an upload whose id never came nobody can tell whose it is. It holds nothing and costs nothing.
func (w *world) onlyEmptyUploads(t *testing.T, n int) {
	t.Helper()
	uploads := w.Uploads(testBucket)
	for _, u := range uploads {
		if len(u.Parts) != 0 {
			t.Errorf("an upload with parts was left behind: %+v", u)
		}
	}
	if len(uploads) != n {
		t.Errorf("%d uploads were left behind, want %d", len(uploads), n)
	}
}

// What comes of each answer.
func TestKinds(t *testing.T) {
	w := newWorld(t)
	d := w.driver(t, w.config())
	_, f := recording(t, 1000)
	s := mustOpen(t, d, lesson("t"))
	u := mustBegin(t, d, s)
	for _, c := range []struct {
		http int
		code string
		want status.Kind
	}{
		{403, "AccessDenied", status.PermissionDenied},
		{403, "SignatureDoesNotMatch", status.PermissionDenied},
		{403, "InvalidAccessKeyId", status.PermissionDenied},
		{403, "RequestTimeTooSkewed", status.PermissionDenied},
		{400, "ExpiredToken", status.PermissionDenied},
		{402, "Unheard", status.PermissionDenied},
		{451, "UnavailableForLegalReasons", status.PermissionDenied},
		{404, "NoSuchBucket", status.NotFound},
		{404, "NoSuchUpload", status.NotFound},
		{409, "FileAlreadyExists", status.AlreadyExists},
		{400, "BadDigest", status.DataLoss},
		{400, "EntityTooSmall", status.InvalidArgument},
		{400, "InvalidPart", status.InvalidArgument},
		{301, "PermanentRedirect", status.InvalidArgument},
		{400, "RequestTimeout", status.Unavailable},
		{408, "Unheard", status.Unavailable},
		{429, "Unheard", status.Unavailable},
		{500, "InternalError", status.Unavailable},
		{502, "Unheard", status.Unavailable},
		{503, "SlowDown", status.Unavailable},
		{501, "NotImplemented", status.Unimplemented},
	} {
		remove := w.Inject(cos.Rule{On: cos.UploadPart, Fault: cos.RefuseFor(c.http, c.code, 7*time.Second)})
		_, err := d.PutPart(t.Context(), s, u, piece(f, 1, mib))
		remove()
		if status.KindOf(err) != c.want || !strings.Contains(err.Error(), c.code) {
			t.Errorf("%d %s: %v is %v, want %v", c.http, c.code, err, status.KindOf(err), c.want)
		}
		if wait, ok := status.RetryAfter(err); !ok || wait != 7*time.Second {
			t.Errorf("%d %s: to be tried again after %v, %v", c.http, c.code, wait, ok)
		}
		if strings.Contains(err.Error(), testKey) || strings.Contains(err.Error(), "q-sign") {
			t.Errorf("the error holds a secret: %v", err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "-1": 0, "12": 12 * time.Second, "soon": 0,
		"Fri, 02 Jan 2026 03:05:05 GMT": time.Minute, "Fri, 02 Jan 2026 03:04:04 GMT": 0,
	} {
		got, ok := retryAfter(http.Header{"Retry-After": {text}}, now)
		if ok != (want > 0) || ok && got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, ok, want)
		}
	}
}

// What no retry helps against is told at once, and says so.
func TestRefusedForGood(t *testing.T) {
	_, f := recording(t, 1000)
	for name, c := range map[string]struct {
		change func(w *world, c *Config)
		want   status.Kind
	}{
		"no bucket":         {func(w *world, _ *Config) { w.RemoveBucket(testBucket) }, status.NotFound},
		"another region":    {func(_ *world, c *Config) { c.Region = "ap-beijing" }, status.NotFound},
		"unknown keys":      {func(_ *world, c *Config) { c.SecretID = "other" }, status.PermissionDenied},
		"a wrong key":       {func(_ *world, c *Config) { c.SecretKey = schema.NewSecret("other") }, status.PermissionDenied},
		"keys that expired": {func(w *world, _ *Config) { w.Expire(testID) }, status.PermissionDenied},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			config := w.config()
			c.change(w, &config)
			d := w.driver(t, config)
			if err := d.Check(t.Context()); !errors.Is(err, c.want) || status.Retryable(err) {
				t.Errorf("check: %v, want %v", err, c.want)
			}
			s, err := d.Open(t.Context(), lesson("t"))
			if err == nil {
				err = d.Put(t.Context(), s, f)
			}
			if !errors.Is(err, c.want) || status.Retryable(err) {
				t.Errorf("open and put: %v, want %v", err, c.want)
			}
		})
	}
}

// A black hole is noticed; a slow store, whose progress is seen, is not given up.
func TestBlackHole(t *testing.T) {
	w := newWorld(t)
	d := w.impatient(t, w.config(), time.Second)
	content, f := recording(t, 2*mib+77)
	s := mustOpen(t, d, lesson("t"))
	for _, on := range []cos.Operation{cos.PutObject, cos.HeadObject} {
		w.Inject(cos.Rule{On: on, Times: 1, Fault: cos.BlackHole()})
		if tries := again(t, "put", func() error { return d.Put(t.Context(), s, f) }); tries != 2 && on == cos.PutObject {
			t.Errorf("%s: %d tries", on, tries)
		}
	}
	if _, err := d.Commit(t.Context(), s); err != nil {
		t.Error(err)
	}
	w.stored(t, content)
}

func TestSlowStore(t *testing.T) {
	w := newWorld(t)
	d := w.impatient(t, w.config(), time.Second)
	content, f := recording(t, 8*mib)
	s := mustOpen(t, d, lesson("t"))
	w.Inject(cos.Rule{On: cos.PutObject, Times: 1, Fault: cos.Slow(3 * mib)})
	begin := time.Now()
	if err := d.Put(t.Context(), s, f); err != nil {
		t.Fatalf("a slow store was given up after %v: %v", time.Since(begin), err)
	}
	if took := time.Since(begin); took < 2*time.Second {
		t.Errorf("8 MiB at 3 MiB a second took %v: nothing is proved", took)
	}
	if _, err := d.Commit(t.Context(), s); err != nil {
		t.Error(err)
	}
	w.stored(t, content)
}

// One fault costs one part: the others, those under way too, are not sent again.
func TestResentBytes(t *testing.T) {
	for name, fault := range map[string]cos.Fault{
		"reset": cos.Reset(partBytes / 2), "503": cos.Refuse(http.StatusServiceUnavailable, "SlowDown"),
		"the answer is lost": cos.LoseAnswer(),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			content, f := recording(t, 5*partBytes+77)
			w.Inject(cos.Rule{On: cos.UploadPart, Part: 2, Times: 1, Fault: fault})
			d := w.driver(t, w.config())
			s := mustOpen(t, d, lesson("t"))
			if err := d.Put(t.Context(), s, f); !status.Retryable(err) {
				t.Fatalf("put: %v", err)
			}
			again := w.driver(t, w.config()) // a process that knows nothing but what is on disk
			if err := again.Put(t.Context(), s, f); err != nil {
				t.Fatal(err)
			}
			if _, err := again.Commit(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			w.stored(t, content)
			var received int64
			for _, r := range w.Requests(cos.UploadPart) {
				received += r.Received
			}
			if received > f.Size+partBytes {
				t.Errorf("%d bytes were sent of %d, more than one part too many", received, f.Size)
			}
			if begun := w.Requests(cos.InitiateUpload); len(begun) != 1 {
				t.Errorf("%d uploads were begun", len(begun))
			}
		})
	}
}

// What the answer to Complete was about is found out, also by a process that comes later.
func TestLostAnswerToComplete(t *testing.T) {
	w := newWorld(t)
	content, f := recording(t, mib+5)
	d := w.driver(t, w.config())
	s := mustOpen(t, d, lesson("t"))
	u := mustBegin(t, d, s)
	receipts := []storage.Receipt{mustPutPart(t, d, s, u, piece(f, 2, mib)), mustPutPart(t, d, s, u, piece(f, 1, mib))}
	w.Inject(cos.Rule{On: cos.CompleteUpload, Times: 1, Fault: cos.LoseAnswer()})
	remove := w.Inject(cos.Rule{On: cos.HeadObject, Fault: cos.Refuse(http.StatusServiceUnavailable, "SlowDown")})
	if err := d.FinishParts(t.Context(), s, u, receipts); !status.Retryable(err) {
		t.Fatalf("finish, while nothing can be asked: %v", err)
	}
	remove()
	later := w.driver(t, w.config())
	for range 2 {
		if err := later.FinishParts(t.Context(), s, u, receipts); err != nil {
			t.Fatalf("finish again: %v", err)
		}
	}
	if _, err := later.Commit(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	w.stored(t, content)
}

// A recording takes longer than its keys are good for: whoever renews them writes the file, and the upload goes on.
func TestKeysThatAreRenewed(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "keys.json")
	renew := func(n int, expires time.Time) {
		t.Helper()
		k := cos.Keys{
			SecretID: fmt.Sprintf("TMP%d", n), SecretKey: fmt.Sprintf("KEY%d", n), Token: fmt.Sprintf("TOKEN%d", n), Expires: expires,
		}
		w.SetKeys(k)
		text := fmt.Sprintf(`{"Credentials":{"TmpSecretId":%q,"TmpSecretKey":%q,"Token":%q},"ExpiredTime":%d}`,
			k.SecretID, k.SecretKey, k.Token, expires.Unix())
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	hour := time.Now().Add(time.Hour)
	renew(1, hour)
	config := w.config()
	config.SecretID, config.SecretKey, config.CredentialsFile = "", schema.Secret{}, path
	d := w.driver(t, config)
	content, f := recording(t, 12*mib)
	s := mustOpen(t, d, lesson("t"))
	u := mustBegin(t, d, s)
	var receipts []storage.Receipt
	for number := 12; number >= 1; number-- {
		switch number {
		case 9: // renewed in time
			renew(2, hour)
		case 6: // expired before they were renewed
			w.Expire("TMP2")
			_, err := d.PutPart(t.Context(), s, u, piece(f, number, mib))
			if !errors.Is(err, status.Unavailable) || !strings.Contains(err.Error(), "ExpiredToken") {
				t.Fatalf("with keys that have expired: %v", err)
			}
			renew(3, hour)
		case 3: // the file says that they have expired: the store is not even asked
			renew(4, time.Now().Add(-time.Second))
			before := len(w.Requests())
			_, err := d.PutPart(t.Context(), s, u, piece(f, number, mib))
			if !errors.Is(err, status.Unavailable) || !strings.Contains(err.Error(), path) || len(w.Requests()) != before {
				t.Fatalf("with keys that are known to have expired: %v", err)
			}
			renew(5, hour)
		}
		receipts = append(receipts, mustPutPart(t, d, s, u, piece(f, number, mib)))
	}
	if err := d.FinishParts(t.Context(), s, u, receipts); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Commit(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	w.stored(t, content)
	used := map[string]int{}
	for _, r := range w.Requests(cos.UploadPart) {
		if r.Status == http.StatusOK {
			used[r.SecretID]++
		}
	}
	if used["TMP1"] != 3 || used["TMP2"] != 3 || used["TMP3"] != 3 || used["TMP5"] != 3 {
		t.Errorf("parts by keys: %v", used)
	}
	if begun := w.Requests(cos.InitiateUpload); len(begun) != 1 {
		t.Errorf("%d uploads were begun", len(begun))
	}
}

// Two recordings on their way to one name never mix: who is there first has it, and neither removes what is the other's.
func TestTwoOnTheWayToOneName(t *testing.T) {
	w := newWorld(t)
	_, f := recording(t, mib+5)
	content, g := recording(t, 2*mib)
	first, second := w.driver(t, w.config()), w.driver(t, w.config())
	s1, s2 := mustOpen(t, first, lesson("one")), mustOpen(t, second, lesson("two"))
	u1, u2 := mustBegin(t, first, s1), mustBegin(t, second, s2)
	r1 := []storage.Receipt{mustPutPart(t, first, s1, u1, piece(f, 1, mib)), mustPutPart(t, first, s1, u1, piece(f, 2, mib))}
	r2 := []storage.Receipt{mustPutPart(t, second, s2, u2, piece(g, 1, mib)), mustPutPart(t, second, s2, u2, piece(g, 2, mib))}
	third := w.driver(t, w.config())
	s3 := mustOpen(t, third, lesson("three"))
	mustBegin(t, third, s3)
	if err := third.Abort(t.Context(), s3); err != nil {
		t.Fatal(err)
	}
	if err := second.FinishParts(t.Context(), s2, u2, r2); err != nil {
		t.Fatalf("the first to finish: %v", err)
	}
	if err := first.FinishParts(t.Context(), s1, u1, r1); !errors.Is(err, status.AlreadyExists) {
		t.Errorf("the second to finish: %v", err)
	}
	if err := first.Abort(t.Context(), s1); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Commit(t.Context(), s2); err != nil {
		t.Fatal(err)
	}
	w.stored(t, content)
}

// What a process left that is gone is removed with the delivery.
func TestLeftovers(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, d *Driver, s storage.State, f storage.File){
		"by commit": func(t *testing.T, d *Driver, s storage.State, f storage.File) {
			t.Helper()
			if err := d.Put(t.Context(), s, f); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Commit(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		},
		"by abort": func(t *testing.T, d *Driver, s storage.State, _ storage.File) {
			t.Helper()
			if err := d.Abort(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, f := recording(t, 3*mib)
			gone := w.driver(t, w.config())
			s := mustOpen(t, gone, lesson("t"))
			for range 2 {
				mustPutPart(t, gone, s, mustBegin(t, gone, s), piece(f, 1, mib))
			}
			ctx, cancel := context.WithCancel(t.Context())
			w.Inject(cos.Rule{On: cos.UploadPart, Fault: cos.Then(cancel)})
			_, big := recording(t, maxWhole+1)
			if err := gone.Put(ctx, s, big); !errors.Is(err, context.Canceled) {
				t.Fatalf("put that was given up: %v", err)
			}
			if n := len(w.Uploads(testBucket)); n != 3 {
				t.Fatalf("%d uploads are under way, want 3", n)
			}
			end(t, w.driver(t, w.config()), s, f)
			if uploads := w.Uploads(testBucket); len(uploads) != 0 {
				t.Errorf("uploads were left behind: %+v", uploads)
			}
			left, err := filepath.Glob(filepath.Join(w.dir, "uploads", "*"))
			if err != nil || len(left) != 0 {
				t.Errorf("the journal still holds %q, %v", left, err)
			}
		})
	}
}

// A disk that takes nothing more does not keep a recording from being sent.
func TestWithoutJournal(t *testing.T) {
	w := newWorld(t)
	if err := os.WriteFile(filepath.Join(w.dir, "uploads"), nil, 0o600); err != nil { // where the journal's directory should be
		t.Fatal(err)
	}
	content, f := recording(t, 2*mib+77)
	d := w.driver(t, w.config())
	w.deliver(t, d, f, true)
	w.stored(t, content)
}

// What is not COS is not trusted.
func TestStoreWithoutChecksums(t *testing.T) {
	w := newWorld(t)
	d := w.driver(t, w.config())
	d.http.Transport = stripped{d.http.Transport}
	_, f := recording(t, 1000)
	s := mustOpen(t, d, lesson("t"))
	if err := d.Put(t.Context(), s, f); !errors.Is(err, status.Unimplemented) || !strings.Contains(err.Error(), crcHeader) {
		t.Errorf("put: %v", err)
	}
}

// stripped drops the service's checksums.
type stripped struct{ next http.RoundTripper }

func (s stripped) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := s.next.RoundTrip(r)
	if err == nil {
		answer.Header.Del(crcHeader)
	}
	return answer, err
}

// What is fetched is what is stored, or nothing.
func TestFetchIsChecked(t *testing.T) {
	w := newWorld(t)
	d := w.driver(t, w.config())
	content, f := recording(t, 3*mib)
	s := mustOpen(t, d, lesson("t"))
	if err := d.Put(t.Context(), s, f); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "fetched")
	for name, c := range map[string]struct {
		fault cos.Fault
		want  status.Kind
	}{
		"a broken connection": {cos.ResetAnswer(mib), status.Unavailable}, "a flipped bit": {cos.FlipAnswer(), status.DataLoss},
	} {
		w.Inject(cos.Rule{On: cos.GetObject, Times: 1, Fault: c.fault})
		if err := d.Fetch(t.Context(), s, "a.mp4", to); !errors.Is(err, c.want) {
			t.Errorf("fetch with %s: %v, want %v", name, err, c.want)
		}
		if _, err := os.Lstat(to); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("fetch with %s left a file, or %v", name, err)
		}
	}
	if err := d.Fetch(t.Context(), s, "a.mp4", to); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, content) {
		t.Errorf("fetched %d bytes, %v", len(got), err)
	}
}

// HEAD's answer does not tell why it is an error; keys that will be renewed must be known from those that are refused.
func TestExpiredKeysAtHead(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, fmt.Appendf(nil, `{"SecretId":%q,"SecretKey":%q}`, testID, testKey), 0o600); err != nil {
		t.Fatal(err)
	}
	config := w.config()
	config.SecretID, config.SecretKey, config.CredentialsFile = "", schema.Secret{}, path
	d := w.driver(t, config)
	w.Expire(testID)
	if _, err := d.Open(t.Context(), lesson("t")); !errors.Is(err, status.Unavailable) {
		t.Errorf("open with keys of a file that have expired: %v", err)
	}
	w.SetKeys(cos.Keys{SecretID: testID, SecretKey: "other"})
	if _, err := d.Open(t.Context(), lesson("t")); !errors.Is(err, status.PermissionDenied) {
		t.Errorf("open with keys that are wrong: %v", err)
	}
}

// A part that is too short in the store, though its receipt was right, spoils the upload: it is said once that the data is lost, and
// then that there is no such upload, so that whoever asks begins anew.
func TestSpoiledUpload(t *testing.T) {
	w := newWorld(t)
	d := w.driver(t, w.config())
	_, f := recording(t, 2*mib)
	s := mustOpen(t, d, lesson("t"))
	u := mustBegin(t, d, s)
	w.Inject(cos.Rule{On: cos.UploadPart, Part: 1, Times: 1, Fault: cos.Cut(true)})
	receipts := []storage.Receipt{mustPutPart(t, d, s, u, piece(f, 1, mib)), mustPutPart(t, d, s, u, piece(f, 2, mib))}
	if err := d.FinishParts(t.Context(), s, u, receipts); !errors.Is(err, status.DataLoss) || !strings.Contains(err.Error(), "part 1") {
		t.Errorf("finish: %v", err)
	}
	if err := d.FinishParts(t.Context(), s, u, receipts); !errors.Is(err, status.NotFound) {
		t.Errorf("finish again: %v", err)
	}
	if uploads := w.Uploads(testBucket); len(uploads) != 0 {
		t.Errorf("uploads were left behind: %+v", uploads)
	}
}
