package browser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/cdp"
	jsonv2 "github.com/chromedp/cdproto/cdp/jsonv2"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

const (
	// callTimeout is the deadline of every call that does not set a shorter one: Chrome neither answers nor refuses
	// what it is asked about a page that hangs.
	callTimeout = 10 * time.Second

	// maxMessage bounds what one message of Chrome's may cost in memory. A page decides how long some are: the text that
	// a prompt suggests, the data of a request that is given headers.
	maxMessage = 64 << 20

	// sendQueue is how many messages may wait for Chrome to read its pipe.
	sendQueue = 64
)

// errLost is the reason of calls that end because the connection did.
var errLost = errors.New("the connection to Chrome is lost")

var errTooLong = errors.New("a message that is longer than any of Chrome's should be")

// eventFunc takes an event. It runs on the goroutine that reads the pipe, in the order of arrival: it must not wait for
// an answer from Chrome.
type eventFunc func(id target.SessionID, method cdproto.MethodType, params jsonv2.Value)

// conn is the DevTools connection over Chrome's pipe: calls with deadlines, and events.
//
// chromedp's own Browser and Target are not used above its transport: they enable the Log, Network, DOM, CSS and Runtime
// domains of every page, so that a page that mutates its document or floods its console is paid for twice, and decode
// every event of them. What this package does not ask for is never sent, and what it does not know is never decoded.
type conn struct {
	pipe *chromedp.PipeConn
	on   eventFunc
	send chan *cdproto.Message
	lost chan struct{}
	wg   sync.WaitGroup

	closeOnce sync.Once
	reason    error // why it is lost; set before lost is closed

	mu      sync.Mutex
	last    int64
	waiting map[int64]chan<- *cdproto.Message
}

// newConn starts the connection, which is lost at a message of more than most bytes. It owns both files from here on.
func newConn(fromChrome, toChrome *os.File, most int, on eventFunc) *conn {
	c := &conn{
		pipe:    chromedp.NewPipeConn(&bounded{File: fromChrome, most: most}, toChrome),
		on:      on,
		send:    make(chan *cdproto.Message, sendQueue),
		lost:    make(chan struct{}),
		waiting: make(map[int64]chan<- *cdproto.Message),
	}
	c.wg.Go(c.read)
	c.wg.Go(c.write)
	return c
}

// close ends the connection, and with it all calls, and waits for its goroutines.
func (c *conn) close() {
	c.shut(os.ErrClosed)
	c.wg.Wait()
}

func (c *conn) shut(reason error) {
	c.closeOnce.Do(func() {
		c.reason = reason
		close(c.lost)
		_ = c.pipe.Close()
	})
}

func (c *conn) read() {
	for {
		m := new(cdproto.Message)
		if err := c.pipe.Read(context.Background(), m); err != nil {
			c.shut(err)
			return
		}
		if m.ID == 0 {
			c.on(m.SessionID, m.Method, m.Params)
			continue
		}
		c.mu.Lock()
		answer := c.waiting[m.ID]
		delete(c.waiting, m.ID)
		c.mu.Unlock()
		if answer != nil {
			answer <- m // has room for the one answer
		}
	}
}

func (c *conn) write() {
	for {
		select {
		case <-c.lost:
			return
		case m := <-c.send:
			if err := c.pipe.Write(context.Background(), m); err != nil {
				c.shut(err)
				return
			}
		}
	}
}

// message makes a message with an id that nobody waits for.
func (c *conn) message(id target.SessionID, method string, params any) (*cdproto.Message, error) {
	raw, err := jsonv2.Marshal(params, chromedp.DefaultMarshalOptions)
	if err != nil {
		return nil, fmt.Errorf("browser: encode %s: %w", method, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	return &cdproto.Message{ID: c.last, SessionID: id, Method: cdproto.MethodType(method), Params: raw}, nil
}

func (c *conn) forget(id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}

// session is one addressee on the connection: the browser itself (empty id) or a page that it is attached to.
type session struct {
	conn *conn
	id   target.SessionID
}

// call sends a command and waits for its result, at most callTimeout.
func (s session) call(ctx context.Context, method string, params, result any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, fmt.Errorf("no answer from Chrome: %w", context.DeadlineExceeded))
	defer cancel()
	return s.callWithin(ctx, method, params, result)
}

// callWithin is call for commands that take longer than others by their nature; ctx must have a deadline.
func (s session) callWithin(ctx context.Context, method string, params, result any) error {
	m, err := s.conn.message(s.id, method, params)
	if err != nil {
		return err
	}
	answer := make(chan *cdproto.Message, 1)
	s.conn.mu.Lock()
	s.conn.waiting[m.ID] = answer
	s.conn.mu.Unlock()
	defer s.conn.forget(m.ID)

	select {
	case s.conn.send <- m:
	case <-s.conn.lost:
		return fmt.Errorf("browser: %s: %w", method, errLost)
	case <-ctx.Done():
		return fmt.Errorf("browser: %s: %w", method, context.Cause(ctx))
	}
	select {
	case m = <-answer:
	case <-s.conn.lost:
		return fmt.Errorf("browser: %s: %w", method, errLost)
	case <-ctx.Done():
		return fmt.Errorf("browser: %s: %w", method, context.Cause(ctx))
	}
	if m.Error != nil {
		return fmt.Errorf("browser: %s: %w", method, m.Error)
	}
	if err := jsonv2.Unmarshal(m.Result, result, chromedp.DefaultUnmarshalOptions); err != nil {
		return fmt.Errorf("browser: decode the result of %s: %w", method, err)
	}
	return nil
}

// post sends a command whose result nobody needs. It waits only while the queue to Chrome is full.
func (s session) post(method string, params any) {
	m, err := s.conn.message(s.id, method, params)
	if err != nil {
		return // of our own types, all of which encode
	}
	select {
	case s.conn.send <- m:
	case <-s.conn.lost:
	}
}

// do is call with the types of the command.
func do[P, R any](ctx context.Context, s session, cmd cdp.Command[P, R], params P) (R, error) {
	var result R
	err := s.call(ctx, cmd.Method, params, &result)
	return result, err
}

// decode reads an event's parameters.
func decode[E any](params jsonv2.Value) (*E, error) {
	ev := new(E)
	if err := jsonv2.Unmarshal(params, ev, chromedp.DefaultUnmarshalOptions); err != nil {
		return nil, err
	}
	return ev, nil
}

// bounded is Chrome's end of the pipe, failing at a message that is too long. Messages end with a zero byte.
type bounded struct {
	*os.File
	most   int // bytes, of a message
	length int // of the message so far
}

// Read reads as the file does.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.File.Read(p)
	if end := bytes.LastIndexByte(p[:n], 0); end >= 0 {
		b.length = n - end - 1
	} else {
		b.length += n
	}
	if b.length > b.most {
		return 0, errTooLong
	}
	return n, err
}
