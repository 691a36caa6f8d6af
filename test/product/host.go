package product

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/recordhost/recordhost/test/processes"
)

// pollEach is how often the host is asked whether something has come about.
const pollEach = 20 * time.Millisecond

// CallbackSecret signs what hosts tell their callers.
const CallbackSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// Host is a `recordhost serve` with a storage of its own.
type Host struct {
	Dir    string // holds everything of it
	Files  string // the folder that recordings are delivered to
	from   Product
	config string // the file
	run    *Run
	api    string
	client *http.Client
}

// Serve starts a host on a free loopback port, with its state below dir and room for that many recordings, and waits until
// it is healthy. What else stands in its configuration may be given. Close must be called.
func (p Product) Serve(ctx context.Context, dir string, slots int, settings ...string) (*Host, error) {
	listen, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	h := &Host{
		Dir:    dir,
		Files:  filepath.Join(dir, "files"),
		from:   p,
		config: filepath.Join(dir, "recordhost.hcl"),
		api:    "http://" + listen + "/",
		client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{}},
	}
	if err := os.MkdirAll(h.Files, 0o755); err != nil {
		return nil, fmt.Errorf("serve: %w", err)
	}
	text := []byte(p.config(listen, h.Files, slots) + strings.Join(settings, "\n"))
	if err := os.WriteFile(h.config, text, 0o600); err != nil {
		return nil, fmt.Errorf("serve: %w", err)
	}
	if err := h.start(ctx); err != nil {
		return nil, err
	}
	return h, nil
}

// start starts the process and waits until it is healthy.
func (h *Host) start(ctx context.Context) (err error) {
	if h.run, err = h.from.Start(ctx, "serve", "--config", h.config); err != nil {
		return err
	}
	if err := h.healthy(ctx); err != nil {
		return errors.Join(err, h.Close(context.WithoutCancel(ctx)))
	}
	return nil
}

// Kill kills the host's process alone, and returns when it is gone. Nothing may be asked of it meanwhile; Again follows.
func (h *Host) Kill(ctx context.Context) error {
	if err := h.run.Signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill the host: %w", err)
	}
	_, err := h.run.Wait(ctx)
	h.client.CloseIdleConnections()
	return err
}

// Again starts the next host on the same directory, with the same configuration and address, and waits until it is healthy.
func (h *Host) Again(ctx context.Context) error { return h.start(ctx) }

// PID is the host's process.
func (h *Host) PID() int { return h.run.PID() }

func (p Product) config(listen, files string, slots int) string {
	worker := ""
	if p.Worker != "" {
		worker = fmt.Sprintf("\n  worker = %q", p.Worker)
	}
	runtime := p.Runtime
	if runtime == "" {
		runtime = "local"
	}
	return fmt.Sprintf(`data_dir        = "data"
plugin_dir      = %q
default_runtime = "here"
default_storage = "files"
api { listen = %q }
callback { secret = %q }
runtime %q "here" {
  slots = %d%s
}
storage "blob" "files" { url = "file://%s" }
`, p.Plugins, listen, CallbackSecret, runtime, slots, worker, files)
}

// freeAddress is a loopback address that nothing listens on.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

func (h *Host) healthy(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, h.api+"healthz", nil)
	if err != nil {
		return fmt.Errorf("ask for the host's health: %w", err)
	}
	return h.until(ctx, "the host is healthy", func() (bool, error) {
		response, err := h.client.Do(request)
		listens := err == nil
		if !listens {
			return false, nil
		}
		return response.StatusCode == http.StatusOK, response.Body.Close()
	})
}

// until asks again and again; the end of the host is an error.
func (h *Host) until(ctx context.Context, what string, met func() (bool, error)) error {
	again := time.NewTicker(pollEach)
	defer again.Stop()
	for {
		if ok, err := met(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, context.Cause(ctx))
		case <-h.run.child.Done():
			return fmt.Errorf("wait until %s: the host ended: %s", what, tail(h.run.child.LastLines()))
		case <-again.C:
		}
	}
}

// Answer is what the host says to an action.
type Answer struct {
	HTTP         int    `json:"-"`
	TaskID       string `json:"TaskID"`
	RequestID    string `json:"RequestID"`
	ErrorCode    string `json:"ErrorCode"`
	ErrorMessage string `json:"ErrorMessage"`
	Raw          []byte `json:"-"`
}

// Do sends an action with that Data, which is anything that becomes a JSON object.
func (h *Host) Do(ctx context.Context, action string, data any) (Answer, error) {
	body, err := json.Marshal(map[string]any{"Action": action, "Data": data})
	if err != nil {
		return Answer{}, fmt.Errorf("%s: %w", action, err)
	}
	return h.Post(ctx, "application/json", body)
}

// Post sends any body.
func (h *Host) Post(ctx context.Context, contentType string, body []byte) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.api, bytes.NewReader(body))
	if err != nil {
		return Answer{}, fmt.Errorf("post: %w", err)
	}
	request.Header.Set("Content-Type", contentType)
	response, err := h.client.Do(request)
	if err != nil {
		return Answer{}, fmt.Errorf("post: %w", err)
	}
	defer response.Body.Close()
	answer := Answer{HTTP: response.StatusCode}
	if answer.Raw, err = io.ReadAll(response.Body); err != nil {
		return Answer{}, fmt.Errorf("read the answer: %w", err)
	}
	if err := json.Unmarshal(answer.Raw, &answer); err != nil {
		return Answer{}, fmt.Errorf("the answer %q: %w", answer.Raw, err)
	}
	return answer, nil
}

