// Package sdk_test looks at the SDK as a whole, from the outside.
package sdk_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const module = "github.com/recordhost/recordhost"

// A stranger writes a storage plugin in a module of their own, of less than a hundred lines, with nothing but the SDK.
// It builds, and keeps the contract.
func TestDriverOutsideTheRepository(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"driver.go", "driver_test.go"} {
		source, err := os.ReadFile(filepath.Join("testdata", "outside", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range regexp.MustCompile(`"(`+module+`/[^"]*)"`).FindAllStringSubmatch(string(source), -1) {
			if !strings.HasPrefix(path[1], module+"/sdk/") {
				t.Errorf("%s imports %s", name, path[1])
			}
		}
		if lines := bytes.Count(source, []byte("\n")); lines > 110 {
			t.Errorf("%s has %d lines", name, lines)
		}
		if err := os.WriteFile(filepath.Join(dir, name), source, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writeModule(t, root, dir)
	for _, args := range [][]string{{"build", "-o", "storage-plain", "."}, {"test", "-count=1", "."}} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// writeModule makes dir a module that takes the SDK from root. It takes over root's versions, so that nothing has to be
// downloaded which is not there already.
func writeModule(t *testing.T, root, dir string) {
	t.Helper()
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(mod), "module "+module, "module example.com/storage-plain", 1)
	text += "\nrequire " + module + " v0.0.0\nreplace " + module + " => " + root + "\n"
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o600); err != nil {
		t.Fatal(err)
	}
}

// The SDK stays small: what a plugin must link to speak with its host, and no cloud's SDK, no HCL, nothing of the engine.
func TestSDKImportsLittle(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-f",
		`{{$p := .ImportPath}}{{range .Imports}}{{$p}} {{.}}{{"\n"}}{{end}}`, "./...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{
		module + "/sdk/", "google.golang.org/grpc", "google.golang.org/protobuf", "github.com/hashicorp/go-plugin",
		"github.com/hashicorp/go-hclog",
	}
	lines := strings.Fields(string(out))
	if len(lines) < 40 {
		t.Fatalf("go list answered %d words", len(lines))
	}
	for i := 0; i < len(lines); i += 2 {
		imported := lines[i+1]
		first, _, _ := strings.Cut(imported, "/")
		ok := !strings.Contains(first, ".") // the standard library
		for _, prefix := range allowed {
			ok = ok || strings.HasPrefix(imported, prefix)
		}
		if !ok {
			t.Errorf("%s imports %s", lines[i], imported)
		}
	}
}
