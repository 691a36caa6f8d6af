package browser

import (
	"context"
	_ "embed" // the two scripts
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
)

// The scripts are functions; they are called with their arguments as JSON.
var (
	//go:embed hooks.js
	hooksScript string
	//go:embed bridge.js
	bridgeScript string
)

const (
	worldName = "recordhost"

	// pollTimeout bounds how long a question for calls stays open. The next one takes its place.
	pollTimeout = 30 * time.Second

	// pollPause keeps a page whose world cannot be reached from being asked without end.
	pollPause = 200 * time.Millisecond

	// callQueue is how many calls of the page may wait for the worker. The page keeps no more than 8 open.
	callQueue = 16

	maxReason = 200
)

// Call is what a page asked for.
type Call string

// The page functions.
const (
	CallStart   Call = "start"   // window.startRecord()
	CallPause   Call = "pause"   // window.pauseRecord()
	CallResume  Call = "resume"  // window.resumeRecord()
	CallRefresh Call = "refresh" // window.refreshPage()
	CallStop    Call = "stop"    // window.stopRecord()
)

// PageCall is one call of a page function. The page's promise waits for Reply.
type PageCall struct {
	Name Call

	id  string
	doc *document
	to  session
}

// Reply resolves the page's promise, or rejects it with err's text. It does not wait for the page; a page that is gone by
// now is no failure. Only the first reply counts. A call that no page made, as tests have them, is answered to nobody.
func (c PageCall) Reply(err error) {
	if c.doc == nil {
		return
	}
	text := "ok " + c.id
	if err != nil {
		text = "no " + c.id + " " + shorten(err.Error())
	}
	c.doc.tell(c.to, text)
}

func shorten(s string) string {
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "")
	}
	return s
}

// document is one document of the top frame, from its commit until another takes its place.
type document struct {
	frame cdp.FrameID
	end   context.CancelFunc // of what is done for it

	mu    sync.Mutex
	world runtime.ExecutionContextID // of the bridge; 0 until it stands
}

// tell sends a message to the hooks of the document, if its bridge stands. When the document is gone, so is its world.
func (d *document) tell(to session, text string) {
	d.mu.Lock()
	world := d.world
	d.mu.Unlock()
	if world == 0 {
		return
	}
	to.post(runtime.CommandEvaluate, runtime.EvaluateParams{
		Expression: "bridge.send(" + quote(text) + ")",
		ContextID:  world,
	})
}

// hooks is the page functions of one page: it follows the page from document to document.
type hooks struct {
	page   session
	task   string
	secret string
	calls  chan PageCall
	fresh  chan func() // serves the newest document, if nobody does yet

	mu      sync.Mutex
	status  string
	current *document

	scriptMu sync.Mutex // held while the script of new documents is exchanged
	script   page.ScriptIdentifier
}

func newHooks(s session, task, status, secret string) *hooks {
	return &hooks{
		page:   s,
		task:   task,
		secret: secret,
		status: status,
		calls:  make(chan PageCall, callQueue),
		fresh:  make(chan func(), 1),
	}
}

// install makes every document from now on start with the hooks, in the given status.
func (h *hooks) install(ctx context.Context, status string) error {
	h.scriptMu.Lock()
	defer h.scriptMu.Unlock()
	added, err := do(ctx, h.page, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: invoke(hooksScript, h.secret, h.task, status),
	})
	if err != nil {
		return fmt.Errorf("install the page functions: %w", err)
	}
	// The new script stands before the old one goes, so that no document is without. Where both run, the second only
	// brings its status.
	old := h.script
	h.script = added.Identifier
	if old == "" {
		return nil
	}
	_, err = do(ctx, h.page, page.RemoveScriptToEvaluateOnNewDocument, page.RemoveScriptToEvaluateOnNewDocumentParams{
		Identifier: old,
	})
	return err
}

// setStatus tells the page its task's status, and every document that follows.
func (h *hooks) setStatus(ctx context.Context, status string) error {
	h.mu.Lock()
	h.status = status
	doc := h.current
	h.mu.Unlock()
	if doc != nil {
		doc.tell(h.page, "status "+status) // a bridge that is not up yet brings it when it is
	}
	return h.install(ctx, status)
}

// navigated notes that the top frame shows a new document. It does not block.
func (h *hooks) navigated(ctx context.Context, frame cdp.FrameID) {
	ctx, end := context.WithCancel(ctx)
	doc := &document{frame: frame, end: end}
	h.mu.Lock()
	old := h.current
	h.current = doc
	h.mu.Unlock()
	if old != nil {
		old.end()
	}
	select {
	case <-h.fresh: // never served, and gone already
	default:
	}
	h.fresh <- func() { h.serveDocument(ctx, doc) } // navigated is the only sender, so there is room
}

// serve builds the bridge of each document and passes its calls on, until ctx ends. It closes the calls.
func (h *hooks) serve(ctx context.Context) {
	defer close(h.calls)
	for {
		select {
		case <-ctx.Done():
			return
		case serve := <-h.fresh:
			serve()
		}
	}
}

