package fleet

import (
	"context"
	"errors"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// An End is how the workflow of a project ended.
type End struct {
	Outcome  Outcome `json:"outcome"`
	Failure  string  `json:"failure,omitempty"`
	Canceled bool    `json:"canceled,omitempty"`
}

func endOf(out Outcome, err error) End {
	var app *temporal.ApplicationError
	switch {
	case err == nil:
		return End{Outcome: out}
	case temporal.IsCanceledError(err):
		return End{Canceled: true}
	case errors.As(err, &app):
		return End{Failure: app.Message()}
	}
	return End{Failure: bounded(err.Error())}
}

// A Watcher looks at workflows.
type Watcher struct {
	Client client.Client
}

// Ended looks once at the workflow of a project. While it runs, the error has the
// look repeated.
func (w *Watcher) Ended(ctx context.Context, id string) (End, error) {
	d, err := w.Client.DescribeWorkflowExecution(ctx, id, "")
	var unknown *serviceerror.NotFound
	switch {
	case errors.As(err, &unknown):
		return End{Failure: "its workflow is not known any more"}, nil
	case err != nil:
		return End{}, err
	}
	status := d.GetWorkflowExecutionInfo().GetStatus()
	if status == enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return End{}, running(id, status)
	}
	var out Outcome
	err = w.Client.GetWorkflow(ctx, id, "").Get(ctx, &out)
	var ended *temporal.WorkflowExecutionError
	if err != nil && !errors.As(err, &ended) {
		return End{}, err
	}
	return endOf(out, err), nil
}
