// Package browser is Chrome: started as a client of the display and the sound server that the worker provides, opened on
// one page, watched, and ended with everything that belongs to it.
//
// It owns Chrome's command line, profile, process and sandbox, the DevTools connection, the functions that a page may
// call, and the judgement of whether page and browser are alive. It does not see the picture or hear the sound.
//
// Guarantees:
//   - Chrome talks to this process through a pipe; it opens no port. Every question to it has a deadline.
//   - Chrome never runs as root, and not without its sandbox unless Options say so; the sandbox of the running
//     renderers is looked at, not assumed.
//   - Nothing that a caller of the API supplies becomes part of Chrome's command line.
//   - A dialog is answered at once, a second window closed at once; downloads, permissions, printing and helper
//     programs are refused.
//   - When Close returns, no process of Chrome's is left.
//
// Only the worker uses it; the doctor asks it for the binary, its version and what the sandbox needs.
package browser

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chromedp/cdproto"
	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	jsonv2 "github.com/chromedp/cdproto/cdp/jsonv2"
	"github.com/chromedp/cdproto/target"

	"github.com/recordhost/recordhost/sdk/proc"
)

const (
	launchTimeout = 30 * time.Second
	closeTimeout  = 3 * time.Second // for Chrome to end by itself
	killGrace     = time.Second     // between TERM and KILL

	maxSide  = 16384
	maxScale = 8
)

// Options say how to run Chrome. Binary, Dir, Width and Height are required.
type Options struct {
	Binary string // absolute path of the browser's own binary, see Find

	// Env is what Chrome needs to find the caller's servers: WAYLAND_DISPLAY, XDG_RUNTIME_DIR and PULSE_SERVER, all
	// absolute. It is added to a minimal environment; nothing is inherited.
	Env []string

	// Dir takes all that Chrome writes. It is empty or missing, and is given to User, who must be able to reach it. Its
	// path is short: Chrome binds sockets below. The caller removes it after Close.
	Dir string

	Width, Height int // of the picture

	User      User // zero: DefaultUser. Only root can choose another than itself
	NoSandbox bool // the operator's word; the zero value is the safe one

	TaskID string // what the page sees as window.recordhost.taskId
	Status string // and as window.recordhost.status, until SetStatus

	Headers map[string]string // added to the page's requests to the opened URL's origin, and to no other
	Cookies []Cookie          // for that origin

	UserAgent         string
	Locale            string  // a language tag, as de-AT
	Timezone          string  // a name as Europe/Vienna
	DeviceScaleFactor float64 // 0: 1. The picture keeps its size, the page sees fewer CSS pixels

	LoadTimeout time.Duration // for a page to load; a second attempt gets half of it. Zero: 60 s

	ExtraFlags []string // the operator's, never a caller's

	Log *slog.Logger // nil: none
}

