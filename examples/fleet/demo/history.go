package main

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/proto"

	"github.com/seed-5d77b939/porter/portertest"
)

// secrets are in no history: the token, and what signs the URLs of the archives.
var secrets = [][]byte{[]byte(portertest.Token), []byte("X-Amz-"), []byte(portertest.AccessKeyID)}

// searchHistories looks for secrets in all that Temporal keeps of the workflows:
// arguments, results and errors.
func searchHistories(ctx context.Context, c client.Client, out io.Writer) error {
	events, workflows := 0, 0
	for page, more := []byte(nil), true; more; more = len(page) > 0 {
		found, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{NextPageToken: page})
		if err != nil {
			return err
		}
		for _, w := range found.GetExecutions() {
			n, err := searchHistory(ctx, c, w.GetExecution())
			if err != nil {
				return err
			}
			events += n
			workflows++
		}
		page = found.GetNextPageToken()
	}
	fmt.Fprintf(out, "secrets:  none in the %d events of %d runs of workflows\n", events, workflows)
	return nil
}

// searchHistory returns the number of events of one run.
func searchHistory(ctx context.Context, c client.Client, run *common.WorkflowExecution) (events int, err error) {
	history := c.GetWorkflowHistory(ctx, run.GetWorkflowId(), run.GetRunId(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for ; history.HasNext(); events++ {
		e, err := history.Next()
		if err != nil {
			return events, err
		}
		b, err := proto.Marshal(e)
		if err != nil {
			return events, err
		}
		for _, s := range secrets {
			if bytes.Contains(b, s) {
				return events, fmt.Errorf("%q is in the history of %s: %v", s, run.GetWorkflowId(), e)
			}
		}
	}
	return events, nil
}
