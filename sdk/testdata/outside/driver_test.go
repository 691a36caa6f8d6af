package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/recordhost/recordhost/sdk/storage"
	"github.com/recordhost/recordhost/sdk/storage/storagetest"
)

func TestConforms(t *testing.T) {
	root := t.TempDir()
	storagetest.Run(t, storagetest.Harness{
		OwnNames:  true,
		NewDriver: func(*testing.T) storage.Driver { return &driver{root: root} },
		Read: func(_ *testing.T, d storage.Delivery, name string) ([]byte, bool) {
			content, err := os.ReadFile(filepath.Join(root, d.ID(), name))
			return content, err == nil
		},
	})
}
