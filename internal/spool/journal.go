package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// record is one line of the journal. Exactly one member is set.
type record struct {
	Run      *runRecord      `json:"run,omitempty"`
	Fragment *fragmentRecord `json:"fragment,omitempty"`
	Gap      *Gap            `json:"gap,omitempty"`
	Mark     *Mark           `json:"mark,omitempty"`
	End      *endRecord      `json:"end,omitempty"`
	File     *fileRecord     `json:"file,omitempty"`
	Delivery *deliveryRecord `json:"delivery,omitempty"`
	Part     *partRecord     `json:"part,omitempty"`
}

// runRecord is a run of the encoder: times in nanoseconds of recorded time.
type runRecord struct {
	File      string `json:"file"`
	Head      int64  `json:"head"` // bytes before the first fragment
	Video     int64  `json:"video"`
	Audio     int64  `json:"audio"`
	AudioFrom int64  `json:"audio_from"`
}

// fragmentRecord is a fragment of the last run; it is written once the fragment is on the disk.
type fragmentRecord struct {
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
	Head   int64  `json:"head"` // bytes before the media data
	CRC    uint32 `json:"crc"`  // CRC-32C
	Video  extent `json:"video"`
	Audio  extent `json:"audio"`
}

// extent is what a fragment holds of a track, in the stream's ticks.
type extent struct {
	Start    int64 `json:"start"`
	Duration int64 `json:"duration"`
	Samples  int   `json:"samples"`
	Sync     bool  `json:"sync,omitempty"` // it begins where decoding can begin
}

type endRecord struct {
	At int64 `json:"at"` // recorded time in nanoseconds
}

type fileRecord struct {
	Size     int64 `json:"size"`
	Duration int64 `json:"duration"` // nanoseconds
	Pictures int   `json:"pictures"`
}

type deliveryRecord struct {
	Target string `json:"target"`
	Delivery
}

// partRecord adds to the last delivery to its target.
type partRecord struct {
	Target string `json:"target"`
	Part
}

// journal is a file of lines: a CRC-32C in eight hex digits, a space, JSON. A line that a crash cut short ends it.
type journal struct {
	f *os.File

	mu   sync.Mutex
	size int64
}

// openJournal opens or makes the journal, locks it, and answers its records. What follows the last whole line is cut
// off.
func openJournal(path string) (*journal, []record, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, diskError(path, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%w: %s: %w", ErrInUse, path, err), f.Close())
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	records, size := parseJournal(text)
	if err := f.Truncate(size); err != nil {
		return nil, nil, errors.Join(diskError(path, err), f.Close())
	}
	return &journal{f: f, size: size}, records, nil
}

// parseJournal reads lines up to the first that is not whole, and answers how many bytes they take.
func parseJournal(text []byte) (records []record, size int64) {
	for {
		line, rest, found := bytes.Cut(text[size:], []byte("\n"))
		if !found || len(line) < 9 || line[8] != ' ' {
			return records, size
		}
		var r record
		if checksumText(line[9:]) != string(line[:8]) || json.Unmarshal(line[9:], &r) != nil {
			return records, size
		}
		records = append(records, r)
		size = int64(len(text) - len(rest))
	}
}

// append writes records; durable says that they are to survive a power cut before it returns.
func (j *journal) append(durable bool, records ...record) error {
	var b []byte
	for _, r := range records {
		line, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		b = append(append(append(append(b, checksumText(line)...), ' '), line...), '\n')
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.f.WriteAt(b, j.size); err != nil {
		return errors.Join(diskError(j.f.Name(), err), j.f.Truncate(j.size))
	}
	j.size += int64(len(b))
	if !durable {
		return nil
	}
	return j.sync()
}

func (j *journal) sync() error {
	if err := unix.Fdatasync(int(j.f.Fd())); err != nil {
		return diskError(j.f.Name(), err)
	}
	return nil
}

func (j *journal) close() error { return j.f.Close() }

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func checksumText(b []byte) string { return fmt.Sprintf("%08x", checksum(b)) }

// diskError names the path, and tells a disk apart that takes nothing more.
func diskError(path string, err error) error {
	for _, refusal := range []error{unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EIO} {
		if errors.Is(err, refusal) {
			return fmt.Errorf("%w: %s: %w", ErrUnwritable, path, err)
		}
	}
	return fmt.Errorf("spool: %s: %w", path, err)
}
