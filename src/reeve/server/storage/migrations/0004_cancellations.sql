-- What two loops read again and again: cancelled runs, the youngest of them, and paused runs. The state type
-- leads, though it is the same in all of an index: SQLite takes the index of all states otherwise.
create index flow_runs_cancelled on flow_runs (state_type, end_time, id) where state_type = 'CANCELLED';
create index flow_runs_paused on flow_runs (state_type, id) where state_type = 'PAUSED';
