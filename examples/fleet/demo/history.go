package main

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/proto"

	"github.com/seed-5d77b939/porter/portertest"
)

// secrets are in no history: the token, and what signs the URLs of the archives.
var secrets = [][]byte{[]byte(portertest.Token), []byte("X-Amz-"), []byte(portertest.AccessKeyID)}

// searchHistories looks for secrets in all that Temporal keeps of the workflows:
// arguments, results, errors, heartbeats of what still runs.
func searchHistories(ctx context.Context, c client.Client, out io.Writer) error {
	events, workflows := 0, 0
	var page []byte
	for {
		found, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{NextPageToken: page})
		if err != nil {
			return err
		}
		for _, w := range found.GetExecutions() {
			workflows++
			id, run := w.GetExecution().GetWorkflowId(), w.GetExecution().GetRunId()
			history := c.GetWorkflowHistory(ctx, id, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
			for history.HasNext() {
				e, err := history.Next()
				if err != nil {
					return err
				}
				events++
				b, err := proto.Marshal(e)
				if err != nil {
					return err
				}
				for _, s := range secrets {
					if bytes.Contains(b, s) {
						return fmt.Errorf("%q is in the history of %s: %v", s, id, e)
					}
				}
			}
		}
		if page = found.GetNextPageToken(); len(page) == 0 {
			break
		}
	}
	fmt.Fprintf(out, "secrets:  none in the %d events of %d runs of workflows\n", events, workflows)
	return nil
}