// Start starts a recording and answers its task.
func (h *Host) Start(ctx context.Context, data map[string]any) (string, error) {
	answer, err := h.Do(ctx, "Start", data)
	if err != nil {
		return "", err
	}
	if answer.ErrorCode != "" || answer.TaskID == "" {
		return "", fmt.Errorf("start was answered with %s", answer.Raw)
	}
	return answer.TaskID, nil
}

// Tell sends an action about a task that must succeed.
func (h *Host) Tell(ctx context.Context, action, task string) error {
	answer, err := h.Do(ctx, action, map[string]any{"TaskID": task})
	if err != nil {
		return err
	}
	if answer.ErrorCode != "" {
		return fmt.Errorf("%s was answered with %s", action, answer.Raw)
	}
	return nil
}

// Describe asks for the task.
func (h *Host) Describe(ctx context.Context, task string) (Description, error) {
	answer, err := h.Do(ctx, "Describe", map[string]any{"TaskID": task})
	if err != nil {
		return Description{}, err
	}
	if answer.ErrorCode != "" {
		return Description{}, fmt.Errorf("describe was answered with %s", answer.Raw)
	}
	var d Description
	if err := json.Unmarshal(answer.Raw, &d); err != nil {
		return Description{}, fmt.Errorf("the description %s: %w", answer.Raw, err)
	}
	return d, nil
}

// Await asks for the task until it is as wanted; what says in words what that is. A task that has finished otherwise is an error.
func (h *Host) Await(ctx context.Context, task, what string, wanted func(Description) bool) (Description, error) {
	var last Description
	err := h.until(ctx, what, func() (bool, error) {
		var err error
		if last, err = h.Describe(ctx, task); err != nil {
			return false, err
		}
		if !wanted(last) && last.Status == "finished" {
			return false, fmt.Errorf("finished before %s: %+v", what, last.Result)
		}
		return wanted(last), nil
	})
	return last, err
}

// AwaitStatus waits for the status itself, not for a later one.
func (h *Host) AwaitStatus(ctx context.Context, task, status string) (Description, error) {
	return h.Await(ctx, task, "it is "+status, func(d Description) bool { return d.Status == status })
}

// AwaitRecorded waits until that much was recorded.
func (h *Host) AwaitRecorded(ctx context.Context, task string, length time.Duration) error {
	_, err := h.Await(ctx, task, fmt.Sprintf("%v are recorded", length), func(d Description) bool {
		return d.Progress != nil && d.Progress.Recorded >= length.Seconds()
	})
	return err
}

// File is where a video of the task was delivered to.
func (h *Host) File(task string, v Video) string {
	return filepath.Join(h.Files, task, filepath.FromSlash(v.Filename))
}

// Ended waits for the end of a host that was killed.
func (h *Host) Ended(ctx context.Context) error {
	h.client.CloseIdleConnections()
	_, err := h.run.child.Wait(ctx)
	return err
}

// Below are the processes that the host started, and those that these started.
func (h *Host) Below() ([]processes.Process, error) { return processes.Below(h.run.PID()) }

// Close ends the host, as a supervisor would, and waits for it. A worker whose task has finished may take a moment longer;
// what does not end by itself is named in the error, and killed.
func (h *Host) Close(ctx context.Context) error {
	below, err := h.Below()
	if err != nil {
		return err
	}
	h.client.CloseIdleConnections()
	exit, err := h.run.child.Stop(ctx, stopGrace)
	if err == nil && exit.Err() != nil {
		err = fmt.Errorf("the host ended wrongly: %w", exit.Err())
	}
	left, leftErr := awaitGone(ctx, below)
	if len(left) > 0 {
		leftErr = errors.Join(leftErr, fmt.Errorf("outlived the host: %s", strings.Join(left, ", ")))
	}
	return errors.Join(err, leftErr)
}

// awaitGone waits until the processes have ended by themselves, kills those that do not, and names these.
func awaitGone(ctx context.Context, candidates []processes.Process) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, stopGrace)
	defer cancel()
	again := time.NewTicker(pollEach)
	defer again.Stop()
	for {
		left, err := running(candidates)
		if err != nil || len(left) == 0 {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return kill(left)
		case <-again.C:
		}
	}
}

func running(candidates []processes.Process) ([]processes.Process, error) {
	all, err := processes.All()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(candidates), func(p processes.Process) bool {
		_, runs := all[p.Key]
		return !runs
	}), nil
}

func kill(processes []processes.Process) ([]string, error) {
	var names []string
	var failed error
	for _, p := range processes {
		names = append(names, fmt.Sprintf("%s (%d)", p.Name, p.PID))
		if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			failed = errors.Join(failed, err)
		}
	}
	slices.Sort(names)
	return names, failed
}

// Log is what the host wrote to its standard error, once it has ended.
func (h *Host) Log() string { return h.run.stderr.String() }