// serveDocument returns when the document is gone, and ctx with it.
func (h *hooks) serveDocument(ctx context.Context, doc *document) {
	defer doc.end()
	for ctx.Err() == nil {
		err := h.connect(ctx, doc)
		for err == nil {
			err = h.poll(ctx, doc)
		}
		// The document was replaced, or its page does not answer: of that the watch decides.
		select {
		case <-ctx.Done():
		case <-time.After(pollPause):
		}
	}
}

// connect builds the bridge, or finds it standing.
func (h *hooks) connect(ctx context.Context, doc *document) error {
	world, err := isolatedWorld(ctx, h.page, doc.frame)
	if err != nil {
		return err
	}
	brought := h.statusNow()
	if _, err := evaluate[json.RawMessage](ctx, h.page, world, invoke(bridgeScript, h.secret, brought)); err != nil {
		return err
	}
	doc.mu.Lock()
	doc.world = world
	doc.mu.Unlock()
	// A status that was set before setStatus could see the bridge is brought here.
	if status := h.statusNow(); status != brought {
		doc.tell(h.page, "status "+status)
	}
	return nil
}

func (h *hooks) statusNow() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.status
}

// poll waits for calls of the page and passes them on.
func (h *hooks) poll(ctx context.Context, doc *document) error {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	var result runtime.EvaluateResult
	err := h.page.callWithin(ctx, runtime.CommandEvaluate, runtime.EvaluateParams{
		Expression:    "bridge.next()",
		ContextID:     doc.world,
		AwaitPromise:  new(true),
		ReturnByValue: new(true),
	}, &result)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	if err != nil {
		return err
	}
	var batch string
	if err := readValue(result.Result, result.ExceptionDetails, &batch); err != nil {
		return err
	}
	for line := range strings.Lines(batch) {
		h.pass(doc, strings.TrimSuffix(line, "\n"))
	}
	return nil
}

// pass hands one call to the worker. What cannot have come from the hooks is dropped; what the worker does not take in
// time is refused, so that the page never waits for nothing.
func (h *hooks) pass(doc *document, line string) {
	id, name, ok := parseCall(line)
	if !ok {
		return
	}
	call := PageCall{Name: name, id: id, doc: doc, to: h.page}
	select {
	case h.calls <- call:
	default:
		call.Reply(errors.New("too many calls"))
	}
}

// parseCall reads "ID NAME".
func parseCall(line string) (id string, name Call, ok bool) {
	id, text, ok := strings.Cut(line, " ")
	if !ok || id == "" || len(id) > 16 || strings.Trim(id, "0123456789") != "" {
		return "", "", false
	}
	switch name = Call(text); name {
	case CallStart, CallPause, CallResume, CallRefresh, CallStop:
		return id, name, true
	}
	return "", "", false
}

// isolatedWorld is this package's own world in a frame's present document: the same scripts' document, none of their
// changes to it are seen there.
func isolatedWorld(ctx context.Context, s session, frame cdp.FrameID) (runtime.ExecutionContextID, error) {
	world, err := do(ctx, s, page.CreateIsolatedWorld, page.CreateIsolatedWorldParams{FrameID: frame, WorldName: worldName})
	return world.ExecutionContextID, err
}

// evaluate runs an expression in a world, 0 being the page's own, and decodes its value.
func evaluate[T any](ctx context.Context, s session, world runtime.ExecutionContextID, expression string) (T, error) {
	var value T
	result, err := do(ctx, s, runtime.Evaluate, runtime.EvaluateParams{
		Expression:    expression,
		ContextID:     world,
		ReturnByValue: new(true),
	})
	if err != nil {
		return value, err
	}
	err = readValue(result.Result, result.ExceptionDetails, &value)
	return value, err
}

func readValue(object *runtime.RemoteObject, exception *runtime.ExceptionDetails, into any) error {
	if exception != nil {
		return fmt.Errorf("browser: exception in a script: %s", shorten(exception.Text))
	}
	if object == nil || len(object.Value) == 0 {
		return nil // undefined
	}
	if err := json.Unmarshal(object.Value, into); err != nil {
		return fmt.Errorf("browser: value of a script: %w", err)
	}
	return nil
}

// answered reports whether Chrome answered a call, be it with an error of its own.
func answered(err error) bool {
	var refused *cdproto.Error
	return err == nil || errors.As(err, &refused)
}

// invoke is the call of a script's function with texts as its arguments.
func invoke(script string, args ...string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = quote(a)
	}
	return strings.TrimSpace(script) + "(" + strings.Join(quoted, ",") + ")"
}

// quote is a text as a JavaScript literal: JSON, which JavaScript reads the same since ES2019.
func quote(s string) string {
	b, _ := json.Marshal(s) // of a string: cannot fail
	return string(b)
}
