// Package structure tests the shape of the source: who imports whom, and that every package says what it is. The table
// below is the one in ARCHITECTURE.md; a new package needs a row in both.
package structure

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/recordhost/recordhost"

// row says what a package, or a folder of packages ("sdk/..."), may import. Its own folder is always allowed.
type row struct {
	of     string
	inside []string // of this module
}

// table holds the most special rows first: the first that matches a package counts.
func table() []row {
	return []row{
		{"sdk/...", nil},
		{"plugins/*/...", []string{"sdk/..."}},
		{"internal/api", nil},
		{"internal/browser", []string{"sdk/proc"}},
		{"internal/callback", []string{"sdk/schema"}},
		{"internal/capture/...", nil},
		{"internal/clock", nil},
		{"internal/config", []string{"internal/callback", "sdk/schema"}},
		{"internal/control/...", []string{"internal/clock", "internal/scratch"}},
		{"internal/deliver", []string{"internal/mp4", "internal/spool", "internal/pluginhost", "sdk/status", "sdk/storage"}},
		{"internal/doctor", []string{"internal/browser"}},
		{"internal/encode", []string{"internal/mp4", "sdk/proc"}},
		{"internal/hls", []string{
			"internal/deliver", "internal/mp4", "internal/spool", "sdk/status", "sdk/storage",
		}},
		{"internal/host", []string{
			"internal/api", "internal/browser", "internal/callback", "internal/config", "internal/control", "internal/pluginhost",
			"internal/scratch",
			"internal/store/...", "internal/task", "sdk/...",
		}},
		{"internal/mp4", nil},
		{"internal/pluginhost", []string{"sdk/..."}},
		{"internal/scratch", nil},
		{"internal/spool", []string{"internal/mp4"}},
		{"internal/store/...", nil},
		{"internal/task", []string{
			"internal/callback", "internal/clock", "internal/control", "internal/store", "sdk/runtime", "sdk/status",
		}},
		{"internal/worker", []string{
			"internal/browser", "internal/capture", "internal/control", "internal/deliver", "internal/encode", "internal/hls",
			"internal/spool",
			"internal/pluginhost", "internal/scratch", "sdk/...",
		}},
		{"cmd/recordhost", []string{"internal/...", "sdk/..."}},
		{"bench/...", []string{"..."}},
		{"hack/...", []string{"..."}},
		{"test/...", []string{"..."}},
	}
}

// homes says which modules of others live in which folders only.
func homes() map[string][]string {
	return map[string][]string{
		"github.com/hashicorp/hcl/":       {"internal/config"},
		"github.com/zclconf/go-cty/":      {"internal/config"},
		"github.com/chromedp/":            {"internal/browser"},
		"github.com/hashicorp/go-plugin":  {"sdk/...", "internal/pluginhost"},
		"github.com/hashicorp/go-hclog":   {"sdk/...", "internal/pluginhost"},
		"github.com/spf13/cobra":          {"cmd/recordhost"},
		"github.com/schollz/progressbar/": {"cmd/recordhost"},
		"go.etcd.io/bbolt":                {"internal/store/..."},
		"github.com/standard-webhooks/":   {"internal/callback"},
		"gocloud.dev/blob":                {"plugins/storage-blob/..."},
		"gocloud.dev/gcerrors":            {"plugins/storage-blob/..."},
		"gocloud.dev/secrets":             {"internal/task"},
		"github.com/tencentcloud/":        {"plugins/storage-vod/..."},
		"github.com/tencentyun/":          {"plugins/storage-cos/...", "plugins/storage-vod/..."},
	}
}

// sdkModules is all that plugin authors get with the SDK besides the standard library.
func sdkModules() []string {
	return []string{
		"google.golang.org/grpc", "google.golang.org/protobuf", "github.com/hashicorp/go-plugin", "github.com/hashicorp/go-hclog",
		"golang.org/x/sys",
	}
}

