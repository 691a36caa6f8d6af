package control

import (
	"fmt"
	"path/filepath"
	"strings"
)

// maxSocketPath is what a socket's address holds, without the zero at its end.
const maxSocketPath = 107

// dialTarget turns an address of the host, "unix:/path", into what gRPC dials. "tls://host:port" belongs to workers on
// other machines, which this release does not have: it is refused by name, never dialled without its protection.
func dialTarget(address string) (string, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if !filepath.IsAbs(path) {
			return "", fmt.Errorf("control: address %q: the path of the socket is not absolute", address)
		}
		if len(path) > maxSocketPath {
			return "", fmt.Errorf("control: address %q: the path of a socket holds at most %d bytes", address, maxSocketPath)
		}
		return "unix:" + path, nil
	}
	if strings.HasPrefix(address, "tls://") {
		return "", fmt.Errorf("control: address %q: control over TLS is not supported by this release", address)
	}
	return "", fmt.Errorf("control: address %q is not of the form unix:/path", address)
}
