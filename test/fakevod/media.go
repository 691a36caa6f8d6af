package fakevod

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/recordhost/recordhost/test/fakecos/cos"
)

// The bounds of ApplyUpload's texts, in characters.
const (
	maxSourceContext  = 250
	maxSessionContext = 1000
)

// Media is a media of the account.
type Media struct {
	FileID         string
	SubAppID       uint64
	Name           string
	Type           string // mp4, m3u8
	ClassID        int64
	ExpireTime     string
	SourceContext  string
	Procedure      string
	SessionContext string

	Bucket  string
	Region  string // that it is stored in
	Path    string // of the main object, with a leading slash
	Size    int64  // bytes, of all objects
	Commits int    // how often CommitUpload was called for it

	described int
}

// Dir is the folder of the bucket that holds all objects of the media and nothing else: without a leading slash, with one at its end.
func (m Media) Dir() string { return strings.TrimPrefix(path.Dir(m.Path), "/") + "/" }

type applyUpload struct {
	MediaType, MediaName, CoverType, Procedure, ExpireTime, StorageRegion, SourceContext, SessionContext, ExtInfo string

	SubAppID          uint64 `json:"SubAppId"`
	ClassID           int64  `json:"ClassId"`
	WebPageRecordInfo *struct {
		RecordURL    string `json:"RecordUrl"`
		RecordTaskID string `json:"RecordTaskId"`
	}
}

type tempCertificate struct {
	SecretID    string `json:"SecretId"`
	SecretKey   string
	Token       string
	ExpiredTime int64
}

type uploadApplied struct {
	StorageBucket, StorageRegion, VodSessionKey, MediaStoragePath string

	CoverStoragePath *string
	TempCertificate  tempCertificate
}

func (a applyUpload) check(subApps []uint64) *apiError {
	switch {
	case a.MediaType == "":
		return &apiError{"MissingParameter", "The request is missing the required parameter `MediaType`."}
	case !slices.Contains([]string{"mp4", "m3u8", "ts", "flv", "mov", "mkv", "webm"}, a.MediaType):
		return &apiError{"InvalidParameterValue.MediaType", "The media type is not supported."}
	case utf8.RuneCountInString(a.SourceContext) > maxSourceContext:
		return &apiError{"InvalidParameterValue.SourceContext", "SourceContext is too long."}
	case utf8.RuneCountInString(a.SessionContext) > maxSessionContext:
		return &apiError{"InvalidParameterValue.SessionContextTooLong", "SessionContext is too long."}
	}
	if a.ExpireTime != "" {
		at, err := time.Parse(time.RFC3339, a.ExpireTime)
		if err != nil || at.Before(time.Now()) {
			return &apiError{"InvalidParameterValue.ExpireTime", "ExpireTime must be a time in the future, as ISO 8601 has it."}
		}
	}
	return checkSubApp(a.SubAppID, subApps)
}

func checkSubApp(id uint64, known []uint64) *apiError {
	if id != 0 && !slices.Contains(known, id) {
		return &apiError{"FailedOperation.InvalidVodUser", "The application does not exist, or is not yours."}
	}
	return nil
}

// applyUpload begins a session. The media's id is in its path from then on, and the media is not there before it is committed.
func (s *Server) applyUpload(a applyUpload) (any, *apiError) {
	if failure := a.check(s.options.SubAppIDs); failure != nil {
		return nil, failure
	}
	region := a.StorageRegion
	if region == "" {
		region = "ap-chongqing"
	}
	m := Media{
		FileID: fileID(), SubAppID: a.SubAppID, Name: a.MediaName, Type: a.MediaType, ClassID: a.ClassID, ExpireTime: a.ExpireTime,
		SourceContext: a.SourceContext, Procedure: a.Procedure, SessionContext: a.SessionContext,
	}
	m.Path = "/43843ec0vodtranscq1250000000/" + randomHex(4) + m.FileID + "/" + randomHex(6) + "." + a.MediaType
	m.Region, m.Bucket = region, "vodtrans"+strings.ReplaceAll(region, "-", "")+"-1250000000"

	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.buckets[m.Bucket] {
		s.buckets[m.Bucket] = true
		s.options.COS.AddBucket(cos.Bucket{Name: m.Bucket, Region: region})
	}
	keys := s.grant(m)
	s.options.COS.SetKeys(keys)
	key := randomHex(48)
	s.sessions[key] = &session{media: m, keyID: keys.SecretID, until: keys.Expires}
	return uploadApplied{
		StorageBucket: m.Bucket, StorageRegion: region, VodSessionKey: key, MediaStoragePath: m.Path,
		TempCertificate: tempCertificate{
			SecretID: keys.SecretID, SecretKey: keys.SecretKey, Token: keys.Token, ExpiredTime: keys.Expires.Unix(),
		},
	}, nil
}

// grant makes temporary keys for the folder of a media.
func (s *Server) grant(m Media) cos.Keys {
	return cos.Keys{
		SecretID: "AKIDtmp" + randomHex(16), SecretKey: randomHex(16), Token: randomHex(64),
		Expires: time.Now().Add(s.options.Life).Truncate(time.Second),
		Allow: func(op cos.Operation, bucket, key string) bool {
			if bucket != m.Bucket || key != "" && !strings.HasPrefix(key, m.Dir()) {
				return false
			}
			switch op {
			case cos.PutObject, cos.InitiateUpload, cos.UploadPart, cos.ListParts, cos.CompleteUpload, cos.AbortUpload:
				return true
			case cos.HeadObject, cos.DeleteObject, cos.ListObjects, cos.ListUploads:
				return !s.options.UploadOnly
			case cos.Any, cos.HeadBucket, cos.GetObject:
			}
			return false
		},
	}
}

