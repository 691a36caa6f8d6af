package storage

import (
	"context"

	pluginv1 "github.com/recordhost/recordhost/sdk/proto/recordhost/plugin/v1"
	"github.com/recordhost/recordhost/sdk/status"
)

// server answers the calls of Client from a Driver, which may not be there yet.
type server struct {
	pluginv1.UnimplementedStorageServiceServer
	driver func() (Driver, error)
}

// answer makes one call on the driver. A failure gets the form in which it crosses the wire, and drops the answer.
func answer[Response any](s *server, call func(d Driver) (*Response, error)) (*Response, error) {
	d, err := s.driver()
	if err != nil {
		return nil, status.ToGRPC(err)
	}
	res, err := call(d)
	if err != nil {
		return nil, status.ToGRPC(err)
	}
	return res, nil
}

func (s *server) Capabilities(
	ctx context.Context, _ *pluginv1.CapabilitiesRequest,
) (*pluginv1.CapabilitiesResponse, error) {
	return answer(s, func(d Driver) (*pluginv1.CapabilitiesResponse, error) {
		c, err := d.Capabilities(ctx)
		return capabilitiesToProto(c), err
	})
}

func (s *server) Check(ctx context.Context, _ *pluginv1.CheckRequest) (*pluginv1.CheckResponse, error) {
	return answer(s, func(d Driver) (*pluginv1.CheckResponse, error) {
		return &pluginv1.CheckResponse{}, d.Check(ctx)
	})
}

func (s *server) Open(ctx context.Context, req *pluginv1.OpenRequest) (*pluginv1.OpenResponse, error) {
	return answer(s, func(d Driver) (*pluginv1.OpenResponse, error) {
		state, err := d.Open(ctx, deliveryFromProto(req))
		return &pluginv1.OpenResponse{State: state}, err
	})
}

func (s *server) Put(ctx context.Context, req *pluginv1.PutRequest) (*pluginv1.PutResponse, error) {
	return answer(s, func(d Driver) (*pluginv1.PutResponse, error) {
		return &pluginv1.PutResponse{}, d.Put(ctx, req.GetState(), fileFromProto(req))
	})
}

func (s *server) BeginParts(
	ctx context.Context, req *pluginv1.BeginPartsRequest,
) (*pluginv1.BeginPartsResponse, error) {
	return answer(s, func(d Driver) (*pluginv1.BeginPartsResponse, error) {
		upload, err := d.BeginParts(ctx, req.GetState(), growingFromProto(req))
		return &pluginv1.BeginPartsResponse{Upload: upload}, err
	})
}

func (s *server) PutPart(ctx context.Context, req *pluginv1.PutPartRequest) (*pluginv1.PutPartResponse, error) {
	return answer(s, func(d Driver) (*pluginv1.PutPartResponse, error) {
		receipt, err := d.PutPart(ctx, req.GetState(), req.GetUpload(), partFromProto(req))
		return &pluginv1.PutPartResponse{Receipt: receiptToProto(receipt)}, err
	})
}

func (s *server) FinishParts(
	ctx context.Context, req *pluginv1.FinishPartsRequest,
) (*pluginv1.FinishPartsResponse, error) {
	return answer(s, func(d Driver) (*pluginv1.FinishPartsResponse, error) {
		err := d.FinishParts(ctx, req.GetState(), req.GetUpload(), receiptsFromProto(req.GetReceipts()))
		return &pluginv1.FinishPartsResponse{}, err
	})
}

func (s *server) Commit(ctx context.Context, req *pluginv1.CommitRequest) (*pluginv1.CommitResponse, error) {
	return answer(s, func(d Driver) (*pluginv1.CommitResponse, error) {
		location, err := d.Commit(ctx, req.GetState())
		return locationToProto(location), err
	})
}

func (s *server) Abort(ctx context.Context, req *pluginv1.AbortRequest) (*pluginv1.AbortResponse, error) {
	return answer(s, func(d Driver) (*pluginv1.AbortResponse, error) {
		return &pluginv1.AbortResponse{}, d.Abort(ctx, req.GetState())
	})
}

func (s *server) List(ctx context.Context, req *pluginv1.ListRequest) (*pluginv1.ListResponse, error) {
	return answer(s, func(d Driver) (*pluginv1.ListResponse, error) {
		objects, err := d.List(ctx, req.GetState())
		return &pluginv1.ListResponse{Objects: objectsToProto(objects)}, err
	})
}

func (s *server) Fetch(ctx context.Context, req *pluginv1.FetchRequest) (*pluginv1.FetchResponse, error) {
	return answer(s, func(d Driver) (*pluginv1.FetchResponse, error) {
		return &pluginv1.FetchResponse{}, d.Fetch(ctx, req.GetState(), req.GetName(), req.GetPath())
	})
}

func (s *server) Delete(ctx context.Context, req *pluginv1.DeleteRequest) (*pluginv1.DeleteResponse, error) {
	return answer(s, func(d Driver) (*pluginv1.DeleteResponse, error) {
		return &pluginv1.DeleteResponse{}, d.Delete(ctx, req.GetState(), req.GetName())
	})
}
