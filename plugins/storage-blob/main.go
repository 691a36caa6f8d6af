// Command storage-blob is the storage plugin for whatever gocloud.dev opens by URL: local directories, S3 and what speaks
// its protocol, Google Cloud Storage, Azure Blob Storage, and memory.
package main

import "github.com/recordhost/recordhost/sdk/storage"

var version string

func main() {
	storage.Serve(storage.Plugin[Config]{Name: "blob", Version: version, New: New})
}
