package callback

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"
)

var errURL = errors.New("callback: the URL is none")

// problem says why there was no answer, in the form that the API documents: a code, as clients of the original know it from
// Node, and words. Nothing of the error's own text goes into it: it may hold addresses, and parts of what the endpoint sent.
func problem(err error) string {
	if p := lookup(err); p != "" {
		return p
	}
	if p := untrusted(err); p != "" {
		return p
	}
	for _, known := range []struct {
		err  syscall.Errno
		text string
	}{
		{syscall.ECONNREFUSED, "ECONNREFUSED:nothing accepts connections at the endpoint's address"},
		{syscall.ECONNRESET, "ECONNRESET:the endpoint ended the connection without an answer"},
		{syscall.EPIPE, "ECONNRESET:the endpoint ended the connection without an answer"},
		{syscall.ETIMEDOUT, "ETIMEDOUT:the endpoint's machine does not answer"},
		{syscall.EHOSTUNREACH, "EHOSTUNREACH:the endpoint's machine cannot be reached"},
		{syscall.ENETUNREACH, "ENETUNREACH:the endpoint's network cannot be reached"},
		{syscall.EMFILE, "EMFILE:this host has too many files open"},
		{syscall.ENFILE, "ENFILE:this host has too many files open"},
		{syscall.EADDRNOTAVAIL, "EADDRNOTAVAIL:this host has no port left"},
	} {
		if errors.Is(err, known.err) {
			return known.text
		}
	}
	switch {
	case errors.Is(err, errURL):
		return "ERR_INVALID_URL:the callback's URL cannot be used"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "ECONNRESET:the endpoint ended the connection without an answer"
	case isDial(err):
		return "ERR_NETWORK:the endpoint could not be connected to"
	default:
		return "EPROTO:the endpoint does not speak HTTP as it should"
	}
}

// lookup is about the endpoint's name.
func lookup(err error) string {
	e, ok := errors.AsType[*net.DNSError](err)
	switch {
	case !ok:
		return ""
	case e.IsNotFound:
		return "ENOTFOUND:the endpoint's name is not known"
	default:
		return "EAI_AGAIN:the endpoint's name cannot be looked up at the moment"
	}
}

// untrusted is about the endpoint's certificate.
func untrusted(err error) string {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "ERR_TLS_CERT_ALTNAME_INVALID:the endpoint's certificate is for another name"
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return "CERT_HAS_EXPIRED:the endpoint's certificate has expired, or is not valid yet"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "UNABLE_TO_VERIFY_LEAF_SIGNATURE:the endpoint's certificate is not trusted here"
	}
	return ""
}

func isDial(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "dial"
}
