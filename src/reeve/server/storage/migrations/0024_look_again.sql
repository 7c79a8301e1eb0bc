-- When the scheduler must look at a deployment again: until then all runs are there that its schedules ask for.
-- 0: at once, for it was changed.
alter table deployments add column look_again bigint not null default 0;
create index deployments_to_look_at on deployments (look_again) where not paused;

-- The line of a queue, without the name of the state: only scheduled runs have such a time. Statements hide the state from
-- the indexes, or PostgreSQL may read the scheduled runs of all queues in the order of their times instead.
drop index flow_runs_due;
create index flow_runs_due on flow_runs (work_queue_id, next_scheduled_start_time, id)
where attempt_id is null and next_scheduled_start_time is not null;
