-- Runs that the late marker has not marked yet: with an index by state alone it reads all that are late already.

create index flow_runs_to_be_late on flow_runs (state_name, next_scheduled_start_time)
where state_type = 'SCHEDULED' and state_name = 'Scheduled';
