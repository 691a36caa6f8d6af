package control

import (
	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/recordhost/recordhost/internal/control/proto/recordhost/control/v1"
)

func eventToWire(e Event) *controlv1.Event {
	w := &controlv1.Event{
		Number:         e.Number,
		Time:           timeToWire(e.Time),
		AppliedCommand: e.Applied,
		Progress:       progressToWire(e.Progress),
	}
	switch b := e.Body.(type) {
	case Loaded:
		w.Body = &controlv1.Event_Loaded{Loaded: &controlv1.Loaded{}}
	case Started:
		w.Body = &controlv1.Event_Started{Started: &controlv1.Started{At: timeToWire(b.At)}}
	case Paused:
		w.Body = &controlv1.Event_Paused{Paused: &controlv1.Paused{}}
	case Resumed:
		w.Body = &controlv1.Event_Resumed{Resumed: &controlv1.Resumed{}}
	case Refreshed:
		w.Body = &controlv1.Event_Refreshed{Refreshed: &controlv1.Refreshed{}}
	case Gap:
		w.Body = &controlv1.Event_Gap{Gap: &controlv1.Gap{
			At: durationpb.New(b.At), Length: durationpb.New(b.Length), Cause: b.Cause,
		}}
	case Restart:
		w.Body = &controlv1.Event_Restart{Restart: &controlv1.Restart{What: b.What, Cause: b.Cause}}
	case Stopping:
		w.Body = &controlv1.Event_Stopping{Stopping: &controlv1.Stopping{Reason: reasonToWire(b.Reason)}}
	case Whole:
		w.Body = &controlv1.Event_Whole{Whole: &controlv1.Whole{Size: b.Size, Duration: durationpb.New(b.Duration)}}
	case Delivered:
		w.Body = &controlv1.Event_Delivered{Delivered: deliveredToWire(b)}
	case Failed:
		w.Body = &controlv1.Event_Failed{Failed: &controlv1.Failed{Code: b.Code, Message: b.Message}}
	case Done:
		w.Body = &controlv1.Event_Done{Done: &controlv1.Done{}}
	}
	return w
}

func eventFromWire(w *controlv1.Event) Event {
	return Event{
		Number:   w.GetNumber(),
		Time:     timeFromWire(w.GetTime()),
		Applied:  w.GetAppliedCommand(),
		Progress: progressFromWire(w.GetProgress()),
		Body:     bodyFromWire(w),
	}
}

func bodyFromWire(w *controlv1.Event) Body {
	switch b := w.GetBody().(type) {
	case *controlv1.Event_Loaded:
		return Loaded{}
	case *controlv1.Event_Started:
		return Started{At: timeFromWire(b.Started.GetAt())}
	case *controlv1.Event_Paused:
		return Paused{}
	case *controlv1.Event_Resumed:
		return Resumed{}
	case *controlv1.Event_Refreshed:
		return Refreshed{}
	case *controlv1.Event_Gap:
		return Gap{At: b.Gap.GetAt().AsDuration(), Length: b.Gap.GetLength().AsDuration(), Cause: b.Gap.GetCause()}
	case *controlv1.Event_Restart:
		return Restart{What: b.Restart.GetWhat(), Cause: b.Restart.GetCause()}
	case *controlv1.Event_Stopping:
		return Stopping{Reason: reasonFromWire(b.Stopping.GetReason())}
	case *controlv1.Event_Whole:
		return Whole{Size: b.Whole.GetSize(), Duration: b.Whole.GetDuration().AsDuration()}
	case *controlv1.Event_Delivered:
		return deliveredFromWire(b.Delivered)
	case *controlv1.Event_Failed:
		return Failed{Code: b.Failed.GetCode(), Message: b.Failed.GetMessage()}
	case *controlv1.Event_Done:
		return Done{}
	default:
		return nil
	}
}

func deliveredToWire(d Delivered) *controlv1.Delivered {
	w := &controlv1.Delivered{}
	for _, v := range d.Deliveries {
		w.Deliveries = append(w.Deliveries, &controlv1.Delivery{
			Storage: v.Storage, Filename: v.Filename, Size: v.Size, Duration: durationpb.New(v.Duration), Id: v.ID, Url: v.URL,
		})
	}
	return w
}

func deliveredFromWire(w *controlv1.Delivered) Delivered {
	var d Delivered
	for _, v := range w.GetDeliveries() {
		d.Deliveries = append(d.Deliveries, Delivery{
			Storage: v.GetStorage(), Filename: v.GetFilename(), Size: v.GetSize(), Duration: v.GetDuration().AsDuration(),
			ID: v.GetId(), URL: v.GetUrl(),
		})
	}
	return d
}

func reasonToWire(r Reason) controlv1.Reason {
	switch r {
	case ReasonStop:
		return controlv1.Reason_REASON_STOP
	case ReasonLimit:
		return controlv1.Reason_REASON_LIMIT
	case ReasonPage:
		return controlv1.Reason_REASON_PAGE
	case ReasonFailed:
		return controlv1.Reason_REASON_FAILED
	default:
		return controlv1.Reason_REASON_UNSPECIFIED
	}
}

func reasonFromWire(r controlv1.Reason) Reason {
	switch r {
	case controlv1.Reason_REASON_STOP:
		return ReasonStop
	case controlv1.Reason_REASON_LIMIT:
		return ReasonLimit
	case controlv1.Reason_REASON_PAGE:
		return ReasonPage
	case controlv1.Reason_REASON_FAILED:
		return ReasonFailed
	default:
		return ""
	}
}

func commandToWire(c Command) *controlv1.Command {
	return &controlv1.Command{Number: c.Number, Kind: kindToWire(c.Kind), Asked: timeToWire(c.Asked)}
}

func commandFromWire(w *controlv1.Command) Command {
	return Command{Number: w.GetNumber(), Kind: kindFromWire(w.GetKind()), Asked: timeFromWire(w.GetAsked())}
}

func kindToWire(k CommandKind) controlv1.CommandKind {
	switch k {
	case CommandPause:
		return controlv1.CommandKind_COMMAND_KIND_PAUSE
	case CommandResume:
		return controlv1.CommandKind_COMMAND_KIND_RESUME
	case CommandRefresh:
		return controlv1.CommandKind_COMMAND_KIND_REFRESH
	case CommandStop:
		return controlv1.CommandKind_COMMAND_KIND_STOP
	default:
		return controlv1.CommandKind_COMMAND_KIND_UNSPECIFIED
	}
}

func kindFromWire(k controlv1.CommandKind) CommandKind {
	switch k {
	case controlv1.CommandKind_COMMAND_KIND_PAUSE:
		return CommandPause
	case controlv1.CommandKind_COMMAND_KIND_RESUME:
		return CommandResume
	case controlv1.CommandKind_COMMAND_KIND_REFRESH:
		return CommandRefresh
	case controlv1.CommandKind_COMMAND_KIND_STOP:
		return CommandStop
	default:
		return ""
	}
}
