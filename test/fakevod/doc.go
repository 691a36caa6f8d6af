// Package fakevod is Tencent Cloud VOD for tests: ApplyUpload, CommitUpload and DescribeMediaInfos over Tencent Cloud API 3.0, in
// front of a store that media are uploaded to with the session's temporary keys. It checks every signature with code of its own,
// refuses parameters that the service does not know, and fails where a test orders it. It owns the sessions and the media; tests
// of storage-vod use it.
//
// What the service does is taken from its documentation (cloud.tencent.com/document/api/266). What that leaves open is decided here:
// CommitUpload of a session that was committed answers the same FileId, however old the session is.
package fakevod
