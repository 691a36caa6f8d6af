package main

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"

	"github.com/recordhost/recordhost/sdk/status"
)

// vod is the API of the service, through the SDK's common client, which signs (TC3-HMAC-SHA256) and sends. Names and meanings of
// actions and members are those of the documentation, cloud.tencent.com/document/api/266.
type vod struct {
	client *common.Client
}

func newVOD(endpoint *url.URL, c Config, transport http.RoundTripper) *vod {
	p := profile.NewClientProfile()
	p.HttpProfile.Scheme = strings.ToUpper(endpoint.Scheme)
	p.HttpProfile.Endpoint = endpoint.Host
	p.HttpProfile.ReqTimeout = 0 // the caller's ctx bounds it
	p.DisableRegionBreaker = true
	client := common.NewCommonClient(common.NewCredential(c.SecretID, c.SecretKey.Reveal()), c.Region, p)
	return &vod{client: client.WithHttpTransport(transport)}
}

// applyUpload asks for a session.
type applyUpload struct {
	MediaType      string // mp4 or m3u8
	MediaName      string
	ExpireTime     string
	StorageRegion  string
	SourceContext  string
	Procedure      string
	SessionContext string
	ClassID        int64
	SubAppID       uint64
}

// applied is a session: where the main file is to be put, and the keys for it.
type applied struct {
	VodSessionKey    string
	StorageBucket    string
	StorageRegion    string
	MediaStoragePath string
	TempCertificate  *struct {
		SecretID    string `json:"SecretId"`
		SecretKey   string
		Token       string
		ExpiredTime int64 // Unix seconds
	}
}

func (v *vod) apply(ctx context.Context, a applyUpload) (applied, error) {
	var answer applied
	err := v.call(ctx, "ApplyUpload", present(map[string]any{
		"MediaType": a.MediaType, "MediaName": a.MediaName, "ExpireTime": a.ExpireTime, "StorageRegion": a.StorageRegion,
		"SourceContext": a.SourceContext, "Procedure": a.Procedure, "SessionContext": a.SessionContext,
		"ClassId": a.ClassID, "SubAppId": a.SubAppID,
	}), &answer)
	if err == nil && (answer.VodSessionKey == "" || answer.StorageBucket == "" || answer.MediaStoragePath == "") {
		err = status.Errorf(status.Unavailable, "ApplyUpload answered no session")
	}
	return answer, err
}

// committed is the answer of CommitUpload.
type committed struct {
	FileID   string `json:"FileId"`
	MediaURL string `json:"MediaUrl"`
}

func (v *vod) commit(ctx context.Context, key string, subApp uint64) (committed, error) {
	var answer committed
	err := v.call(ctx, "CommitUpload", present(map[string]any{"VodSessionKey": key, "SubAppId": subApp}), &answer)
	if err == nil && answer.FileID == "" {
		err = status.Errorf(status.Unavailable, "CommitUpload answered no FileId")
	}
	return answer, err
}

// described is what VOD tells about a media.
type described struct {
	FileID    string `json:"FileId"`
	BasicInfo *struct {
		MediaURL string `json:"MediaUrl"`
	}
	MetaData *struct { // nil until VOD has looked into the file
		Size int64 // bytes
	}
}

// describe answers those of the media that exist.
func (v *vod) describe(ctx context.Context, subApp uint64, ids ...string) ([]described, error) {
	var answer struct{ MediaInfoSet []described }
	err := v.call(ctx, "DescribeMediaInfos", present(map[string]any{
		"FileIds": ids, "Filters": []string{"basicInfo", "metaData"}, "SubAppId": subApp,
	}), &answer)
	return answer.MediaInfoSet, err
}

// call makes one request. Its error has a kind, and is ctx's once that has ended.
func (v *vod) call(ctx context.Context, action string, parameters map[string]any, answer any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	request := tchttp.NewCommonRequest("vod", "2018-07-17", action)
	if err := request.SetActionParameters(parameters); err != nil {
		return status.Errorf(status.Internal, "%s: %w", action, err)
	}
	request.SetContext(ctx)
	response := tchttp.NewCommonResponse()
	if err := v.client.Send(request, response); err != nil {
		return apiFailure(ctx, action, err)
	}
	body := struct{ Response any }{answer}
	if err := json.Unmarshal(response.GetBody(), &body); err != nil {
		return status.Errorf(status.Unavailable, "%s: the answer cannot be read: %w", action, err)
	}
	return nil
}

// present are the parameters that have a value. The SDK keeps whole numbers exact only where it is given them as such.
func present(parameters map[string]any) map[string]any {
	maps.DeleteFunc(parameters, func(_ string, value any) bool {
		return value == "" || value == int64(0) || value == uint64(0)
	})
	return parameters
}
