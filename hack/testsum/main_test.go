package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestSummary(t *testing.T) {
	const stream = `go: downloading example.com/m v1.0.0
{"Action":"output","Package":"m/a","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"pass","Package":"m/a","Test":"TestGood"}
{"Action":"output","Package":"m/a","Test":"TestTable/one","Output":"    a_test.go:3: bad\n"}
{"Action":"pass","Package":"m/a","Test":"TestTable/two"}
{"Action":"fail","Package":"m/a","Test":"TestTable/one"}
{"Action":"fail","Package":"m/a","Test":"TestTable"}
{"Action":"skip","Package":"m/a","Test":"TestSkipped"}
{"Action":"output","Package":"m/a","Output":"FAIL\tm/a\n"}
{"Action":"fail","Package":"m/a"}
{"Action":"output","Package":"m/b","Test":"TestExit","Output":"panic: no\n"}
{"Action":"fail","Package":"m/b"}
{"ImportPath":"m/c","Action":"build-output","Output":"c.go:1:1: undefined: x\n"}
{"ImportPath":"m/c","Action":"build-fail"}
{"Action":"fail","Package":"m/c","FailedBuild":"m/c"}
{"Action":"pass","Package":"m/d","Test":"TestQuiet"}
{"Action":"pass","Package":"m/d"}
warning: something of the go command itself
`
	var out bytes.Buffer
	s := newSummary(&out)
	if err := s.read(strings.NewReader(stream)); err != nil {
		t.Fatal(err)
	}
	const shown = `    a_test.go:3: bad
FAIL	m/a
panic: no
c.go:1:1: undefined: x
warning: something of the go command itself
`
	if out.String() != shown {
		t.Errorf("shown:\n%s\nwant:\n%s", out.String(), shown)
	}
	const line = "3 passed, 1 failed, 2 packages broken, 1 skipped, in 1m30s"
	if got := s.line(90 * time.Second); got != line {
		t.Errorf("line %q, want %q", got, line)
	}
	if !s.bad() {
		t.Error("a run with failures is not bad")
	}
}
