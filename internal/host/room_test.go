package host

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestRoom(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "made")
	for _, least := range []int64{0, 1} {
		if err := room(dir, least); err != nil {
			t.Errorf("at least %d: %v", least, err)
		}
	}
	err := room(dir, 1<<62)
	if err == nil || !strings.Contains(err.Error(), "the disk of "+dir+" has ") || !strings.Contains(err.Error(), "min_free") {
		t.Errorf("error %v", err)
	}
	if err := room(dir+"\x00", 1); err == nil || !strings.Contains(err.Error(), "is not known") {
		t.Errorf("what cannot be asked: %v", err)
	}
	if err := room(dir+"\x00", 0); err != nil {
		t.Errorf("nobody is to ask: %v", err)
	}
}
