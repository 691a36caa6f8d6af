package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds what must happen; nothing here waits that long when all is well.
const patience = 20 * time.Second

// recorder is a Handler that remembers.
type recorder struct {
	mu        sync.Mutex
	changed   chan struct{}
	instances []string
	events    []Event
	progress  Progress
	connected bool
	failNext  error // what the next Event answers
}

func newRecorder() *recorder { return &recorder{changed: make(chan struct{})} }

// update changes the recorder and wakes those who wait for something.
func (r *recorder) update(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *recorder) Connected(_ context.Context, instance string) error {
	r.update(func() { r.instances, r.connected = append(r.instances, instance), true })
	return nil
}

func (r *recorder) Event(_ context.Context, e Event) (err error) {
	r.update(func() {
		if err, r.failNext = r.failNext, nil; err == nil {
			r.events = append(r.events, e)
		}
	})
	return err
}

func (r *recorder) Progress(p Progress) { r.update(func() { r.progress = p }) }
func (r *recorder) Disconnected()       { r.update(func() { r.connected = false }) }

// until waits for a condition over the recorder.
func (r *recorder) until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		met, changed := condition(), r.changed
		r.mu.Unlock()
		if met {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("it never came to this: %s", what)
		}
	}
}

// restarts are the causes of the Restart events, which tests use as marks.
func (r *recorder) restarts() []string {
	var out []string
	for _, e := range r.events {
		if b, ok := e.Body.(Restart); ok {
			out = append(out, b.Cause)
		}
	}
	return out
}

func startHost(t *testing.T, o HostOptions) *Host {
	t.Helper()
	if o.Socket == "" {
		o.Dir = shortDir(t)
	}
	h, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- h.Serve() }()
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return h
}

// shortDir is a directory whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rh-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// launch is one launch of a task: what host and worker know of it.
type launch struct {
	admission Admission
	boot      Bootstrap
	handler   *recorder
}

func newLaunch(t *testing.T, h *Host, epoch uint64) launch {
	t.Helper()
	token, hash := NewToken()
	handler := newRecorder()
	spec := Spec{TaskID: "task", Epoch: epoch, RecordURL: "https://example.com/", SpoolDir: filepath.Join(t.TempDir(), "spool")}
	return launch{
		admission: Admission{TaskID: "task", Epoch: epoch, TokenHash: hash, Spec: spec, Handler: handler},
		boot:      Bootstrap{TaskID: "task", Epoch: epoch, Token: token, Control: h.Addresses()},
		handler:   handler,
	}
}

