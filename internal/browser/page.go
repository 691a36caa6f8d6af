package browser

import (
	"context"
	"fmt"
	"strings"

	"github.com/chromedp/cdproto"
	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	jsonv2 "github.com/chromedp/cdproto/cdp/jsonv2"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/inspector"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
)

// maxPrompt is the longest suggestion that a prompt is answered with.
const maxPrompt = 4096

// setUp attaches to the page that Chrome has opened and makes it ready.
func (b *Browser) setUp(ctx context.Context) error {
	// Discovery, not auto-attachment: a page that is attached to while it opens holds up the one that opened it.
	_, err := do(ctx, b.root, target.SetDiscoverTargets, target.SetDiscoverTargetsParams{
		Discover: true,
		Filter:   target.Filter{{Type: "page"}},
	})
	if err != nil {
		return err
	}
	var id string
	select {
	case id = <-b.found:
	case <-b.conn.lost:
		return errLost
	case <-ctx.Done():
		return fmt.Errorf("no page: %w", context.Cause(ctx))
	}
	attached, err := do(ctx, b.root, target.AttachToTarget, target.AttachToTargetParams{TargetID: target.ID(id), Flatten: new(true)})
	if err != nil {
		return err
	}
	b.page = session{conn: b.conn, id: attached.SessionID}
	b.hooks = newHooks(b.page, b.opts.TaskID, b.opts.Status, secret())
	b.attached.Store(true)
	if err := b.configure(ctx); err != nil {
		return err
	}
	if b.opts.NoSandbox {
		return nil
	}
	return b.checkSandbox(ctx)
}

// configure asks for the few events that are needed and sets what the page sees.
func (b *Browser) configure(ctx context.Context) error {
	type step struct {
		method string
		params any
	}
	steps := []step{
		{page.CommandEnable, page.EnableParams{}},                                                    // dialogs, documents
		{page.CommandSetLifecycleEventsEnabled, page.SetLifecycleEventsEnabledParams{Enabled: true}}, // loading
		{inspector.CommandEnable, cdp.Empty{}},                                                       // crashes
		{page.CommandSetInterceptFileChooserDialog, page.SetInterceptFileChooserDialogParams{Enabled: true, Cancel: new(true)}},
		// The page has the attention of its viewers even though no window manager says so.
		{emulation.CommandSetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}},
	}
	if m := b.opts.metrics(); m != nil {
		steps = append(steps, step{emulation.CommandSetDeviceMetricsOverride, m})
	}
	if agent := b.opts.UserAgent; agent != "" {
		steps = append(steps, step{emulation.CommandSetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: agent}})
	}
	if b.opts.Locale != "" {
		locale := strings.ReplaceAll(b.opts.Locale, "-", "_")
		steps = append(steps, step{emulation.CommandSetLocaleOverride, emulation.SetLocaleOverrideParams{Locale: locale}})
	}
	for _, s := range steps {
		if err := b.page.call(ctx, s.method, s.params, new(cdp.Empty)); err != nil {
			return err
		}
	}
	deny := cdpbrowser.SetDownloadBehaviorParams{Behavior: cdpbrowser.SetDownloadBehaviorBehaviorDeny}
	if _, err := do(ctx, b.root, cdpbrowser.SetDownloadBehavior, deny); err != nil {
		return err
	}
	return b.hooks.install(ctx, b.opts.Status)
}

// browserEvent follows which pages there are. The first is ours; any other is closed before it has painted. Like
// pageEvent it runs on the connection's reader and waits for nothing.
func (b *Browser) browserEvent(method cdproto.MethodType, params jsonv2.Value) {
	switch method {
	case cdproto.EventTargetTargetCreated:
		ev, err := decode[target.EventTargetCreated](params)
		if err != nil || ev.TargetInfo == nil || ev.TargetInfo.Type != "page" {
			return
		}
		id := string(ev.TargetInfo.TargetID)
		if b.target.CompareAndSwap(nil, &id) {
			b.found <- id // the only one, so there is room
			return
		}
		b.root.post(target.CommandCloseTarget, target.CloseTargetParams{TargetID: target.ID(id)})
	case cdproto.EventTargetTargetCrashed:
		if ev, err := decode[target.EventTargetCrashed](params); err == nil && b.isOurs(ev.TargetID) {
			b.fail(PageCrashed, fmt.Sprintf("status %s, code %d", shorten(ev.Status), ev.ErrorCode))
		}
	case cdproto.EventTargetTargetDestroyed:
		if ev, err := decode[target.EventTargetDestroyed](params); err == nil && b.isOurs(ev.TargetID) {
			b.fail(PageClosed, "the page has closed its window")
		}
	}
}

func (b *Browser) isOurs(id target.ID) bool {
	ours := b.target.Load()
	return ours != nil && *ours == string(id)
}

func (b *Browser) pageEvent(life context.Context, method cdproto.MethodType, params jsonv2.Value) {
	switch method {
	case cdproto.EventPageJavascriptDialogOpening:
		b.answerDialog(params)
	case cdproto.EventPageFrameNavigated:
		if ev, err := decode[page.EventFrameNavigated](params); err == nil && ev.Frame != nil && ev.Frame.ParentID == "" {
			b.progress.navigated(ev.Frame)
			b.hooks.navigated(life, ev.Frame.ID)
		}
	case cdproto.EventPageLifecycleEvent:
		if ev, err := decode[page.EventLifecycleEvent](params); err == nil {
			b.progress.lifecycle(ev)
		}
	case cdproto.EventFetchRequestPaused:
		if ev, err := decode[fetch.EventRequestPaused](params); err == nil && ev.Request != nil {
			b.continueRequest(ev)
		}
	case cdproto.EventInspectorTargetCrashed:
		b.fail(PageCrashed, "its renderer is gone")
	case cdproto.EventInspectorDetached:
		b.fail(PageClosed, "Chrome has let go of the page")
	}
}

// answerDialog answers as a viewer in a hurry would: yes, with what a prompt suggests. The page stands still until then.
func (b *Browser) answerDialog(params jsonv2.Value) {
	answer := page.HandleJavaScriptDialogParams{Accept: true}
	if ev, err := decode[page.EventJavascriptDialogOpening](params); err == nil && len(ev.DefaultPrompt) <= maxPrompt {
		answer.PromptText = ev.DefaultPrompt
	}
	b.page.post(page.CommandHandleJavaScriptDialog, answer)
}
