// Command storage-cos is the storage plugin for Tencent Cloud Object Storage.
package main

import "github.com/recordhost/recordhost/sdk/storage"

var version string

func main() {
	storage.Serve(storage.Plugin[Config]{Name: "cos", Version: version, New: New})
}
