package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto"
	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	jsonv2 "github.com/chromedp/cdproto/cdp/jsonv2"
	"github.com/chromedp/cdproto/target"
)

// chromeEnd is the other side of a connection, played by a test.
type chromeEnd struct {
	t        *testing.T
	commands *bufio.Reader
	answers  *os.File
}

// mostInTests is the longest message that is taken: more goes through a pipe within moments.
const mostInTests = 1 << 20

func connect(t *testing.T, on eventFunc) (*conn, *chromeEnd) {
	t.Helper()
	commands, toChrome, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromChrome, answers, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := newConn(fromChrome, toChrome, mostInTests, on)
	t.Cleanup(func() {
		c.close()
		_ = commands.Close()
		_ = answers.Close()
	})
	return c, &chromeEnd{t: t, commands: bufio.NewReader(commands), answers: answers}
}

// next is the id and the method of the next command.
func (e *chromeEnd) next() (id int64, method string) {
	e.t.Helper()
	raw, err := e.commands.ReadBytes(0)
	if err != nil {
		e.t.Error(err)
		return 0, ""
	}
	var m struct {
		ID     int64
		Method string
	}
	if err := json.Unmarshal(raw[:len(raw)-1], &m); err != nil {
		e.t.Error(err)
	}
	return m.ID, m.Method
}

func (e *chromeEnd) say(text string) {
	e.t.Helper()
	if _, err := e.answers.WriteString(text + "\x00"); err != nil {
		e.t.Error(err)
	}
}

func version(ctx context.Context, c *conn) (string, error) {
	v, err := do(ctx, session{conn: c}, cdpbrowser.GetVersion, cdp.Empty{})
	return v.Product, err
}

func TestConnAnswersFindTheirCalls(t *testing.T) {
	var events []string
	done := make(chan struct{})
	c, chrome := connect(t, func(id target.SessionID, method cdproto.MethodType, _ jsonv2.Value) {
		if events = append(events, string(id)+":"+string(method)); len(events) == 2 {
			close(done)
		}
	})
	first, second := make(chan string, 1), make(chan string, 1)
	ask := func(to chan<- string) {
		product, err := version(t.Context(), c)
		if err != nil {
			t.Error(err)
		}
		to <- product
	}
	go ask(first)
	a, method := chrome.next()
	if method != "Browser.getVersion" {
		t.Errorf("method %s", method)
	}
	go ask(second)
	b, _ := chrome.next()
	chrome.say(`{"method":"Console.messageAdded","params":{"odd":7},"sessionId":"s"}`)
	chrome.say(`{"id":999,"result":{}}`)
	chrome.say(`{"id":` + jsonOf(b) + `,"result":{"product":"two"}}`)
	chrome.say(`{"id":` + jsonOf(a) + `,"result":{"product":"one"}}`)
	chrome.say(`{"method":"Never.heardOf","params":{}}`)
	if got := <-first + <-second; got != "onetwo" {
		t.Errorf("answers %s", got)
	}
	<-done
	if got := strings.Join(events, " "); got != "s:Console.messageAdded :Never.heardOf" {
		t.Errorf("events %s", got)
	}
}

func jsonOf(v any) string {
	b, _ := json.Marshal(v) // of numbers
	return string(b)
}

func TestConnRefusalIsAnAnswer(t *testing.T) {
	c, chrome := connect(t, nil)
	go func() {
		id, _ := chrome.next()
		chrome.say(`{"id":` + jsonOf(id) + `,"error":{"code":-32000,"message":"no"}}`)
	}()
	_, err := version(t.Context(), c)
	if err == nil || !answered(err) {
		t.Errorf("%v", err)
	}
}

func TestConnCallsEnd(t *testing.T) {
	t.Run("at their deadline", func(t *testing.T) {
		c, chrome := connect(t, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := version(ctx, c); !errors.Is(err, context.DeadlineExceeded) || answered(err) {
			t.Errorf("%v", err)
		}
		id, _ := chrome.next()
		chrome.say(`{"id":` + jsonOf(id) + `,"result":{}}`) // too late: nobody is hurt
		go func() {
			id, _ := chrome.next()
			chrome.say(`{"id":` + jsonOf(id) + `,"result":{"product":"next"}}`)
		}()
		if got, err := version(t.Context(), c); err != nil || got != "next" {
			t.Errorf("%q, %v", got, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.waiting) != 0 {
			t.Errorf("%d calls are remembered", len(c.waiting))
		}
	})
	long := `{"method":"` + strings.Repeat("x", mostInTests+1<<16) + `"}`
	for name, text := range map[string]string{"with a connection that closes": "", "at nonsense": "nonsense", "at a flood": long} {
		t.Run(name, func(t *testing.T) {
			c, chrome := connect(t, nil)
			go func() {
				chrome.next()
				if text != "" {
					_, _ = chrome.answers.WriteString(text + "\x00") // fails where it is not read to its end
					return
				}
				if err := chrome.answers.Close(); err != nil {
					t.Error(err)
				}
			}()
			if _, err := version(t.Context(), c); !errors.Is(err, errLost) {
				t.Errorf("%v", err)
			}
			session{conn: c}.post("Browser.close", cdp.Empty{}) // returns
		})
	}
}