type commitUpload struct {
	VodSessionKey string
	SubAppID      uint64 `json:"SubAppId"`
}

type uploadCommitted struct {
	FileID   string  `json:"FileId"`
	MediaURL string  `json:"MediaUrl"`
	CoverURL *string `json:"CoverUrl"`
}

// commitUpload makes the media of a session's objects. A second time it answers the same media.
func (s *Server) commitUpload(c commitUpload) (any, *apiError) {
	if c.VodSessionKey == "" {
		return nil, &apiError{"MissingParameter", "The request is missing the required parameter `VodSessionKey`."}
	}
	if failure := checkSubApp(c.SubAppID, s.options.SubAppIDs); failure != nil {
		return nil, failure
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.sessions[c.VodSessionKey]
	switch {
	case !ok, one.media.SubAppID != c.SubAppID, one.made == nil && (one.expired || time.Now().After(one.until)),
		one.made != nil && s.options.Strict:
		return nil, &apiError{"InvalidParameterValue.VodSessionKey", "VodSessionKey is invalid, or has expired."}
	case one.made == nil:
		m := one.media
		whole := false
		for _, o := range s.options.COS.Objects(m.Bucket) {
			if strings.HasPrefix(o.Key, m.Dir()) {
				m.Size += o.Size
			}
			whole = whole || "/"+o.Key == m.Path
		}
		if !whole {
			return nil, &apiError{"ResourceNotFound", "The media file does not exist in the storage."}
		}
		one.made = &m
		s.media = append(s.media, one.made)
	}
	one.made.Commits++
	return uploadCommitted{FileID: one.made.FileID, MediaURL: s.play(*one.made)}, nil
}

func (s *Server) play(m Media) string { return s.options.Host + m.Path }

type describeMediaInfos struct {
	FileIDs  []string `json:"FileIds"`
	Filters  []string
	SubAppID uint64 `json:"SubAppId"`
}

type mediaInfo struct {
	FileID    string `json:"FileId"`
	BasicInfo *basicInfo
	MetaData  *metaData
}

type basicInfo struct {
	Name, ExpireTime, Type, StorageRegion, Category, Status string

	MediaURL   string `json:"MediaUrl"`
	ClassID    int64  `json:"ClassId"`
	SourceInfo struct{ SourceType, SourceContext string }
}

type metaData struct {
	Size      int64
	Container string
	Duration  float64
}

type mediaInfos struct {
	MediaInfoSet      []mediaInfo
	NotExistFileIDSet []string `json:"NotExistFileIdSet"`
}

// describeMediaInfos tells about media; what the service has to look into the file for comes later.
func (s *Server) describeMediaInfos(d describeMediaInfos) (any, *apiError) {
	if len(d.FileIDs) == 0 || len(d.FileIDs) > 20 {
		return nil, &apiError{"InvalidParameterValue.FileIds", "FileIds must hold 1 to 20 ids."}
	}
	if failure := checkSubApp(d.SubAppID, s.options.SubAppIDs); failure != nil {
		return nil, failure
	}
	all := len(d.Filters) == 0
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := mediaInfos{MediaInfoSet: []mediaInfo{}, NotExistFileIDSet: []string{}}
	for _, id := range d.FileIDs {
		i := slices.IndexFunc(s.media, func(m *Media) bool { return m.FileID == id && m.SubAppID == d.SubAppID })
		if i < 0 {
			answer.NotExistFileIDSet = append(answer.NotExistFileIDSet, id)
			continue
		}
		info := mediaInfo{FileID: id}
		if all || slices.Contains(d.Filters, "basicInfo") {
			info.BasicInfo = s.basicInfo(*s.media[i])
		}
		if all || slices.Contains(d.Filters, "metaData") {
			info.MetaData = s.metaData(s.media[i])
		}
		answer.MediaInfoSet = append(answer.MediaInfoSet, info)
	}
	return answer, nil
}

func (s *Server) basicInfo(m Media) *basicInfo {
	b := &basicInfo{
		Name: m.Name, ExpireTime: m.ExpireTime, Type: m.Type, StorageRegion: m.Region, Category: "Video", Status: "Normal",
		MediaURL: s.play(m), ClassID: m.ClassID,
	}
	b.SourceInfo.SourceType, b.SourceInfo.SourceContext = "Upload", m.SourceContext
	return b
}

// metaData is nil while the service has not looked into the file.
func (s *Server) metaData(m *Media) *metaData {
	m.described++
	if m.described <= s.options.MetaDelay {
		return nil
	}
	return &metaData{Size: m.Size, Container: m.Type}
}

// fileID is a random one of 19 digits, as the service's are.
func fileID() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	const least = 1_000_000_000_000_000_000
	return strconv.FormatUint(least+binary.BigEndian.Uint64(b[:])%(4*least), 10)
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// String names the media, for tests' messages.
func (m Media) String() string {
	return fmt.Sprintf("media %s of %d bytes at %s", m.FileID, m.Size, m.Path)
}
