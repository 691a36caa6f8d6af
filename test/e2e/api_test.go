package e2e_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/recordhost/recordhost/test/product"
)

// What Start refuses, over HTTP: the answer is an action's error, and no task is made.
func TestStartRefuses(t *testing.T) {
	host := serve(t, 1)
	const url = "http://127.0.0.1:1/"
	for _, test := range []struct {
		name    string
		data    map[string]any
		message string // part of it
	}{
		{"no URL", map[string]any{}, "RecordURL missing"},
		{"an empty URL", map[string]any{"RecordURL": ""}, "RecordURL missing"},
		{"a file", map[string]any{"RecordURL": "file:///etc/passwd"}, "RecordURL"},
		{"credentials", map[string]any{"RecordURL": "http://user:word@127.0.0.1/"}, "RecordURL"},
		{"a wrong type", map[string]any{"RecordURL": 7}, "RecordURL"},
		{"too wide", map[string]any{"RecordURL": url, "Width": 2561}, "Width"},
		{"negative", map[string]any{"RecordURL": url, "Height": -1}, "Height"},
		{"half a pixel", map[string]any{"RecordURL": url, "Height": 720.5}, "Height"},
		{"too long", map[string]any{"RecordURL": url, "MaxDurationLimit": 36001}, "MaxDurationLimit"},
		{"another storage type", map[string]any{"RecordURL": url, "StorageType": "nfs"}, "StorageType"},
		{"another muxer", map[string]any{"RecordURL": url, "Output": video("Muxer", "avi")}, "Muxer"},
		{"a key for an MP4", map[string]any{"RecordURL": url, "Output": video("EncryptKey", "00112233445566778899aabbccddeeff")}, "EncryptKey"},
		{"COS", map[string]any{"RecordURL": url, "Output": map[string]any{"Cos": map[string]any{}}}, "not configured"},
		{"VOD", map[string]any{"RecordURL": url, "Output": map[string]any{"Vod": map[string]any{}}}, "not configured"},
		{"too many frames", map[string]any{"RecordURL": url, "Output": video("Fps", 61)}, "Fps"},
		{"a way out of the folder", map[string]any{"RecordURL": url, "Output": map[string]any{"TargetName": "../../x.mp4"}}, "TargetName"},
		{"a callback that is no URL", map[string]any{"RecordURL": url, "CallbackURL": "ftp://x/"}, "CallbackURL"},
	} {
		answer, err := host.Do(limit(t), "Start", test.data)
		if err != nil {
			t.Fatal(err)
		}
		if answer.HTTP != http.StatusOK || answer.ErrorCode != "InvalidParam" || !strings.Contains(answer.ErrorMessage, test.message) {
			t.Errorf("%s: %d %s", test.name, answer.HTTP, answer.Raw)
		}
		checkRequestID(t, answer)
	}
	if tasks := list(t, host); len(tasks) != 0 {
		t.Errorf("tasks were made: %v", tasks)
	}
}

func video(member string, value any) map[string]any {
	return map[string]any{"Video": map[string]any{member: value}}
}

var requestID = regexp.MustCompile(`^[0-9a-f]{32}$`)

func checkRequestID(t *testing.T, answer product.Answer) {
	t.Helper()
	if !requestID.MatchString(answer.RequestID) {
		t.Errorf("RequestID %q in %s", answer.RequestID, answer.Raw)
	}
}