// check fills in defaults and refuses what Chrome would misunderstand.
func (o *Options) check() error {
	switch {
	case !filepath.IsAbs(o.Binary), !filepath.IsAbs(o.Dir):
		return errors.New("browser: binary and directory need absolute paths")
	case o.Width < 1 || o.Width > maxSide || o.Height < 1 || o.Height > maxSide:
		return fmt.Errorf("browser: no page of %d×%d", o.Width, o.Height)
	case math.IsNaN(o.DeviceScaleFactor) || o.DeviceScaleFactor < 0 || o.DeviceScaleFactor > maxScale:
		return fmt.Errorf("browser: no device scale factor of %v", o.DeviceScaleFactor)
	case o.Locale != "" && !tag.MatchString(o.Locale):
		return fmt.Errorf("browser: %q is no language tag", o.Locale)
	case o.Timezone != "" && !timezone.MatchString(o.Timezone):
		return fmt.Errorf("browser: %q is no time zone", o.Timezone)
	case strings.ContainsFunc(o.UserAgent, func(r rune) bool { return r < ' ' || r > '~' }):
		return errors.New("browser: the user agent is not plain text")
	case slices.ContainsFunc(o.ExtraFlags, func(f string) bool { return !strings.HasPrefix(f, "--") }):
		return errors.New("browser: an extra flag does not begin with --")
	}
	if o.LoadTimeout <= 0 {
		o.LoadTimeout = loadTimeout
	}
	if o.User == (User{}) {
		o.User = DefaultUser()
	}
	if o.User.UID <= 0 || o.User.GID <= 0 || o.User.UID > math.MaxInt32 || o.User.GID > math.MaxInt32 {
		return fmt.Errorf("browser: Chrome is not run as user %d, group %d", o.User.UID, o.User.GID)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return checkHeaders(o.Headers)
}

// Browser is a running Chrome with its one page. All methods may be called from several goroutines.
type Browser struct {
	opts  Options
	log   *slog.Logger
	child *proc.Child
	conn  *conn
	root  session // the browser itself
	page  session // its page
	hooks *hooks

	target   atomic.Pointer[string] // the page's target id, once it is known
	found    chan string            // takes it when it is
	attached atomic.Bool            // page and hooks are set
	overlay  atomic.Bool            // turned on for marks
	origin   atomic.Pointer[origin] // that headers go to
	progress *progress
	loadMu   sync.Mutex
	loading  atomic.Bool

	end  context.CancelFunc // of the goroutines: at a fault and at Close
	done chan struct{}
	wg   sync.WaitGroup

	mu       sync.Mutex
	finished bool
	fault    *Fault

	closeOnce sync.Once
	closed    chan struct{}
	closeErr  error
}

// Launch starts Chrome on a blank page that is ready for Open. ctx bounds the launch, not Chrome's life. A launch that
// fails leaves nothing behind but Options.Dir.
func Launch(ctx context.Context, o Options) (*Browser, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	files, err := prepare(o)
	if err != nil {
		return nil, err
	}
	errSlow := fmt.Errorf("not ready within %s: %w", launchTimeout, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, launchTimeout, errSlow)
	defer cancel()
	b := &Browser{
		opts:     o,
		log:      o.Log,
		found:    make(chan string, 1),
		progress: newProgress(),
		done:     make(chan struct{}),
		closed:   make(chan struct{}),
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	b.end = end
	if err := b.start(ctx, life, files); err != nil {
		b.end()
		return nil, fmt.Errorf("browser: start Chrome: %w", err)
	}
	if err := b.setUp(ctx); err != nil {
		return nil, b.abandon(ctx, err)
	}
	b.wg.Go(func() { b.watch(life) })
	b.wg.Go(func() { b.hooks.serve(life) })
	return b, nil
}

// start starts the process and connects to it. What events set off ends with life.
func (b *Browser) start(ctx, life context.Context, files layout) error {
	commands, toChrome, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = commands.Close() }()
	fromChrome, answers, err := os.Pipe()
	if err != nil {
		_ = toChrome.Close()
		return err
	}
	defer func() { _ = answers.Close() }()

	b.child, err = proc.Start(ctx, proc.Spec{
		Path:       b.opts.Binary,
		Args:       arguments(b.opts, files, smallSharedMemory()),
		Dir:        files.tmp,
		Env:        environment(b.opts, files),
		ExtraFiles: []*os.File{commands, answers},
		Credential: b.opts.User.credential(),
	})
	if err != nil {
		_ = toChrome.Close()
		_ = fromChrome.Close()
		return err
	}
	b.conn = newConn(fromChrome, toChrome, maxMessage, func(id target.SessionID, method cdproto.MethodType, params jsonv2.Value) {
		if id == "" {
			b.browserEvent(method, params)
		} else if b.attached.Load() {
			b.pageEvent(life, method, params)
		}
	})
	b.root = session{conn: b.conn}
	return nil
}

// abandon ends a launch that has failed and finds the reason.
func (b *Browser) abandon(ctx context.Context, err error) error {
	if errors.Is(err, errLost) { // its last words follow with its end
		wait, cancel := context.WithTimeout(ctx, exitWait)
		_, _ = b.child.Wait(wait)
		cancel()
	}
	lines := b.child.LastLines()
	if !b.opts.NoSandbox && sandboxRefused(lines) {
		err = errors.Join(ErrSandbox, SandboxSupport(), err)
	} else if errors.Is(err, errLost) {
		err = fmt.Errorf("%w: %s", err, lastWords(lines))
	}
	return fmt.Errorf("browser: launch: %w", errors.Join(err, b.shutDown(context.WithoutCancel(ctx), false)))
}

// lastWords are the last of Chrome's lines that may say why it ended: it always complains that there is no bus.
func lastWords(lines []string) string {
	lines = slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.Contains(l, "ERROR:dbus/") })
	return strings.Join(lines[max(0, len(lines)-3):], " / ")
}

// PID is the process id of Chrome's main process.
func (b *Browser) PID() int { return b.child.Identity().PID }

// Calls are the page's calls of the page functions, at most some ten a second. The channel is closed by a fault and by
// Close.
func (b *Browser) Calls() <-chan PageCall { return b.hooks.calls }

// SetStatus tells the page its task's status: window.recordhost.status and the event recordhost:status, in this document
// and in those that follow.
func (b *Browser) SetStatus(ctx context.Context, status string) error {
	if err := b.hooks.setStatus(ctx, status); err != nil {
		return fmt.Errorf("browser: set status: %w", err)
	}
	return nil
}

// Close ends Chrome: it is asked to, then told to, and everything that it has started is killed. It returns when all is
// gone; ctx only shortens the time that Chrome is given. Closing twice is once.
func (b *Browser) Close(ctx context.Context) error {
	return b.shutDown(ctx, b.Err() == nil) // after a fault there is nobody to ask
}

func (b *Browser) shutDown(ctx context.Context, ask bool) error {
	b.closeOnce.Do(func() {
		b.finish(nil)
		if ask {
			b.askToClose(ctx)
		}
		if _, err := b.child.Stop(ctx, killGrace); err != nil {
			b.closeErr = fmt.Errorf("browser: close: %w", err)
		}
		b.conn.close()
		b.wg.Wait()
		close(b.closed)
	})
	<-b.closed
	return b.closeErr
}

func (b *Browser) askToClose(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	if _, err := do(ctx, b.root, cdpbrowser.Close, cdp.Empty{}); err == nil || errors.Is(err, errLost) {
		_, _ = b.child.Wait(ctx) // of what is not gone by then, Stop takes care
	}
}

// secret is a name that no page can guess.
func secret() string { return rand.Text() }
