-- What the cancellation cleaner looks at every 20 s: cancelled runs, the youngest of them.
create index flow_runs_cancelled on flow_runs (end_time) where state_type = 'CANCELLED';
