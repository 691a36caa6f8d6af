package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/fsouza/fake-gcs-server/fakestorage"

	"github.com/recordhost/recordhost/sdk/proc"
)

// server is a store that runs for one test.
type server struct {
	address string // host:port

	// at returns the configuration by which the store, or what stands in front of it at another address, is reached.
	at func(address string) Config
}

func (s server) config() Config { return s.at(s.address) }

// bucketName is that of the one bucket, or container, which each server has.
const bucketName = "recordings"

// The credentials that servers know. Azurite's are those that Microsoft publishes for it.
const (
	s3Key, s3Secret = "recorder", "a-secret-of-the-test"

	azuriteAccount = "devstoreaccount1"
	azuriteKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// s3Environment is that of a plugin which reaches S3 with the credentials given, and nothing else of this machine's.
func s3Environment(t *testing.T, key, secret string) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_MAX_ATTEMPTS": "1",
	} {
		t.Setenv(name, value)
	}
}

// s3At is the URL of a bucket of an S3 server that is not Amazon's.
func s3At(bucket string, more url.Values) func(address string) Config {
	return func(address string) Config {
		query := url.Values{"endpoint": {"http://" + address}, "use_path_style": {"true"}, "region": {"us-east-1"}}
		maps.Copy(query, more)
		return Config{URL: "s3://" + bucket + "?" + query.Encode()}
	}
}

// startVersity starts versitygw, an S3 server that has nothing in common with the SDK, verifies signatures and knows the sums of
// objects that were sent in parts.
func startVersity(t *testing.T) server {
	t.Helper()
	s3Environment(t, s3Key, s3Secret)
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, bucketName), 0o755); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	start(t, proc.Spec{
		Path: tool(t, "versitygw"),
		Args: []string{
			"--access", s3Key, "--secret", s3Secret, "--port", address, "--iam-dir", t.TempDir(), "--quiet", "posix", root,
		},
		Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()},
	}, address)
	return server{address: address, at: s3At(bucketName, nil)}
}

// startAzurite starts Microsoft's own emulator of Azure Blob Storage.
func startAzurite(t *testing.T) server {
	t.Helper()
	t.Setenv("AZURE_STORAGE_ACCOUNT", azuriteAccount)
	t.Setenv("AZURE_STORAGE_KEY", azuriteKey)
	const folder = "../../.cache/azurite"
	run(t, 10*time.Minute, "../../hack/azurite.sh", folder)
	main, err := filepath.Abs(filepath.Join(folder, "node_modules/azurite/dist/src/blob/main.js"))
	if err != nil {
		t.Fatal(err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("azurite needs Node: %v", err)
	}
	address := freeAddress(t)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	start(t, proc.Spec{
		Path: node,
		Args: []string{
			main, "--blobHost", host, "--blobPort", port,
			"--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent",
		},
		Dir: t.TempDir(),
		Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()},
	}, address)
	s := server{address: address, at: func(address string) Config {
		query := url.Values{"protocol": {"http"}, "domain": {address}, "localemu": {"true"}}
		return Config{URL: "azblob://" + bucketName + "?" + query.Encode()}
	}}
	if _, err := azureClient(t, newClosingDriver(t, s.config())).Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return s
}

func azureClient(t *testing.T, d *Driver) *container.Client {
	t.Helper()
	var client *container.Client
	if !d.bucket.As(&client) {
		t.Fatal("not a container of Azure's")
	}
	return client
}

// startGCS starts fake-gcs-server within the test.
func startGCS(t *testing.T) server {
	t.Helper()
	address := freeAddress(t)
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	gcs, err := fakestorage.NewServerWithOptions(fakestorage.Options{
		Scheme: "http", Host: host, Port: uint16(port), PublicHost: address, // files are read by a path of their own
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gcs.Stop)
	gcs.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: bucketName})
	t.Setenv("STORAGE_EMULATOR_HOST", address)
	return server{address: address, at: func(string) Config { return Config{URL: "gs://" + bucketName + "?anonymous=true"} }}
}

// newClosingDriver opens a store and closes it at the end of the test.
func newClosingDriver(t *testing.T, c Config) *Driver {
	t.Helper()
	d := newDriver(t, c)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// start starts a server, waits until it answers, and ends it with the test.
func start(t *testing.T, spec proc.Spec, address string) {
	t.Helper()
	var output bytes.Buffer // read when the child is gone
	spec.Stdout = &output
	child, err := proc.Start(t.Context(), spec)
	if err != nil {
		t.Fatalf("start %s: %v", spec.Path, err)
	}
	t.Cleanup(func() {
		if _, err := child.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s said last:\n%s\n%s", filepath.Base(spec.Path), strings.Join(child.LastLines(), "\n"), output.String())
		}
	})
	for began := time.Now(); ; {
		if answers(t.Context(), address) {
			return
		}
		select {
		case <-child.Done():
			t.Fatalf("%s ended at once: %v\n%s", spec.Path, child.Exit().Err(), output.String())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Since(began) > 2*time.Minute {
			t.Fatalf("%s does not answer at %s", spec.Path, address)
		}
	}
}

// answers tells whether there is a web server, whatever it answers.
func answers(ctx context.Context, address string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return false
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	answer, err := client.Do(r)
	if err != nil {
		return false
	}
	return answer.Body.Close() == nil
}

// freeAddress is one at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
}

// tool is the path of a pinned tool, which is installed where it is missing.
func tool(t *testing.T, name string) string {
	t.Helper()
	out := strings.TrimSpace(run(t, 20*time.Minute, "../../hack/tool.sh", name))
	if _, err := os.Stat(out); err != nil {
		t.Fatal(err)
	}
	return out
}

// run runs a script of the repository and returns its standard output.
func run(t *testing.T, within time.Duration, script string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, script, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w\n%s%s", script, err, out, stderr.Bytes()))
	}
	return string(out)
}
