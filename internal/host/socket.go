package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/recordhost/recordhost/internal/task"
)

// socketName is a link in the data directory to the control socket, for the case that the store has lost its path: without
// it no worker would find the next host.
const socketName = "control"

// earlierSocket is the path that an earlier host listened on, empty when it is not known.
func (h *Host) earlierSocket(ctx context.Context) ([]byte, error) {
	socket, err := h.store.Setting(ctx, task.SettingSocket)
	if err != nil || socket != nil {
		return socket, err
	}
	path, err := os.Readlink(filepath.Join(h.config.DataDir, socketName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the earlier control socket: %w", err)
	}
	return []byte(path), nil
}

// keepSocket keeps the path for the next host.
func (h *Host) keepSocket(ctx context.Context, socket string) error {
	if err := h.store.SetSetting(ctx, task.SettingSocket, []byte(socket)); err != nil {
		return err
	}
	link := filepath.Join(h.config.DataDir, socketName)
	if known, err := os.Readlink(link); err == nil && known == socket {
		return nil
	}
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keep the control socket: %w", err)
	}
	if err := os.Symlink(socket, link); err != nil {
		return fmt.Errorf("keep the control socket: %w", err)
	}
	return nil
}
