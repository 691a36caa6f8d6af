package cos

import (
	"encoding/xml"
	"fmt"
	"net/http"
)

// failure is an error as the service answers it.
type failure struct {
	status  int
	code    string
	message string
}

// errorBody is the XML of an error.
type errorBody struct {
	XMLName   xml.Name `xml:"Error"`
	Code      string
	Message   string
	Resource  string
	RequestID string `xml:"RequestId"`
	TraceID   string `xml:"TraceId"`
}

const declaration = "<?xml version='1.0' encoding='utf-8' ?>\n"

// recorder is a ResponseWriter that knows what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	code   string
	quiet  bool // nothing reaches the client
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	if !r.quiet {
		r.ResponseWriter.WriteHeader(status)
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	if r.quiet {
		return len(p), nil
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap serves http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// fail answers an error. HEAD's answer has no body, as with the service.
func (r *recorder) fail(c *call, f *failure) {
	r.code = f.code
	trace := "TRACE" + r.Header().Get("x-cos-request-id")
	r.Header().Set("x-cos-trace-id", trace)
	if c.http.Method == http.MethodHead {
		r.WriteHeader(f.status)
		return
	}
	r.Header().Set("Content-Type", "application/xml")
	r.WriteHeader(f.status)
	_, _ = r.Write([]byte(f.document(c, r.Header().Get("x-cos-request-id"), trace)))
}

func (f *failure) document(c *call, requestID, trace string) string {
	body, err := xml.Marshal(errorBody{
		Code: f.code, Message: f.message, Resource: c.Bucket + "/" + c.Key, RequestID: requestID, TraceID: trace,
	})
	if err != nil {
		return err.Error()
	}
	return declaration + string(body)
}

// xml answers a document.
func (r *recorder) xml(document any) *failure {
	body, err := xml.Marshal(document)
	if err != nil {
		return internal(err)
	}
	r.Header().Set("Content-Type", "application/xml")
	r.WriteHeader(http.StatusOK)
	_, _ = fmt.Fprint(r, declaration, string(body))
	return nil
}

func internal(err error) *failure {
	return &failure{http.StatusInternalServerError, "InternalError", err.Error()}
}

func invalid(code, message string) *failure {
	return &failure{http.StatusBadRequest, code, message}
}

func missing(code, message string) *failure {
	return &failure{http.StatusNotFound, code, message}
}

func denied(code, message string) *failure {
	return &failure{http.StatusForbidden, code, message}
}
