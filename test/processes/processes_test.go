package processes_test

import (
	"bufio"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/recordhost/recordhost/test/processes"
)

// family starts a shell that starts another, and waits until both are there. Both end with the test.
func family(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `sh -c 'echo ready; read line'; true`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // it was told to end
	})
	return cmd
}

func TestBelow(t *testing.T) {
	cmd := family(t)
	below, err := processes.Below(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	child := slices.IndexFunc(below, func(p processes.Process) bool { return p.PID == cmd.Process.Pid })
	if child < 0 || below[child].Name != "sh" || below[child].Parent != os.Getpid() {
		t.Errorf("the child is not among %+v", below)
	}
	if !slices.ContainsFunc(below, func(p processes.Process) bool { return p.Parent == cmd.Process.Pid }) {
		t.Errorf("the grandchild is not among %+v", below)
	}
	if slices.ContainsFunc(below, func(p processes.Process) bool { return p.PID == os.Getpid() }) {
		t.Error("the process itself is among those below it")
	}
}

func TestAllTellsCostAndMemory(t *testing.T) {
	all, err := processes.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.PID != os.Getpid() {
			continue
		}
		if p.Start == "" || p.Name == "" || p.Parent != os.Getppid() {
			t.Errorf("%+v", p)
		}
		if memory := processes.Memory(p.PID); memory < 1<<20 {
			t.Errorf("%d bytes of memory", memory)
		}
		return
	}
	t.Error("this process is not there")
}

func TestMemoryOfNobody(t *testing.T) {
	if memory := processes.Memory(1 << 30); memory != 0 {
		t.Errorf("%d bytes", memory)
	}
}
