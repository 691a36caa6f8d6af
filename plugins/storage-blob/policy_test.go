package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/recordhost/recordhost/sdk/storage"
)

// rights are what docs/storage-blob.md tells users to allow.
type rights struct {
	Version   string
	Statement []statement
}

type statement struct {
	Effect    string
	Principal string
	Action    []string
	Resource  string
}

const visitor, visitorSecret = "visitor", "the-secret-of-the-visitor"

// documented reads the policy from the documentation, for the bucket of the test and its visitor.
func documented(t *testing.T) rights {
	t.Helper()
	text, err := os.ReadFile("../../docs/storage-blob.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```json\n")
	block, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("docs/storage-blob.md has no policy")
	}
	var p rights
	if err := json.Unmarshal([]byte(block), &p); err != nil {
		t.Fatal(err)
	}
	for i := range p.Statement {
		p.Statement[i].Principal = visitor
		p.Statement[i].Resource = strings.Replace(p.Statement[i].Resource, ":::lessons", ":::"+bucketName, 1)
	}
	return p
}

// without returns the policy that does not allow one action, and false when there is no further one.
func (p rights) without(n int) (less rights, action string, ok bool) {
	less.Version = p.Version
	for _, s := range p.Statement {
		kept := s
		kept.Action = nil
		for _, a := range s.Action {
			if n == 0 {
				action, ok = a, true
			} else {
				kept.Action = append(kept.Action, a)
			}
			n--
		}
		if len(kept.Action) > 0 {
			less.Statement = append(less.Statement, kept)
		}
	}
	return less, action, ok
}

// TestPolicy: what the documentation tells users to allow is enough for all that the plugin does, and none of it is too much.
func TestPolicy(t *testing.T) {
	s := startVersity(t)
	owner := newClosingDriver(t, s.config())
	create := exec.CommandContext(t.Context(), tool(t, "versitygw"), "admin", "--access", s3Key, "--secret", s3Secret,
		"--endpoint-url", "http://"+s.address, "create-user", "--access", visitor, "--secret", visitorSecret, "--role", "user")
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("create the user: %v\n%s", err, out)
	}
	allow := func(p rights) {
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		client := owner.parts.(*s3Parts).client
		_, err = client.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{
			Bucket: aws.String(bucketName), Policy: aws.String(string(text)),
		})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
	s3Environment(t, visitor, visitorSecret)
	whole := documented(t)
	allow(whole)
	if err := everything(t, newClosingDriver(t, s.config()), "all of it"); err != nil {
		t.Fatalf("with all of the policy: %v", err)
	}
	for n := 0; ; n++ {
		less, action, ok := whole.without(n)
		if !ok {
			break
		}
		allow(less)
		if err := everything(t, newClosingDriver(t, s.config()), action); err == nil {
			t.Errorf("%s is not needed", action)
		}
	}
}

// everything does what the plugin does in the life of a recording.
func everything(t *testing.T, d *Driver, dir string) error {
	t.Helper()
	ctx := t.Context()
	delivery := storage.Delivery{TaskID: dir, Epoch: 1, Dir: dir, Main: "a.mp4"}
	if err := d.Check(ctx); err != nil {
		return err
	}
	state, err := d.Open(ctx, delivery)
	if err != nil {
		return err
	}
	if _, err := d.BeginParts(ctx, state, storage.Growing{Name: "a.mp4"}); err != nil {
		return err
	}
	if err := d.Abort(ctx, state); err != nil { // an upload is found, known and removed
		return err
	}
	u, err := d.BeginParts(ctx, state, storage.Growing{Name: "a.mp4"})
	if err != nil {
		return err
	}
	g := grow(t, 5<<20, 0)
	r, err := d.PutPart(ctx, state, u, g.part(1))
	if err != nil {
		return err
	}
	if err := d.FinishParts(ctx, state, u, []storage.Receipt{r}); err != nil {
		return err
	}
	if err := d.Put(ctx, state, localFile(t, "b.ts", g.content)); err != nil {
		return err
	}
	if _, err := d.Commit(ctx, state); err != nil {
		return err
	}
	if objects, err := d.List(ctx, state); err != nil || len(objects) != 2 {
		return fmt.Errorf("list: %d objects, %w", len(objects), err)
	}
	return errors.Join(
		d.Fetch(ctx, state, "b.ts", filepath.Join(t.TempDir(), "b.ts")), d.Delete(ctx, state, "a.mp4"), d.Delete(ctx, state, "b.ts"),
	)
}
