package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/recordhost/recordhost/sdk/runtime"
	"github.com/recordhost/recordhost/sdk/status"
)

func toldWhatWasLaunched(t *testing.T, s *suite) {
	d := s.driver(t)
	l := s.newLaunch()
	l.Epoch = 1<<63 + 7
	l.Control = append(l.Control, "tls://192.0.2.1:443")
	_, guest := s.launch(t, d, l, orders{})
	want := Launched{TaskID: l.TaskID, Epoch: l.Epoch, Control: l.Control, Token: l.Token}
	if !reflect.DeepEqual(guest.hello.Launched, want) {
		t.Errorf("the worker was told\n%+v, want\n%+v", guest.hello.Launched, want)
	}
}

func tokenIsPrivate(t *testing.T, s *suite) {
	d := s.driver(t)
	l := s.newLaunch()
	_, guest := s.launch(t, d, l, orders{Children: 1})
	for _, pid := range append(guest.hello.Children, guest.hello.PID) {
		if pid == 0 {
			continue
		}
		for _, file := range []string{"cmdline", "environ"} {
			content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(content, []byte(l.Token)) {
				t.Errorf("/proc/%d/%s holds the token", pid, file)
			}
		}
	}
}

func exitCodes(t *testing.T, s *suite) {
	d := s.driver(t)
	for _, code := range []int{0, 7} {
		l := s.newLaunch()
		h, _ := s.launch(t, d, l, orders{Exit: true, ExitCode: code})
		exit := mustWait(t, d, h)
		if !exit.Known || exit.Code != code || exit.Signal != "" {
			t.Errorf("a worker that ended with %d: wait answered %+v", code, exit)
		}
		wantState(t, d, h, runtime.StateGone)
	}
}

func waitAgain(t *testing.T, s *suite) {
	d := s.driver(t)
	h, _ := s.launch(t, d, s.newLaunch(), orders{ExitCode: 3})
	exits := make([]runtime.Exit, 4)
	var waiting sync.WaitGroup
	for i := range exits {
		waiting.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			var err error
			if exits[i], err = d.Wait(ctx, h); err != nil {
				t.Errorf("wait: %v", err)
			}
		})
	}
	mustKill(t, d, h, patience)
	waiting.Wait()
	exits = append(exits, mustWait(t, d, h), mustWait(t, d, h))
	for _, exit := range exits {
		if exit != exits[0] {
			t.Errorf("waits for one worker answered %+v and %+v", exits[0], exit)
		}
	}
}

