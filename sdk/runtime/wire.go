package runtime

import (
	pluginv1 "github.com/recordhost/recordhost/sdk/proto/recordhost/plugin/v1"
)

// Each type of the contract and its message, both ways. A test fills every field and compares what comes back.

func capacityToProto(c Capacity) *pluginv1.CapacityResponse {
	return &pluginv1.CapacityResponse{Running: int64(c.Running), Free: int64(c.Free)}
}

func capacityFromProto(p *pluginv1.CapacityResponse) Capacity {
	return Capacity{Running: int(p.GetRunning()), Free: int(p.GetFree())}
}

func launchToProto(l Launch) *pluginv1.LaunchRequest {
	return &pluginv1.LaunchRequest{
		TaskId: l.TaskID, Epoch: l.Epoch, Control: l.Control, Token: l.Token,
		Resources: &pluginv1.Resources{
			MilliCpu: l.Resources.MilliCPU, MemoryBytes: l.Resources.MemoryBytes, DiskBytes: l.Resources.DiskBytes,
		},
	}
}

func launchFromProto(p *pluginv1.LaunchRequest) Launch {
	r := p.GetResources()
	return Launch{
		TaskID: p.GetTaskId(), Epoch: p.GetEpoch(), Control: p.GetControl(), Token: p.GetToken(),
		Resources: Resources{MilliCPU: r.GetMilliCpu(), MemoryBytes: r.GetMemoryBytes(), DiskBytes: r.GetDiskBytes()},
	}
}

func stateToProto(s State) pluginv1.WorkerState {
	switch s {
	case StateRunning:
		return pluginv1.WorkerState_WORKER_STATE_RUNNING
	case StateGone:
		return pluginv1.WorkerState_WORKER_STATE_GONE
	case StateNotHere:
		return pluginv1.WorkerState_WORKER_STATE_NOT_HERE
	default:
		return pluginv1.WorkerState_WORKER_STATE_UNSPECIFIED
	}
}

func stateFromProto(p pluginv1.WorkerState) State {
	switch p {
	case pluginv1.WorkerState_WORKER_STATE_RUNNING:
		return StateRunning
	case pluginv1.WorkerState_WORKER_STATE_GONE:
		return StateGone
	case pluginv1.WorkerState_WORKER_STATE_NOT_HERE:
		return StateNotHere
	default:
		return StateUnknown
	}
}

func exitToProto(e Exit) *pluginv1.WaitResponse {
	return &pluginv1.WaitResponse{Known: e.Known, Code: int32(e.Code), Signal: e.Signal, Reason: e.Reason}
}

func exitFromProto(p *pluginv1.WaitResponse) Exit {
	return Exit{Known: p.GetKnown(), Code: int(p.GetCode()), Signal: p.GetSignal(), Reason: p.GetReason()}
}