// list are the tasks that List knows, by their ids.
func list(t *testing.T, host *product.Host) []string {
	t.Helper()
	answer, err := host.Do(limit(t), "List", map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	var listed struct{ Tasks []product.Description }
	if err := json.Unmarshal(answer.Raw, &listed); err != nil {
		t.Fatalf("%s: %v", answer.Raw, err)
	}
	ids := make([]string, 0, len(listed.Tasks))
	for _, task := range listed.Tasks {
		ids = append(ids, task.TaskID)
	}
	return ids
}

func TestActionsOnNoTask(t *testing.T) {
	host := serve(t, 1)
	for _, action := range []string{"Pause", "Resume", "Refresh", "Stop", "Describe"} {
		for _, test := range []struct {
			data    map[string]any
			message string
		}{
			{map[string]any{}, "TaskID missing"},
			{map[string]any{"TaskID": "00000000-0000-4000-8000-000000000000"}, "invalid task id, task not found"},
		} {
			answer, err := host.Do(limit(t), action, test.data)
			if err != nil {
				t.Fatal(err)
			}
			if answer.HTTP != http.StatusOK || answer.ErrorCode != "InvalidParam" || answer.ErrorMessage != test.message {
				t.Errorf("%s %v: %d %s", action, test.data, answer.HTTP, answer.Raw)
			}
			checkRequestID(t, answer)
		}
	}
	for _, action := range []string{"", "Fly"} {
		answer, err := host.Do(limit(t), action, map[string]any{})
		if err != nil {
			t.Fatal(err)
		}
		if answer.HTTP != http.StatusOK || answer.ErrorCode != "InvalidParam" {
			t.Errorf("action %q: %d %s", action, answer.HTTP, answer.Raw)
		}
	}
}

func TestWhatIsNoActionHasAStatusOfItsOwn(t *testing.T) {
	host := serve(t, 1)
	for _, test := range []struct {
		name, kind, body string
		status           int
		code             string
	}{
		{"no JSON", "application/json", "what?", http.StatusBadRequest, "InvalidRequest"},
		{"no object", "application/json", "[]", http.StatusBadRequest, "InvalidRequest"},
		{"another type", "text/plain", "{}", http.StatusUnsupportedMediaType, "UnsupportedMediaType"},
		{"too much", "application/json", `{"Action":"` + strings.Repeat("x", 70000) + `"}`, http.StatusRequestEntityTooLarge, "TooLarge"},
	} {
		answer, err := host.Post(limit(t), test.kind, []byte(test.body))
		if err != nil {
			t.Fatal(err)
		}
		if answer.HTTP != test.status || answer.ErrorCode != test.code {
			t.Errorf("%s: %d %.200s", test.name, answer.HTTP, answer.Raw)
		}
		checkRequestID(t, answer)
	}
}

// One task is led through its states, and every action is tried in each: those that change the state last.
func TestActionsByState(t *testing.T) {
	ctx, server, host := limit(t), servePages(t), serve(t, 1)
	// startRecord comes so late that the task is normal until it is told to stop waiting: the page starts it after 6 s.
	task := start(t, host, map[string]any{
		"RecordURL": server.URL("control.html?at=start:6"), "ManualStart": true, "Width": 480, "Height": 270,
	})
	try := func(action, message string) {
		t.Helper()
		answer, err := host.Do(ctx, action, map[string]any{"TaskID": task})
		if err != nil {
			t.Fatal(err)
		}
		if message == "" && (answer.ErrorCode != "" || answer.TaskID != task) {
			t.Errorf("%s: %s", action, answer.Raw)
		}
		if message != "" && (answer.HTTP != http.StatusOK || answer.ErrorCode != "InvalidStatus" || answer.ErrorMessage != message) {
			t.Errorf("%s: %s, want %q", action, answer.Raw, message)
		}
	}
	if _, err := server.Wait(ctx, "ready", 1); err != nil {
		t.Fatal(err)
	}
	try("Pause", "can't pause a task in status normal")
	try("Resume", "can't resume a task in status normal")

	await(t, host, task, "recording")
	try("Resume", "")
	try("Pause", "")
	await(t, host, task, "paused")
	try("Pause", "")
	try("Resume", "")
	await(t, host, task, "recording")

	try("Stop", "")
	try("Stop", "")
	d := await(t, host, task, "finished")
	try("Stop", "")
	try("Pause", "can't pause a task in status finished")
	try("Resume", "can't resume a task in status finished")
	try("Refresh", "can't refresh a task in status finished")
	if d.CancelTime == 0 || d.FinishTime < d.CancelTime {
		t.Errorf("%+v", d)
	}
	if tasks := list(t, host); !slices.Equal(tasks, []string{task}) {
		t.Errorf("List knows %v, want %s", tasks, task)
	}
}

func TestAHostWithoutRoomRefuses(t *testing.T) {
	ctx, server, host := limit(t), servePages(t), serve(t, 1)
	data := map[string]any{"RecordURL": server.URL("sound.html?silent=1"), "ManualStart": true, "Width": 480, "Height": 270}
	task := start(t, host, data)
	if _, err := server.Wait(ctx, "loaded", 1); err != nil {
		t.Fatal(err)
	}
	answer, err := host.Do(ctx, "Start", data)
	if err != nil {
		t.Fatal(err)
	}
	if answer.HTTP != http.StatusTooManyRequests || answer.ErrorCode != "NoCapacity" {
		t.Errorf("%d %s", answer.HTTP, answer.Raw)
	}
	if tasks := list(t, host); !slices.Equal(tasks, []string{task}) {
		t.Errorf("List knows %v, want %s alone", tasks, task)
	}
	tell(t, host, "Stop", task)
	await(t, host, task, "finished")
}

// The same Start under the caller's own id is the same task; another under that id is a mistake.
func TestACallersOwnID(t *testing.T) {
	server, host := servePages(t), serve(t, 2)
	data := map[string]any{"TaskID": "lesson-42", "RecordURL": server.URL("sound.html?silent=1"), "ManualStart": true, "Width": 480}
	for range 2 {
		if task := start(t, host, data); task != "lesson-42" {
			t.Errorf("the task is %q", task)
		}
	}
	data["Width"] = 640
	answer, err := host.Do(limit(t), "Start", data)
	if err != nil {
		t.Fatal(err)
	}
	if answer.ErrorCode != "InvalidParam" {
		t.Errorf("%s", answer.Raw)
	}
	if tasks := list(t, host); len(tasks) != 1 {
		t.Errorf("List knows %v", tasks)
	}
	tell(t, host, "Stop", "lesson-42")
	await(t, host, "lesson-42", "finished")
}
