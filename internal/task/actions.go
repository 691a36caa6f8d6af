package task

import (
	"context"
	"encoding/json"
)

// Answer is the document of an action that changes a task.
type Answer struct{ TaskID string }

func answerID(id string, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return Answer{TaskID: id}, nil
}

// doOne runs an action on the task that Data names.
func (m *Manager) doOne(ctx context.Context, data json.RawMessage, act func(context.Context, string) error) (any, error) {
	id, err := taskID(data)
	if err != nil {
		return nil, err
	}
	return answerID(id, act(ctx, id))
}

// taskID reads the only member that most actions have.
func taskID(data json.RawMessage) (string, error) {
	o := readObject("Data", data)
	id := o.text("TaskID")
	if id == "" {
		o.refuse("TaskID missing")
	}
	return id, o.problem()
}

// Do takes an action as the endpoint receives it, and answers its document.
func (m *Manager) Do(ctx context.Context, action string, data json.RawMessage) (any, error) {
	switch action {
	case "":
		return nil, invalidParam("Action missing")
	case "Start":
		id, err := m.Start(ctx, data)
		return answerID(id, err)
	case "Pause":
		return m.doOne(ctx, data, m.Pause)
	case "Resume":
		return m.doOne(ctx, data, m.Resume)
	case "Refresh":
		return m.doOne(ctx, data, m.Refresh)
	case "Stop", "Cancel":
		return m.doOne(ctx, data, m.Stop)
	case "RetryUpload":
		return m.doOne(ctx, data, m.RetryUpload)
	case "ResendCallback":
		return m.doOne(ctx, data, m.ResendCallback)
	case "Describe":
		id, err := taskID(data)
		if err != nil {
			return nil, err
		}
		return m.Describe(ctx, id)
	case "List":
		q, err := parseList(data)
		if err != nil {
			return nil, err
		}
		return m.List(ctx, q)
	default:
		return nil, invalidParam("Action %.40q is unknown", action)
	}
}
