package browser

import (
	"context"
	"testing"

	"github.com/chromedp/cdproto/runtime"
)

func evaluateAwaiting[T any](ctx context.Context, b *Browser, expression string) (T, error) {
	var value T
	result, err := do(ctx, b.page, runtime.Evaluate, runtime.EvaluateParams{
		Expression: expression, ReturnByValue: new(true), AwaitPromise: new(true),
	})
	if err != nil {
		return value, err
	}
	err = readValue(result.Result, result.ExceptionDetails, &value)
	return value, err
}

func TestPageFunctions(t *testing.T) {
	s := newSite(t, map[string]string{
		"/": `<script>
			first = [typeof startRecord, typeof stopRecord, recordhost.taskId, recordhost.status, JSON.stringify(recordhost)].join();
			startRecord().then(() => { early = 'done' }, (e) => { early = e.message });
		</script><iframe src="/in"></iframe>`,
		"/in": `<script>parent.inner = typeof startRecord + typeof recordhost</script>`,
	})
	b := chrome(t, nil)
	open(t, b, s.URL+"/")
	if got := ask[string](t, b, "first"); got != `function,function,task-1,normal,{"taskId":"task-1","status":"normal"}` {
		t.Errorf("at the start the page saw %s", got)
	}
	if got := ask[string](t, b, "inner"); got != "undefinedundefined" {
		t.Errorf("a frame inside the page sees %s", got)
	}
	call := nextCall(t, b)
	if call.Name != CallStart {
		t.Fatalf("call %s", call.Name)
	}
	call.Reply(nil)
	call.Reply(nil)
	eventually(t, "the early call resolves", func() bool { return ask[string](t, b, "String(globalThis.early)") == "done" })
}
