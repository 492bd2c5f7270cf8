package portertest

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"path"
)

const maxFiles = 10 // in one form

// receive reads a form with a file.
func (in *input) receive(limit int64) *reply {
	mr, err := in.r.MultipartReader()
	if errors.Is(err, http.ErrNotMultipart) {
		return in.readBody()
	}
	if err != nil {
		return workhorseReply(http.StatusBadRequest, "Bad Request")
	}
	files, reserved := map[string]bool{}, map[string]bool{}
	for parts := 0; ; parts++ {
		part, err := mr.NextPart()
		if err == io.EOF { // not wrapped, so the form is complete
			break
		}
		if err != nil {
			return brokenForm(parts)
		}
		name, filename := dispositionOf(part)
		switch {
		case name == "":
			continue
		case reserved[name]:
			return workhorseReply(http.StatusBadRequest, "Bad Request")
		case filename == "":
			value, err := io.ReadAll(io.LimitReader(part, maxForm))
			if err != nil {
				return brokenForm(parts)
			}
			in.addFields([]field{{name, string(value)}}, true)
			continue
		case len(files) == maxFiles:
			return workhorseReply(http.StatusBadRequest, "upload request contains more than 10 files")
		case files[name]:
			return workhorseReply(http.StatusInternalServerError, "Internal Server Error")
		}
		files[name] = true
		if r := in.receiveFile(part, name, filename, limit); r != nil {
			return r
		}
		for _, of := range fileFields {
			reserved[name+"."+of] = true
		}
	}
	io.Copy(io.Discard, in.r.Body) // an epilogue
	in.nestFields()
	return nil
}

// fileFields are what Workhorse tells GitLab of a file. They are refused after
// the file in a form.
var fileFields = []string{
	"name", "path", "remote_url", "remote_id", "size", "upload_duration", "md5", "sha1", "sha256", "sha512", "gitlab-workhorse-upload",
}

// brokenForm answers a form that ends after so many whole parts.
func brokenForm(parts int) *reply {
	if parts == 0 {
		return workhorseReply(http.StatusBadRequest, "Bad Request")
	}
	return workhorseReply(http.StatusInternalServerError, "Internal Server Error")
}

func (in *input) receiveFile(part *multipart.Part, name, filename string, limit int64) *reply {
	base := path.Base(filename)
	if base == "." || base == ".." || base == "/" {
		return workhorseReply(http.StatusInternalServerError, "Internal Server Error")
	}
	main := name == "file"
	if main {
		in.entry.edit(func(r *Request) {
			r.FileName, r.FileContentType = filename, part.Header.Get("Content-Type")
		})
	}
	up, err := readUpload(part, limit)
	up.name = base
	if main {
		in.entry.edit(func(r *Request) { r.FileSize = up.size })
	}
	switch {
	case errors.Is(err, errEntityTooLarge):
		return workhorseReply(http.StatusRequestEntityTooLarge, errEntityTooLarge.Error())
	case err != nil: // the form is cut inside the file
		return workhorseReply(http.StatusInternalServerError, "Internal Server Error")
	}
	if main {
		in.upload = up
		in.entry.edit(func(r *Request) { r.FileSHA256 = up.sha256 })
	}
	return nil
}
