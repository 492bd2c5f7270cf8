package porter

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
)

// A RelationFile names a file that an export of relations left: that of a
// relation, or of one batch of it.
type RelationFile struct {
	Relation PortableRelation
	Batch    int // counted from 1; 0 if the relation was not exported in batches
}

// OpenRelationExport opens the exported file f for reading. It is gzipped: lines
// of JSON, one JSON object, or a tar, as the relation is. Close the reader; it
// resumes and checks as that of OpenExport does. The error is ErrNotFound if
// there is no such file.
//
// GET /projects/:id/export_relations/download, GitLab 14.4 and later, needs the Maintainer role:
// https://docs.gitlab.com/api/project_relations_export/#export-download
func (c *Client) OpenRelationExport(ctx context.Context, p ProjectRef, f RelationFile) (*ExportReader, error) {
	r, err := c.relationDownload(ctx, p, f)
	if err != nil {
		return nil, err
	}
	return opener(r.open).observedReader(ctx, &c.core, r.id, r.request.project)
}

// DownloadRelationExport writes the exported file f to w, as DownloadExport
// does. The file of a relation is no archive of a project: without SkipVerify it
// is verified that it is whole, undamaged gzip data, whatever they hold.
func (c *Client) DownloadRelationExport(
	ctx context.Context, p ProjectRef, f RelationFile, w io.Writer, opts *DownloadOptions,
) (dl *Download, err error) {
	r, err := c.relationDownload(ctx, p, f)
	if err != nil {
		return nil, err
	}
	if w == nil {
		return nil, fmt.Errorf("%s: writer is nil", r.op)
	}
	if err := opts.check(false); err != nil {
		return nil, fmt.Errorf("%s: %w", r.op, err)
	}
	ctx, o := c.begin(ctx, OpDownload, r.id, r.request.project)
	defer o.end(&err)
	dl, err = opener(r.open).copyTo(ctx, w, opts.verifier(verifyGzip))
	return dl.of(projectOf(p)), err
}

// DownloadRelationExportFile downloads the exported file f to the file name, as
// DownloadExportFile does, and verifies it as DownloadRelationExport does.
func (c *Client) DownloadRelationExportFile(
	ctx context.Context, p ProjectRef, f RelationFile, name string, opts *DownloadOptions,
) (*Download, error) {
	r, err := c.relationDownload(ctx, p, f)
	if err != nil {
		return nil, err
	}
	if err := opts.check(true); err != nil {
		return nil, fmt.Errorf("%s: %w", r.op, err)
	}
	s := saving{
		c:       c,
		op:      r.op,
		id:      r.id,
		project: r.request.project,
		origin:  r.request.url,
		open:    r.open,
		verify:  opts.verifier(verifyGzip),
		mode:    opts.mode(),
		conns:   opts.connections(),
	}
	dl, err := s.to(ctx, name)
	return dl.of(projectOf(p)), err
}

// A relationDownload is a download of a RelationFile.
type relationDownload struct {
	c       *Client
	id      string
	op      string
	request request
}

func (c *Client) relationDownload(ctx context.Context, p ProjectRef, f RelationFile) (*relationDownload, error) {
	id, err := c.resolve(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("download relation export: %w", err)
	}
	if err := f.Relation.check(); err != nil {
		return nil, fmt.Errorf("download relation export of %s: %w", p, err)
	}
	op := fmt.Sprintf("download export of relation %s of %s", f.Relation, p)
	if f.Batch < 0 {
		return nil, fmt.Errorf("%s: batch %d is negative", op, f.Batch)
	}
	query := url.Values{"relation": {string(f.Relation)}}
	if f.Batch > 0 {
		query.Set("batched", "true")
		query.Set("batch_number", strconv.Itoa(f.Batch))
	}
	return &relationDownload{c, id, op, request{
		url:     c.projectEndpoint(id, "export_relations/download?"+query.Encode()),
		project: p.String(),
		hints:   relationHints,
	}}, nil
}

func (r *relationDownload) open(ctx context.Context, start start) (*download, error) {
	d, err := openDownload(ctx, &r.c.core, r.op, r.request.project, r.request, start)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.op, err)
	}
	return d, nil
}

// verifyGzip reads r to its end and reports whether it is undamaged gzip data,
// whatever they hold.
func verifyGzip(r io.Reader) (*ArchiveInfo, error) {
	z, err := gzip.NewReader(r)
	if err == nil {
		_, err = io.Copy(io.Discard, &unpackedReader{r: z, max: maxUnpacked})
	}
	if err != nil {
		return nil, gzipError(err)
	}
	return nil, nil
}