func admit(t *testing.T, h *Host, l launch) *Session {
	t.Helper()
	s, err := h.Admit(l.admission)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tryDial(t *testing.T, l launch) (*Client, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return Dial(ctx, l.boot, Options{Heartbeat: 20 * time.Millisecond, Backoff: 50 * time.Millisecond})
}

func dial(t *testing.T, l launch) *Client {
	t.Helper()
	c, err := tryDial(t, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func emit(t *testing.T, c *Client, b Body) {
	t.Helper()
	if err := c.Emit(b); err != nil {
		t.Fatal(err)
	}
}

func flush(t *testing.T, c *Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

func nextCommand(t *testing.T, c *Client) Command {
	t.Helper()
	select {
	case command, ok := <-c.Commands():
		if !ok {
			t.Fatal("the channel of commands is closed")
		}
		return command
	case <-time.After(patience):
		t.Fatal("no command came")
	}
	return Command{}
}

func waitFor(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("never: %s", what)
	}
}

func TestARecordingsLife(t *testing.T) {
	h := startHost(t, HostOptions{})
	l := newLaunch(t, h, 1)
	s := admit(t, h, l)
	c := dial(t, l)
	if c.Spec().RecordURL != l.admission.Spec.RecordURL {
		t.Errorf("the spec is %+v", c.Spec())
	}
	if info, err := os.Stat(c.Spec().SpoolDir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the spool directory: %v, %v", info, err)
	}
	emit(t, c, Loaded{})
	c.Report(Progress{Frames: 30, Recorded: time.Second})
	l.handler.until(t, "the heartbeat's figures", func() bool { return l.handler.progress.Frames == 30 })

	s.Send(Command{Number: 1, Kind: CommandPause})
	if got := nextCommand(t, c); got.Kind != CommandPause || got.Number != 1 {
		t.Errorf("got %+v", got)
	}
	c.Applied(1)
	emit(t, c, Paused{})
	flush(t, c)
	if last, connected := s.Seen(); !connected || last.IsZero() {
		t.Errorf("Seen answers %v, %v", last, connected)
	}
	emit(t, c, Done{})
	flush(t, c)
	events := l.handler.events
	if len(events) != 3 {
		t.Fatalf("%d events, want 3", len(events))
	}
	for i, want := range []Event{
		{Number: 1, Body: Loaded{}},
		{Number: 2, Body: Paused{}, Applied: 1, Progress: Progress{Frames: 30, Recorded: time.Second}},
		{Number: 3, Body: Done{}, Applied: 1, Progress: Progress{Frames: 30, Recorded: time.Second}},
	} {
		got := events[i]
		if got.Time.IsZero() {
			t.Errorf("event %d has no time", i)
		}
		got.Time = time.Time{}
		if got != want {
			t.Errorf("event %d is %+v, want %+v", i, got, want)
		}
	}
}

func TestWhoIsRefused(t *testing.T) {
	h := startHost(t, HostOptions{})
	l := newLaunch(t, h, 2)
	s := admit(t, h, l)

	for name, change := range map[string]func(*Bootstrap){
		"another token":    func(b *Bootstrap) { b.Token, _ = NewToken() },
		"an earlier epoch": func(b *Bootstrap) { b.Epoch = 1 },
		"a later epoch":    func(b *Bootstrap) { b.Epoch = 3 },
		"another task":     func(b *Bootstrap) { b.TaskID = "other" },
	} {
		t.Run(name, func(t *testing.T) {
			other := l
			change(&other.boot)
			if _, err := tryDial(t, other); !errors.Is(err, ErrRefused) {
				t.Errorf("got %v, want ErrRefused", err)
			}
		})
	}
	c := dial(t, l)
	if _, err := tryDial(t, l); !errors.Is(err, ErrRefused) {
		t.Errorf("a second process with the same token: got %v, want ErrRefused", err)
	}
	select {
	case <-c.Refused():
		t.Error("the first process was refused for the second")
	default:
	}
	s.Close()
	waitFor(t, "the worker of a closed session is refused", c.Refused())
	if _, open := <-c.Commands(); open {
		t.Error("a command came after the refusal")
	}
	emit(t, c, Done{})
	if err := c.Flush(t.Context()); !errors.Is(err, ErrRefused) {
		t.Errorf("Flush answers %v, want ErrRefused", err)
	}
}

func TestALaterEpochTakesThePlace(t *testing.T) {
	h := startHost(t, HostOptions{})
	first, second := newLaunch(t, h, 1), newLaunch(t, h, 2)
	admit(t, h, first)
	c := dial(t, first)
	admit(t, h, second)
	waitFor(t, "the first worker is refused", c.Refused())
	dial(t, second)
	if _, err := h.Admit(first.admission); err == nil {
		t.Error("an earlier epoch was admitted after a later one")
	}
}

// A host that is started anew takes the same socket, and the worker goes on as if nothing had happened: what it said
// meanwhile arrives once, and what it was told before is not told again.
func TestTheHostIsStartedAnew(t *testing.T) {
	h := startHost(t, HostOptions{})
	l := newLaunch(t, h, 1)
	s := admit(t, h, l)
	c := dial(t, l)
	emit(t, c, Restart{Cause: "before"})
	s.Send(Command{Number: 1, Kind: CommandPause})
	s.Send(Command{Number: 2, Kind: CommandResume})
	nextCommand(t, c) // 1 has taken effect, 2 is received but has not
	nextCommand(t, c)
	c.Applied(1)
	flush(t, c)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	emit(t, c, Restart{Cause: "meanwhile"})
	emit(t, c, Restart{Cause: "meanwhile too"})

	next := startHost(t, HostOptions{Socket: h.Socket()})
	if next.Socket() != h.Socket() {
		t.Fatalf("the socket is %s, want %s", next.Socket(), h.Socket())
	}
	again := l
	again.handler = newRecorder()
	again.admission.Handler = again.handler
	again.admission.LastEvent = 1
	again.admission.Instance = l.handler.instances[0]
	again.admission.Commands = []Command{
		{Number: 2, Kind: CommandResume}, {Number: 3, Kind: CommandRefresh},
	}
	admit(t, next, again)
	flush(t, c)
	if got := nextCommand(t, c); got.Number != 3 {
		t.Errorf("command %d came after 2, want 3", got.Number)
	}
	if got := again.handler.restarts(); !slices.Equal(got, []string{"meanwhile", "meanwhile too"}) {
		t.Errorf("the new host heard %q", got)
	}
	if c.HostGone() != 0 {
		t.Error("the host is gone")
	}
	if _, err := tryDial(t, again); !errors.Is(err, ErrRefused) {
		t.Errorf("another process at the new host: got %v, want ErrRefused", err)
	}
}

// An event that could not be stored is not acknowledged; it comes again, in its place.
func TestAnEventThatIsNotStoredComesAgain(t *testing.T) {
	h := startHost(t, HostOptions{})
	l := newLaunch(t, h, 1)
	admit(t, h, l)
	c := dial(t, l)
	l.handler.update(func() { l.handler.failNext = errors.New("the disk is full") })
	for i := range 5 {
		emit(t, c, Restart{Cause: fmt.Sprint(i)})
	}
	flush(t, c)
	if got := l.handler.restarts(); !slices.Equal(got, []string{"0", "1", "2", "3", "4"}) {
		t.Errorf("stored: %q", got)
	}
}

// What a process left in its journal is said by the next one of the same launch, which a runtime may start.
func TestTheJournalOutlivesTheProcess(t *testing.T) {
	h := startHost(t, HostOptions{})
	l := newLaunch(t, h, 1)
	s := admit(t, h, l)
	c := dial(t, l)
	s.Send(Command{Number: 1, Kind: CommandPause})
	nextCommand(t, c)
	c.Applied(1)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	emit(t, c, Restart{Cause: "said to nobody"})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Emit(Done{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Emit after Close answers %v", err)
	}

	next := startHost(t, HostOptions{Socket: h.Socket()})
	again := l
	again.handler = newRecorder()
	again.admission.Handler = again.handler
	again.admission.Commands = []Command{{Number: 1, Kind: CommandPause}, {Number: 2, Kind: CommandStop}}
	admit(t, next, again)
	c = dial(t, again)
	flush(t, c)
	if got := again.handler.restarts(); !slices.Equal(got, []string{"said to nobody"}) {
		t.Errorf("heard: %q", got)
	}
	if got := nextCommand(t, c); got.Number != 2 {
		t.Errorf("command %d came, want 2: 1 has taken effect", got.Number)
	}
}

func TestAnOrphanKnowsIt(t *testing.T) {
	h := startHost(t, HostOptions{})
	l := newLaunch(t, h, 1)
	l.admission.Spec.OrphanGrace = 50 * time.Millisecond
	admit(t, h, l)
	c := dial(t, l)
	select {
	case <-c.Orphaned():
		t.Fatal("orphaned with a host")
	default:
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "orphaned", c.Orphaned())
	if c.HostGone() < 50*time.Millisecond {
		t.Errorf("the host has been gone for %v only", c.HostGone())
	}
	emit(t, c, Done{})
	if err := c.Flush(t.Context()); !errors.Is(err, ErrOrphaned) {
		t.Errorf("Flush answers %v, want ErrOrphaned", err)
	}
}

func TestAHostThatComesBackInTimeMakesNoOrphan(t *testing.T) {
	h := startHost(t, HostOptions{})
	l := newLaunch(t, h, 1)
	l.admission.Spec.OrphanGrace = time.Hour
	admit(t, h, l)
	c := dial(t, l)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	next := startHost(t, HostOptions{Socket: h.Socket()})
	admit(t, next, l)
	emit(t, c, Loaded{})
	flush(t, c)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.orphan != nil {
		t.Error("the orphan's clock still runs")
	}
}

// A worker is often up before its host has prepared the place for it, or while the host is away.
func TestDialWaitsForTheHost(t *testing.T) {
	h := startHost(t, HostOptions{})
	l := newLaunch(t, h, 1)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, l.boot, Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's end", err)
	}
	dialled := make(chan error, 1)
	go func() {
		c, err := tryDial(t, l)
		if err == nil {
			err = c.Close()
		}
		dialled <- err
	}()
	next, err := Listen(HostOptions{Socket: h.Socket()})
	if err != nil {
		t.Fatal(err)
	}
	admit(t, next, l) // before anyone is answered
	served := make(chan error, 1)
	go func() { served <- next.Serve() }()
	if err := <-dialled; err != nil {
		t.Error(err)
	}
	if err := errors.Join(next.Close(), <-served); err != nil {
		t.Error(err)
	}
}

func TestASpoolThatCannotBeMadeEndsTheStart(t *testing.T) {
	h := startHost(t, HostOptions{})
	l := newLaunch(t, h, 1)
	blocker := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l.admission.Spec.SpoolDir = filepath.Join(blocker, "spool")
	admit(t, h, l)
	if _, err := tryDial(t, l); err == nil || !strings.Contains(err.Error(), "spool directory") {
		t.Errorf("got %v, want an error about the spool directory", err)
	}
}

func TestTheSocketIsPrivate(t *testing.T) {
	h := startHost(t, HostOptions{})
	socket, err := os.Stat(h.Socket())
	if err != nil || socket.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", socket, err)
	}
	dir, err := os.Stat(filepath.Dir(h.Socket()))
	if err != nil || dir.Mode().Perm() != 0o700 {
		t.Errorf("its directory: %v, %v", dir, err)
	}
}

// The path of an earlier socket may have fallen into other hands: then it is not used.
func TestAnEarlierSocketThatIsNotPrivateIsLeft(t *testing.T) {
	open := filepath.Join(shortDir(t), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	h, err := Listen(HostOptions{Socket: filepath.Join(open, "c"), Dir: shortDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(h.Socket()) == open {
		t.Error("it listens in a directory that others can enter")
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

func TestALongPathIsRefused(t *testing.T) {
	dir := filepath.Join(shortDir(t), strings.Repeat("d", 100))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(HostOptions{Dir: dir}); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("got %v", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