// pkg is what `go list -json` tells about a package.
type pkg struct {
	ImportPath   string
	Dir          string
	Doc          string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
	Imports      []string
}

func (p pkg) name() string { return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/") }

func packages(t *testing.T) []pkg {
	t.Helper()
	const members = "ImportPath,Dir,Doc,GoFiles,TestGoFiles,XTestGoFiles,Imports"
	list := exec.CommandContext(t.Context(), "go", "list", "-json="+members, module+"/...")
	out, err := list.Output()
	if err != nil {
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var all []pkg
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		switch err := decoder.Decode(&p); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		doc := p.Doc
		if len(p.GoFiles) == 0 {
			doc = testDoc(t, p)
		}
		if len(strings.Fields(doc)) < 5 {
			t.Errorf("%s has no doc comment that says what it owns and who may call it", p.name())
		}
	}
}

// testDoc is the doc comment of a package that holds tests only.
func testDoc(t *testing.T, p pkg) string {
	t.Helper()
	for _, name := range append(p.TestGoFiles, p.XTestGoFiles...) {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		if f.Doc != nil {
			return f.Doc.Text()
		}
	}
	return ""
}

func TestImportTable(t *testing.T) {
	for _, p := range packages(t) {
		i := slices.IndexFunc(table(), func(r row) bool { return matches(r.of, p.name()) })
		if i < 0 {
			t.Errorf("%s is in no row of the import table", p.name())
			continue
		}
		for _, imported := range p.Imports {
			inside, ours := strings.CutPrefix(imported, module+"/")
			if ours && !allowed(table()[i], p.name(), inside) {
				t.Errorf("%s may not import %s", p.name(), inside)
			}
			for of, folders := range homes() {
				if strings.HasPrefix(imported, of) && !matchesAny(folders, p.name()) {
					t.Errorf("%s may not import %s: it lives in %v only", p.name(), imported, folders)
				}
			}
			if !ours && matches("sdk/...", p.name()) && !sdkMayImport(imported) {
				t.Errorf("%s may not import %s: plugin authors would have to link it", p.name(), imported)
			}
		}
	}
}

// allowed reports whether a package may import another of this module, by its row. What lies in its own folder, as far
// as the row's pattern names one, is its own.
func allowed(r row, name, imported string) bool {
	depth := strings.Count(strings.TrimSuffix(r.of, "/..."), "/") + 1
	if root(name, depth) == root(imported, depth) {
		return true
	}
	return matchesAny(r.inside, imported)
}

// root is the first n elements of a path.
func root(name string, n int) string {
	return strings.Join(strings.SplitN(name+"/", "/", n+1)[:n], "/")
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}

// matches knows "a/b", "a/*" for one element, and "a/..." for a folder and all below it.
func matches(pattern, name string) bool {
	folder, deep := strings.CutSuffix(pattern, "...")
	if !deep {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	}
	folder = strings.TrimSuffix(folder, "/")
	if folder == "" {
		return true
	}
	ok, err := path.Match(folder, root(name, strings.Count(folder, "/")+1))
	return ok && err == nil
}

func sdkMayImport(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	if !strings.Contains(first, ".") {
		return true
	}
	return slices.ContainsFunc(sdkModules(), func(m string) bool { return imported == m || strings.HasPrefix(imported, m+"/") })
}

func TestMatches(t *testing.T) {
	tests := []struct {
		pattern, name string
		want          bool
	}{
		{"sdk/...", "sdk", true},
		{"sdk/...", "sdk/runtime", true},
		{"sdk/...", "sdkx/runtime", false},
		{"plugins/*/...", "plugins/storage-blob", true},
		{"plugins/*/...", "plugins/storage-blob/inner", true},
		{"internal/api", "internal/api", true},
		{"internal/api", "internal/api/inner", false},
		{"...", "test/media", true},
	}
	for _, test := range tests {
		if got := matches(test.pattern, test.name); got != test.want {
			t.Errorf("matches(%q, %q) = %v", test.pattern, test.name, got)
		}
	}
}
