// Runtime-local is a runtime plugin: it runs recordings as processes of the machine it is on.
package main

import "github.com/recordhost/recordhost/sdk/runtime"

// version is set by the build: -ldflags "-X main.version=v1.2.3".
var version string

func main() { runtime.Serve(local()) }
