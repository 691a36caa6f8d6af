// Command storage-vod is the storage plugin for Tencent Cloud VOD: a recording becomes a media of the account, with its FileId.
package main

import "github.com/recordhost/recordhost/sdk/storage"

var version string

func main() {
	storage.Serve(storage.Plugin[Config]{Name: "vod", Version: version, New: New})
}
