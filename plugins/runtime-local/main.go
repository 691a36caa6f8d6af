// Runtime-local is a runtime plugin: it runs recordings as processes of the machine it is on.
package main

import "github.com/recordhost/recordhost/sdk/runtime"

func main() { runtime.Serve(local()) }
