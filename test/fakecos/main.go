// Command fakecos runs a COS on this machine, so that the storage "cos" can be tried without an account. It prints the block for
// recordhost.hcl and serves until it is interrupted.
//
//	go run ./test/fakecos [-listen 127.0.0.1:9000] [-dir DIR]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/recordhost/recordhost/test/fakecos/cos"
)

const (
	bucket    = "webrecord-1250000000"
	region    = "ap-shanghai"
	secretID  = "AKIDfakecos"
	secretKey = "fakecos"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9000", "host and port")
	dir := flag.String("dir", "", "where content is kept; without it a directory that is removed at the end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *listen, *dir)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fakecos:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen, dir string) error {
	server, err := cos.Start(cos.Options{Addr: listen, Dir: dir})
	if err != nil {
		return err
	}
	server.AddBucket(cos.Bucket{Name: bucket, Region: region, Public: true})
	server.SetKeys(cos.Keys{SecretID: secretID, SecretKey: secretKey})
	_, err = fmt.Printf(`A COS is running. Put this into recordhost.hcl:

storage "cos" "lessons" {
  bucket     = %q
  region     = %q
  secret_id  = %q
  secret_key = %q
  endpoint   = %q
}

What is stored can be read at %s/%s/<TargetDir>/<TargetName> as long as this runs.
`, bucket, region, secretID, secretKey, server.URL(), server.URL(), bucket)
	if err == nil {
		<-ctx.Done()
	}
	return errors.Join(err, server.Close())
}