func endWait(t *testing.T, s *suite) {
	d := s.driver(t)
	h, guest := s.launch(t, d, s.newLaunch(), orders{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := d.Wait(ctx, h); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait whose time ran out failed with %v, want context.DeadlineExceeded", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := d.Wait(ctx, h); !errors.Is(err, context.Canceled) {
		t.Errorf("wait that was given up failed with %v, want context.Canceled", err)
	}
	wantState(t, d, h, runtime.StateRunning)
	select {
	case <-guest.gone:
		t.Error("the worker ended with the wait")
	default:
	}
}

func endedContext(t *testing.T, s *suite) {
	d := s.driver(t)
	h, _ := s.launch(t, d, s.newLaunch(), orders{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, capacityErr := d.Capacity(ctx)
	_, recoverErr := d.Recover(ctx, h)
	_, waitErr := d.Wait(ctx, h)
	for call, err := range map[string]error{"capacity": capacityErr, "recover": recoverErr, "wait": waitErr} {
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context failed with %v, want context.Canceled", call, err)
		}
	}
	if waitErr == nil {
		t.Error("wait with an ended context answered for a worker that runs")
	}
}

func killWithinGrace(t *testing.T, s *suite) {
	d := s.driver(t)
	h, guest := s.launch(t, d, s.newLaunch(), orders{ExitCode: 5})
	mustKill(t, d, h, patience)
	<-guest.gone
	wantState(t, d, h, runtime.StateGone)
	if exit := mustWait(t, d, h); exit.Known && (exit.Code != 5 || exit.Signal != "") {
		t.Errorf("a worker that ended by itself with 5 when asked: wait answered %+v", exit)
	}
}

func killAfterGrace(t *testing.T, s *suite) {
	d := s.driver(t)
	h, guest := s.launch(t, d, s.newLaunch(), orders{Stubborn: true, Children: 2})
	const grace = 300 * time.Millisecond
	begin := time.Now()
	mustKill(t, d, h, grace)
	if took := time.Since(begin); took < grace {
		t.Errorf("a worker that does not end when asked was killed after %v, before the grace of %v", took, grace)
	}
	wantGone(t, guest)
	wantState(t, d, h, runtime.StateGone)
	if exit := mustWait(t, d, h); exit.Known && exit.Signal == "" {
		t.Errorf("a worker that was killed: wait answered %+v", exit)
	}
}

func killAtOnce(t *testing.T, s *suite) {
	d := s.driver(t)
	h, guest := s.launch(t, d, s.newLaunch(), orders{Stubborn: true, Children: 1})
	for range 2 {
		mustKill(t, d, h, 0)
		wantGone(t, guest)
	}
	mustKill(t, d, h, time.Second)
	wantState(t, d, h, runtime.StateGone)
}

// wantGone looks that Kill's answer was true: worker and children are gone, now.
func wantGone(t *testing.T, g *guest) {
	t.Helper()
	for _, pid := range append([]int{g.hello.PID}, g.hello.Children...) {
		if !processGone(pid) {
			t.Errorf("kill has answered, and process %d still runs", pid)
		}
	}
	select {
	case <-g.gone:
	case <-time.After(patience):
		t.Error("kill has answered, and the worker still holds its connection")
	}
}

func killOne(t *testing.T, s *suite) {
	d := s.driver(t)
	if s.harness.Slots == 1 {
		return
	}
	one, _ := s.launch(t, d, s.newLaunch(), orders{Stubborn: true})
	other, guest := s.launch(t, d, s.newLaunch(), orders{})
	mustKill(t, d, one, 0)
	wantState(t, d, one, runtime.StateGone)
	wantState(t, d, other, runtime.StateRunning)
	select {
	case <-guest.gone:
		t.Error("the other worker is gone as well")
	default:
	}
}

func killGivenUp(t *testing.T, s *suite) {
	d := s.driver(t)
	h, guest := s.launch(t, d, s.newLaunch(), orders{Stubborn: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := d.Kill(ctx, h, patience); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("kill whose time ran out within the grace failed with %v, want context.DeadlineExceeded", err)
	}
	mustKill(t, d, h, 0)
	wantGone(t, guest)
}

func launchTwice(t *testing.T, s *suite) {
	d := s.driver(t)
	l := s.newLaunch()
	first, _ := s.launch(t, d, l, orders{})
	second, err := d.Launch(t.Context(), l)
	if err != nil && !errors.Is(err, status.NoCapacity) {
		t.Fatalf("the second launch of a task and epoch: %v", err)
	}
	mustKill(t, d, first, 0)
	if err == nil {
		mustKill(t, d, second, 0)
	}
	for _, guest := range s.host.all(l) {
		wantGone(t, guest)
	}
}

func higherEpoch(t *testing.T, s *suite) {
	d := s.driver(t)
	l := s.newLaunch()
	first, _ := s.launch(t, d, l, orders{Stubborn: true})
	mustKill(t, d, first, 0)
	l.Epoch, l.Token = 2, l.Token+"-2"
	second, guest := s.launch(t, d, l, orders{})
	if guest.hello.Epoch != 2 {
		t.Errorf("the worker of epoch 2 was told epoch %d", guest.hello.Epoch)
	}
	mustKill(t, d, first, 0)
	wantState(t, d, first, runtime.StateGone)
	wantState(t, d, second, runtime.StateRunning)
}

func recoverRunning(t *testing.T, s *suite) {
	h, guest := s.launch(t, s.driver(t), s.newLaunch(), orders{ExitCode: 4})
	d := s.driver(t)
	for range 3 {
		wantState(t, d, h, runtime.StateRunning)
	}
	ended := make(chan runtime.Exit, 1)
	go func() {
		exit, err := d.Wait(t.Context(), h)
		if err != nil {
			exit.Reason = "wait failed: " + err.Error()
		}
		ended <- exit
	}()
	mustKill(t, d, h, patience)
	<-guest.gone
	exit := <-ended
	if exit.Known && exit.Code != 4 || !exit.Known && exit.Reason != "" && exit.Code != 0 {
		t.Errorf("wait by a new driver answered %+v, want code 4 or an exit that is not known", exit)
	}
	wantState(t, d, h, runtime.StateGone)
}

func recoverGone(t *testing.T, s *suite) {
	d := s.driver(t)
	h, guest := s.launch(t, d, s.newLaunch(), orders{Exit: true})
	mustWait(t, d, h)
	<-guest.gone
	wantState(t, d, h, runtime.StateGone)
	later := s.driver(t)
	wantState(t, later, h, runtime.StateGone)
	mustWait(t, later, h)
	mustKill(t, later, h, 0)
}

func foreignHandles(t *testing.T, s *suite) {
	d := s.driver(t)
	for _, h := range []runtime.Handle{nil, {}, []byte("x"), []byte("{}"), []byte(`{"pid":1}`), make([]byte, runtime.MaxHandle)} {
		_, recoverErr := d.Recover(t.Context(), h)
		_, waitErr := d.Wait(t.Context(), h)
		killErr := d.Kill(t.Context(), h, 0)
		for call, err := range map[string]error{"recover": recoverErr, "wait": waitErr, "kill": killErr} {
			if !errors.Is(err, status.InvalidArgument) {
				t.Errorf("%s of the foreign handle %.20q failed with %v, want %v", call, h, err, status.InvalidArgument)
			}
		}
	}
}

func capacityCounts(t *testing.T, s *suite) {
	d := s.driver(t)
	before, err := d.Capacity(t.Context())
	if err != nil {
		t.Fatalf("capacity: %v", err)
	}
	h, _ := s.launch(t, d, s.newLaunch(), orders{})
	during, err := d.Capacity(t.Context())
	if err != nil {
		t.Fatalf("capacity: %v", err)
	}
	if during.Running != before.Running+1 || before.Free >= 0 && during.Free != before.Free-1 {
		t.Errorf("capacity was %+v, with one worker more it is %+v", before, during)
	}
	mustKill(t, d, h, patience)
	if !until(patience, func() bool {
		after, err := d.Capacity(t.Context())
		return err == nil && after == before
	}) {
		t.Errorf("capacity never was %+v again after the worker had ended", before)
	}
}

func noRoom(t *testing.T, s *suite) {
	if s.harness.Slots == 0 {
		return
	}
	d := s.driver(t)
	var last runtime.Handle
	for range s.harness.Slots {
		last, _ = s.launch(t, d, s.newLaunch(), orders{})
	}
	l := s.newLaunch()
	if _, err := d.Launch(t.Context(), l); !errors.Is(err, status.NoCapacity) {
		t.Fatalf("launch without room failed with %v, want %v", err, status.NoCapacity)
	}
	// A driver that was started anew knows of the workers before it.
	if _, err := s.driver(t).Launch(t.Context(), l); !errors.Is(err, status.NoCapacity) {
		t.Fatalf("launch without room by a new driver failed with %v, want %v", err, status.NoCapacity)
	}
	// One that takes the place of a lost worker has its room.
	l.Epoch++
	replacing, err := d.Launch(t.Context(), l)
	if err != nil {
		t.Fatalf("launch in place of a lost worker: %v", err)
	}
	mustKill(t, d, replacing, patience)
	mustKill(t, d, last, patience)
	if !until(patience, func() bool {
		h, err := d.Launch(t.Context(), l)
		if err == nil {
			s.workers = append(s.workers, launched{l, h})
		}
		return err == nil
	}) {
		t.Error("launch found no room after a worker had ended")
	}
}
