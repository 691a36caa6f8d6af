package api

import (
	"encoding/json"
	"reflect"
	"testing"
)

// The samples of the documented API, as they stand there: what a client sends and what it expects. The asterisks are
// the document's own.
func TestTheDocumentedSamples(t *testing.T) {
	type video struct {
		Filename     string
		FileSize     int64
		FileDuration float64
		FileURL      string
	}
	type result struct {
		ErrorCode    string  `json:",omitempty"`
		ErrorMessage string  `json:",omitempty"`
		Videos       []video `json:",omitempty"`
	}
	type description struct {
		TaskID                                      string
		CreateTime                                  int64
		Status                                      string
		StartTime, CancelTime, StopTime, FinishTime int64
		Result                                      result
	}
	finished := description{
		TaskID: "7a035551-d9d6-494e-b604-fa787b******", CreateTime: 1620982173, Status: "finished", StartTime: 1620982177,
		CancelTime: 1620982203, StopTime: 1620982203, FinishTime: 1620982210,
	}
	recorded, unheard := finished, finished
	recorded.Result.Videos = []video{{
		Filename: "1621406865789.mp4", FileSize: 169780, FileDuration: 9,
		FileURL: "http://web-record-125******.cos.ap-chengdu.myqcloud.com/4d0f336d-4de4-4fc8-b505-d1f790974909/162140******.mp4",
	}}
	unheard.Result = result{
		ErrorCode:    "CallbackFailed",
		ErrorMessage: "Callback failed even all tries. last error message:ECONNABORTED:timeout of 2000ms exceeded",
	}
	task := struct{ TaskID string }{"d1806f20-25b8-4c30-8176-c0832b******"}
	const (
		page = `"https://web-record-12596******.cos.ap-chengdu.myqcloud.com/test/ponyo.mp4"`
		file = `"http://web-record-125******.cos.ap-chengdu.myqcloud.com/4d0f336d-4de4-4fc8-b505-d1f790974909/162140******.mp4"`
	)
	const started = `{"TaskID": "d1806f20-25b8-4c30-8176-c0832b******"}`
	const times = `"TaskID": "7a035551-d9d6-494e-b604-fa787b******","CreateTime": 1620982173,"Status": "finished",` +
		`"StartTime": 1620982177,"CancelTime": 1620982203,"StopTime": 1620982203,"FinishTime": 1620982210,`

	for name, c := range map[string]struct {
		request      string
		action, data string
		answer       any
		err          error
		want         string
	}{
		"Start": {
			request: `{"Action": "Start","Data": {"RecordURL": ` + page + `,"Width": 1280,"Height": 720}}`,
			action:  "Start",
			data:    `{"RecordURL": ` + page + `,"Width": 1280,"Height": 720}`,
			answer:  task, want: started,
		},
		"Start without a URL": {
			request: `{"Action": "Start","Data": {}}`, action: "Start", data: `{}`,
			err:  coded{code: "InvalidParam", message: "RecordURL missing"},
			want: `{"ErrorCode": "InvalidParam","ErrorMessage": "RecordURL missing"}`,
		},
		"Pause": {
			request: `{"Action": "Pause","Data": {"TaskID": "0f7d9522-a1a3-4517-b5ad-7a6eca******"}}`,
			action:  "Pause", data: `{"TaskID": "0f7d9522-a1a3-4517-b5ad-7a6eca******"}`, answer: task, want: started,
		},
		"Stop without a task": {
			request: `{"Action": "Stop"}`, action: "Stop",
			err:  coded{code: "InvalidParam", message: "TaskID missing"},
			want: `{"ErrorCode": "InvalidParam","ErrorMessage": "TaskID missing"}`,
		},
		"Describe": {
			request: `{"Action": "Describe","Data": {"TaskID": "0f7d9522-a1a3-4517-b5ad-7a6ec******"}}`,
			action:  "Describe", data: `{"TaskID": "0f7d9522-a1a3-4517-b5ad-7a6ec******"}`, answer: recorded,
			want: `{` + times + `"Result": {"Videos": [{"Filename": "1621406865789.mp4","FileSize": 169780,"FileDuration": 9,` +
				`"FileURL": ` + file + `}]}}`,
		},
		"Describe of a task that failed": {
			request: `{"Action": "Describe","Data": {"TaskID": "0f7d9522-a1a3-4517-b5ad-7a6ec******"}}`,
			action:  "Describe", data: `{"TaskID": "0f7d9522-a1a3-4517-b5ad-7a6ec******"}`, answer: unheard,
			want: `{` + times + `"Result": {"ErrorCode": "CallbackFailed","ErrorMessage": ` +
				`"Callback failed even all tries. last error message:ECONNABORTED:timeout of 2000ms exceeded"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{answer: c.answer, err: c.err}
			w := post(serve(t, Options{Actions: f}), "/", c.request)
			if w.Code != 200 || f.action != c.action || f.data != c.data {
				t.Errorf("status %d; asked for %s with %s", w.Code, f.action, f.data)
			}
			var want map[string]any
			if err := json.Unmarshal([]byte(c.want), &want); err != nil {
				t.Fatal(err)
			}
			if got := members(t, w); !reflect.DeepEqual(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}
