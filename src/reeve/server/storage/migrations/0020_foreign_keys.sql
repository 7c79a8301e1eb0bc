-- What is deleted with a row of another table is found by an index; without one each deletion reads a whole table.
create index task_run_cache_by_state on task_run_cache (task_run_state_id);
