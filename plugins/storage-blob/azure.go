package main

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	azblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// azureParts sends files in parts to Azure Blob Storage: as blocks, which are invisible until a list of them is committed. Azure
// knows no uploads. Blocks belong to the name of a blob, and their ids say whose they are; what is not in the list that is committed
// vanishes with it, and what is never committed after a week.
type azureParts struct {
	client *container.Client
}

var _ partStore = (*azureParts)(nil)

// capabilities are from https://learn.microsoft.com/rest/api/storageservices/put-block.
func (a *azureParts) capabilities() storage.Capabilities {
	return storage.Capabilities{Parts: true, OutOfOrder: true, MinPartSize: 1, MaxPartSize: 4000 << 20, MaxParts: 50_000}
}

func (a *azureParts) blob(key string) *blockblob.Client {
	return a.client.NewBlockBlobClient(azureName(key))
}

// azureEscaped begins what gocloud.dev writes in an object's name for a character that Azure does not take.
const azureEscaped = "__0x"

// azureName is how gocloud.dev names an object for Azure (package azureblob, "Escaping"), except for names that hold azureEscaped
// themselves, which check refuses.
func azureName(key string) string {
	var name strings.Builder
	for i, c := range key {
		if strings.ContainsRune(`"#%?`, c) || c == '/' && strings.HasSuffix(key[:i], "..") {
			fmt.Fprintf(&name, "__%#x__", c)
			continue
		}
		name.WriteRune(c)
	}
	return name.String()
}

// azureOnce has calls made without the SDK's own repetitions, since the caller repeats.
func azureOnce(ctx context.Context) context.Context {
	return policy.WithRetryOptions(ctx, policy.RetryOptions{MaxRetries: -1})
}

// blockSize is how long the SDK makes the ids of its blocks. All of a blob's must be as long, those that a Put left as well.
const blockSize = 64

// blockID says whose a block is, of which upload, and which part.
func blockID(up upload, number int) string {
	var id [blockSize]byte
	n := copy(id[:], up.Owner)
	n += copy(id[n:len(id)-4], up.Nonce)
	binary.BigEndian.PutUint32(id[n:], uint32(number))
	return base64.StdEncoding.EncodeToString(id[:])
}

// begin sends nothing: the first block begins the blob.
func (a *azureParts) begin(context.Context, string, writeOptions) (string, error) { return "", nil }

func (a *azureParts) send(ctx context.Context, key string, up upload, c *content) (storage.Receipt, error) {
	doing := "send part " + strconv.Itoa(c.part.Number) + " of " + key
	sum, err := c.sums()
	if err != nil {
		return storage.Receipt{}, failure(ctx, "read for "+key, err)
	}
	out, err := a.blob(key).StageBlock(azureOnce(ctx), blockID(up, c.part.Number), streaming.NopCloser(struct{ io.ReadSeeker }{c}),
		&blockblob.StageBlockOptions{TransactionalValidation: azblob.TransferValidationTypeMD5(sum.md5)})
	if err != nil {
		return storage.Receipt{}, failure(ctx, doing, c.blame(err))
	}
	r := storage.Receipt{Number: c.part.Number, Size: c.part.Size()}
	if len(out.ContentMD5) == 0 {
		return r, nil // the store has compared it all the same
	}
	if !slices.Equal(out.ContentMD5, sum.md5) {
		return storage.Receipt{}, changed(doing, "MD5", hex.EncodeToString(sum.md5), hex.EncodeToString(out.ContentMD5))
	}
	r.Checksum = "md5:" + hex.EncodeToString(out.ContentMD5)
	return r, nil
}

func (a *azureParts) finish(ctx context.Context, key string, up upload, parts []storage.Receipt, onlyNew bool) error {
	ids := make([]string, 0, len(parts))
	for _, r := range parts {
		ids = append(ids, blockID(up, r.Number))
	}
	o := &blockblob.CommitBlockListOptions{
		Metadata:    map[string]*string{ownerKey: &up.Owner, uploadKey: &up.Nonce},
		HTTPHeaders: &azblob.HTTPHeaders{BlobContentType: &up.ContentType},
	}
	if onlyNew {
		o.AccessConditions = onlyNewBlob()
	}
	_, err := a.blob(key).CommitBlockList(azureOnce(ctx), ids, o)
	if onlyNew && kindOf(err) == status.FailedPrecondition {
		return status.Errorf(status.AlreadyExists, "%s exists", key)
	}
	return failure(ctx, "finish "+key, err)
}

func onlyNewBlob() *azblob.AccessConditions {
	anyTag := azcore.ETagAny
	return &azblob.AccessConditions{ModifiedAccessConditions: &azblob.ModifiedAccessConditions{IfNoneMatch: &anyTag}}
}

// abandon commits a list without any block, which discards the owner's, and removes the empty blob that this makes. There is no other
// way to be rid of them; where a blob is there already, or blocks of others, they are left to vanish.
func (a *azureParts) abandon(ctx context.Context, key, owner string) error {
	doing := "remove what was sent of " + key
	blob := a.blob(key)
	list, err := blob.GetBlockList(ctx, blockblob.BlockListTypeUncommitted, nil)
	if status.KindOf(failure(ctx, doing, err)) == status.NotFound {
		return nil
	}
	if err != nil {
		return failure(ctx, doing, err)
	}
	foreign := func(b *blockblob.Block) bool {
		id, err := base64.StdEncoding.DecodeString(*b.Name)
		return err != nil || !strings.HasPrefix(string(id), owner)
	}
	if len(list.UncommittedBlocks) == 0 || slices.ContainsFunc(list.UncommittedBlocks, foreign) {
		return nil
	}
	made, err := blob.CommitBlockList(ctx, nil, &blockblob.CommitBlockListOptions{
		Metadata: map[string]*string{ownerKey: &owner}, AccessConditions: onlyNewBlob(),
	})
	if kindOf(err) == status.FailedPrecondition {
		return nil // there is a blob
	}
	if err == nil {
		_, err = blob.Delete(ctx, &azblob.DeleteOptions{
			AccessConditions: &azblob.AccessConditions{ModifiedAccessConditions: &azblob.ModifiedAccessConditions{IfMatch: made.ETag}},
		})
	}
	if kindOf(err) == status.NotFound || kindOf(err) == status.FailedPrecondition {
		return nil // somebody else did something to it
	}
	return failure(ctx, doing, err)
}

// kindOfAzure classifies what Azure answers and gocloud.dev does not classify.
func kindOfAzure(err error) (status.Kind, bool) {
	var answer *azcore.ResponseError
	if !errors.As(err, &answer) {
		return status.Unknown, false
	}
	switch bloberror.Code(answer.ErrorCode) {
	case bloberror.InvalidBlockList, bloberror.BlobNotFound, bloberror.ContainerNotFound:
		return status.NotFound, true
	case bloberror.MD5Mismatch:
		return status.DataLoss, true
	case bloberror.BlobAlreadyExists, bloberror.ConditionNotMet, bloberror.TargetConditionNotMet:
		return status.FailedPrecondition, true
	default:
		return kindOfHTTP(answer.StatusCode), true
	}
}
