package synthetic_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/recordhost/recordhost/test/synthetic"
)

// matrix says which process is killed (K) and which is frozen (F) at which moment of a recording. A small letter stands
// where that is not done, and for the reason.
const matrix = `
                       host  runtime  host's storage  worker  worker's storage
start acked            K/F   K/F      K/c             K/d     a/a
loading                K/e   K/f      K/c             K/F     a/a
waiting for the page   K/e   K/f      K/c             K/F     a/a
beginning to record    K/e   K/f      K/c             K/d     a/a
first second           K/e   K/f      K/c             K/F     a/a
steady                 K/F   K/F      K/c             K/F     a/a
pausing                K/e   K/f      K/c             K/F     a/a
paused                 K/F   K/f      K/c             K/F     a/a
resuming               K/e   K/f      K/c             K/F     a/a
refreshing             K/e   K/f      K/c             K/d     a/a
stopped while loading  K/F   K/f      K/c             K/F     a/a
stopping               K/F   K/F      K/c             K/d     a/a
transcode              K/e   K/f      K/c             K/F     a/a
upload, before Put     K/e   K/f      K/c             K/d     K/g
upload, before Commit  K/F   K/f      K/c             K/F     K/F
callback               K/F   K/f      K/c             b/b     b/b
`

// reasons are why a cell is left out.
func reasons() map[string]string {
	return map[string]string{
		"a": "a worker starts its storage plugin when it delivers: it is not there before",
		"b": "the worker has nothing left to do, and has ended or is about to",
		"c": "the host asks its storage plugin nothing while a recording runs: frozen it is found by its pings, as the runtime plugin is",
		"d": "the frozen worker is found by its silence, then killed: the cells beside it differ by a few milliseconds of its life",
		"e": "the worker does not wait for the host here, so a frozen one is as one that is away, which K shows",
		"f": "the runtime plugin is asked nothing here: frozen it is found by its pings, which start acked, steady and stopping show",
		"g": "a frozen plugin is found by its pings, whichever call waits: before Commit shows it",
	}
}

// cell is one fault at one moment.
type cell struct {
	moment string
	struck synthetic.Component
	signal syscall.Signal
}

func (c cell) String() string {
	how := "killed"
	if c.signal == syscall.SIGSTOP {
		how = "frozen"
	}
	return fmt.Sprintf("%s %s %s", c.moment, c.struck, how)
}

// cells reads the table.
func cells(t *testing.T) (all []cell) {
	t.Helper()
	columns := []synthetic.Component{
		synthetic.HostProcess, synthetic.Runtime, synthetic.HostStorage, synthetic.Worker, synthetic.WorkerStorage,
	}
	lines := strings.Split(strings.TrimSpace(matrix), "\n")
	for _, line := range lines[1:] {
		moment, rest := line[:23], strings.Fields(line[23:])
		if len(rest) != len(columns) {
			t.Fatalf("%d columns in %q", len(rest), line)
		}
		for i, marks := range rest {
			killed, frozen, _ := strings.Cut(marks, "/")
			for mark, signal := range map[string]syscall.Signal{killed: syscall.SIGKILL, frozen: syscall.SIGSTOP} {
				switch {
				case mark == "K" && signal == syscall.SIGKILL, mark == "F" && signal == syscall.SIGSTOP:
					all = append(all, cell{strings.TrimSpace(moment), columns[i], signal})
				case reasons()[mark] == "":
					t.Fatalf("%q in %q is neither a fault nor a reason", mark, line)
				}
			}
		}
	}
	return all
}
