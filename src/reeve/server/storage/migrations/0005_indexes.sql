-- What pages are sorted by, and what the pruner and the pages of a task run look for (docs/decisions/0009-indexes.md).
-- The id, which settles ties, is in none of them: both databases sort the few rows of a tie by themselves.
create index flow_runs_by_begin on flow_runs (coalesce(start_time, expected_start_time));
create index flow_runs_by_name on flow_runs (name);
drop index flow_runs_by_end;
create index flow_runs_by_end on flow_runs (coalesce(end_time, 0));
create index flow_runs_ended on flow_runs (coalesce(end_time, state_timestamp))
where state_type in ('COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED') and attempt_id is null;
create index task_runs_by_begin on task_runs (start_time);
create index logs_by_task on logs (task_run_id, timestamp) where task_run_id is not null;
create index artifacts_by_creation on artifacts (created);
create index artifacts_by_task on artifacts (task_run_id) where task_run_id is not null;
