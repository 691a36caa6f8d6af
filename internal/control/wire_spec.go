package control

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recordhost/recordhost/internal/clock"
	controlv1 "github.com/recordhost/recordhost/internal/control/proto/recordhost/control/v1"
)

func specToWire(s Spec) *controlv1.Spec {
	w := &controlv1.Spec{
		TaskId:       s.TaskID,
		Epoch:        s.Epoch,
		RecordUrl:    s.RecordURL,
		ManualStart:  s.ManualStart,
		ReadyTimeout: durationpb.New(s.ReadyTimeout),
		Width:        int32(s.Width),
		Height:       int32(s.Height),
		PageTimeout:  durationpb.New(s.PageTimeout),
		MaxDuration:  durationpb.New(s.MaxDuration),
		ResumeWithin: durationpb.New(s.ResumeWithin),
		UploadGiveUp: durationpb.New(s.UploadGiveUp),
		OrphanGrace:  durationpb.New(s.OrphanGrace),
		Video: &controlv1.Video{
			Muxer:             s.Video.Muxer,
			Fps:               int32(s.Video.FPS),
			Crf:               int32(s.Video.CRF),
			Bitrate:           s.Video.Bitrate,
			ConstantFrameRate: s.Video.ConstantFrameRate,
			SegmentDuration:   durationpb.New(s.Video.SegmentDuration),
			Preset:            s.Video.Preset,
			AudioBitrate:      s.Video.AudioBitrate,
			Key:               s.Video.Key,
			KeyUrl:            s.Video.KeyURL,
		},
		Browser: &controlv1.Browser{
			Headers:           s.Browser.Headers,
			UserAgent:         s.Browser.UserAgent,
			Locale:            s.Browser.Locale,
			Timezone:          s.Browser.Timezone,
			DeviceScaleFactor: s.Browser.DeviceScaleFactor,
			Sandbox:           s.Browser.Sandbox,
		},
		SpoolDir:   s.SpoolDir,
		PluginDir:  s.PluginDir,
		ChromePath: s.ChromePath,
		FfmpegPath: s.FFmpegPath,
		Created:    timeToWire(s.Clock.Wall),
		Boot:       s.Clock.Boot,
		Elapsed:    durationpb.New(s.Clock.Elapsed),
		Salvage:    s.Salvage,
		Heard:      s.Heard,
	}
	for _, c := range s.Browser.Cookies {
		w.Browser.Cookies = append(w.Browser.Cookies, &controlv1.Cookie{Name: c.Name, Value: c.Value, Path: c.Path})
	}
	for _, t := range s.Targets {
		w.Targets = append(w.Targets, &controlv1.Target{
			Storage: t.Storage, Plugin: t.Plugin, Config: t.Config, Env: t.Env, Sha256: t.SHA256, Dir: t.Dir,
			Main: t.Main, Settings: t.Settings,
		})
	}
	return w
}

func specFromWire(w *controlv1.Spec) Spec {
	video, browser := w.GetVideo(), w.GetBrowser()
	s := Spec{
		TaskID:       w.GetTaskId(),
		Epoch:        w.GetEpoch(),
		RecordURL:    w.GetRecordUrl(),
		ManualStart:  w.GetManualStart(),
		ReadyTimeout: w.GetReadyTimeout().AsDuration(),
		Width:        int(w.GetWidth()),
		Height:       int(w.GetHeight()),
		PageTimeout:  w.GetPageTimeout().AsDuration(),
		MaxDuration:  w.GetMaxDuration().AsDuration(),
		ResumeWithin: w.GetResumeWithin().AsDuration(),
		UploadGiveUp: w.GetUploadGiveUp().AsDuration(),
		OrphanGrace:  w.GetOrphanGrace().AsDuration(),
		Video: Video{
			Muxer:             video.GetMuxer(),
			FPS:               int(video.GetFps()),
			CRF:               int(video.GetCrf()),
			Bitrate:           video.GetBitrate(),
			ConstantFrameRate: video.GetConstantFrameRate(),
			SegmentDuration:   video.GetSegmentDuration().AsDuration(),
			Preset:            video.GetPreset(),
			AudioBitrate:      video.GetAudioBitrate(),
			Key:               video.GetKey(),
			KeyURL:            video.GetKeyUrl(),
		},
		Browser: Browser{
			Headers:           browser.GetHeaders(),
			UserAgent:         browser.GetUserAgent(),
			Locale:            browser.GetLocale(),
			Timezone:          browser.GetTimezone(),
			DeviceScaleFactor: browser.GetDeviceScaleFactor(),
			Sandbox:           browser.GetSandbox(),
		},
		SpoolDir:   w.GetSpoolDir(),
		PluginDir:  w.GetPluginDir(),
		ChromePath: w.GetChromePath(),
		FFmpegPath: w.GetFfmpegPath(),
		Clock:      clock.Anchor{Wall: timeFromWire(w.GetCreated()), Boot: w.GetBoot(), Elapsed: w.GetElapsed().AsDuration()},
		Salvage:    w.GetSalvage(),
		Heard:      w.GetHeard(),
	}
	for _, c := range browser.GetCookies() {
		s.Browser.Cookies = append(s.Browser.Cookies, Cookie{Name: c.GetName(), Value: c.GetValue(), Path: c.GetPath()})
	}
	for _, t := range w.GetTargets() {
		s.Targets = append(s.Targets, Target{
			Storage: t.GetStorage(), Plugin: t.GetPlugin(), Config: t.GetConfig(), Env: t.GetEnv(), SHA256: t.GetSha256(),
			Dir: t.GetDir(), Main: t.GetMain(), Settings: t.GetSettings(),
		})
	}
	return s
}

func progressToWire(p Progress) *controlv1.Progress {
	return &controlv1.Progress{
		Recorded:       durationpb.New(p.Recorded),
		DeliveredBytes: p.Delivered,
		SpoolBytes:     p.Spooled,
		Frames:         p.Frames,
		Dropped:        p.Dropped,
		Silent:         durationpb.New(p.Silent),
		Cpu:            durationpb.New(p.CPU),
	}
}

func progressFromWire(w *controlv1.Progress) Progress {
	return Progress{
		Recorded:  w.GetRecorded().AsDuration(),
		Delivered: w.GetDeliveredBytes(),
		Spooled:   w.GetSpoolBytes(),
		Frames:    w.GetFrames(),
		Dropped:   w.GetDropped(),
		Silent:    w.GetSilent().AsDuration(),
		CPU:       w.GetCpu().AsDuration(),
	}
}

// timeToWire keeps the zero time apart from 1970.
func timeToWire(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func timeFromWire(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
