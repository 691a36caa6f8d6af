package control

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/recordhost/recordhost/internal/control/proto/recordhost/control/v1"
)

// recordHeader is what stands before each record of a journal: its length and its checksum, four bytes each.
const recordHeader = 8

// maxRecord bounds a record; what claims to be longer is the torn end of the file.
const maxRecord = 1 << 20

// journal keeps what a worker has to say until the host has heard it: its events, and which commands have taken
// effect. It is a file of the messages themselves, each with length and checksum, synced one by one. A journal is not
// safe for concurrent use.
type journal struct {
	file    *os.File
	size    int64  // of what was written whole
	backlog []byte // records that could not be written yet
}

// openJournal opens or makes the journal at path and returns what it holds. A torn record at its end, which the last
// process did not finish, is cut off.
func openJournal(path string) (*journal, []*controlv1.ConnectRequest, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("control: open the journal: %w", err)
	}
	data, err := io.ReadAll(file)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("control: read the journal: %w", err), file.Close())
	}
	records, size := parseRecords(data)
	if err := file.Truncate(size); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("control: cut the journal's torn end: %w", err), file.Close())
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("control: make the journal durable: %w", err), file.Close())
	}
	return &journal{file: file, size: size}, records, nil
}

// parseRecords returns the whole records at the start of data, and how many bytes they take.
func parseRecords(data []byte) ([]*controlv1.ConnectRequest, int64) {
	var records []*controlv1.ConnectRequest
	var size int64
	for {
		rest := data[size:]
		if len(rest) < recordHeader {
			return records, size
		}
		length := binary.BigEndian.Uint32(rest)
		if length == 0 || length > maxRecord || int(length) > len(rest)-recordHeader { // zeros are what a power cut leaves
			return records, size
		}
		body := rest[recordHeader : recordHeader+length]
		if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(rest[4:]) {
			return records, size
		}
		record := &controlv1.ConnectRequest{}
		if err := proto.Unmarshal(body, record); err != nil {
			return records, size
		}
		records = append(records, record)
		size += recordHeader + int64(length)
	}
}

// append writes a record and syncs it. After an error the record is kept, and written before the next one.
func (j *journal) append(record *controlv1.ConnectRequest) error {
	body, err := proto.Marshal(record)
	if err != nil {
		return fmt.Errorf("control: encode a record of the journal: %w", err)
	}
	var header [recordHeader]byte
	binary.BigEndian.PutUint32(header[:], uint32(len(body)))
	binary.BigEndian.PutUint32(header[4:], crc32.ChecksumIEEE(body))
	j.backlog = append(append(j.backlog, header[:]...), body...)

	if _, err := j.file.WriteAt(j.backlog, j.size); err != nil {
		return fmt.Errorf("control: write the journal: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("control: sync the journal: %w", err)
	}
	j.size += int64(len(j.backlog))
	j.backlog = nil
	return nil
}

// records reads back what was written, and what could not be yet.
func (j *journal) records() ([]*controlv1.ConnectRequest, error) {
	data := make([]byte, j.size, j.size+int64(len(j.backlog)))
	if _, err := j.file.ReadAt(data, 0); err != nil {
		return nil, fmt.Errorf("control: read the journal: %w", err)
	}
	records, _ := parseRecords(append(data, j.backlog...))
	return records, nil
}

func (j *journal) close() error { return j.file.Close() }

// syncDir makes a new name in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
