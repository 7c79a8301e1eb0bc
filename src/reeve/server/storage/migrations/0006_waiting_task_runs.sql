-- Task runs outside of flows that wait for a process that serves their task: it asks for them by the task's key.
create index task_runs_waiting on task_runs (task_key, state_timestamp)
    where flow_run_id is null and state_type = 'SCHEDULED';
